"""A worker in a process of its own, to be killed and frozen: `python -m tests.faults.worker_process URL NAME LEASE_S`.

Its handlers leave tracks: `marks` when they reach a point (committed at once), `effects` under the fence.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from headgate.base import log
from headgate.db import Database
from headgate.engine.jobs import JobContext
from headgate.engine.worker import Limits, Worker

TRACKS = """
create table marks (job bigint, attempt int, who text, what text, at timestamptz default clock_timestamp());
create table effects (job bigint, attempt int, who text);
"""


async def main(url: str, name: str, lease_s: float) -> None:
    log.configure(level="error", json=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with await Database.open(url, max_size=8) as db:

        async def mark(ctx: JobContext, what: str) -> None:
            await db.execute(
                "insert into marks (job, attempt, who, what) values (%s, %s, %s, %s)",
                (ctx.job.id, ctx.job.attempt, name, what),
            )

        async def effect(ctx: JobContext) -> None:
            """Stall before or inside the transaction, as told, on the first attempt only."""
            first = ctx.job.attempt == 1
            await mark(ctx, "begin")
            if first:
                await asyncio.sleep(ctx.job.args.get("before_s", 0))
            async with ctx.transaction() as conn:
                await conn.execute(
                    "insert into effects values (%s, %s, %s)", (ctx.job.id, ctx.job.attempt, name)
                )
                if first and "inside_s" in ctx.job.args:
                    await mark(ctx, "inside")
                    await asyncio.sleep(ctx.job.args["inside_s"])
                await ctx.settle(conn)
            await mark(ctx, "end")

        async def span(ctx: JobContext) -> None:
            """Begin and end visibly, so that overlaps can be counted; settle by returning."""
            await mark(ctx, "begin")
            await asyncio.sleep(ctx.job.args.get("for_s", 0))
            await mark(ctx, "end")

        worker = Worker(
            db,
            {"effect": effect, "span": span},
            concurrency=8,
            limits=Limits(lease_s=lease_s, poll_s=0.2, grace_s=5),
            name=name,
        )
        await worker.run(stop)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
