"""The circuit breaker of a host: closed, open, one probe among all workers, closed again."""

from __future__ import annotations

import asyncio

import pytest

from headgate.db import Database
from headgate.engine import limits
from headgate.engine.fetch_errors import BreakerOpen

H = "h.example"
FREE = limits.Slot(H, None, 0)
OK = limits.Outcomes("ok", 200, 0.01)
BAD = limits.Outcomes("bad", 500, 0.01, note="status 500")


@pytest.fixture
async def host(database: Database) -> Database:
    """A database with one host that is as good as unlimited."""
    async with database.connection() as conn:
        await limits.set_host(conn, H, 10_000, 10_000)
    return database


async def _tell(db: Database, *results: limits.Outcomes) -> str:
    state = ""
    for result in results:
        state = await limits.report(db, FREE, result)
    return state


async def _cool(db: Database) -> None:
    """Let the cool-down (or the probe's lease) end now."""
    await db.execute("update control.hosts set open_until = now(), probe_until = least(probe_until, now())")


async def _state(db: Database) -> limits.HostState:
    return (await limits.hosts(db))[0]


async def test_breaker_opens_after_five_failures_in_a_row(host: Database) -> None:
    assert await _tell(host, BAD, BAD, BAD, BAD) == "closed"
    assert await _tell(host, BAD) == "open"
    with pytest.raises(BreakerOpen) as caught:
        await limits.take(host, H, wait_s=60)
    assert 9 < caught.value.retry_after_s <= 10
    assert caught.value.code == "HG412" and caught.value.retryable
    state = await _state(host)
    assert (state.breaker, state.bad, state.opened, state.last_error) == ("open", 5, 1, "status 500")


async def test_breaker_opens_at_half_failures_among_ten(host: Database) -> None:
    assert await _tell(host, *[BAD, OK] * 4, BAD) == "closed"
    assert await _tell(host, BAD) == "open"


async def test_breaker_stays_closed_below_half_failures(host: Database) -> None:
    assert await _tell(host, *[OK, BAD, OK] * 12) == "closed"


async def test_breaker_forgets_what_is_long_past(host: Database) -> None:
    await _tell(host, OK, BAD, BAD, OK, BAD, BAD, OK, BAD, BAD)
    await host.execute("update control.hosts set recent_at = recent_at - interval '9 minutes'")
    assert await _tell(host, BAD, OK, BAD) == "closed"


async def test_breaker_counts_survive_years_of_silence(host: Database) -> None:
    """Fading never underflows, which PostgreSQL would answer with an error."""
    for _ in range(5):
        await _tell(host, OK, BAD)
        await host.execute("update control.hosts set recent_at = recent_at - interval '9 minutes 59 seconds'")
    await host.execute("update control.hosts set recent_at = '-infinity'")
    assert await _tell(host, OK) == "closed"


async def test_breaker_half_open_lets_exactly_one_probe_through(host: Database) -> None:
    await _tell(host, *[BAD] * 5)
    await _cool(host)
    taken = await asyncio.gather(*(limits.take(host, H) for _ in range(30)), return_exceptions=True)
    slots = [one for one in taken if isinstance(one, limits.Slot)]
    refused = [one for one in taken if isinstance(one, BreakerOpen)]
    assert len(slots) == 1 and len(refused) == 29
    assert slots[0].probe is not None
    assert all(one.retry_after_s <= 2.5 for one in refused)
    assert await limits.report(host, slots[0], OK) == "closed"
    await limits.take(host, H)


async def test_breaker_single_probe_across_databases_connections(host: Database) -> None:
    """The same with four pools, round after round: never two probes of one cool-down."""
    pools = [await Database.open(host.url, max_size=3) for _ in range(4)]
    try:
        await _tell(host, *[BAD] * 5)
        for _ in range(5):
            await _cool(host)
            tries = [limits.take(pool, H) for pool in pools for _ in range(5)]
            slots = [
                one
                for one in await asyncio.gather(*tries, return_exceptions=True)
                if isinstance(one, limits.Slot)
            ]
            assert len(slots) == 1
            assert await limits.report(pools[0], slots[0], BAD) == "open"
    finally:
        await asyncio.gather(*(pool.close() for pool in pools))


