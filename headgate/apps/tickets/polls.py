"""One poll: one request for one event's listings, and the one page it becomes, whatever came back.

A poll that fails or is rejected is recorded with its reason and carries no rows, so it can change no price.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headgate.apps.tickets.parse import Parsed, Rejected
from headgate.db import Database
from headgate.engine.fetch import Blocked, FetchError, HttpStatus, RateLimited
from headgate.engine.manifest import Page, SourceContext

MAX_BYTES = 16_000_000
LONGEST_REASON = 300


@dataclass(frozen=True)
class Target:
    """What to ask for: the event, the address, and how to read the answer (raises `Rejected`)."""

    event_id: int
    source: str
    url: str
    read: Callable[[bytes], Parsed]
    timeout_s: float = 20.0


async def poll(ctx: SourceContext, target: Target) -> AsyncIterator[Page]:
    """Yield the one page of this poll. Raises RateLimited when the host has no free slot soon."""
    when = stated_time(ctx.args) or await database_time(ctx.db)
    try:
        reply = await ctx.fetch.get(
            target.url,
            max_bytes=MAX_BYTES,
            timeout_s=target.timeout_s,
            wait_s=float(ctx.args.get("wait_s", 5.0)),
        )
    except RateLimited:
        raise
    except FetchError as error:
        yield _page(target, when, _failure(error))
        return
    outcome: dict[str, Any] = {
        "http_status": reply.status,
        "latency_ms": round(reply.elapsed_s * 1000),
        "body_hash": hashlib.sha256(reply.body).hexdigest(),
    }
    try:
        parsed = target.read(reply.body)
    except Rejected as error:
        outcome |= {"status": "rejected", "reason": str(error)[:LONGEST_REASON], "word": error.reason}
        if error.reason == "html":
            await ctx.fetch.report_bad(reply, "a page instead of data")
        yield _page(target, when, outcome)
        return
    yield _page(target, when, outcome | accepted(parsed), parsed)


def accepted(parsed: Parsed) -> dict[str, Any]:
    """The poll's record when its listings are complete."""
    return {
        "status": "accepted",
        "reason": None,
        "currency": parsed.currency,
        "global": {"listingCount": parsed.listing_count, "ticketCount": parsed.ticket_count},
        "excluded": {why: {"listings": n, "tickets": q} for why, (n, q) in parsed.excluded.items()},
    }


def _failure(error: FetchError) -> dict[str, Any]:
    status = error.status if isinstance(error, HttpStatus) else None
    word = f"http_{status}" if status else "html" if isinstance(error, Blocked) else error.code
    return {
        "status": "failed",
        "reason": error.message[:LONGEST_REASON],
        "word": word,
        "http_status": status,
        "retry_after_s": error.retry_after_s,
    }


def _page(
    target: Target, observed: datetime, outcome: Mapping[str, Any], parsed: Parsed | None = None
) -> Page:
    meta = {
        "event_id": target.event_id,
        "source": target.source,
        "observed_at": observed.isoformat(),
        "received_at": observed.isoformat(),
        "currency": "USD",
        "body_hash": None,
        "http_status": None,
        "latency_ms": None,
        "global": {},
        **outcome,
    }
    rows = parsed.rows if parsed else []
    return Page(rows=rows, expected=len(rows), meta=meta, last=True, step=f"poll of event {target.event_id}")


async def database_time(db: Database) -> datetime:
    """The moment of asking, by the one clock that all workers share. Neither this machine's clock nor what the
    upstream says in Date is believed: either may be wrong by hours."""
    moment: datetime = await db.fetch_value("select clock_timestamp()")
    return moment


def stated_time(args: Mapping[str, Any]) -> datetime | None:
    """`args["observed_at"]`: replays and measurements state when they observed; live polls do not."""
    text = args.get("observed_at")
    return datetime.fromisoformat(text) if text else None
