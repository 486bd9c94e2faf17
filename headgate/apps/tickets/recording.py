"""Recorded observations, replayed through the whole pipeline as if they had just been polled.

Two formats, described in `docs/how-to/tickets-sources.md`: a folder of `observations.csv` + `listings.csv`, and
JSON lines with one poll each. Nothing is filled in: what a recording does not tell stays unknown.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

from headgate.apps.tickets import parse
from headgate.apps.tickets.parse import Rejected
from headgate.base.errors import SourceError
from headgate.engine.manifest import Page, SourceContext


@dataclass(frozen=True)
class RecordedPoll:
    """One look at one market: when, and the complete set of listings seen, or why it cannot be used."""

    market: str
    observed_at: datetime
    rows: list[dict[str, Any]] = field(default_factory=list)
    repeats: int = 0
    absurd: int = 0
    reason: str | None = None
    currency: str = "USD"


@dataclass(frozen=True)
class RecordedEvent:
    """What a recording says of its event, or what the caller knows; stored as one event per market."""

    name: str
    starts_at: datetime
    tz: str = "UTC"
    venue: str = ""
    city: str = ""
    state: str = ""
    category: str = "Other"

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> RecordedEvent:
        """From JSON; raises SourceError if name or start are missing."""
        try:
            starts = datetime.fromisoformat(given["starts_at"])
            rest = {k: str(given[k]) for k in ("tz", "venue", "city", "state", "category") if k in given}
            return cls(name=str(given["name"]), starts_at=starts, **rest)
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError(
                "The recording's event needs at least `name` and `starts_at` (ISO 8601).",
                code="HG440",
                details=str(error),
                hint="Put them into event.json beside the observations.",
            ) from None


def read_polls(path: Path) -> list[RecordedPoll]:
    """Every poll of a recording, by market and then by time. Raises SourceError if there is nothing readable."""
    if path.is_dir():
        return list(read_observations(path))
    if path.suffix in (".jsonl", ".ndjson"):
        return sorted(read_lines(path), key=lambda p: (p.market, p.observed_at))
    raise SourceError(
        f"{path.name} is neither a folder of observations nor a .jsonl file.",
        code="HG441",
        hint="See docs/how-to/tickets-sources.md for both formats.",
    )


# --- observations.csv + listings.csv ----------------------------------------------------------------------
def read_observations(folder: Path) -> Iterator[RecordedPoll]:
    """Polls from a folder with `observations.csv` (ticket, timestampmillis, price) and `listings.csv` (ticket,
    site, section, row).

    A poll is what one recorder's pass wrote: all observations of one market with the same millisecond. A market
    without any observation in a pass was not looked at successfully then: there is no poll, and no gap is filled.
    The same observation written twice (pages that overlap) counts once; two prices for one ticket in one pass
    contradict each other, and that pass is rejected.
    """
    known = {
        row["ticket"]: row for row in _table(folder / "listings.csv", {"ticket", "site", "section", "row"})
    }
    seen: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for row in _table(folder / "observations.csv", {"ticket", "timestampmillis", "price"}):
        listing = known.get(row["ticket"])
        if listing is None:
            raise SourceError(f"Ticket {row['ticket']!r} is observed but not described.", code="HG442")
        pass_ = (listing["site"], _millis(row["timestampmillis"]))
        seen.setdefault(pass_, []).append((row["ticket"], row["price"]))
    for market, passes in groupby(sorted(seen), key=lambda k: k[0]):
        for pass_ in passes:
            yield _observed(market, pass_[1], seen[pass_], known)


def _millis(text: str) -> int:
    """Milliseconds since 1970 of a moment between 2000 and 2100."""
    if not (text.isascii() and text.isdigit()) or not 946_684_800_000 <= int(text[:15]) <= 4_102_444_800_000:
        raise SourceError(f"{text[:40]!r} is not a time in milliseconds.", code="HG441")
    return int(text)


def _observed(
    market: str, millis: int, found: list[tuple[str, str]], known: Mapping[str, Mapping[str, str]]
) -> RecordedPoll:
    when = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=millis)
    try:
        rows = [_observation(ticket, price, known[ticket]) for ticket, price in found]
        rows, repeats = parse.once_each(rows)
    except Rejected as error:
        return RecordedPoll(market, when, reason=str(error))
    return _sound(market, when, rows, repeats)


def _sound(market: str, when: datetime, rows: list[dict[str, Any]], repeats: int) -> RecordedPoll:
    """The poll without listings at absurd prices, which are counted: real recordings have them."""
    sound = [row for row in rows if max(row["aip_cents"], row["base_cents"]) < parse.ABSURD_CENTS]
    return RecordedPoll(market, when, sound, repeats, absurd=len(rows) - len(sound))


def _observation(ticket: str, price: str, listing: Mapping[str, str]) -> dict[str, Any]:
    """A row from one observation. These recordings tell one price and no quantity: the price is taken as the
    all-in and the base price, and a listing counts as one ticket, the least that it can be."""
    amount = parse.price(price, f"{ticket} price")
    title, section = (listing.get("title") or "").strip(), listing["section"].strip()
    return {
        "id": parse.identifier(ticket, "ticket"),
        "zone": zone_from_title(title, section),
        "section": section or title or "-",
        "section_id": "",
        "row": listing["row"].strip(),
        "qty": 1,
        "splits": [1],
        "base_cents": amount,
        "aip_cents": amount,
        "face_cents": None,
        "seats": None,
        "notes": parse.note(listing.get("note")),
    }


def zone_from_title(title: str, section: str) -> str:
    """The zone where the title tells it (`Loge 102`, `Promenade`); otherwise `-`: not known."""
    words = title.removesuffix(section).strip() if section else title
    return words if words and not any(c.isdigit() for c in words) and len(words) <= 60 else "-"


def _table(path: Path, needed: set[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = needed - set(reader.fieldnames or ())
            rows = [] if missing else [{k: v or "" for k, v in r.items() if k} for r in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path.name} cannot be read: {error}", code="HG441") from None
    if missing:
        raise SourceError(f"{path.name} lacks the columns {', '.join(sorted(missing))}.", code="HG441")
    return rows


# --- JSON lines -------------------------------------------------------------------------------------------
def read_lines(path: Path) -> Iterator[RecordedPoll]:
    """Polls from JSON lines: `{"market", "observed_at", "currency"?, "listings": [...]}`; see the how-to."""
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        market, when = "", datetime.fromtimestamp(0, UTC)
        try:
            document = parse.decode(line)
            if "event" in document and "listings" not in document:
                continue
            market = parse.text(document.get("market"), f"line {number} market", empty=False, most=60)
            when = _when(document.get("observed_at"), f"line {number}")
            yield _line(document, market, when, number)
        except Rejected as error:
            if not market or when.year < 2000:
                raise SourceError(f"Line {number} is unreadable: {error}", code="HG441") from None
            yield RecordedPoll(market, when, reason=str(error))


def _when(value: Any, where: str) -> datetime:
    from headgate.apps.tickets.vivid import moment

    return moment(value, f"{where} observed_at")


def _line(document: Mapping[str, Any], market: str, when: datetime, number: int) -> RecordedPoll:
    listings = parse.member(document, "listings", list, f"line {number}")
    rows, repeats = parse.once_each(
        [_listing(row, f"line {number}, listing {n}") for n, row in enumerate(listings)]
    )
    stated = document.get("listing_count")
    if stated is not None:
        parse.check_totals(
            len(rows), 0, stated_listings=parse.count(stated, "listing_count"), stated_tickets=None
        )
    currency = parse.text(document.get("currency", "USD"), "currency", most=3)
    if currency != "USD":
        raise Rejected("currency", currency)
    return _sound(market, when, rows, repeats)


def _listing(given: Any, where: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Rejected("bad_shape", f"{where} is a {type(given).__name__}")
    quantity = parse.count(given.get("quantity", 1), f"{where} quantity", most=parse.MAX_QUANTITY, least=1)
    all_in = parse.price(given.get("price"), f"{where} price")
    base, face = given.get("base_price"), given.get("face_value")
    return {
        "id": parse.identifier(given.get("id"), f"{where} id"),
        "zone": parse.text(given.get("zone") or "-", f"{where} zone"),
        "section": parse.text(given.get("section"), f"{where} section", empty=False),
        "section_id": "",
        "row": parse.text(given.get("row") or "", f"{where} row", most=60),
        "qty": quantity,
        "splits": parse.splits(given.get("splits", [quantity]), quantity, f"{where} splits"),
        "base_cents": all_in if base is None else parse.price(base, f"{where} base_price"),
        "aip_cents": all_in,
        "face_cents": None if face is None else parse.price(face, f"{where} face_value"),
        "seats": None,
        "notes": parse.note(given.get("notes")),
    }


def read_event(path: Path) -> RecordedEvent | None:
    """What the recording itself says of its event: `event.json` in the folder, or a first line with `event`."""
    if path.is_dir():
        file = path / "event.json"
        if not file.exists():
            return None
        try:
            return RecordedEvent.read(orjson.loads(file.read_bytes()))
        except orjson.JSONDecodeError as error:
            raise SourceError(
                "The recording's event.json is not JSON.",
                code="HG440",
                details=str(error),
                hint="It needs at least `name` and `starts_at` (ISO 8601).",
            ) from None
    with path.open("rb") as file_:
        first = file_.readline()
    try:
        document = orjson.loads(first)
    except orjson.JSONDecodeError:
        return None
    return (
        RecordedEvent.read(document["event"]) if isinstance(document, dict) and "event" in document else None
    )


# --- the source -------------------------------------------------------------------------------------------
async def recorded(ctx: SourceContext, cursor: Any) -> AsyncIterator[Page]:
    """The polls of one market (`args`: path, market, event_id), from the cursor (how many are done) on."""
    polls = [p for p in read_polls(Path(ctx.args["path"])) if p.market == ctx.args["market"]]
    done = int(cursor["polls"]) if cursor and cursor.get("path") == ctx.args["path"] else 0
    total = sum(len(p.rows) for p in polls)
    for number, poll in enumerate(polls[done:], start=done + 1):
        yield Page(
            rows=poll.rows,
            next={"path": ctx.args["path"], "polls": number},
            expected=total,
            meta=_meta(poll, int(ctx.args["event_id"])),
            last=number == len(polls),
            step=f"poll {number} of {len(polls)}",
        )
    if done >= len(polls):
        return


def _meta(poll: RecordedPoll, event_id: int) -> dict[str, Any]:
    """`repeats` says how many observations were written twice. The hash is of what was observed."""
    digest = hashlib.sha256(orjson.dumps(poll.rows)).hexdigest()
    return {
        "event_id": event_id,
        "source": poll.market,
        "observed_at": poll.observed_at.isoformat(),
        "received_at": poll.observed_at.isoformat(),
        "status": "rejected" if poll.reason else "accepted",
        "reason": poll.reason,
        "currency": poll.currency,
        "body_hash": digest if not poll.reason else None,
        "http_status": None,
        "latency_ms": None,
        "global": {} if poll.reason else {"listingCount": len(poll.rows) + poll.absurd},
        "excluded": {"absurd_price": {"listings": poll.absurd, "tickets": 0}} if poll.absurd else {},
        "repeats": poll.repeats,
    }
