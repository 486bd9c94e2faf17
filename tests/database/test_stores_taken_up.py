"""A sync that has begun is always somebody's: what lost its job gets one at once, and never a second one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from headgate.apps.stores.app import app
from headgate.apps.stores.bulk_jobs import take_up
from headgate.apps.stores.connect import Connecting
from headgate.apps.stores.means import Means
from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.simulator.server import CLIENT_ID
from headgate.apps.stores.tokens import Tokens
from headgate.apps.stores.wire import Wire
from headgate.db import Connection, Database
from headgate.engine.jobs import JobContext
from headgate.engine.schedule import sync_schedules, tick
from tests.stores_sync import Synced, shop, working

LIVE = "state in ('scheduled', 'ready', 'running')"
RECENT = "stores.recent_sync"
#: It has looked for what to begin.
SYNCING = "select exists (select from control.jobs where kind = 'stores.recent_sync' and state = 'succeeded')"
#: What a job may leave behind when it is cancelled by hand or fails for good: the row, and the kind that takes it up.
LEFT = {
    "never asked for": ("state = 'queued'", "stores.bulk_orders"),
    "asked for, answer lost": ("submitting_at = now(), attempts = 1", "stores.bulk_orders"),
    "at Shopify": ("state = 'submitted', gid = 'gid://x/1', attempts = 1", "stores.poll_bulk"),
    "file known": ("state = 'downloading', gid = 'gid://x/1', url = 'x', attempts = 2", "stores.ingest"),
    "verified": ("state = 'verified', gid = 'gid://x/1', url = 'x', attempts = 1", "stores.ingest"),
    "to be asked for again": ("state = 'retrying', attempts = 3", "stores.bulk_orders"),
}


async def waiting(db: Database, kind: str = "stores.%") -> list[str]:
    """The kinds of jobs that wait or run."""
    rows = await db.fetch_all(
        f"select kind from control.jobs where kind like %s and {LIVE} order by id", [kind]
    )
    return [row["kind"] for row in rows]


async def jobs_of(db: Database, operation: int) -> list[dict[str, Any]]:
    return await db.fetch_all(
        f"select kind, unique_key, state from control.jobs where {LIVE} and args ->> 'operation_id' = %s",
        [str(operation)],
    )


async def begun(synced: Synced, change: str = "state = 'queued'") -> int:
    """A sync of which only the orders are open, as `change` says, and no job is left; the operation's number."""
    await synced.db.execute("select stores.begin_sync(%s)", [synced.connection])
    await synced.db.execute(
        "update stores.bulk_operations set state = 'completed', finished_at = now() where entity <> 'orders'"
    )
    return int(
        await synced.db.fetch_value(
            f"update stores.bulk_operations set {change} where entity = 'orders' returning id"
        )
    )


async def until(db: Database, query: str, values: Sequence[Any] = ()) -> None:
    """Wait until the query gives true."""
    async with asyncio.timeout(30):
        while not await db.fetch_value(query, values):  # noqa: ASYNC110 a job changes it
            await asyncio.sleep(0.02)


async def taken(synced: Synced) -> int:
    async with synced.db.transaction() as conn:
        return await take_up(conn, synced.connection)


async def reconnected(synced: Synced) -> None:
    """The merchant installs the app again."""
    ours = StoresSettings.of({**synced.settings, "public_url": "http://127.0.0.1:9"})
    wire = Wire(ours, keep=False)
    connecting = Connecting(synced.db, ours, Tokens(synced.db, ours, wire=wire, data_dir=synced.folder), wire)
    domain = synced.outlet.shop.domain
    brand = await synced.db.fetch_value("select brand_id from stores.connections")
    started = await connecting.begin(brand=brand, shop=domain, user=None, base_url=ours.public_url, link=True)
    scopes = ",".join(ours.scope_list)
    back = f"{ours.public_url}/api/stores/callback"
    given = {"client_id": CLIENT_ID, "redirect_uri": back, "scope": scopes, "state": started.state}
    callback = synced.outlet.oauth.approve(given)
    query = dict(part.split("=", 1) for part in callback.partition("?")[2].split("&"))
    await connecting.finish({**query, "shop": domain, "state": started.state}, "")


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
async def test_whoever_connects_a_shop_again_takes_its_sync_up(
    database: Database, left: tuple[str, str]
) -> None:
    change, kind = left
    async with shop(database) as synced:
        operation = await begun(synced, change)
        await database.execute("update stores.connections set state = 'uninstalled'")
        assert await taken(synced) == 0, "a shop that has left is left alone"
        await reconnected(synced)
        assert [one["kind"] for one in await jobs_of(database, operation)] == [kind]
        assert await taken(synced) == 0


async def test_reconciliation_that_waits_for_a_sync_of_nobodys_goes_on_with_it(database: Database) -> None:
    async with shop(database) as synced:
        await begun(synced)
        await synced.begin("stores.reconcile")
        await synced.settled()
        assert await database.fetch_value("select state from stores.sync_runs") == "completed"
        assert await database.fetch_value("select count(*) from public.shop_orders") > 0


