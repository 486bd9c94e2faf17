"""One rate limit, one pace and one circuit breaker per upstream host, shared by all workers on database time.

The state is the host's row in `control.hosts`; this module asks and tells, each in one round trip.
It never sends anything to the host itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Self

from headgate.base import log
from headgate.db import Connection, Database
from headgate.db.queries import load
from headgate.engine.fetch_errors import BreakerOpen, RateLimited

Q = load("headgate.engine.sql", "hosts.sql")
Outcome = Literal["ok", "bad", "challenge", "retract", "neutral"]

MAX_RETRY_AFTER_S = 3600.0
"""The longest Retry-After that is obeyed; a host that says more is asked again after an hour."""

_log = log.get("engine.limits")


@dataclass(frozen=True)
class Slot:
    """Leave to send one request. `probe` is the number of the probe if this request decides the breaker."""

    host: str
    probe: int | None
    waited_s: float


@dataclass(frozen=True)
class Outcomes:
    """What one request came to, as `report` tells it."""

    outcome: Outcome
    status: int | None = None
    latency_s: float | None = None
    retry_after_s: float | None = None
    body_bytes: int = 0
    note: str | None = None


@dataclass(frozen=True)
class HostState:
    """One host as `status` shows it. Counts are since the row was made; `held_s` and `open_s` are seconds left."""

    host: str
    rate_per_s: float
    burst: int
    crawl_delay_s: float
    delay_s: float
    breaker: str
    cooldown_s: float
    requests: int
    ok: int
    bad: int
    challenges: int
    throttled: int
    opened: int
    bytes: int
    last_status: int | None
    last_latency_s: float | None
    last_ok_at: datetime | None
    last_bad_at: datetime | None
    last_error: str | None
    held_s: float
    open_s: float

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """From a row of the query `status`."""
        return cls(**{field.name: row[field.name] for field in fields(cls)})


async def set_host(
    conn: Connection, host: str, rate_per_s: float, burst: int = 1, *, parallel: float | None = None
) -> None:
    """Set the limit of `host` (the key: `name` or `name:port`): requests per second and burst size.

    `parallel` is how many requests the pace aims to keep in flight (latency / parallel between two requests);
    None leaves it as it is (8 for a new host). Setting the same again changes nothing.
    """
    values = {"host": host.lower(), "rate_per_s": float(rate_per_s), "burst": burst, "parallel": parallel}
    await conn.execute(Q.set_host, values)


async def take(db: Database, host: str, *, wait_s: float = 0.0, probe_s: float = 60.0, cost: int = 1) -> Slot:
    """Take one slot of `host`, sleeping up to `wait_s` seconds for it.

    Raises RateLimited, or BreakerOpen, if the next slot is further off; then nothing was taken. `probe_s` is how
    long the request may be out before another worker may probe in its place. `cost=0` uses up no slot.
    """
    values = {"host": host, "wait_s": float(wait_s), "probe_s": float(probe_s), "cost": cost}
    row = await db.fetch_one(Q.take, values)
    if row is None:  # pragma: no cover - a function with OUT parameters always returns one row
        raise RateLimited(f"No answer about {host}.", retry_after_s=1.0)
    wait = float(row["wait_s"])
    if not row["granted"]:
        raise _refusal(host, row["breaker"], wait)
    if wait > 0:
        await asyncio.sleep(wait)
        await _confirm(db, host)
    return Slot(host, row["probe"], max(wait, 0.0))


async def _confirm(db: Database, host: str) -> None:
    """After a sleep the host may have asked for rest, or failed; then the slot is given up."""
    row = await db.fetch_one(Q.confirm, {"host": host})
    if row is not None and (row["wait_s"] > 0 or row["breaker"] != "closed"):
        raise _refusal(host, row["breaker"], float(row["wait_s"]))


def _refusal(host: str, breaker: str, wait: float) -> RateLimited:
    wait = max(wait, 0.001)
    if breaker == "closed":
        return RateLimited(f"The next request to {host} is due in {wait:.3g} s.", retry_after_s=wait)
    state = "open" if breaker == "open" else "waiting for its one probe"
    return BreakerOpen(f"The circuit breaker of {host} is {state} for {wait:.3g} s.", retry_after_s=wait)


async def report(db: Database, slot: Slot, result: Outcomes) -> str:
    """Tell what a request came to; returns the breaker's state after it. Completes even when cancelled."""
    values = {
        "host": slot.host,
        "outcome": result.outcome,
        "status": result.status,
        "latency_s": result.latency_s,
        "retry_after_s": result.retry_after_s,
        "throttled": result.status == 429 and result.retry_after_s is None,
        "probe": slot.probe,
        "bytes": result.body_bytes,
        "note": result.note,
    }
    told = asyncio.ensure_future(db.fetch_value(Q.report, values))
    try:
        state = str(await asyncio.shield(told))
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await told
        raise
    if state == "open" and result.outcome in {"bad", "challenge", "retract"}:
        _log.warning("breaker open", host=slot.host, note=result.note)
    return state


async def report_bad(db: Database, host: str, note: str) -> str:
    """Tell that a reply already counted as good was a challenge page or nonsense; returns the breaker's state.

    Right after a breaker closed, one such report opens it again.
    """
    return await report(db, Slot(host, None, 0.0), Outcomes("retract", note=note))


async def hosts(db: Database) -> list[HostState]:
    """Every host's limit, breaker and counts, by name."""
    return [HostState.of(row) for row in await db.fetch_all(Q.status)]


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that a reply asks us to wait (Retry-After, RFC 9110 section 10.2.3), or None if it does not.

    Both forms are read; a date counts from the reply's own Date if there is one, else from `now`. What is in the
    past is 0; more than an hour is an hour; what cannot be read is None. `headers` has lower-case names.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return MAX_RETRY_AFTER_S if len(text) > 9 else min(float(text), MAX_RETRY_AFTER_S)
    until = _http_date(text)
    if until is None:
        return None
    start = _http_date(headers.get("date", "")) or now
    return min(max((until - start).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
