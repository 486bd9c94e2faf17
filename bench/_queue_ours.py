"""Headgate's side of the queue measurement, in processes of its own. Prints one JSON line a step."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

from headgate.db import Database
from headgate.engine.jobs import JobContext, NewJob, enqueue, enqueue_many
from headgate.engine.worker import Worker


async def work(url: str, mode: str, count: int) -> None:
    """Run `count` jobs; the seconds from the first start to the last settlement, and each job's wait in ms."""
    stop, done, waits = asyncio.Event(), 0, []
    async with await Database.open(url, max_size=20) as db:

        async def batch(ctx: JobContext) -> None:
            nonlocal done
            if "t" in ctx.job.args:
                waits.append((time.time() - ctx.job.args["t"]) * 1000)
            done += 1
            if done == count:
                stop.set()

        async def transactional(ctx: JobContext) -> None:
            await ctx.finish(("insert into bench_effects values (%s)", (ctx.job.id,)))
            await batch(ctx)

        async def own(ctx: JobContext) -> None:
            async with ctx.transaction() as conn:
                await conn.execute("insert into bench_effects values (%s)", (ctx.job.id,))
                await ctx.settle(conn)
            await batch(ctx)

        handler = {"batch": batch, "transactional": transactional, "own": own}[mode]
        worker = Worker(db, {"noop": handler}, concurrency=20 if mode == "own" else 100)
        print(json.dumps({"ready": True}), flush=True)
        await worker.run(stop)
        row = await db.fetch_one(
            "select extract(epoch from max(finished_at) - min(started_at)) as s, count(*) filter"
            " (where state = 'succeeded') as n from control.jobs"
        )
    assert row is not None
    assert row["n"] == count, row
    print(json.dumps({"seconds": float(row["s"]), "waits": waits}), flush=True)


async def limited(url: str, count: int) -> None:
    """Work until `count` jobs of the database have ended; each leaves a mark when it begins and when it ends."""
    stop = asyncio.Event()
    async with await Database.open(url, max_size=8) as db:

        async def handler(ctx: JobContext) -> None:
            insert = "insert into bench_marks (job, step) values (%s, %s)"
            await db.execute(insert, (ctx.job.id, 1))
            await db.execute(insert, (ctx.job.id, -1))

        async def watch() -> None:
            query = "select count(*) from control.jobs where state = 'succeeded'"
            while await db.fetch_value(query) < count:  # noqa: ASYNC110 other processes work too
                await asyncio.sleep(0.1)
            stop.set()

        print(json.dumps({"ready": True}), flush=True)
        await asyncio.gather(Worker(db, {"noop": handler}, concurrency=8).run(stop), watch())


async def fill(url: str, count: int) -> None:
    """Enqueue `count` jobs in bulk; the seconds it took."""
    async with await Database.open(url) as db, db.connection() as conn:
        started = time.perf_counter()
        for first in range(0, count, 1000):
            await enqueue_many(
                conn, [NewJob(kind="noop", args={"n": n}) for n in range(first, min(first + 1000, count))]
            )
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


async def send(url: str, count: int, gap_s: float) -> None:
    """Enqueue `count` jobs one at a time, `gap_s` apart, each with the time before it was sent."""
    async with await Database.open(url) as db, db.connection() as conn:
        for _ in range(count):
            await enqueue(conn, "noop", {"t": time.time()})
            await asyncio.sleep(gap_s)


if __name__ == "__main__":
    step, address, *rest = sys.argv[1:]
    if step == "work":
        uvloop.run(work(address, rest[0], int(rest[1])))
    elif step == "limited":
        uvloop.run(limited(address, int(rest[0])))
    elif step == "fill":
        uvloop.run(fill(address, int(rest[0])))
    else:
        uvloop.run(send(address, int(rest[0]), float(rest[1])))
