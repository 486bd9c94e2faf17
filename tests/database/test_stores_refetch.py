"""What a webhook tells of is read again, whenever and in whatever order it comes; one bad object holds up no other."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from headgate.apps.stores import documents, rereads
from headgate.apps.stores.app import app
from headgate.apps.stores.client import Denied, Shopify
from headgate.apps.stores.simulator.oracle import ids
from headgate.apps.stores.webhooks import Inbox
from headgate.db import Database
from headgate.engine.jobs import JobContext
from headgate.engine.worker import Limits, Worker
from tests import stores_shop, stores_sync

WAITING = "select count(*) from stores.webhook_inbox where state = 'received'"
JOBS = "select count(*) from control.jobs where kind = 'stores.refetch' and state in ('scheduled', 'ready', 'running')"
ORDERS = "select shopify_id, version, name from public.shop_orders order by shopify_id"


@pytest.fixture
async def synced(database: Database) -> AsyncIterator[stores_sync.Synced]:
    async with stores_sync.shop(database) as made:
        yield made


def numbers(synced: stores_sync.Synced, kind: str = "orders", count: int = 2) -> list[int]:
    """The numbers of the first objects that the shop has."""
    return sorted(int(one.rsplit("/", 1)[-1]) for one in ids(synced.outlet.shop)[kind])[:count]


def told(
    synced: stores_sync.Synced, topic: str, payload: dict[str, Any], **more: str
) -> stores_shop.Delivery:
    return stores_shop.Delivery(topic, payload, shop=synced.outlet.shop.domain, **more)


async def tell(synced: stores_sync.Synced, *given: stores_shop.Delivery) -> list[str]:
    """Webhooks that arrive in one moment."""
    inbox = Inbox(synced.db, stores_shop.settings())
    each = [({name.lower(): text for name, text in one.headers().items()}, one.body) for one in given]
    return list(await asyncio.gather(*(inbox.take(headers, body) for headers, body in each)))


async def changed(synced: stores_sync.Synced, *orders: int) -> None:
    given = [told(synced, "orders/updated", {"id": one, "n": n}) for n, one in enumerate(orders)]
    assert set(await tell(synced, *given)) == {"taken"}


async def run(
    synced: stores_sync.Synced, handler: Any = None, *, more: Callable[[], bool] = lambda: False
) -> None:
    """Work until no job that reads is left, nor `more` to come; what waits for a later time is hurried on."""
    handler = handler or app.jobs["stores.refetch"](synced.services())
    worker = Worker(
        synced.db, {"stores.refetch": handler}, concurrency=2, limits=Limits(poll_s=0.05, lease_s=5.0)
    )
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(stop))
    try:
        async with asyncio.timeout(60):
            while more() or await synced.db.fetch_value(JOBS):
                await synced.db.execute(
                    "update control.jobs set run_at = now()"
                    " where state = 'scheduled' and run_at > now() + interval '0.3 s'"
                )
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await task


async def states(db: Database) -> list[tuple[str, str]]:
    rows = await db.fetch_all("select topic, state from stores.webhook_inbox order by id")
    return [(row["topic"], row["state"]) for row in rows]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The queries that were sent."""
    found: list[tuple[str, dict[str, Any]]] = []
    real = Shopify.query

    async def query(self: Shopify, document: str, variables: Any = None) -> dict[str, Any]:
        found.append((document, dict(variables or {})))
        return await real(self, document, variables)

    monkeypatch.setattr(Shopify, "query", query)
    return found


async def test_many_webhooks_of_many_objects_are_one_query(
    synced: stores_sync.Synced, asked: list[tuple[str, dict[str, Any]]]
) -> None:
    orders, (customer,) = numbers(synced, count=3), numbers(synced, "customers", 1)
    await changed(synced, *orders, *orders)
    await tell(synced, told(synced, "customers/update", {"id": customer}))
    await tell(synced, told(synced, "order_transactions/create", {"id": 1, "order_id": orders[0]}))
    await run(synced)
    ((document, variables),) = [one for one in asked if "HeadgateSeveral" in one[0]]
    assert document == documents.several("customers", "orders")
    assert variables["orders"] == [f"gid://shopify/Order/{one}" for one in orders]
    assert [row["shopify_id"] for row in await synced.db.fetch_all(ORDERS)] == orders
    assert await synced.db.fetch_value("select count(*) from public.shop_customers") == 1
    assert Counter(state for _, state in await states(synced.db)) == {"applied": 8}


