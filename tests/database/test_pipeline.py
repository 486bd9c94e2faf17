"""The pool under the REST surface: what its client gave up is stopped, and its connection serves the next one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from headgate.db import Database
from headgate.db.pipeline import PipelinePool, Step

NAP = [[Step(b"select pg_sleep(60)")]]  # longer than a test may last
ONE = [[Step(b"select '1'")]]
STUBBORN = [[Step(b"""do $$ begin perform pg_sleep(60);
  exception when query_canceled then perform pg_sleep(60); end $$""")]]  # fmt: skip


@contextlib.asynccontextmanager
async def pool_of(database: Database, size: int, timeout_s: float = 20) -> AsyncIterator[PipelinePool]:
    pool = PipelinePool(database.url, size=size, timeout_s=timeout_s)
    try:
        yield pool
    finally:
        await pool.close()


async def answer(pool: PipelinePool) -> bytes | None:
    async with asyncio.timeout(20):  # far from the minute of a nap
        (result,) = await pool.run(ONE)
    return result.get_value(0, 0)


async def given_up(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_catches_its_cancellation_is_stopped_all_the_same(database: Database) -> None:
    async with pool_of(database, 1) as pool:
        call = asyncio.create_task(pool.run(STUBBORN, shared=False))
        await asyncio.sleep(0.3)
        await given_up(call)
        assert await answer(pool) == b"1"


async def test_a_request_given_up_at_any_moment_is_stopped(database: Database) -> None:
    for turn in range(60):  # PostgreSQL forgets a cancellation that comes between two statements
        async with pool_of(database, 1) as pool:
            call = asyncio.create_task(pool.run([[*ONE[0], *NAP[0]]], shared=False))
            await asyncio.sleep(0.001 * (turn % 20))
            await given_up(call)
            assert await answer(pool) == b"1"


async def test_a_transaction_given_up_is_stopped_and_rolled_back(database: Database) -> None:
    await database.execute("create table public.kept (id int)")

    async def change(pool: PipelinePool) -> None:
        async with pool.exclusive() as line:
            await line.run([[Step(b"begin"), Step(b"insert into public.kept values (1)"), *NAP[0]]])

    async with pool_of(database, 1) as pool:
        call = asyncio.create_task(change(pool))
        await asyncio.sleep(0.3)
        await given_up(call)
        left = Step(b"select count(*)::text, pg_current_xact_id_if_assigned() from public.kept")
        async with asyncio.timeout(20):
            (result,) = await pool.run([[left]])
        assert (result.get_value(0, 0), result.get_value(0, 1)) == (b"0", None)


async def test_slow_requests_that_come_at_once_leave_a_connection_to_short_ones(database: Database) -> None:
    async with pool_of(database, 3) as pool:
        calls = [asyncio.create_task(pool.run(NAP, shared=False)) for _ in range(6)]
        await asyncio.sleep(0)  # all of them before the first connection is open
        assert await answer(pool) == b"1"
        for call in calls:
            await given_up(call)


async def test_slow_requests_that_wait_do_not_hold_up_short_ones(database: Database) -> None:
    async with pool_of(database, 3) as pool:
        slow = [asyncio.create_task(pool.run(NAP, shared=False)) for _ in range(40)]
        await asyncio.sleep(0.2)
        brief = [[Step(b"select pg_sleep(0.02)")]]
        await asyncio.gather(*(pool.run(brief) for _ in range(40)))
        for call in slow:
            await given_up(call)


async def test_the_turn_of_a_request_that_is_given_up_goes_to_the_next(database: Database) -> None:
    async with pool_of(database, 1) as pool:

        async def first() -> None:
            await pool.run([[Step(b"select pg_sleep(0.3)")]], shared=False)
            second.cancel()  # whose turn it is by now, though it has not run yet

        begun = asyncio.create_task(first())
        await asyncio.sleep(0.1)
        second = asyncio.create_task(pool.run(ONE, shared=False))
        third = asyncio.create_task(pool.run(ONE, shared=False))
        await begun
        with pytest.raises(asyncio.CancelledError):
            await second
        assert len(await third) == 1
