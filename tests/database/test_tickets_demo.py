"""The demo: a day of history is collected from the simulator by real polls, then the market is live."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from headgate.apps.tickets.app import app
from headgate.apps.tickets.demo import demo
from headgate.apps.tickets.simulator import SimClock, WorldOptions
from headgate.db import Database
from headgate.engine.jobs import enqueue
from headgate.engine.manifest import Services
from headgate.engine.worker import Worker
from tests.tickets_simulator import Bench, marketplace


async def run_history(bench: Bench) -> None:
    """The job, on a worker, to its end."""
    values: dict[str, Any] = {
        name: getattr(bench.settings, name) for name in type(bench.settings).model_fields
    }
    services = Services(db=bench.db, fetcher=bench.fetcher, app=app, settings=values)
    async with bench.db.transaction() as conn:
        job = await enqueue(conn, "tickets.demo_history", unique="history")
    stop = asyncio.Event()
    handlers = {"tickets.demo_history": app.jobs["tickets.demo_history"](services)}
    worker = asyncio.create_task(Worker(bench.db, handlers).run(stop))
    for _ in range(600):
        state = await bench.db.fetch_value("select state from control.jobs where id = %s", [job])
        if state in ("succeeded", "failed"):
            break
        await asyncio.sleep(0.05)
    stop.set()
    await worker
    assert state == "succeeded"


async def test_history_comes_from_polls_and_ends_in_the_present(database: Database) -> None:
    clock = SimClock(start=time.time() - 6 * 3600, scale=0.0)
    options = WorldOptions(seed=3, events=2, listings=20, parking=False)
    async with marketplace(database, options, clock=clock, demo_history_h=6.0) as bench:
        await run_history(bench)
        rows = await database.fetch_all("select event_id, count(*) as n from public.polls group by 1")
        assert [row["n"] for row in rows] in ([11, 11], [12, 12])
        assert abs(bench.world.clock.now() - time.time()) < 5
        await run_history(bench)
        assert await database.fetch_value("select count(*) from public.polls") == sum(
            row["n"] for row in rows
        )


def test_the_demo_points_every_part_at_the_same_port() -> None:
    made = demo(8791)
    assert made.url == "http://127.0.0.1:8791"
    assert "8791" in made.arguments and made.arguments[:2] == ("tickets", "simulate")
    assert made.environment["HEADGATE_ALLOW_PRIVATE_HOSTS"] == "127.0.0.1:8791"
    assert made.environment["HEADGATE_TICKETS_VIVID_URL"] == made.url
