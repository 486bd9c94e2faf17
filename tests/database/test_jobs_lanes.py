"""Lanes: limits per key, shared by all workers, on the database's clock; and what they cost the others."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import orjson

from headgate.db import Database
from headgate.engine import jobs
from headgate.engine.jobs import JobContext, NewJob, Q, enqueue, enqueue_many, set_lane
from tests.workers import add, eventually, until, working


async def register(db: Database) -> int:
    """A worker that claims by hand; its id."""
    row = await db.fetch_one(Q.start_worker, ("by hand", ["default"], 100, 60.0))
    assert row is not None
    return int(row["id"])


async def claim(db: Database, worker: int, limit: int) -> list[list[Any]]:
    """One claim, as a worker does it."""
    row = await db.fetch_one(Q.work, (worker, [], [], "default", limit))
    assert row is not None
    return list(orjson.loads(row["claimed"] or "[]"))


async def put(db: Database, count: int, **options: Any) -> None:
    async with db.connection() as conn:
        await enqueue_many(conn, [NewJob(kind="x", **options) for _ in range(count)])


async def limit(db: Database, key: str, *limits: Any) -> None:
    async with db.connection() as conn:
        await set_lane(conn, key, *limits)


async def test_twenty_claimers_share_no_job(database: Database) -> None:
    await put(database, 300)
    workers = [await register(database) for _ in range(20)]
    found: list[int] = []

    async def take(worker: int) -> None:
        while got := await claim(database, worker, 7):
            found.extend(job[0] for job in got)

    await asyncio.gather(*map(take, workers))
    assert len(found) == len(set(found)) == 300


async def test_claimers_of_different_queues_share_a_keys_limit(database: Database) -> None:
    await limit(database, "host", 3)
    for queue in ("one", "two", "three"):
        await put(database, 10, key="host", queue=queue)
    workers = [await register(database) for _ in range(9)]
    await asyncio.gather(
        *(
            database.fetch_one(Q.work, (worker, [], [], queue, 5))
            for worker, queue in zip(workers, ("one", "two", "three") * 3, strict=True)
        )
    )
    assert await database.fetch_value("select count(*) from control.jobs where state = 'running'") == 3


async def test_starts_never_exceed_rate_and_burst(database: Database) -> None:
    async def handler(ctx: JobContext) -> None:
        return

    await limit(database, "host", None, 20.0, 3)
    await put(database, 24, key="host")
    async with working(database, {"x": handler}), working(database, {"x": handler}):
        async with asyncio.timeout(10):
            while await database.fetch_value(  # noqa: ASYNC110 workers do it
                "select count(*) from control.jobs where state <> 'succeeded'"
            ):
                await asyncio.sleep(0.05)
    rows = await database.fetch_all("select started_at from control.jobs order by started_at")
    starts: list[datetime] = [row["started_at"] for row in rows]
    for i, first in enumerate(starts):
        for j, last in enumerate(starts[i:], 1):
            assert j <= 3 + 20 * (last - first).total_seconds() + 1e-3
    assert (starts[-1] - starts[0]).total_seconds() < 3  # 21 / 20 s, and slack for a busy machine


async def test_limit_set_while_a_job_is_being_enqueued_holds_for_it(database: Database) -> None:
    worker = await register(database)
    async with database.transaction() as conn:
        await enqueue(conn, "x", key="host")
        await enqueue(conn, "x", key="host")
        await limit(database, "host", 1)
    taken = [await claim(database, worker, 10) for _ in range(3)]
    assert sum(map(len, taken)) == 1


async def test_limit_counts_jobs_that_ran_before_it_was_set(database: Database) -> None:
    worker = await register(database)
    await put(database, 2, key="host")
    assert len(await claim(database, worker, 1)) == 1
    await limit(database, "host", 1)
    assert await claim(database, worker, 10) == []
    await limit(database, "host", 2)
    assert len(await claim(database, worker, 10)) == 1


async def test_lifted_limit_frees_the_waiting(database: Database) -> None:
    worker = await register(database)
    await limit(database, "host", 0)
    await put(database, 5, key="host")
    assert await claim(database, worker, 10) == []
    await limit(database, "host")
    assert len(await claim(database, worker, 10)) == 5
    async with database.connection() as conn:
        assert await jobs.lanes(conn) == []


async def test_blocked_lane_does_not_hold_back_the_others(database: Database) -> None:
    worker = await register(database)
    await limit(database, "host", 0)
    await put(database, 2000, key="host", priority=9)
    await put(database, 3)
    await put(database, 2, key="unlimited")
    assert len(await claim(database, worker, 10)) == 5


async def test_more_lanes_than_one_claim_visits_are_all_served(database: Database) -> None:
    worker = await register(database)
    async with database.transaction() as conn:
        await conn.execute(
            "insert into control.lanes (key, max_running)"
            " select 'a' || n, 0 from generate_series(1, 600) n union all"
            " select 'z' || n, 1 from generate_series(1, 40) n"
        )
        keys = [f"a{n}" for n in range(1, 601)] + [f"z{n}" for n in range(1, 41)]
        await enqueue_many(conn, [NewJob(kind="x", key=key) for key in keys])
    taken = [job[3] for _ in range(14) for job in await claim(database, worker, 10)]
    assert len(taken) == 40
    assert {key[0] for key in taken} == {"z"}


async def test_finished_job_lets_the_next_of_its_lane_start_at_once(database: Database) -> None:
    order: list[int] = []

    async def handler(ctx: JobContext) -> None:
        order.append(ctx.job.id)
        await asyncio.sleep(0.02)

    await limit(database, "host", 1)
    await put(database, 20, key="host")
    async with working(database, {"x": handler}):
        await eventually(lambda: len(order) == 20, within_s=4)
    assert order == sorted(order)


async def test_paused_lane_runs_when_it_is_opened(database: Database) -> None:
    async def handler(ctx: JobContext) -> None:
        return

    await limit(database, "host", 0)
    async with working(database, {"x": handler}):
        job = await add(database, "x", key="host")
        await asyncio.sleep(0.3)
        await until(database, job, "ready")
        await limit(database, "host", 1)
        await until(database, job, "succeeded")
