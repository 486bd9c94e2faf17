"""The queue's promises, each against a real PostgreSQL and, where a worker is needed, a real worker."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from headgate.base.errors import Fenced, JobError
from headgate.db import Database, errors
from headgate.engine import jobs
from headgate.engine.jobs import (
    Cancel,
    JobContext,
    NewJob,
    Rejected,
    Snooze,
    enqueue,
    enqueue_many,
    set_lane,
)
from headgate.engine.worker import Limits
from tests.workers import add, eventually, row, until, working


async def test_enqueued_job_runs_once_and_is_settled(database: Database) -> None:
    seen: list[dict[str, Any]] = []

    async def handler(ctx: JobContext) -> None:
        seen.append(ctx.job.args)

    async with working(database, {"greet": handler}):
        job = await add(database, "greet", {"name": "Ada"})
        found = await until(database, job, "succeeded")
    assert seen == [{"name": "Ada"}]
    assert (found["attempt"], found["worker"], found["error"]) == (1, None, None)
    assert found["finished_at"] >= found["started_at"] >= found["created_at"]


async def test_enqueue_joins_the_callers_transaction(database: Database) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async with database.transaction() as conn:
            await enqueue(conn, "ghost")
            raise ZeroDivisionError
    assert await database.fetch_value("select count(*) from control.jobs") == 0


async def test_unique_job_is_added_once_while_it_waits_or_runs(database: Database) -> None:
    async def handler(ctx: JobContext) -> None:
        async with database.connection() as conn:
            assert await enqueue(conn, "sync", unique="one") is None

    async def other(ctx: JobContext) -> None:
        return

    first = await add(database, "sync", unique="one")
    async with database.connection() as conn:
        assert await enqueue(conn, "sync", unique="one") is None
        assert await enqueue(conn, "other", unique="one") is not None
    async with working(database, {"sync": handler, "other": other}):
        await until(database, first, "succeeded")
        second = await add(database, "sync", unique="one")
        await until(database, second, "succeeded")


async def test_concurrent_enqueues_of_one_unique_job_add_one(database: Database) -> None:
    async def one() -> int | None:
        async with database.connection() as conn:
            return await enqueue(conn, "sync", unique="one")

    added = await asyncio.gather(*(one() for _ in range(12)))
    assert sum(a is not None for a in added) == 1


async def test_enqueue_many_adds_all_but_the_unique_ones_that_wait(database: Database) -> None:
    await add(database, "a", unique="u")
    later = datetime.now(UTC) + timedelta(hours=1)
    async with database.connection() as conn:
        added = await enqueue_many(
            conn,
            [
                NewJob(kind="a", unique="u"),
                NewJob(kind="a", unique="v", args={"n": 1}, priority=3, key="k"),
                NewJob(kind="a", unique="v"),
                NewJob(kind="b", run_at=later, max_attempts=2, queue="slow"),
            ],
        )
        newest, before = await jobs.recent(conn, limit=2)
    assert added == 2
    assert (newest["state"], newest["run_at"], newest["queue"], newest["max_attempts"]) == (
        "scheduled",
        later,
        "slow",
        2,
    )
    assert (before["state"], before["priority"], before["key"]) == ("ready", 3, "k")


async def test_higher_priority_then_older_runs_first(database: Database) -> None:
    order: list[str] = []

    async def handler(ctx: JobContext) -> None:
        order.append(ctx.job.args["name"])

    async with database.connection() as conn:
        await set_lane(conn, "host", max_running=5)
    for name, priority, key in (
        ("low", -1, None),
        ("a", 0, None),
        ("lane", 2, "host"),
        ("b", 0, None),
        ("high", 7, None),
    ):
        last = await add(database, "note", {"name": name}, priority=priority, key=key)
    async with working(database, {"note": handler}, concurrency=1):
        await until(database, last, "succeeded")
        await eventually(lambda: len(order) == 5)
    assert order == ["high", "lane", "a", "b", "low"]


async def test_job_does_not_run_before_its_time_and_runs_soon_after(database: Database) -> None:
    async def handler(ctx: JobContext) -> None:
        return

    async with working(database, {"later": handler}):
        due = datetime.now(UTC) + timedelta(seconds=0.7)
        job = await add(database, "later", run_at=due)
        found = await until(database, job, "succeeded")
    assert timedelta(0) <= found["started_at"] - due < timedelta(seconds=0.5)


async def test_exception_retries_with_backoff_then_fails_and_is_kept(database: Database) -> None:
    async def handler(ctx: JobContext) -> None:
        raise ValueError("upstream said: Bearer abcdef.ghi and https://u:pw@host/x")

    async with working(database, {"bad": handler}):
        job = await add(database, "bad", max_attempts=2)
        found = await until(database, job, "scheduled")
        wait = found["run_at"] - found["finished_at"]
        assert timedelta(seconds=1.4) < wait < timedelta(seconds=2.6)
        async with database.connection() as conn:
            await conn.execute("update control.jobs set run_at = clock_timestamp() where id = %s", (job,))
        found = await until(database, job, "failed")
    assert (found["attempt"], found["error_code"]) == (2, "ValueError")
    assert "abcdef" not in found["error"]
    assert "pw@" not in found["error"]
    assert found["error"].startswith("upstream said: Bearer ***")
    async with database.connection() as conn:
        assert [f["id"] for f in await jobs.failures(conn)] == [job]
        assert await jobs.retry(conn, job) == "ready"


async def test_rejected_fails_at_once(database: Database) -> None:
    async def handler(ctx: JobContext) -> None:
        raise Rejected("there is no such event")

    async with working(database, {"bad": handler}):
        found = await until(database, await add(database, "bad"), "failed")
    assert (found["attempt"], found["error_code"], found["error"]) == (1, "HG305", "there is no such event")


async def test_snooze_does_not_use_up_an_attempt(database: Database) -> None:
    tries: list[tuple[int, int]] = []

    async def handler(ctx: JobContext) -> None:
        tries.append((ctx.job.attempt, ctx.job.tries))
        if len(tries) < 4:
            raise Snooze(0.05)

    async with working(database, {"wait": handler}):
        await until(database, await add(database, "wait", max_attempts=1), "succeeded")
    assert tries == [(1, 1), (2, 1), (3, 1), (4, 1)]


async def test_cancel_ending_keeps_the_reason(database: Database) -> None:
    async def handler(ctx: JobContext) -> None:
        raise Cancel("the event is over")

    async with working(database, {"poll": handler}):
        found = await until(database, await add(database, "poll"), "cancelled")
    assert found["error"] == "the event is over"


async def test_waiting_job_is_cancelled_and_retried_by_command(database: Database) -> None:
    job = await add(database, "none")
    async with database.connection() as conn:
        assert await jobs.cancel(conn, job) == "cancelled"
        assert await jobs.cancel(conn, job) == "cancelled"
        assert await jobs.cancel(conn, 10**9) is None
        assert await jobs.retry(conn, job) == "ready"
        assert await jobs.retry(conn, job) == "ready"


async def test_retry_of_a_unique_job_whose_like_waits_is_refused(database: Database) -> None:
    job = await add(database, "none", unique="u")
    async with database.connection() as conn:
        await jobs.cancel(conn, job)
        await enqueue(conn, "none", unique="u")
        with pytest.raises(JobError) as caught:
            await jobs.retry(conn, job)
    assert caught.value.code == "HG303"


async def test_running_job_hears_of_its_cancellation(database: Database) -> None:
    started = asyncio.Event()

    async def handler(ctx: JobContext) -> None:
        started.set()
        await ctx.cancelled.wait()

    async with working(database, {"long": handler}):
        job = await add(database, "long")
        await asyncio.wait_for(started.wait(), 5)
        async with database.connection() as conn:
            assert await jobs.cancel(conn, job) == "cancelling"
        await until(database, job, "cancelled", within_s=3)


async def test_return_with_a_result_in_the_jobs_own_transaction(database: Database) -> None:
    await database.execute("create table effects (job bigint)")

    async def handler(ctx: JobContext) -> None:
        async with ctx.transaction() as conn:
            await conn.execute("insert into effects values (%s)", (ctx.job.id,))
            await ctx.settle(conn, {"rows": 1})

    async with working(database, {"write": handler}):
        job = await add(database, "write")
        found = await until(database, job, "succeeded")
    assert found["result"] == {"rows": 1}
    assert await database.fetch_value("select count(*) from effects") == 1


async def test_stale_claim_can_write_nothing(database: Database) -> None:
    await database.execute("create table effects (job bigint)")
    caught: list[BaseException] = []

    async def handler(ctx: JobContext) -> None:
        await database.execute("update control.jobs set attempt = attempt + 1 where id = %s", (ctx.job.id,))
        try:
            async with database.transaction() as conn:
                await conn.execute("insert into effects values (1)")
                await ctx.settle(conn)
        except Fenced as error:
            caught.append(error)
        try:
            async with ctx.transaction() as conn:
                await conn.execute("insert into effects values (2)")
        except Fenced as error:
            caught.append(error)

    async with working(database, {"write": handler}):
        await add(database, "write")
        await eventually(lambda: len(caught) == 2)
    assert await database.fetch_value("select count(*) from effects") == 0


async def test_finish_writes_and_settles_together_or_not_at_all(database: Database) -> None:
    await database.execute("create table effects (job bigint)")
    insert = "insert into effects values (%s)"
    caught: list[BaseException] = []

    async def handler(ctx: JobContext) -> None:
        if ctx.job.args.get("stale"):
            await database.execute(
                "update control.jobs set attempt = attempt + 1 where id = %s", (ctx.job.id,)
            )
        try:
            await ctx.finish((insert, (ctx.job.id,)), (insert, (ctx.job.id,)), result=[1])
        except Fenced as error:
            caught.append(error)

    async with working(database, {"write": handler}):
        job = await add(database, "write")
        assert (await until(database, job, "succeeded"))["result"] == [1]
        await add(database, "write", {"stale": True})
        await eventually(lambda: len(caught) == 1)
    assert await database.fetch_all("select job from effects") == [{"job": job}, {"job": job}]


async def test_finishing_together_keeps_each_job_whole_when_others_fail(database: Database) -> None:
    """Twenty jobs meet in one transaction; one writes nonsense: nineteen effects."""
    await database.execute("create table effects (job bigint)")
    together = asyncio.Barrier(20)

    async def handler(ctx: JobContext) -> None:
        await together.wait()
        value = "none" if ctx.job.args["n"] == 7 else ctx.job.id
        await ctx.finish(("insert into effects values (%s::text::bigint)", (value,)), result=ctx.job.args)

    async with working(database, {"write": handler}, concurrency=20) as worker:
        await eventually(lambda: worker.id > 0)
        async with database.connection() as conn:
            await enqueue_many(conn, [NewJob(kind="write", args={"n": n}, max_attempts=1) for n in range(20)])
        for job in await database.fetch_all("select id, args from control.jobs"):
            state = "failed" if job["args"]["n"] == 7 else "succeeded"
            found = await until(database, job["id"], state)
            assert found["result"] == (None if state == "failed" else job["args"])
    written = await database.fetch_all("select count(*) as n, count(distinct job) as jobs from effects")
    assert written == [{"n": 19, "jobs": 19}]


async def test_rolled_back_settlement_does_not_leave_the_job_running(database: Database) -> None:
    async def handler(ctx: JobContext) -> None:
        with contextlib.suppress(ZeroDivisionError):
            async with ctx.transaction() as conn:
                await ctx.settle(conn)
                raise ZeroDivisionError

    async with working(database, {"odd": handler}):
        await until(database, await add(database, "odd"), "succeeded")


async def test_unknown_kind_is_retried_and_says_why(database: Database) -> None:
    async with working(database, {}):
        found = await until(database, await add(database, "mystery"), "scheduled")
    assert found["error_code"] == "HG304"


async def test_overlong_handler_is_ended_and_retried(database: Database) -> None:
    async def handler(ctx: JobContext) -> None:
        await asyncio.sleep(60)

    limits = Limits(lease_s=0.6, poll_s=0.2, timeout_s=0.2)
    async with working(database, {"stuck": handler}, limits=limits):
        found = await until(database, await add(database, "stuck"), "scheduled")
    assert found["error_code"] == "HG306"


async def test_graceful_stop_finishes_what_runs_and_releases_what_does_not_end(database: Database) -> None:
    async def short(ctx: JobContext) -> None:
        await asyncio.sleep(0.3)

    async def long(ctx: JobContext) -> None:
        await asyncio.sleep(60)

    async with working(
        database, {"short": short, "long": long}, limits=Limits(lease_s=2, poll_s=0.2, grace_s=0.6)
    ):
        finishes, released = await add(database, "short"), await add(database, "long", max_attempts=1)
        await until(database, finishes, "running", "succeeded")
        await until(database, released, "running")
    assert (await row(database, finishes))["state"] == "succeeded"
    found = await row(database, released)
    assert (found["state"], found["attempt"], found["excused"]) == ("ready", 1, 1)
    async with database.connection() as conn:
        assert await jobs.workers(conn) == []


async def test_claim_whose_answer_was_lost_is_released(database: Database) -> None:
    async def handler(ctx: JobContext) -> None:
        return

    async with working(database, {"x": handler}, limits=Limits(lease_s=0.9, poll_s=0.2)) as worker:
        await eventually(lambda: worker.id > 0)
        job = await add(database, "x", run_at=datetime.now(UTC) + timedelta(hours=1))
        await database.execute(
            "update control.jobs set state = 'running', attempt = 1, worker = %s where id = %s",
            (worker.id, job),
        )
        await until(database, job, "succeeded")


async def test_purge_deletes_what_ended_long_ago_only(database: Database) -> None:
    ids = [await add(database, "x") for _ in range(4)]
    for job, state, days in zip(
        ids, ("succeeded", "failed", "succeeded", "ready"), (9, 9, 1, 9), strict=True
    ):
        await database.execute(
            "update control.jobs set state = %s, finished_at = now() - make_interval(days => %s) where id = %s",
            (state, days, job),
        )
    async with database.connection() as conn:
        assert await jobs.purge(conn) == 1
    left = await database.fetch_all("select id from control.jobs order by id")
    assert [r["id"] for r in left] == ids[1:]


async def test_owner_reads_own_jobs_only_and_nobody_writes(database: Database) -> None:
    alice, bob = uuid4(), uuid4()
    hers = await add(database, "export", owner=alice)
    await add(database, "export", owner=bob)
    await add(database, "internal")

    async def seen(role: str, sub: Any = None) -> list[int]:
        async with database.as_role({"role": role, "sub": str(sub or uuid4())}) as conn:
            rows = await (await conn.execute("select id from control.jobs order by id")).fetchall()
        return [r["id"] for r in rows]

    assert await seen("authenticated", alice) == [hers]
    assert await seen("authenticated") == []
    assert len(await seen("service_role")) == 3
    with pytest.raises(errors.InsufficientPrivilege):
        await seen("anon")
    for role in ("authenticated", "service_role"):
        for statement in (
            "delete from control.jobs",
            "update control.jobs set state = 'ready'",
            "insert into control.jobs (kind) values ('x')",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                async with database.as_role({"role": role, "sub": str(alice)}) as conn:
                    await conn.execute(statement)
    with pytest.raises(errors.InsufficientPrivilege):
        async with database.as_role({"role": "authenticated", "sub": str(alice)}) as conn:
            await enqueue(conn, "export")
    async with database.as_role({"role": "service_role"}) as conn:
        assert await enqueue(conn, "export") is not None


async def test_counts_and_recent_for_people(database: Database) -> None:
    await add(database, "a")
    await add(database, "a", key="k")
    await add(database, "b", run_at=datetime.now(UTC) + timedelta(hours=1))
    async with database.connection() as conn:
        found = {(c["kind"], c["state"]): c["jobs"] for c in await jobs.counts(conn)}
        keyed = await jobs.recent(conn, key="k")
    assert found == {("a", "ready"): 2, ("b", "scheduled"): 1}
    assert [j["kind"] for j in keyed] == ["a"]