async def test_what_is_asked_while_the_job_is_ending_is_read(synced: stores_sync.Synced) -> None:
    first, second = numbers(synced)
    refetch = app.jobs["stores.refetch"](synced.services())
    late = [second]

    async def handler(ctx: JobContext) -> None:
        await refetch(ctx)
        while late:  # after its last look, before a worker could have ended the job
            await changed(synced, late[0])
            late.pop()

    await changed(synced, first)
    await run(synced, handler, more=lambda: bool(late))
    assert await synced.db.fetch_value(WAITING) == 0
    assert [row["shopify_id"] for row in await synced.db.fetch_all(ORDERS)] == [first, second]


async def test_what_comes_while_the_job_reads_is_left_to_the_next_job(
    synced: stores_sync.Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = numbers(synced)
    late = [second]
    real = rereads.Reader.read

    async def read(self: rereads.Reader, rows: Any) -> None:
        await real(self, rows)
        while late:
            await changed(synced, late.pop())

    monkeypatch.setattr(rereads.Reader, "read", read)
    await changed(synced, first)
    await run(synced)
    assert [row["shopify_id"] for row in await synced.db.fetch_all(ORDERS)] == [first, second]
    jobs = await synced.db.fetch_all("select attempt, state from control.jobs order by id")
    assert jobs == [{"attempt": 1, "state": "succeeded"}] * 2


async def test_the_job_does_not_end_before_who_is_asking_has_committed(synced: stores_sync.Synced) -> None:
    first, second = numbers(synced)
    await changed(synced, first)
    async with synced.db.transaction() as asking:
        await asking.execute(
            "select stores.asking(shop_domain) from stores.connections where id = %s", [synced.connection]
        )
        running = asyncio.create_task(run(synced))
        async with asyncio.timeout(20):
            while not await synced.db.fetch_value(
                "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            ):
                assert await synced.db.fetch_value(JOBS), "the job ended under an asker that found it running"
                await asyncio.sleep(0.02)
        await asking.execute(
            "insert into stores.webhook_inbox (topic, shop_domain, event_id, webhook_id, bytes, payload,"
            " connection_ids, entity, object_id)"
            " values ('orders/updated', %s, 'late', 'late', 2, '{}', %s, 'orders', %s)",
            [synced.outlet.shop.domain, [synced.connection], second],
        )
    await running
    assert await synced.db.fetch_value(WAITING) == 0
    assert [row["shopify_id"] for row in await synced.db.fetch_all(ORDERS)] == [first, second]


async def test_who_tells_while_a_job_is_ending_does_not_wait_and_is_read(synced: stores_sync.Synced) -> None:
    (order,) = numbers(synced, count=1)
    async with synced.db.transaction() as ending:
        await ending.execute("select stores.end_of_reading(%s)", [synced.outlet.shop.domain])
        async with asyncio.timeout(20):
            await changed(synced, order)
    await run(synced)
    assert [row["shopify_id"] for row in await synced.db.fetch_all(ORDERS)] == [order]
    assert await synced.db.fetch_value(WAITING) == 0


async def test_webhook_is_applied_by_the_transaction_that_keeps_the_reading(
    synced: stores_sync.Synced,
) -> None:
    (order,) = numbers(synced, count=1)
    await synced.db.execute(
        "create function public.spoil() returns trigger language plpgsql as $$ begin"
        " if new.state = 'applied' then raise check_violation; end if; return new; end $$"
    )
    await synced.db.execute(
        "create trigger spoil before update on stores.webhook_inbox for each row execute function public.spoil()"
    )
    await changed(synced, order)
    await run(synced)
    assert await states(synced.db) == [("orders/updated", "failed")]
    assert await synced.db.fetch_all(ORDERS) == [], "the one is not kept without the other"


async def test_one_bad_object_holds_up_no_other_and_is_kept_for_a_person(synced: stores_sync.Synced) -> None:
    orders = numbers(synced, count=5)
    bad = orders[2]
    await synced.db.execute(
        f"alter table public.shop_orders add constraint bad check (shopify_id <> {bad}) not valid"
    )
    await changed(synced, *orders)
    await run(synced)
    kept = [row["shopify_id"] for row in await synced.db.fetch_all(ORDERS)]
    assert kept == [one for one in orders if one != bad]
    rows = await synced.db.fetch_all("select object_id, state, tries, note from stores.webhook_inbox")
    (failed,) = [row for row in rows if row["state"] != "applied"]
    assert (failed["object_id"], failed["state"], failed["tries"]) == (bad, "failed", rereads.TRIES)
    assert "violates check constraint" in failed["note"]
    assert await synced.db.fetch_value("select count(*) from control.jobs where state = 'failed'") == 0


async def test_what_is_put_off_is_tried_again_and_new_ones_do_not_wait_for_it(
    synced: stores_sync.Synced,
) -> None:
    first, second = numbers(synced)
    await synced.db.execute(
        f"alter table public.shop_orders add constraint bad check (shopify_id <> {first}) not valid"
    )
    refetch = app.jobs["stores.refetch"](synced.services())
    runs = 0

    async def handler(ctx: JobContext) -> None:
        nonlocal runs
        runs += 1
        if runs == 2:
            assert await synced.db.fetch_value(WAITING) == 1
            await changed(synced, second)
        if runs == 4:
            assert [row["shopify_id"] for row in await synced.db.fetch_all(ORDERS)] == [second]
            await synced.db.execute("alter table public.shop_orders drop constraint bad")
        await refetch(ctx)

    await changed(synced, first)
    await run(synced, handler)
    assert await synced.db.fetch_value(WAITING) == 0
    assert [row["shopify_id"] for row in await synced.db.fetch_all(ORDERS)] == [first, second]


async def test_missing_scope_holds_up_only_what_needs_it(
    synced: stores_sync.Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    (order,), (customer,) = numbers(synced, count=1), numbers(synced, "customers", 1)
    real = Shopify.query

    async def query(self: Shopify, document: str, variables: Any = None) -> dict[str, Any]:
        if "... on Customer" in document:
            raise Denied("Access denied for nodes field.")
        return await real(self, document, variables)

    monkeypatch.setattr(Shopify, "query", query)
    await tell(
        synced,
        told(synced, "customers/update", {"id": customer}),
        told(synced, "orders/create", {"id": order}),
    )
    await run(synced)
    assert await states(synced.db) == [("customers/update", "failed"), ("orders/create", "applied")]


async def test_webhooks_of_a_shop_that_left_are_ignored(synced: stores_sync.Synced) -> None:
    await changed(synced, *numbers(synced))
    await synced.db.execute("update stores.connections set state = 'disconnected'")
    await run(synced)
    assert {state for _, state in await states(synced.db)} == {"ignored"}
    assert await synced.db.fetch_all(ORDERS) == []


async def test_lost_jobs_and_webhooks_of_an_earlier_version_are_taken_up(synced: stores_sync.Synced) -> None:
    first, second = numbers(synced)
    await changed(synced, first, second)
    await synced.db.execute("delete from control.jobs")
    await synced.db.execute(
        "update stores.webhook_inbox set received_at = received_at - interval '5 minutes',"
        " entity = case when object_id = %(id)s then null else entity end,"
        " object_id = nullif(object_id, %(id)s)",
        {"id": second},
    )
    assert await synced.db.fetch_value("select stores.requeue_webhooks()") == 2
    await synced.settled()
    assert [row["shopify_id"] for row in await synced.db.fetch_all(ORDERS)] == [first, second]
    assert {state for _, state in await states(synced.db)} == {"applied"}


def test_batches_stay_below_what_a_query_may_cost() -> None:
    given = [
        rereads.Thing(entity, n)
        for n in range(30)
        for entity in ("orders", "products", "customers", "inventory")
    ]
    cut = rereads.batches(given)
    assert [one for batch in cut for one in batch] == given
    assert all(sum(rereads.paging.share(one.entity) for one in batch) <= 1 + 1e-6 for batch in cut)
    assert len(rereads.batches([rereads.Thing("orders", n) for n in range(6)])) == 1
    parts = rereads.smaller(cut[0])
    assert sorted(one.id for part in parts for one in part) == sorted(one.id for one in cut[0])
    assert all(len({one.entity for one in part}) == 1 for part in parts)
