"""The worker itself: without notifications, without its connections, without its own row; queues in order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headgate.base.errors import JobError, SourceError
from headgate.db import Database, errors
from headgate.engine.jobs import JobContext, NewJob, describe, enqueue_many
from headgate.engine.worker import Limits, Worker
from tests.workers import add, eventually, until, working


async def nothing(ctx: JobContext) -> None:
    return


async def test_job_that_nobody_announced_is_found_by_polling(database: Database) -> None:
    async with working(database, {"x": nothing}) as worker:
        await eventually(lambda: worker.id > 0)
        await asyncio.sleep(0.3)
        job = await database.fetch_value("insert into control.jobs (kind) values ('x') returning id")
        found = await until(database, job, "succeeded", within_s=3)
    assert (found["started_at"] - found["created_at"]).total_seconds() < 0.6  # poll_s is 0.2


async def test_worker_outlives_its_connections(database: Database) -> None:
    """Every session of the worker is ended five times while 200 jobs with effects run; each has one effect."""
    await database.execute("create table effects (job bigint)")

    async def handler(ctx: JobContext) -> None:
        await asyncio.sleep(0.02)
        await ctx.finish(("insert into effects values (%s)", (ctx.job.id,)))

    async with await Database.open(database.url, max_size=4, application_name="victim") as own:
        async with database.connection() as conn:
            await enqueue_many(conn, [NewJob(kind="x", max_attempts=50) for _ in range(200)])
        async with working(own, {"x": handler}, concurrency=10) as worker:
            await eventually(lambda: worker.id > 0)
            for _ in range(5):
                await asyncio.sleep(0.1)
                await database.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name in ('victim', 'headgate worker', 'headgate listen')"
                    " and datname = current_database()"
                )
                await database.execute("update control.jobs set run_at = now() where state = 'scheduled'")
            async with asyncio.timeout(30):
                while await database.fetch_value(
                    "select count(*) from control.jobs where state <> 'succeeded'"
                ):
                    await asyncio.sleep(0.1)
                    await database.execute("update control.jobs set run_at = now() where state = 'scheduled'")
    counted = await database.fetch_one("select count(*) as n, count(distinct job) as jobs from effects")
    assert counted == {"n": 200, "jobs": 200}


async def test_worker_whose_row_is_gone_registers_again_and_works_on(database: Database) -> None:
    async with working(database, {"x": nothing}, limits=Limits(lease_s=0.6, poll_s=0.2)) as worker:
        await eventually(lambda: worker.id > 0)
        first = worker.id
        await database.execute("delete from control.workers")
        await eventually(lambda: worker.id != first)
        await until(database, await add(database, "x"), "succeeded")


async def test_queues_are_served_in_the_order_given(database: Database) -> None:
    order: list[str] = []

    async def handler(ctx: JobContext) -> None:
        order.append(ctx.job.queue)

    async with database.connection() as conn:
        jobs = [NewJob(kind="x", queue=queue) for queue in ("slow", "fast", "unserved") for _ in range(3)]
        await enqueue_many(conn, jobs)
    async with working(database, {"x": handler}, queues=("fast", "slow"), concurrency=1):
        await eventually(lambda: len(order) == 6)
    assert order[:3].count("fast") >= 2
    assert "unserved" not in order


async def test_handlers_that_hold_every_pooled_connection_do_not_cost_the_lease(database: Database) -> None:
    async with await Database.open(database.url, max_size=2) as small:

        async def hog(ctx: JobContext) -> None:
            async with small.connection() as conn:
                await conn.execute("select pg_sleep(1.5)")

        async with working(small, {"hog": hog}, concurrency=4, limits=Limits(lease_s=0.6, poll_s=0.1)):
            ids = [await add(database, "hog") for _ in range(4)]
            for job in ids:
                found = await until(database, job, "succeeded", within_s=15)
                assert found["attempt"] == 1


async def test_worker_without_the_schema_says_so_at_once(bare_database: Database) -> None:
    with pytest.raises(errors.Error):
        await asyncio.wait_for(Worker(bare_database, {}).run(asyncio.Event()), 10)


def test_described_errors_carry_code_and_no_secret() -> None:
    assert describe(SourceError("gone", code="HG444")) == ("HG444", "gone")
    assert describe(JobError("no")) == ("HG300", "no")
    assert describe(KeyError("k")) == ("KeyError", "'k'")
    code, text = describe(RuntimeError("GET https://x/?api_key=abc&b=1 " + "y" * 5000))
    assert (code, text[:40]) == ("RuntimeError", "GET https://x/?api_key=***&b=1 yyyyyyyyy")
    assert len(text) == 2000


async def test_described_database_error_shows_no_sql(database: Database) -> None:
    caught: list[Any] = []
    try:
        await database.execute("select 1/0 as secret_column")
    except errors.Error as error:
        caught.append(describe(error))
    assert caught == [("22012", "division by zero")]
