"""The rate limit of a host: one for all workers, on the database's clock, never exceeded."""

from __future__ import annotations

import asyncio
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.db import Database
from headgate.engine import limits
from headgate.engine.fetch_errors import BreakerOpen, RateLimited

TAKER = """
import asyncio, sys
from headgate.db import Database
from headgate.engine import limits
from headgate.engine.fetch_errors import RateLimited

async def main(url, seconds):
    async with await Database.open(url, max_size=4) as db:
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        async def one():
            while loop.time() < ends:
                try:
                    await limits.take(db, "shared.example", wait_s=0.0)
                except RateLimited as error:
                    await asyncio.sleep(min(error.retry_after_s, 0.05))
                    continue
                await db.execute("insert into taken default values")
        await asyncio.gather(*(one() for _ in range(3)))

asyncio.run(main(sys.argv[1], float(sys.argv[2])))
"""


async def _set(db: Database, host: str, rate: float, burst: int = 1) -> None:
    async with db.connection() as conn:
        await limits.set_host(conn, host, rate, burst)


async def test_limits_two_processes_share_one_rate(database: Database) -> None:
    """Two processes with three tasks each: the window from the first grant holds at most burst + rate × time."""
    await _set(database, "shared.example", 40, 5)
    await database.execute("create table taken (at timestamptz not null default clock_timestamp())")
    started = await database.fetch_value("select clock_timestamp()")
    children = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", TAKER, database.url, "2.0")
        for _ in range(2)
    ]
    assert [await child.wait() for child in children] == [0, 0]
    row = await database.fetch_one(
        "select count(*) as n, extract(epoch from max(at) - min(at))::float8 as s, min(at) as first from taken"
    )
    state = (await limits.hosts(database))[0]
    assert row is not None and row["first"] >= started
    assert row["n"] == state.requests
    # Grants precede their rows by a round trip; the rate itself is checked exactly in the next tests.
    assert 20 <= row["n"] <= 5 + 40 * (row["s"] + 0.3)
    tat = await database.fetch_value(
        "select extract(epoch from tat - %s)::float8 from control.hosts", [started]
    )
    assert tat >= row["n"] / 40 - 0.001  # every grant moved the row by a whole interval


async def test_limits_reserved_slots_are_spaced_by_the_interval(database: Database) -> None:
    """Many tasks ask at once and would wait: each gets a time of its own, an interval apart."""
    await _set(database, "h.example", 200, 1)
    query = (
        "select clock_timestamp() + make_interval(secs => wait_s) as at, granted"
        " from control.take_host_token('h.example', 5)"
    )
    rows = await asyncio.gather(*(database.fetch_one(query) for _ in range(60)))
    times = sorted(row["at"].timestamp() for row in rows if row and row["granted"])
    assert len(times) == 60
    assert times[-1] - times[0] >= 59 / 200 - 0.01
    tat = await database.fetch_value("select tat from control.hosts")
    assert abs(tat.timestamp() - times[-1] - 1 / 200) < 0.02


async def test_limits_take_sleeps_for_its_slot_and_no_longer_than_allowed(database: Database) -> None:
    await _set(database, "h.example", 10, 1)
    first = await limits.take(database, "h.example")
    second = await limits.take(database, "h.example", wait_s=1)
    assert first.waited_s == 0 and 0.02 < second.waited_s <= 0.1
    await _set(database, "slow.example", 0.01, 1)
    await limits.take(database, "slow.example")
    with pytest.raises(RateLimited) as caught:
        await limits.take(database, "slow.example", wait_s=1)
    assert not isinstance(caught.value, BreakerOpen)
    assert 95 < caught.value.retry_after_s <= 100
    assert caught.value.retryable and caught.value.code == "HG411"


async def test_limits_slow_host_does_not_hold_up_another(database: Database) -> None:
    await _set(database, "slow.example", 0.001, 1)
    await _set(database, "quick.example", 1000, 50)
    await limits.take(database, "slow.example")
    loop = asyncio.get_running_loop()
    started = loop.time()
    refused = 0
    for _ in range(20):
        try:
            await limits.take(database, "slow.example")
        except RateLimited:
            refused += 1
        await limits.take(database, "quick.example")
    assert refused == 20
    assert loop.time() - started < 5


async def test_limits_new_host_starts_at_one_a_second(database: Database) -> None:
    await limits.take(database, "new.example")
    with pytest.raises(RateLimited):
        await limits.take(database, "new.example")
    state = (await limits.hosts(database))[0]
    assert (state.rate_per_s, state.burst, state.requests) == (1, 1, 1)


async def test_limits_free_slot_leaves_the_rate_alone(database: Database) -> None:
    await _set(database, "h.example", 0.01, 1)
    for _ in range(3):
        await limits.take(database, "h.example", cost=0)
    await limits.take(database, "h.example")
    await limits.take(database, "h.example", cost=0)
    with pytest.raises(RateLimited):
        await limits.take(database, "h.example")


async def test_limits_faster_rate_takes_hold_at_once(database: Database) -> None:
    await _set(database, "h.example", 0.001, 1)
    await limits.take(database, "h.example")
    await _set(database, "h.example", 1000, 1)
    await limits.take(database, "h.example", wait_s=0.1)


async def test_limits_clock_set_back_does_not_close_a_host_for_long(database: Database) -> None:
    """The row says a year ahead, as if the clock had run ahead and was put right."""
    await _set(database, "h.example", 1, 1)
    await database.execute(
        "update control.hosts set tat = now() + interval '1 year', not_before = now() + interval '1 year'"
    )
    with pytest.raises(RateLimited) as caught:
        await limits.take(database, "h.example")
    assert caught.value.retry_after_s <= 3602


