"""The ticket tables' upkeep as real jobs: a worker runs them by their kinds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from headgate.apps.tickets import upkeep
from headgate.db import Database
from headgate.engine.jobs import enqueue
from headgate.engine.manifest import App, Services
from headgate.engine.worker import Worker
from tests.database.test_tickets_retention import OLD, market
from tests.database.tickets_polls import after, new_event


async def run_jobs(db: Database, *kinds: str) -> dict[str, Any]:
    """Enqueue a job of each kind and work until none waits; each kind's state in the end."""
    app = App(name="tickets", title="Tickets", folder=Path(__file__).parent, jobs=upkeep.JOBS)
    services = Services(db=db, fetcher=None, app=app)
    async with db.transaction() as conn:
        for kind in kinds:
            await enqueue(conn, kind, {})
    stop = asyncio.Event()
    worker = Worker(db, {kind: make(services) for kind, make in upkeep.JOBS.items()})
    running = asyncio.create_task(worker.run(stop))
    waiting = "select count(*) from control.jobs where state in ('ready', 'running')"
    for _ in range(200):
        if not await db.fetch_value(waiting):
            break
        await asyncio.sleep(0.05)
    stop.set()
    await running
    return {row["kind"]: row["state"] for row in await db.fetch_all("select kind, state from control.jobs")}


async def test_a_worker_refreshes_seals_and_makes_partitions(database: Database) -> None:
    event = await new_event(database, starts_at=None)
    await market(database, event, after(-60 * 24 * 5), 60)
    states = await run_jobs(database, "tickets.refresh", "tickets.partitions")
    assert set(states.values()) == {"succeeded"}
    assert await database.fetch_value("select count(*) from rollup_dirty") == 0
    await run_jobs(database, "tickets.seal")
    assert await database.fetch_value("select count(*) from listing_spans_sealed") >= 2


async def test_retention_snoozes_until_dirty_hours_are_refreshed(database: Database) -> None:
    event = await new_event(database, starts_at=None)
    await market(database, event, OLD, 5)
    assert (await run_jobs(database, "tickets.retain"))["tickets.retain"] != "succeeded"
    assert await database.fetch_value("select count(*) from polls") == 5
    await run_jobs(database, "tickets.refresh")
    await database.execute("update control.jobs set run_at = now() where state = 'scheduled'")
    await run_jobs(database, "tickets.refresh")
    for _ in range(50):
        if not await database.fetch_value("select count(*) from control.jobs where state = 'scheduled'"):
            break
        await run_jobs(database, "tickets.refresh")
    assert await database.fetch_value("select count(*) from polls") == 0


def test_every_timed_job_has_a_handler() -> None:
    assert {line.kind for line in upkeep.SCHEDULES} == set(upkeep.JOBS)
