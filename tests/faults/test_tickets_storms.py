"""Faults of ticket markets that need time, processes or races: killed workers, odd days, retention against refresh.

The numbers are those of test_tickets_faults.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from headgate.apps.tickets.simulator import SimClock, WorldOptions
from headgate.db import Database
from tests.tickets_simulator import Bench, marketplace

NEW_YORK = "America/New_York"


@asynccontextmanager
async def worker(bench: Bench) -> AsyncIterator[asyncio.subprocess.Process]:
    """`headgate work` as a process of its own on the test's database and marketplace."""
    port = bench.settings.host.rsplit(":", 1)[1]
    environment = {
        "HEADGATE_DATABASE_URL": bench.db.url,
        "HEADGATE_APPS": "tickets",
        "HEADGATE_LOG_LEVEL": "error",
        "HEADGATE_ALLOW_PRIVATE_HOSTS": f"127.0.0.1:{port}",
        "HEADGATE_TICKETS_VIVID_URL": bench.settings.vivid_url,
        "HEADGATE_TICKETS_TIME_SCALE": "600",
        "HEADGATE_TICKETS_RATE_PER_S": "100",
        "HEADGATE_TICKETS_SWEEP_S": "1200",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headgate", "work", env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def polls(db: Database) -> int:
    """How many complete polls there are."""
    return int(
        await db.fetch_value("select count(*) from public.polls where status in ('accepted', 'unchanged')")
    )


async def more_polls(db: Database, count: int) -> None:
    """Wait until there are `count` more."""
    start = await polls(db)
    for _ in range(600):
        if await polls(db) >= start + count:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"no {count} polls came in 30 s")


async def test_fault_14_workers_killed_while_they_poll_lose_nothing_and_repeat_nothing(
    database: Database,
) -> None:
    options = WorldOptions(seed=8, events=12, listings=60, parking=False)
    async with marketplace(database, options, clock=SimClock(scale=600.0)) as bench:
        for _ in range(3):
            async with worker(bench) as process:
                await more_polls(database, 8)
                process.send_signal(signal.SIGKILL)
                await process.wait()
        async with worker(bench):
            await more_polls(database, 30)
        steps = await database.fetch_one(
            "select count(*) as n, count(distinct (event_id, observed_at, seq)) as different from public.polls"
        )
        assert steps is not None and steps["n"] == steps["different"]
        for event in await database.fetch_all("select id from public.events where last_scraped is not null"):
            await same_as_rebuilt(database, event["id"])


async def same_as_rebuilt(db: Database, event: int) -> None:
    """What was kept poll by poll equals what all accepted polls together say."""
    query = "select * from tickets.state(%s) s order by 1"
    await db.execute("select tickets.dirty_all(%s)", [event])
    while await db.fetch_value("select tickets.refresh_rollups(50)"):
        pass
    kept = await db.fetch_all(query, [event])
    await db.fetch_value("select tickets.rebuild_event(%s)", [event])
    while await db.fetch_value("select tickets.refresh_rollups(50)"):
        pass
    assert await db.fetch_all(query, [event]) == kept


async def look(bench: Bench, event: dict[str, Any], minutes: float) -> None:
    """Poll an event after some simulated minutes."""
    bench.world.clock.advance(minutes * 60)
    at = datetime.fromtimestamp(bench.world.clock.now(), UTC)
    await bench.poll(event, observed_at=at.isoformat())


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 8), 23), (date(2026, 11, 1), 25), (date(2026, 3, 9), 24)]
)
async def test_fault_19_a_venue_day_has_as_many_hours_as_its_clocks_say(
    database: Database, day: date, hours: int
) -> None:
    start = await database.fetch_value("select %s::date::timestamp at time zone %s", [day, NEW_YORK])
    clock = SimClock(start=(start - timedelta(minutes=30)).timestamp(), scale=0.0)
    options = WorldOptions(seed=5, events=1, listings=20, days_from=20, parking=False)
    async with marketplace(database, options, clock=clock) as bench:
        await bench.sweep()
        await database.execute("update public.events set tz = %s", [NEW_YORK])
        event = (await bench.events())[0]
        for _ in range(hours * 2 + 3):
            await look(bench, event, 30)
        while await database.fetch_value("select tickets.refresh_rollups(50)"):
            pass
        row = await database.fetch_one(
            "select covered_ms, polls from public.rollup_days where event_id = %s and scope = 'event' and day = %s",
            [event["id"], day],
        )
        assert row == {"covered_ms": hours * 3_600_000, "polls": hours * 2}
        count = await database.fetch_value(
            "select count(*) from public.rollup_hours where event_id = %s and scope = 'event'"
            " and (hour at time zone %s)::date = %s",
            [event["id"], NEW_YORK, day],
        )
        assert count == hours


async def test_fault_20_retention_racing_with_refresh_and_late_polls_keeps_every_day(
    database: Database,
) -> None:
    start = datetime.now(UTC) - timedelta(days=240)
    options = WorldOptions(seed=5, events=2, listings=20, days_from=20, parking=False)
    async with marketplace(database, options, clock=SimClock(start=start.timestamp(), scale=0.0)) as bench:
        await bench.sweep()
        events = await bench.events()
        for _ in range(12):
            for event in events:
                await look(bench, event, 30)
        expected = await database.fetch_all(
            "select e.id, d.day, d.covered_ms, d.sold_hi from public.events e,"
            " tickets.days(e.id, %s, %s) d order by 1, 2",
            [start.date() - timedelta(days=1), start.date() + timedelta(days=3)],
        )
        assert expected

        async def refresh() -> None:
            for _ in range(30):
                await database.fetch_value("select tickets.refresh_rollups(1)")

        async def retain() -> None:
            for _ in range(10):
                await database.fetch_value("select tickets.retain(now(), 4, 6)")
                await asyncio.sleep(0.02)

        async def late() -> None:
            for number in range(5):
                moment = start + timedelta(hours=5, minutes=number)
                await bench.poll(events[0], observed_at=moment.isoformat())

        await asyncio.gather(refresh(), retain(), refresh(), retain(), late())
        while await database.fetch_value("select tickets.refresh_rollups(50)"):
            pass
        await database.fetch_value("select tickets.retain(now(), 4, 6)")
        assert await database.fetch_value("select count(*) from public.rollup_dirty") == 0
        days = await database.fetch_all(
            "select event_id as id, day, covered_ms, sold_hi from public.rollup_days"
            " where scope = 'event' order by 1, 2"
        )
        assert [d for d in days if d["id"] == events[1]["id"]] == [
            d for d in expected if d["id"] == events[1]["id"]
        ]
        assert {d["id"] for d in days} == {e["id"] for e in events}
        assert await database.fetch_value("select count(*) from public.rollup_hours") == 0
        await look(bench, events[1], 1)
        assert (await bench.last_poll(events[1]))["reason"] == "beyond_retention"
