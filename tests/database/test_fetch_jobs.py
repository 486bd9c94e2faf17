"""A job whose handler fetches: a rate limit snoozes it, what cannot succeed fails it, the rest is tried again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from headgate.db import Database
from headgate.engine import limits
from headgate.engine.fetch import Fetcher
from headgate.engine.jobs import JobContext
from tests.upstream import Asked, answering, reply, upstream
from tests.workers import add, until, working


async def test_job_that_is_rate_limited_waits_without_losing_an_attempt(database: Database) -> None:
    """Four jobs at ten requests a second and one attempt each: all succeed, spaced by the limit."""
    async with upstream(answering(reply(200, b"x"))) as server:
        async with database.connection() as conn:
            await limits.set_host(conn, server.key, 10, 1)
        async with Fetcher(database, user_agent="t/1", allow_private={server.key}) as fetch:

            async def handler(_: JobContext) -> None:
                await fetch.get(server.url(), robots=False)

            async with working(database, {"poll": handler}):
                ids = [await add(database, "poll", {"n": n}, max_attempts=1) for n in range(4)]
                for one in ids:
                    await until(database, one, "succeeded")
    times = [one.at for one in server.asked]
    assert len(times) == 4 and times[-1] - times[0] > 0.25


async def test_job_whose_request_cannot_succeed_fails_at_once(database: Database) -> None:
    async with (
        upstream(answering(reply(404))) as server,
        Fetcher(database, user_agent="t/1", allow_private={server.key}) as fetch,
    ):

        async def handler(ctx: JobContext) -> None:
            await fetch.get(ctx.job.args["url"], robots=False)

        async with working(database, {"poll": handler}):
            for url, why in ((server.url(), "answered 404"), ("http://169.254.169.254/", "link-local")):
                row = await until(database, await add(database, "poll", {"url": url}), "failed")
                assert row["attempt"] == 1 and why in row["error"]
    assert len(server.asked) == 1


async def test_job_of_a_failing_host_is_tried_again_when_the_host_says_so(database: Database) -> None:
    async def handle(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(503, b"", {"Retry-After": "120"}))

    async with (
        upstream(handle) as server,
        Fetcher(database, user_agent="t/1", allow_private={server.key}) as fetch,
    ):

        async def handler(_: JobContext) -> None:
            await fetch.get(server.url(), robots=False)

        async with working(database, {"poll": handler}):
            job = await add(database, "poll")
            row = await until(database, job, "scheduled")
    assert 110 < (row["run_at"] - datetime.now(UTC)).total_seconds() <= 120
    assert len(server.asked) == 1
