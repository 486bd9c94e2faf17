"""What a webhook asks to have read again is read, whenever it comes: also while the reading job is ending."""

from __future__ import annotations

import asyncio
from typing import Any

from headgate.apps.stores import changes
from headgate.apps.stores.app import app
from headgate.apps.stores.simulator.oracle import ids
from headgate.db import Database
from headgate.engine.jobs import JobContext
from headgate.engine.worker import Limits, Worker
from tests import stores_sync

WAITING = "select count(*) from stores.refetches"
JOBS = "select count(*) from control.jobs where kind = 'stores.refetch' and state in ('scheduled', 'ready', 'running')"


def _orders(synced: stores_sync.Synced) -> list[int]:
    """The numbers of two orders that the shop has."""
    return sorted(int(one.rsplit("/", 1)[-1]) for one in ids(synced.outlet.shop)["orders"])[:2]


async def _ask(synced: stores_sync.Synced, number: int) -> None:
    async with synced.db.transaction() as conn:
        await changes.read_soon(conn, synced.connection, "orders", number)


async def _run(synced: stores_sync.Synced, handler: Any) -> None:
    """Work until no job of the kind is left."""
    worker = Worker(
        synced.db, {"stores.refetch": handler}, concurrency=2, limits=Limits(poll_s=0.05, lease_s=5.0)
    )
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(stop))
    try:
        async with asyncio.timeout(30):
            while await synced.db.fetch_value(JOBS):  # noqa: ASYNC110 - it polls a database
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await task


async def test_what_is_asked_while_the_job_is_ending_is_read(database: Database) -> None:
    async with stores_sync.shop(database) as synced:
        numbers = _orders(synced)
        refetch = app.jobs["stores.refetch"](synced.services())
        late = [numbers[1]]

        async def handler(ctx: JobContext) -> None:
            await refetch(ctx)
            while late:  # after its last look, before a worker could have ended the job
                await _ask(synced, late.pop())

        await _ask(synced, numbers[0])
        await _run(synced, handler)
        assert await database.fetch_value(WAITING) == 0
        rows = await database.fetch_all("select shopify_id from public.shop_orders")
        assert {row["shopify_id"] for row in rows} == set(numbers)


async def test_the_job_does_not_end_before_who_is_asking_has_committed(database: Database) -> None:
    async with stores_sync.shop(database) as synced:
        numbers = _orders(synced)
        await _ask(synced, numbers[0])
        refetch = app.jobs["stores.refetch"](synced.services())
        async with database.transaction() as asking:
            await changes.read_soon(asking, synced.connection, "orders", numbers[1])
            running = asyncio.create_task(_run(synced, refetch))
            async with asyncio.timeout(20):
                while not await database.fetch_value(
                    "select count(*) from pg_locks where locktype = 'advisory' and not granted"
                ):
                    assert await database.fetch_value(JOBS), (
                        "the job ended under an asker that found it running"
                    )
                    await asyncio.sleep(0.02)
        await running
        assert await database.fetch_value(WAITING) == 0
        assert await database.fetch_value("select count(*) from public.shop_orders") == 2
