"""One busy host: what its 10,000 waiting jobs cost the others, and whether three workers keep its limit.

The host's lane is at its limit of two while the others' jobs run; the same jobs without the queue of the host are the
measure, in alternating pairs. Then three worker processes share jobs of which a tenth belong to a key with limit two.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bench import report
from bench._database import fresh_database
from headgate.db import Database
from headgate.engine.jobs import JobContext, NewJob, enqueue, enqueue_many, set_lane
from headgate.engine.worker import Worker

HERE = Path(__file__).resolve().parent
PAIRS = 7
BLOCKED = 10_000
FREE = 2_000
SHARED = 6_000
LIMIT = 2


async def free_rate(db: Database, blocked: int, free: int) -> float:
    """Jobs a second of `free` jobs without a key, while `blocked` jobs of a host wait behind two that run."""
    await db.execute("truncate control.jobs")
    await db.execute("vacuum analyze control.jobs")
    release, held, ended = asyncio.Event(), 0, 0
    stop, both = asyncio.Event(), asyncio.Event()

    async def hold(ctx: JobContext) -> None:
        nonlocal held
        held += 1
        if held == LIMIT:
            both.set()
        await release.wait()

    async def noop(ctx: JobContext) -> None:
        nonlocal ended
        ended += 1
        if ended == free:
            release.set()
            stop.set()

    async with db.connection() as conn:
        await set_lane(conn, "busy host", max_running=LIMIT)
        for _ in range(LIMIT):
            await enqueue(conn, "hold", key="busy host")
    working = asyncio.create_task(Worker(db, {"hold": hold, "noop": noop}, concurrency=20).run(stop))
    await asyncio.wait_for(both.wait(), 30)
    async with db.connection() as conn:
        for first in range(0, blocked, 1000):
            await enqueue_many(
                conn, [NewJob(kind="hold", key="busy host") for _ in range(min(1000, blocked - first))]
            )
    await asyncio.sleep(0.3)
    async with db.connection() as conn:
        await enqueue_many(conn, [NewJob(kind="noop") for _ in range(free)])
    await asyncio.wait_for(working, 120)
    seconds = await db.fetch_value(
        "select extract(epoch from max(finished_at) - min(started_at)) from control.jobs where kind = 'noop'"
    )
    return free / float(seconds)


async def most_at_once(db: Database, count: int) -> tuple[int, int]:
    """The most jobs of the limited key that ever ran at once, and jobs that ran twice; three worker processes."""
    await db.execute("truncate control.jobs")
    await db.execute(
        "create table bench_marks (job bigint, step integer, at timestamptz default clock_timestamp())"
    )
    async with db.connection() as conn:
        await set_lane(conn, "shared host", max_running=LIMIT)
        jobs = [NewJob(kind="noop", key="shared host" if n % 10 == 0 else None) for n in range(count)]
        await enqueue_many(conn, jobs)
    workers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench._queue_ours", "limited", db.url, str(count)),
            cwd=HERE.parent,
            stdout=asyncio.subprocess.DEVNULL,
        )
        for _ in range(3)
    ]
    for worker in workers:
        assert await asyncio.wait_for(worker.wait(), 300) == 0
    most = await db.fetch_value(
        "select max(n) from (select sum(m.step) over (order by m.at, m.step) as n from bench_marks m"
        " join control.jobs j on j.id = m.job where j.key is not null) t"
    )
    twice = await db.fetch_value(
        "select count(*) from (select job from bench_marks group by job having count(*) <> 2) t"
    )
    return int(most), int(twice)


async def measure() -> None:
    """Both parts, then the table."""
    blocked, free, shared = report.sized(BLOCKED), report.sized(FREE, 100), report.sized(SHARED, 300)
    alone: list[float] = []
    beside: list[float] = []
    async with fresh_database() as url, await Database.open(url, max_size=8) as db:
        await free_rate(db, 0, free)
        for _ in range(PAIRS if report.scale() >= 1 else 2):
            alone.append(await free_rate(db, 0, free))
            beside.append(await free_rate(db, blocked, free))
        most, twice = await most_at_once(db, shared)
    ratio = report.middle([b / a for a, b in zip(alone, beside, strict=True)])
    report.write(
        "queue_lanes",
        "A busy host and the others",
        [
            report.Figure(name="free jobs alone", value=report.middle(alone), unit="1/s"),
            report.Figure(
                name=f"free jobs beside {blocked:,} of a host at its limit",
                value=report.middle(beside),
                unit="1/s",
            ),
            report.at_least("ratio", ratio, 0.7),
            report.at_most(f"most at once of a key with limit {LIMIT}, three workers", most, LIMIT, "jobs"),
            report.at_most(f"jobs of {shared:,} that ran twice", twice, 0, "jobs"),
        ],
        command="python -m bench queue_lanes",
        about=(__doc__ or "").strip(),
        samples={"alone": alone, "beside": beside},
    )


def main() -> None:
    """Measure, print the table, and keep it as a result."""
    asyncio.run(measure())


if __name__ == "__main__":
    main()