async def test_limits_retry_after_holds_everybody_back(database: Database) -> None:
    await _set(database, "h.example", 1000, 10)
    slot = await limits.take(database, "h.example")
    await limits.report(database, slot, limits.Outcomes("bad", 429, 0.01, 30.0))
    for _ in range(3):
        with pytest.raises(RateLimited) as caught:
            await limits.take(database, "h.example", wait_s=1)
        assert 29 < caught.value.retry_after_s <= 30
    with pytest.raises(RateLimited):
        await limits.take(database, "h.example", cost=0)
    slot = limits.Slot("h.example", None, 0)
    await limits.report(
        database, slot, limits.Outcomes("bad", 503, 0.01, 5.0)
    )  # a shorter one takes nothing back
    assert 29 < (await limits.hosts(database))[0].held_s <= 30
    await limits.report(database, slot, limits.Outcomes("bad", 503, 0.01, 1e12))
    assert (await limits.hosts(database))[0].held_s <= limits.MAX_RETRY_AFTER_S


async def test_limits_slot_is_given_up_when_the_host_asks_for_rest_meanwhile(database: Database) -> None:
    await _set(database, "h.example", 4, 1)
    await limits.take(database, "h.example")
    waiting = asyncio.create_task(limits.take(database, "h.example", wait_s=2))
    await asyncio.sleep(0.1)
    await limits.report(database, limits.Slot("h.example", None, 0), limits.Outcomes("bad", 429, 0.1, 60.0))
    with pytest.raises(RateLimited) as caught:
        await waiting
    assert caught.value.retry_after_s > 50


async def test_limits_pace_follows_latency_and_only_a_200_quickens_it(database: Database) -> None:
    """delay = mean(delay, latency / parallel): 0 → 0.5 → 0.75 with 4 s and parallel 4; errors never lower it."""
    async with database.connection() as conn:
        await limits.set_host(conn, "h.example", 1000, 1, parallel=4)
    slot = limits.Slot("h.example", None, 0)
    seen = []
    for status, outcome, latency in [
        (200, "ok", 4.0),
        (200, "ok", 4.0),
        (500, "bad", 0.0),
        (404, "ok", 0.0),
        (304, "ok", 0.0),
        (500, "bad", 8.0),
        (200, "ok", 0.0),
    ]:
        await limits.report(database, slot, limits.Outcomes(outcome, status, latency))  # type: ignore[arg-type]
        seen.append((await limits.hosts(database))[0].delay_s)
    assert seen == [0.5, 0.75, 0.75, 0.75, 0.75, 1.375, 0.6875]
    await limits.take(database, "h.example")
    with pytest.raises(RateLimited) as caught:
        await limits.take(database, "h.example")
    assert 0.5 < caught.value.retry_after_s <= 0.6875


async def test_limits_429_without_a_time_halves_the_pace(database: Database) -> None:
    await _set(database, "h.example", 10, 1)
    slot = limits.Slot("h.example", None, 0)
    for expected in (0.2, 0.4, 0.8):
        await limits.report(database, slot, limits.Outcomes("bad", 429, 0.01))
        assert (await limits.hosts(database))[0].delay_s == pytest.approx(expected)


async def test_limits_crawl_delay_raises_the_interval_and_ends_bursts(database: Database) -> None:
    await _set(database, "h.example", 100, 10)
    await database.execute(limits.Q.set_crawl_delay, {"host": "h.example", "delay_s": 20.0})
    await limits.take(database, "h.example")
    with pytest.raises(RateLimited) as caught:
        await limits.take(database, "h.example")
    assert 19 < caught.value.retry_after_s <= 20
    await database.execute(limits.Q.set_crawl_delay, {"host": "h.example", "delay_s": 1e9})
    assert (await limits.hosts(database))[0].crawl_delay_s == 300


@pytest.mark.parametrize("host", ["UPPER.example", "a b", "user@h", "h/x", ""])
async def test_limits_refuse_a_key_that_is_no_host(database: Database, host: str) -> None:
    from headgate.db import errors

    with pytest.raises(errors.CheckViolation):
        await limits.take(database, host)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rate=st.floats(0.5, 200),
    burst=st.integers(1, 8),
    waits=st.lists(st.sampled_from([0.0, 0.01, 0.5, 5.0]), min_size=2, max_size=25),
)
async def test_limits_gcra_holds_for_any_sequence(
    database: Database, rate: float, burst: int, waits: list[float]
) -> None:
    """In every window of granted times, at most burst + rate × length requests; measured on database time."""
    await database.execute("delete from control.hosts")
    await _set(database, "h.example", rate, burst)
    rows = await database.fetch_all(
        "select t.granted, (clock_timestamp() + make_interval(secs => t.wait_s)) as at"
        " from unnest(%s::float8[]) with ordinality as w(s, n)"
        " cross join lateral control.take_host_token('h.example', w.s + 0 * w.n) as t",
        [waits],
    )
    granted = [row["at"].timestamp() for row in rows if row["granted"]]
    assert granted  # the first is always granted
    for i, first in enumerate(granted):
        for j in range(i, len(granted)):
            # The time is read just after the decision: 20 ms of slack for that, none for the count.
            assert j - i + 1 <= burst + rate * (granted[j] - first + 0.02) + 1e-6