async def test_run_whose_last_job_is_lost_is_reconciled(database: Database) -> None:
    async with shop(database) as synced:
        await begun(synced, "state = 'completed', finished_at = now()")
        assert [await taken(synced), await taken(synced)] == [1, 0]
        assert await waiting(database) == ["stores.refund_details"]
        await synced.settled()
        assert await database.fetch_value("select state from stores.sync_runs") != "running"


async def test_worker_that_starts_takes_up_what_is_nobodys(database: Database) -> None:
    """Not a minute later, when the timetable's next line is due."""
    async with shop(database) as synced:
        for _ in range(2):
            async with database.connection() as conn:
                await sync_schedules(conn, app.schedules, app="stores")
            await tick(database)
            await database.execute("delete from control.jobs where kind <> 'stores.inbox_care'")
            await synced.settled()
        operation = await begun(synced)
        await tick(database)
        assert await waiting(database) == [], "no line is due yet"
        async with database.connection() as conn:
            await sync_schedules(conn, app.schedules, app="stores")
        await tick(database)
        async with working(synced):
            given = "select exists (select from control.jobs where args ->> 'operation_id' = %s)"
            await until(database, given, [str(operation)])
        told = "select result from control.jobs where kind = 'stores.inbox_care' order by id desc limit 1"
        assert await database.fetch_value(told) == {"taken_up": 1}


async def test_job_that_a_dead_worker_holds_is_the_only_one(database: Database) -> None:
    """Killed after it asked Shopify: the operation counts one asking more than when its job was added."""
    async with shop(database) as synced:
        operation = await begun(synced)
        assert await taken(synced) == 1
        await database.execute("update control.jobs set state = 'running', worker = 4711, attempt = 1")
        await database.execute("update stores.bulk_operations set submitting_at = now(), attempts = 1")
        await reconnected(synced)
        await synced.begin()
        await database.execute("update control.jobs set run_at = now() where state = 'scheduled'")
        async with working(synced):
            await until(database, SYNCING)
        rows = await database.fetch_all(
            "select unique_key from control.jobs where args ->> 'operation_id' = %s and kind = 'stores.bulk_orders'",
            [str(operation)],
        )
        assert [row["unique_key"] for row in rows] == [f"{operation}:0"]


async def test_several_that_take_up_at_once_add_one_job(database: Database) -> None:
    async with shop(database) as synced:
        operation = await begun(synced)
        assert sum(await asyncio.gather(*(taken(synced) for _ in range(4)))) == 1
        assert len(await jobs_of(database, operation)) == 1


async def test_operation_on_its_way_from_job_to_job_is_left_alone(database: Database) -> None:
    """Its next job is not committed yet, and the one before does not run any more."""
    async with shop(database) as synced:
        operation = await begun(synced)
        async with database.transaction() as conn:
            await conn.execute("update stores.bulk_operations set attempts = 1 where id = %s", [operation])
            assert await taken(synced) == 0


@contextlib.asynccontextmanager
async def leaving(
    monkeypatch: pytest.MonkeyPatch, synced: Synced, *, during: str = "select true"
) -> AsyncIterator[None]:
    """The shop is gone when a job looks, and is connected again, `during` comes true, before that job has ended."""
    real = Means.shopify
    once: list[int] = []

    async def shopify(means: Means, connection: int) -> Any:
        try:
            return await real(means, connection)
        except Exception:
            if not once:
                once.append(connection)
                await reconnected(synced)
                await until(synced.db, during)
            raise

    monkeypatch.setattr(Means, "shopify", shopify)
    await synced.db.execute("update stores.connections set state = 'uninstalled'")
    yield
    assert once


@pytest.mark.parametrize("kind", ["stores.bulk_orders", RECENT])
async def test_shop_that_comes_back_while_its_job_is_cancelled_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with shop(database) as synced:
        if kind == RECENT:
            await synced.begin()
        else:
            await begun(synced)
            await taken(synced)
        async with leaving(monkeypatch, synced, during="select true" if kind == RECENT else SYNCING):
            await synced.settled()
        assert await synced.differences() == []
        assert (
            await database.fetch_value("select count(*) from stores.sync_runs where state = 'running'") == 0
        )


async def test_job_of_a_shop_that_is_gone_is_cancelled_with_the_reason(database: Database) -> None:
    async with shop(database) as synced:
        await begun(synced)
        await taken(synced)
        await database.execute("update stores.connections set state = 'uninstalled'")
        await synced.settled()
        row = await database.fetch_one(
            "select state, error from control.jobs where kind = 'stores.bulk_orders'"
        )
        assert row == {"state": "cancelled", "error": "The shop is not connected any more."}


async def test_reconciliation_in_the_way_of_a_sync_is_followed_by_another(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began before the sync and ends after the sync's operations: nobody else would end the run."""
    async with shop(database) as synced:
        settle = JobContext.settle
        once: list[int] = []

        async def settled(ctx: JobContext, conn: Connection, result: Any = None) -> None:
            if ctx.job.kind == "stores.reconcile" and not once:
                once.append(1)
                await database.execute(
                    "insert into stores.sync_runs (connection_id, kind) values (%s, 'full')",
                    [synced.connection],
                )
            await settle(ctx, conn, result)

        monkeypatch.setattr(JobContext, "settle", settled)
        await synced.begin("stores.reconcile")
        await synced.settled()
        assert once and await database.fetch_value("select state from stores.sync_runs") != "running"
