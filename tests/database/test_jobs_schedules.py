"""The timetable against a real database: each tick once, missed ones once together, and no overlap."""

from __future__ import annotations

import asyncio
from typing import Any

from headgate.db import Database
from headgate.engine import schedule
from headgate.engine.jobs import JobContext
from headgate.engine.schedule import Schedule, sync_schedules, tick
from tests.workers import eventually, working


async def lines(db: Database) -> dict[str, dict[str, Any]]:
    async with db.connection() as conn:
        return {line["name"]: line for line in await schedule.listing(conn)}


async def sync(db: Database, *schedules: Schedule, app: str = "a") -> None:
    async with db.connection() as conn:
        await sync_schedules(conn, schedules, app=app)


async def test_twenty_tickers_fire_one_tick_once(database: Database) -> None:
    await sync(
        database, Schedule(name="often", kind="work", every_s=3600, args={"n": 1}, key="k", priority=4)
    )
    fired = await asyncio.gather(*(tick(database) for _ in range(20)))
    assert sum(fired) == 1
    jobs = await database.fetch_all("select kind, args, key, priority, unique_key from control.jobs")
    assert jobs == [
        {"kind": "work", "args": {"n": 1}, "key": "k", "priority": 4, "unique_key": "schedule:often"}
    ]


async def test_missed_ticks_are_caught_up_with_one_job(database: Database) -> None:
    await sync(database, Schedule(name="hourly", kind="work", cron="0 * * * *"))
    assert await tick(database) == 0
    await database.execute(
        "update control.schedules set next_at = date_trunc('hour', now()) - interval '40 hours'"
    )
    assert await tick(database) == 1
    assert await tick(database) == 0
    assert await database.fetch_value("select count(*) from control.jobs") == 1
    line = (await lines(database))["hourly"]
    assert 0 < (line["next_at"] - await database.fetch_value("select now()")).total_seconds() <= 3600


async def test_tick_adds_no_job_while_the_one_before_waits(database: Database) -> None:
    await sync(database, Schedule(name="fast", kind="work", every_s=0.01))
    assert await tick(database) == 1
    await asyncio.sleep(0.02)
    assert await tick(database) == 1
    assert await database.fetch_value("select count(*) from control.jobs") == 1
    assert (await lines(database))["fast"]["skipped"] == 1


async def test_sync_keeps_unchanged_times_moves_changed_ones_and_drops_the_rest(database: Database) -> None:
    await sync(database, Schedule(name="other", kind="x", every_s=60), app="b")
    await sync(
        database,
        Schedule(name="kept", kind="x", every_s=60),
        Schedule(name="moved", kind="x", every_s=60),
        Schedule(name="gone", kind="x", every_s=60),
    )
    before = await lines(database)
    await sync(
        database,
        Schedule(name="kept", kind="y", every_s=60),
        Schedule(name="moved", kind="x", cron="0 0 1 1 *", timezone="Asia/Tokyo"),
    )
    after = await lines(database)
    assert set(after) == {"kept", "moved", "other"}
    assert (after["kept"]["kind"], after["kept"]["next_at"]) == ("y", before["kept"]["next_at"])
    assert after["moved"]["next_at"].astimezone().timestamp() > before["moved"]["next_at"].timestamp()


async def test_running_worker_fires_schedules(database: Database) -> None:
    seen: list[int] = []

    async def handler(ctx: JobContext) -> None:
        seen.append(ctx.job.id)

    await sync(database, Schedule(name="beat", kind="beat", every_s=0.3))
    async with working(database, {"beat": handler}), working(database, {"beat": handler}):
        await eventually(lambda: len(seen) >= 3)
    assert len(seen) == len(set(seen))


async def test_line_at_start_is_due_whenever_a_worker_starts(database: Database) -> None:
    often = Schedule(name="often", kind="work", every_s=3600)
    first = Schedule(name="first", kind="care", cron="0 3 1 1 *", at_start=True)
    for _ in range(2):
        await sync(database, often, first)
        await tick(database)
        await database.execute("update control.jobs set state = 'succeeded'")
    rows = await database.fetch_all("select kind from control.jobs order by kind")
    assert [row["kind"] for row in rows] == ["care", "care", "work"]
    assert await tick(database) == 0, "once each time"


async def test_disabled_schedule_does_not_fire(database: Database) -> None:
    await sync(database, Schedule(name="off", kind="x", every_s=1))
    await database.execute("update control.schedules set enabled = false")
    assert await tick(database) == 0
