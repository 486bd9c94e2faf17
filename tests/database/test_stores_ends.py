"""The last operation of a sync is followed by its reconciliation, whoever ends when."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from headgate.apps.stores.bulk_jobs import end
from headgate.db import Database
from headgate.engine.jobs import enqueue
from tests import stores_shop, stores_sync


async def test_operations_that_end_at_once_do_not_wait_for_each_other_for_ever(database: Database) -> None:
    made = await stores_shop.connection(database, await stores_shop.brand(database, uuid4()))
    await database.execute("select stores.begin_sync(%s)", (made,))
    await database.execute(
        "update stores.bulk_operations set finished_at = now(), state = 'completed' where entity = 'products'"
    )
    one, other = await database.fetch_all(
        "select * from stores.bulk_operations where finished_at is null order by id"
    )
    following = "select count(*) from control.jobs where kind = 'stores.refund_details'"
    async with database.transaction() as first:
        await end(first, one, shop=stores_shop.SHOP, state="completed", missing=[])

        async def second() -> None:
            async with database.transaction() as conn:
                await end(conn, other, shop=stores_shop.SHOP, state="completed", missing=[])

        task = asyncio.create_task(second())
        await asyncio.wait([task], timeout=1.0)
    await asyncio.wait_for(task, 20)
    assert await database.fetch_value(following) == 1
    found = await database.fetch_value("select status from public.shop_milestones where label = 'reconciled'")
    assert found == "in_progress"


async def test_a_hidden_order_and_a_deleted_one_do_not_cancel_out(database: Database) -> None:
    """Counts that moved while a bulk operation ran say nothing: the numbers are compared, and both are mended."""
    async with stores_sync.shop(database) as synced:
        await synced.begin()
        await synced.settled()
        assert await synced.differences() == []
        hidden = await database.fetch_value("select min(shopify_id) from public.shop_orders")
        await database.execute("delete from public.shop_orders where shopify_id = %s", [hidden])
        gone = await database.fetch_value("select max(shopify_id) from public.shop_orders")
        synced.outlet.live.delete_order(order=synced.outlet.shop.numbers.index(gone))
        run = await database.fetch_value(
            "insert into stores.sync_runs (connection_id, kind) values (%s, 'full') returning id",
            [synced.connection],
        )
        await database.execute(
            "insert into stores.bulk_operations (run_id, connection_id, entity, state, expected_roots,"
            " root_object_count, expected_after, finished_at) values (%s, %s, 'orders',"
            " 'completed', 14, 18, 29, now())",
            [run, synced.connection],
        )
        await synced.begin("stores.reconcile")
        await synced.settled()
        assert await synced.differences() == []


async def ended_run(synced: stores_sync.Synced) -> int:
    """A run whose operations have ended a while ago and whose reconciliation was cancelled, as when the shop left."""
    run: int = await synced.db.fetch_value("select stores.begin_sync(%s)", (synced.connection,))
    await synced.db.execute(
        "update stores.bulk_operations set finished_at = now() - interval '1 hour', state = 'partial'"
    )
    return run


async def state_of(db: Database, run: int) -> str:
    found: str = await db.fetch_value("select state from stores.sync_runs where id = %s", (run,))
    return found


async def test_a_run_that_was_left_before_its_end_ends_when_the_shop_comes_back(database: Database) -> None:
    async with stores_sync.shop(database, orders=5) as synced:
        run = await ended_run(synced)
        await synced.begin()
        await synced.settled()
        assert await state_of(database, run) != "running"


async def test_a_run_that_no_job_would_end_is_taken_up_by_the_timetable(database: Database) -> None:
    async with stores_sync.shop(database, orders=5) as synced:
        run = await ended_run(synced)
        async with database.transaction() as conn:
            await enqueue(conn, "stores.incremental")
        await synced.settled()
        assert await state_of(database, run) != "running"


async def test_a_first_sync_that_failed_for_good_is_begun_by_the_timetable(database: Database) -> None:
    async with stores_sync.shop(database, orders=5) as synced:
        await database.execute("update stores.connections set connected_at = now() - interval '1 hour'")
        async with database.transaction() as conn:
            await enqueue(conn, "stores.incremental")
        await synced.settled()
        assert set((await synced.milestones()).values()) == {"completed"}
        assert await synced.differences() == []


async def test_recent_days_that_were_given_up_do_not_leave_the_status_syncing(database: Database) -> None:
    async with stores_sync.shop(database, orders=5) as synced:
        await synced.begin()
        await synced.settled()
        await database.execute(
            "update public.shop_milestones set status = 'in_progress' where label = 'recent'"
        )
        await synced.begin("stores.reconcile")
        await synced.settled()
        assert set((await synced.milestones()).values()) == {"completed"}


async def test_a_file_that_cannot_be_kept_says_why_and_comes_when_it_can(database: Database) -> None:
    async with stores_sync.shop(database, orders=5) as synced:
        in_the_way = synced.folder / "stores"  # as a full disk, for whoever may write everywhere
        in_the_way.touch()
        await synced.begin()
        told = "select error from public.shop_milestones where label = 'orders'"
        async with stores_sync.working(synced), asyncio.timeout(40):
            while not (error := await database.fetch_value(told)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert "cannot be kept here" in error and str(synced.folder) not in error
        in_the_way.unlink()
        await synced.settled()
        assert await database.fetch_value(told) is None
        assert set((await synced.milestones()).values()) == {"completed"}
