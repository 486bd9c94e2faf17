"""What spans and rollups must be, reckoned by brute force from the raw polls: no SQL, no increments, no cleverness.

Written from the words of the definition: a poll covers [its instant, the next poll or 30 minutes, whichever is sooner);
a bucket's value is the sum over covered time. Slow and plain on purpose.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import Any

from tests.database.tickets_polls import Offer, Poll

COVER = timedelta(minutes=30)
HOUR = timedelta(hours=1)
ROUND_PAGES = {10, 20, 25, 50, 100, 150, 200, 250, 300, 400, 500, 1000}

Key = tuple[str, str, str, str]  # external id, zone, section, row
Scope = tuple[str, str]


@dataclass(frozen=True)
class Span:
    """A maximal run of polls in which a listing looked the same."""

    key: Key
    base: int
    aip: int
    qty: int
    splits: int
    start: datetime
    end: datetime | None


def number(text: str) -> int:
    """The first 64 bits of MD5 as a signed number."""
    value = int(md5(text.encode(), usedforsecurity=False).hexdigest()[:16], 16)
    return value - 2**64 if value >= 2**63 else value


def seq(poll: Poll, source: str = "test") -> int:
    """The tie-break of polls at one instant."""
    return number(f"{source}\x1f{poll.hash}")


def in_order(polls: Iterable[Poll]) -> list[Poll]:
    """The polls that count, by instant; of several at one instant the last by `seq`."""
    best: dict[datetime, Poll] = {}
    for poll in polls:
        if poll.at not in best or seq(poll) > seq(best[poll.at]):
            best[poll.at] = poll
    return [best[at] for at in sorted(best)]


def _aip(offer: Offer) -> int:
    return int(offer.doc()["aip_cents"])


def _bits(offer: Offer) -> int:
    bits = 0
    for quantity in offer.doc()["splits"]:
        bits |= 1 << (min(quantity, 15) - 1)
    return bits or 1 << (min(offer.qty, 15) - 1)


def _key(offer: Offer) -> Key:
    return (offer.id, offer.zone, offer.section, offer.row)


def _looks(offer: Offer) -> tuple[int, int, int, int]:
    return (offer.base, _aip(offer), offer.qty, _bits(offer))


def spans(polls: Sequence[Poll]) -> set[Span]:
    """All spans, by walking the ordered polls once."""
    done: set[Span] = set()
    running: dict[Key, tuple[tuple[int, int, int, int], datetime]] = {}
    for poll in in_order(polls):
        seen = {_key(o): _looks(o) for o in poll.offers}
        for key, (looks, start) in list(running.items()):
            if seen.get(key) != looks:
                done.add(Span(key, *looks, start, poll.at))
                del running[key]
        for key, looks in seen.items():
            running.setdefault(key, (looks, poll.at))
    return done | {Span(key, *looks, start, None) for key, (looks, start) in running.items()}


def hours(
    polls: Sequence[Poll], freeze: datetime | None = None
) -> dict[tuple[str, str, datetime], dict[str, Any]]:
    """Every rollup row of the event, its zones and its sections."""
    ordered = in_order(polls)
    starts = {p.at.replace(minute=0, second=0, microsecond=0) for p in ordered}
    starts |= {
        (p.at + COVER - timedelta(milliseconds=1)).replace(minute=0, second=0, microsecond=0) for p in ordered
    }
    rows: dict[tuple[str, str, datetime], dict[str, Any]] = {}
    for start in sorted(starts):
        rows.update(_hour(ordered, start, freeze))
    return rows


def _hour(
    polls: list[Poll], start: datetime, freeze: datetime | None
) -> dict[tuple[str, str, datetime], dict[str, Any]]:
    covers: list[tuple[Poll, int]] = []
    for i, poll in enumerate(polls):
        until = min(poll.at + COVER, start + HOUR)
        if i + 1 < len(polls):
            until = min(until, polls[i + 1].at)
        ms = round((until - max(poll.at, start)) / timedelta(milliseconds=1))
        if ms > 0:
            covers.append((poll, ms))
    inside = [i for i, p in enumerate(polls) if start <= p.at < start + HOUR]
    if not covers and not inside:
        return {}
    told: dict[Scope, list[tuple[str, Any]]] = defaultdict(list)
    for i in inside:
        for offer, facts in _changes(polls, i, freeze):
            for scope in _scopes(offer):
                told[scope].append(("change", facts))
    for poll, ms in covers:
        for offer in poll.offers:
            for scope in _scopes(offer):
                told[scope].append(("held", (poll.at, offer, ms)))
    told.setdefault(("event", ""), [])
    common = {
        "covered_ms": sum(ms for _, ms in covers),
        "polls": len(inside),
        "through_at": max(p.at for p in polls if p.at < start + HOUR),
    }
    return {(*scope, start): common | _row(scope, facts) for scope, facts in told.items()}


def _scopes(offer: Offer) -> list[Scope]:
    found = [("event", ""), ("section", offer.section)]
    return [*found, ("zone", offer.zone)] if offer.zone else found


FIGURES = (
    "entered",
    "exited",
    "exited_tickets",
    "frozen",
    "price_up",
    "price_down",
    "sold_lo",
    "sold_hi",
    "sold_lo_tickets",
    "sold_hi_tickets",
    "sold_lo_cents",
    "sold_hi_cents",
)


def _row(scope: Scope, facts: list[tuple[str, Any]]) -> dict[str, Any]:
    held = [x for kind, x in facts if kind == "held"]
    changes = [x for kind, x in facts if kind == "change"]
    row: dict[str, Any] = {name: sum(c.get(name, 0) for c in changes) for name in FIGURES}
    row["listing_ms"] = sum(ms for _, _, ms in held)
    row["ticket_ms"] = sum(ms * o.qty for _, o, ms in held)
    row["aip_ms"] = sum(ms * _aip(o) for _, o, ms in held)
    row["min_aip"] = min((_aip(o) for _, o, _ in held), default=None)
    row["max_aip"] = max((_aip(o) for _, o, _ in held), default=None)
    row["min_pair"] = min((_aip(o) for _, o, _ in held if _bits(o) & 2), default=None)
    row["min_four"] = min((_aip(o) for _, o, _ in held if _bits(o) & 8), default=None)
    first = min((at for at, _, _ in held), default=None)
    last = max((at for at, _, _ in held), default=None)
    row["open_get_in"] = min((_aip(o) for at, o, _ in held if at == first), default=None)
    row["close_get_in"] = min((_aip(o) for at, o, _ in held if at == last), default=None)
    row["sketch"] = None
    if scope[0] != "section" and held:
        sketch: dict[int, int] = defaultdict(int)
        for _, offer, ms in held:
            sketch[math.ceil(math.log(_aip(offer)) / math.log(1.01 / 0.99))] += ms
        row["sketch"] = sorted(sketch.items())
    return row


def _changes(polls: list[Poll], i: int, freeze: datetime | None) -> list[tuple[Offer, dict[str, int]]]:
    """What happened at poll `i`, as (the listing whose section it counts to, figures)."""
    if i == 0:
        return []
    before = {o.id: o for o in polls[i - 1].offers}
    here = {o.id: o for o in polls[i].offers}
    later = {o.id: o for o in polls[i + 1].offers} if i + 1 < len(polls) else None
    gone = [o for name, o in before.items() if name not in here]
    frozen = (
        (freeze is not None and polls[i].at >= freeze)
        or (len(gone) >= 20 and len(gone) > 0.4 * len(before))
        or (len(here) in ROUND_PAGES and len(before) - len(here) > 0.05 * len(before))
    )
    sure = not frozen and later is not None and polls[i].at - polls[i - 1].at <= COVER
    new_here = [o for name, o in here.items() if name not in before]
    new_later = [o for name, o in (later or {}).items() if name not in here]
    found: list[tuple[Offer, dict[str, int]]] = [(o, {"entered": 1}) for o in new_here]
    for offer in gone:
        lost = not any(_relisted(offer, new) for new in [*new_here, *new_later])
        found.append(
            (offer, {"exited": 1, "frozen": int(frozen)} | _left(offer, offer.qty, 1, sure and lost, frozen))
        )
    for name, was in before.items():
        now = here.get(name)
        if now is None:
            continue
        figures = {"price_up": int(now.base > was.base), "price_down": int(now.base < was.base)}
        shrunk = max(was.qty - now.qty, 0)
        after = (later or {}).get(name)
        holds = after is not None and _looks(after) == _looks(now) and _key(after) == _key(now)
        found.append((now, figures | _left(now, shrunk, 0, sure and holds, frozen)))
    return found


def _left(offer: Offer, tickets: int, listings: int, sure: bool, frozen: bool) -> dict[str, int]:
    low, high = int(sure), int(not frozen)
    return {
        "exited_tickets": tickets,
        "sold_lo": listings * low,
        "sold_hi": listings * high,
        "sold_lo_tickets": tickets * low,
        "sold_hi_tickets": tickets * high,
        "sold_lo_cents": tickets * _aip(offer) * low,
        "sold_hi_cents": tickets * _aip(offer) * high,
    }


def _relisted(gone: Offer, new: Offer) -> bool:
    if new.id == gone.id:
        return True
    alike = (new.zone, new.section, new.row) == (gone.zone, gone.section, gone.row)
    return (
        alike
        and new.qty * 2 >= gone.qty
        and new.qty <= gone.qty * 2
        and abs(new.base - gone.base) * 20 <= gone.base * 7
    )


def merge_days(
    rows: dict[tuple[str, str, datetime], dict[str, Any]], day_of: Callable[[datetime], Any]
) -> dict[tuple[str, str, Any], dict[str, Any]]:
    """Days as the merge of their hours."""
    days: dict[tuple[str, str, Any], list[tuple[datetime, dict[str, Any]]]] = defaultdict(list)
    for (scope, scope_id, hour), row in rows.items():
        days[scope, scope_id, day_of(hour)].append((hour, row))
    merged: dict[tuple[str, str, Any], dict[str, Any]] = {}
    for (scope, scope_id, day), found in days.items():
        parts = [row for _, row in sorted(found, key=lambda x: x[0])]
        whole = [row for _, row in days["event", "", day]]
        row: dict[str, Any] = {
            name: sum(p[name] for p in parts) for name in (*FIGURES, "listing_ms", "ticket_ms", "aip_ms")
        }
        row |= {name: sum(p[name] for p in whole) for name in ("covered_ms", "polls")}
        row["through_at"] = max(p["through_at"] for p in whole)
        for name, pick in (("min_aip", min), ("max_aip", max), ("min_pair", min), ("min_four", min)):
            row[name] = pick((p[name] for p in parts if p[name] is not None), default=None)
        opens = [p["open_get_in"] for p in parts if p["open_get_in"] is not None]
        closes = [p["close_get_in"] for p in parts if p["close_get_in"] is not None]
        row["open_get_in"] = opens[0] if opens else None
        row["close_get_in"] = closes[-1] if closes else None
        sketch: dict[int, int] = defaultdict(int)
        for part in parts:
            for key, ms in part["sketch"] or []:
                sketch[key] += ms
        row["sketch"] = sorted(sketch.items()) or None
        merged[scope, scope_id, day] = row
    return merged


def utc_day(hour: datetime) -> Any:
    """The UTC day of an hour."""
    return hour.astimezone(UTC).date()