async def test_breaker_cool_down_doubles_up_to_a_quarter_hour(host: Database) -> None:
    await _tell(host, *[BAD] * 5)
    seen = [(await _state(host)).cooldown_s]
    for _ in range(8):
        await _cool(host)
        slot = await limits.take(host, H)
        assert await limits.report(host, slot, BAD) == "open"
        seen.append((await _state(host)).cooldown_s)
    assert seen == [10, 20, 40, 80, 160, 320, 640, 900, 900]


async def test_breaker_is_on_trial_after_closing(host: Database) -> None:
    """One failure among the first three replies opens it again, with twice the cool-down; then it is trusted."""
    await _tell(host, *[BAD] * 5)
    await _cool(host)
    await limits.report(host, await limits.take(host, H), OK)
    assert await _tell(host, OK, OK) == "closed"
    assert await _tell(host, BAD) == "open"
    assert (await _state(host)).cooldown_s == 20
    await _cool(host)
    await limits.report(host, await limits.take(host, H), OK)
    assert await _tell(host, OK, OK, OK, BAD) == "closed"
    assert (await _state(host)).cooldown_s == 10


async def test_breaker_challenge_found_after_the_probe_opens_it_again(host: Database) -> None:
    await _tell(host, *[BAD] * 5)
    await _cool(host)
    await limits.report(host, await limits.take(host, H), OK)
    assert await limits.report_bad(host, H, "a challenge page") == "open"
    state = await _state(host)
    assert (state.challenges, state.ok, state.last_error) == (1, 0, "a challenge page")


async def test_breaker_challenges_alone_open_it(host: Database) -> None:
    """200s that turn out to be challenge pages count as failures, not as half good."""
    states = []
    for _ in range(5):
        await _tell(host, OK)
        states.append(await limits.report_bad(host, H, "challenge"))
    assert states == ["closed"] * 4 + ["open"]


async def test_breaker_late_reports_do_not_decide(host: Database) -> None:
    """Requests sent before it opened come back while it is open or half open: counted, nothing more."""
    await _tell(host, *[BAD] * 5)
    assert await _tell(host, OK, OK, OK) == "open"
    await _cool(host)
    slot = await limits.take(host, H)
    assert await _tell(host, OK) == "half_open"
    assert await _tell(host, BAD) == "half_open"
    old = limits.Slot(H, (slot.probe or 0) - 1, 0)
    assert await limits.report(host, old, OK) == "half_open"
    assert await limits.report(host, slot, OK) == "closed"


async def test_breaker_lost_probe_is_replaced_when_its_lease_ends(host: Database) -> None:
    """The worker that probed was killed: after the lease another one probes, and only its word counts."""
    await _tell(host, *[BAD] * 5)
    await _cool(host)
    lost = await limits.take(host, H, probe_s=30)
    with pytest.raises(BreakerOpen):
        await limits.take(host, H)
    await _cool(host)
    fresh = await limits.take(host, H)
    assert fresh.probe == (lost.probe or 0) + 1
    assert await limits.report(host, lost, OK) == "half_open"
    assert await limits.report(host, fresh, OK) == "closed"


async def test_breaker_cancelled_probe_frees_its_place_at_once(host: Database) -> None:
    await _tell(host, *[BAD] * 5)
    await _cool(host)
    slot = await limits.take(host, H)
    assert await limits.report(host, slot, limits.Outcomes("neutral")) == "half_open"
    assert (await limits.take(host, H)).probe == (slot.probe or 0) + 1


async def test_breaker_probe_respects_retry_after(host: Database) -> None:
    await _tell(host, *[BAD] * 4, limits.Outcomes("bad", 429, 0.01, 120.0))
    await _cool(host)
    with pytest.raises(BreakerOpen) as caught:
        await limits.take(host, H)
    assert caught.value.retry_after_s > 110


async def test_limits_report_completes_when_cancelled(host: Database) -> None:
    task = asyncio.create_task(limits.report(host, FREE, BAD))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await _state(host)).bad == 1
