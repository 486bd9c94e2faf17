"""Hosts that are overloaded, down or hostile: the limit holds, the breaker opens, one probe decides."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.utils import formatdate

import pytest

from headgate.db import Database
from headgate.engine import limits
from headgate.engine.fetch import Blocked, BreakerOpen, Caps, Fetcher, HttpStatus, RateLimited, TimedOut
from tests.upstream import Asked, Upstream, reply, upstream

PAGE = b"<!DOCTYPE html><html><title>Just a moment...</title><script>challenge()</script></html>"


@dataclass
class Mood:
    """What the host answers at the moment."""

    raw: bytes = field(default_factory=lambda: reply(200, b"[]", {"Content-Type": "application/json"}))
    stall_s: float = 0.0


@dataclass
class Host:
    """A host with moods, and two Fetchers on two pools that share its row."""

    server: Upstream
    mood: Mood
    db: Database
    fetchers: list[Fetcher]

    async def get(self, which: int = 0) -> bytes:
        """One GET by one of the Fetchers."""
        got = await self.fetchers[which].get(self.server.url(), robots=False, want="json")
        return got.body

    async def state(self) -> limits.HostState:
        """The host's row."""
        return (await limits.hosts(self.db))[0]

    async def cool(self) -> None:
        """Let the cool-down end now."""
        await self.db.execute("update control.hosts set open_until = now(), not_before = now()")


@pytest.fixture
async def host(database: Database) -> AsyncIterator[Host]:
    """A healthy host without a rate limit."""
    mood = Mood()

    async def handle(_: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(mood.stall_s)
        writer.write(mood.raw)

    caps = Caps(connect_s=1, headers_s=0.3, read_s=0.3)
    async with upstream(handle) as server, await Database.open(database.url, max_size=4) as second:
        fetchers = [
            Fetcher(db, user_agent="t/1", allow_private={server.key}, caps=caps) for db in (database, second)
        ]
        async with database.connection() as conn:
            await limits.set_host(conn, server.key, 10_000, 1000, parallel=1000)
        yield Host(server, mood, database, fetchers)
        for one in fetchers:
            await one.close()


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_host_429_with_retry_after_holds_every_worker_back(host: Host, form: str) -> None:
    value = "40" if form == "seconds" else formatdate(time.time() + 40, usegmt=True)
    host.mood.raw = reply(429, b"slow down", {"Retry-After": value})
    with pytest.raises(HttpStatus) as caught:
        await host.get(0)
    assert caught.value.retryable and 38 <= (caught.value.retry_after_s or 0) <= 40
    for which in (0, 1):
        with pytest.raises(RateLimited) as limited:
            await host.get(which)
        assert 37 < limited.value.retry_after_s <= 40
    assert len(host.server.asked) == 1
    assert (await host.state()).throttled == 1


async def test_host_429_without_a_time_slows_the_pace(host: Host) -> None:
    async with host.db.connection() as conn:
        await limits.set_host(conn, host.server.key, 5, 1)
    host.mood.raw = reply(429)
    with pytest.raises(HttpStatus):
        await host.get()
    assert (await host.state()).delay_s == pytest.approx(0.4)


@pytest.mark.parametrize("status", [500, 502, 503, 403])
async def test_host_storm_of_errors_opens_the_breaker_for_all(host: Host, status: int) -> None:
    """Five errors and nobody asks any more; when the cool-down ends, one of 20 does, and its success closes it."""
    host.mood.raw = reply(status)
    for number in range(5):
        with pytest.raises(HttpStatus):
            await host.get(number % 2)
    for which in (0, 1):
        with pytest.raises(BreakerOpen) as caught:
            await host.get(which)
        assert 8 < caught.value.retry_after_s <= 10
    assert len(host.server.asked) == 5
    host.mood.raw, host.mood.stall_s = reply(200, b"[]"), 0.1
    await host.cool()
    results = await asyncio.gather(*(host.get(n % 2) for n in range(20)), return_exceptions=True)
    assert [one for one in results if one == b"[]"] == [b"[]"]
    assert sum(isinstance(one, BreakerOpen) for one in results) == 19
    assert len(host.server.asked) == 6
    assert (await host.state()).breaker == "closed"
    assert await host.get() == b"[]"


async def test_host_that_stays_down_is_probed_ever_more_rarely(host: Host) -> None:
    host.mood.raw = reply(500)
    for _ in range(5):
        with pytest.raises(HttpStatus):
            await host.get()
    for cooldown in (20, 40, 80):
        await host.cool()
        with pytest.raises(HttpStatus):
            await host.get()
        with pytest.raises(BreakerOpen) as caught:
            await host.get()
        assert cooldown - 2 < caught.value.retry_after_s <= cooldown


async def test_host_that_hangs_opens_the_breaker(host: Host) -> None:
    host.mood.stall_s = 30
    for _ in range(5):
        with pytest.raises(TimedOut):
            await host.get()
    with pytest.raises(BreakerOpen):
        await host.get()


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/json"])
async def test_host_challenge_page_with_200_is_blocked_and_counts(host: Host, content_type: str) -> None:
    host.mood.raw = reply(200, PAGE, {"Content-Type": content_type})
    for _ in range(5):
        with pytest.raises(Blocked) as caught:
            await host.get()
        assert caught.value.code == "HG413" and "challenge()" not in str(caught.value)
    with pytest.raises(BreakerOpen):
        await host.get()
    state = await host.state()
    assert (state.challenges, state.ok, state.bad) == (5, 0, 5)


async def test_host_challenge_reported_by_the_caller_reopens_the_breaker_after_a_probe(host: Host) -> None:
    """Without `want` a page is a good reply; the caller who knows better says so."""
    host.mood.raw = reply(500)
    for _ in range(5):
        with pytest.raises(HttpStatus):
            await host.get()
    await host.cool()
    host.mood.raw = reply(200, PAGE, {"Content-Type": "text/html"})
    fetch = host.fetchers[0]
    got = await fetch.get(host.server.url(), robots=False)
    assert (await host.state()).breaker == "closed"
    await fetch.report_bad(got, "a challenge page")
    with pytest.raises(BreakerOpen):
        await host.get(1)


async def test_host_404s_say_nothing_against_it(host: Host) -> None:
    host.mood.raw = reply(404)
    for _ in range(12):
        with pytest.raises(HttpStatus):
            await host.get()
    state = await host.state()
    assert (state.breaker, state.bad) == ("closed", 0)


async def test_host_that_is_slow_does_not_starve_another(host: Host, database: Database) -> None:
    """Ten requests hang on one host while another answers at once."""

    async def handle(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200, b"quick"))

    loop = asyncio.get_running_loop()
    async with upstream(handle) as other:
        async with database.connection() as conn:
            await limits.set_host(conn, other.key, 10_000, 1000, parallel=1000)
        async with Fetcher(database, user_agent="t/1", allow_private={host.server.key, other.key}) as fetch:
            host.mood.stall_s = 2
            slow = [asyncio.create_task(fetch.get(host.server.url(), robots=False)) for _ in range(10)]
            await asyncio.sleep(0.1)
            started = loop.time()
            for _ in range(10):
                assert (await fetch.get(other.url(), robots=False)).body == b"quick"
            took = loop.time() - started
            assert not any(task.done() for task in slow)
            assert took < 1.5
            assert len(await asyncio.gather(*slow)) == 10
