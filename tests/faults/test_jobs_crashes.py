"""Workers that die or freeze: their jobs run again within 20 s, and each has exactly one effect."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from headgate.db import Database
from headgate.engine.jobs import NewJob, enqueue_many, set_lane
from tests.faults.worker_process import TRACKS
from tests.workers import add, until

ROOT = Path(__file__).resolve().parents[2]
Process = asyncio.subprocess.Process


@contextlib.asynccontextmanager
async def worker(db: Database, name: str, lease_s: float = 2.0) -> AsyncIterator[Process]:
    """A worker process, ready to work; ended when the block is left, however it stands."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.worker_process", db.url, name, str(lease_s), cwd=ROOT
    )
    try:
        async with asyncio.timeout(20):
            while not await db.fetch_value(  # noqa: ASYNC110 another process does it
                "select count(*) from control.workers where name = %s", (name,)
            ):
                await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            await process.wait()


async def marked(db: Database, job: int, what: str, who: str) -> None:
    """Until the worker `who` has reached the point `what` of the job."""
    async with asyncio.timeout(15):
        while not await db.fetch_value(  # noqa: ASYNC110 another process does it
            "select count(*) from marks where job = %s and what = %s and who = %s", (job, what, who)
        ):
            await asyncio.sleep(0.02)


async def all_succeeded(db: Database, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while await db.fetch_value(  # noqa: ASYNC110 other processes do it
            "select count(*) from control.jobs where state <> 'succeeded'"
        ):
            await asyncio.sleep(0.2)


async def effects(db: Database, job: int) -> list[dict[str, Any]]:
    return await db.fetch_all("select attempt, who from effects where job = %s", (job,))


async def test_killed_worker_job_reruns_with_one_effect(database: Database) -> None:
    await database.execute(TRACKS)
    async with worker(database, "a") as first:
        job = await add(database, "effect", {"before_s": 60})
        await marked(database, job, "begin", "a")
        async with worker(database, "b"):
            first.kill()
            killed = time.monotonic()
            found = await until(database, job, "succeeded", within_s=10)
            assert time.monotonic() - killed < 6  # lease 2 s
    assert found["attempt"] == 2
    assert await effects(database, job) == [{"attempt": 2, "who": "b"}]


@pytest.mark.parametrize(("stall", "point"), [({"before_s": 1.0}, "begin"), ({"inside_s": 1.0}, "inside")])
async def test_frozen_worker_woken_later_writes_nothing(
    database: Database, stall: Mapping[str, float], point: str
) -> None:
    """Frozen before its transaction, or inside it while it holds the job's row."""
    await database.execute(TRACKS)
    async with worker(database, "a") as first:
        job = await add(database, "effect", stall)
        await marked(database, job, point, "a")
        first.send_signal(signal.SIGSTOP)
        async with worker(database, "b"):
            found = await until(database, job, "succeeded", within_s=12)
            first.send_signal(signal.SIGCONT)
            await asyncio.sleep(2.5)
            assert first.returncode is None
            again = await add(database, "effect")
            await until(database, again, "succeeded")
    assert found["attempt"] == 2
    assert await effects(database, job) == [{"attempt": 2, "who": "b"}]


async def test_real_lease_frozen_worker_job_reruns_within_20_s(database: Database) -> None:
    """The lease as shipped, frozen inside the transaction: the longest way back."""
    await database.execute(TRACKS)
    async with worker(database, "a", 15) as first:
        job = await add(database, "effect", {"inside_s": 1.0})
        await marked(database, job, "inside", "a")
        first.send_signal(signal.SIGSTOP)
        frozen = time.monotonic()
        async with worker(database, "b", 15):
            await until(database, job, "succeeded", within_s=30)
            assert time.monotonic() - frozen <= 20
            first.send_signal(signal.SIGCONT)
            await asyncio.sleep(2)
    assert await effects(database, job) == [{"attempt": 2, "who": "b"}]


async def test_three_workers_2000_jobs_never_exceed_the_key_limit(database: Database) -> None:
    await database.execute(TRACKS)
    async with contextlib.AsyncExitStack() as stack:
        for name in "abc":
            await stack.enter_async_context(worker(database, name))
        async with database.transaction() as conn:
            await set_lane(conn, "host", max_running=2)
            await enqueue_many(
                conn,
                [NewJob(kind="span", key="host", args={"for_s": 0.01}) for _ in range(200)]
                + [NewJob(kind="span", args={"for_s": 0.002}) for _ in range(2000)],
            )
        await all_succeeded(database, within_s=120)
    marks = await database.fetch_all(
        "select m.job, m.what, m.who, j.key from marks m join control.jobs j on j.id = m.job order by m.at"
    )
    begun = Counter(m["job"] for m in marks if m["what"] == "begin")
    assert len(begun) == 2200
    assert set(begun.values()) == {1}
    running = most = 0
    for mark in marks:
        if mark["key"] == "host":
            running += 1 if mark["what"] == "begin" else -1
            most = max(most, running)
    assert most == 2
    assert len({m["who"] for m in marks}) == 3


async def test_workers_killed_at_random_leave_each_job_with_one_effect(database: Database) -> None:
    """Twelve kills while 300 jobs run."""
    await database.execute(TRACKS)
    chance = random.Random(11)
    async with database.connection() as conn:
        await enqueue_many(conn, [NewJob(kind="effect", args={"before_s": 0.05}) for _ in range(300)])
    async with worker(database, "steady", 1.0):
        for turn in range(12):
            async with worker(database, f"victim {turn}", 1.0) as victim:
                await asyncio.sleep(chance.uniform(0.0, 0.4))
                victim.kill()
                await victim.wait()
            if turn % 4 == 0:
                async with database.connection() as conn:
                    await enqueue_many(conn, [NewJob(kind="effect", args={"before_s": 0.05})] * 100)
        await all_succeeded(database, within_s=60)
    counted = await database.fetch_one("select count(*) as n, count(distinct job) as jobs from effects")
    assert counted == {"n": 600, "jobs": 600}


async def test_terminated_worker_finishes_its_jobs_and_signs_off(database: Database) -> None:
    await database.execute(TRACKS)
    async with worker(database, "a") as process:
        job = await add(database, "effect", {"before_s": 0.5})
        await marked(database, job, "begin", "a")
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert await effects(database, job) == [{"attempt": 1, "who": "a"}]
    assert await database.fetch_value("select count(*) from control.workers where stopped_at is null") == 0
