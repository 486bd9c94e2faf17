"""Vivid Seats: what its listings and productions answers mean. Strict; stores nothing.

Its listings answer is one unpaginated document in which nearly every value is text. `global[0]` states how many
listings and tickets there are: a free checksum, and the way to see a capped or emptied answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from headgate.apps.tickets import parse
from headgate.apps.tickets.parse import Parsed, Rejected

_PARKING = re.compile(r"\bparking\b", re.IGNORECASE)
_CANCELLED = re.compile(r"\b(cancel(l)?ed|postponed)\b", re.IGNORECASE)
_ZONED = re.compile(r"\[[^\]]*\]$")
_GENERAL = {"GA", "GENERAL ADMISSION"}


def parse_listings(body: bytes, *, production_id: str, currency: str = "USD") -> Parsed:
    """The complete set of listings of `production_id`, or `Rejected` with the reason.

    Rows have the staging shape; prices are what a buyer pays without fees (`base_cents`) and with them
    (`aip_cents`). Listings at absurd prices and parking spaces among seats are left out and counted.
    """
    document = parse.decode(body)
    totals = _totals(document, production_id)
    _check_currency(document, totals, currency)
    groups = _groups(document)
    tickets = parse.member(document, "tickets", list)
    if len(tickets) > parse.MAX_LISTINGS:
        raise Rejected("too_many", f"{len(tickets)} listings")
    parking_production = is_parking(str(totals.get("productionName") or ""))
    rows, _ = parse.once_each([_row(t, n, groups) for n, t in enumerate(tickets)])
    stated_listings = parse.count(totals.get("listingCount"), "global.listingCount")
    stated_tickets = parse.count(totals.get("ticketCount"), "global.ticketCount")
    parse.check_totals(
        len(rows),
        sum(row["qty"] for row in rows),
        stated_listings=stated_listings,
        stated_tickets=stated_tickets,
    )
    name = totals.get("productionName")
    tz = totals.get("venueTimeZone")
    parsed = Parsed(
        rows=[],
        listing_count=stated_listings,
        ticket_count=stated_tickets,
        currency=currency,
        name=name if isinstance(name, str) else None,
        tz=tz if isinstance(tz, str) else None,
    )
    for row in rows:
        if max(row["aip_cents"], row["base_cents"]) >= parse.ABSURD_CENTS:
            parsed.leave_out("absurd_price", row["qty"])
        elif not parking_production and is_parking(row["section"]):
            parsed.leave_out("parking", row["qty"])
        else:
            parsed.rows.append(row)
    return parsed


def _totals(document: Mapping[str, Any], production_id: str) -> dict[str, Any]:
    found = parse.member(document, "global", list)
    if len(found) != 1 or not isinstance(found[0], dict):
        raise Rejected("bad_shape", "global is not a list of one object")
    totals: dict[str, Any] = found[0]
    answered = parse.identifier(totals.get("productionId"), "global.productionId")
    if answered != production_id:
        raise Rejected("other_production", f"asked for {production_id}, answered {answered}")
    return totals


def _check_currency(document: Mapping[str, Any], totals: Mapping[str, Any], wanted: str) -> None:
    """Prices follow the caller's address; one in another currency would look like a crash of the market."""
    i18n = parse.member(document, "i18n", dict)
    answered = i18n.get("to")
    if answered != wanted or i18n.get("applyCurrencyConversion") is not False:
        raise Rejected("currency", f"wanted {wanted}, answered {str(answered)[:10]!r}")
    if totals.get("priceLocalized") or totals.get("isPriceLocalized"):
        raise Rejected("currency", "prices are localized")


def _groups(document: Mapping[str, Any]) -> dict[str, str]:
    groups = {}
    for group in parse.member(document, "groups", list):
        if not isinstance(group, dict):
            raise Rejected("bad_shape", "a group is not an object")
        name = parse.text(group.get("n"), "group name", empty=False)
        groups[parse.identifier(group.get("i"), "group id")] = name
    return groups


def _row(ticket: Any, number: int, groups: Mapping[str, str]) -> dict[str, Any]:
    where = f"ticket {number}"
    if not isinstance(ticket, dict):
        raise Rejected("bad_shape", f"{where} is a {type(ticket).__name__}")
    quantity = parse.count(
        parse.agree(ticket, "q", "quantity", where), f"{where} quantity", most=parse.MAX_QUANTITY, least=1
    )
    section = parse.text(
        parse.agree(ticket, "sectionName", "l", where) or ticket.get("s"), f"{where} section", empty=False
    )
    row = parse.text(parse.agree(ticket, "r", "row", where) or "", f"{where} row", most=60)
    face = ticket.get("faceValue")
    face_cents = None if face in (None, "") else parse.cents(face, f"{where} faceValue")
    return {
        "id": parse.identifier(ticket.get("i"), f"{where} id"),
        "zone": zone_of(ticket.get("c"), section, groups, where),
        "section": section,
        "section_id": parse.text(ticket.get("d") or "", f"{where} section id", most=60),
        "row": "GA" if row.upper() in _GENERAL else row,
        "qty": quantity,
        "splits": parse.splits(parse.member(ticket, "m", str, where), quantity, f"{where} splits"),
        "base_cents": parse.price(ticket.get("p"), f"{where} price"),
        "aip_cents": parse.price(
            parse.agree(ticket, "aip", "allInPricePerTicket", where), f"{where} all-in price"
        ),
        "face_cents": face_cents or None,
        "seats": parse.seats(ticket.get("ls"), ticket.get("hs")),
        "notes": parse.note(ticket.get("n")),
    }


def zone_of(group: Any, section: str, groups: Mapping[str, str], where: str) -> str:
    """The zone's name: the group's, or where the answer does not list the group, the section's own prefix."""
    found = groups.get(parse.identifier(group, f"{where} group"))
    if found is not None:
        return found
    prefix = section.rstrip("0123456789 ").strip()
    return prefix or section


def is_parking(name: str) -> bool:
    """Whether a production or section sells parking, not seats."""
    return bool(_PARKING.search(name))


# --- productions ------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Production:
    """One production of the catalogue. Prices in cents or None; `fingerprint` moves when the market moves."""

    external_id: str
    name: str
    starts_at: datetime
    local_date: date
    tz: str
    venue: str
    city: str
    state: str
    category: str
    performer_id: str | None
    performer_name: str | None
    parking: bool
    cancelled: bool
    fingerprint: str


@dataclass(frozen=True)
class ProductionsPage:
    """One page: what could be read, what could not and why, and how many pages there are."""

    productions: list[Production]
    pages: int
    total: int
    bad: list[tuple[str, str]] = field(default_factory=list)


def parse_productions(body: bytes) -> ProductionsPage:
    """A page of productions; `Rejected` if the page is unusable, single bad items are set apart."""
    document = parse.decode(body)
    items = parse.member(document, "items", list)
    pages = parse.count(document.get("numberOfPages"), "numberOfPages", most=10_000)
    total = parse.count(document.get("total"), "total")
    good, bad = parse.each(items, _production, "item")
    if len({p.external_id for p in good}) != len(good):
        raise Rejected("contradiction", "a production appears twice on one page")
    return ProductionsPage(good, pages, total, bad)


def _production(item: Any, where: str) -> Production:
    if not isinstance(item, dict):
        raise Rejected("bad_shape", f"{where} is a {type(item).__name__}")
    venue = parse.member(item, "venue", dict, where)
    name = parse.text(item.get("name"), f"{where} name", empty=False)
    tz = parse.text(venue.get("timezone"), f"{where} time zone", empty=False)
    starts_at = moment(item.get("utcDate"), f"{where} utcDate")
    performers = item.get("performers") if isinstance(item.get("performers"), list) else []
    first = performers[0] if performers and isinstance(performers[0], dict) else {}
    category = first.get("category")
    return Production(
        external_id=parse.identifier(item.get("id"), f"{where} id"),
        name=name,
        starts_at=starts_at,
        local_date=starts_at.astimezone(zone(tz, where)).date(),
        tz=tz,
        venue=parse.text(venue.get("name"), f"{where} venue"),
        city=parse.text(venue.get("city") or "", f"{where} city"),
        state=parse.text(venue.get("state") or "", f"{where} state"),
        category="Parking" if is_parking(name) else _category(category),
        performer_id=parse.identifier(first["id"], f"{where} performer") if "id" in first else None,
        performer_name=parse.text(first["name"], f"{where} performer") if "name" in first else None,
        parking=is_parking(name),
        cancelled=bool(_CANCELLED.search(name)),
        fingerprint=fingerprint(item, where),
    )


def _category(value: Any) -> str:
    found = value.get("name") if isinstance(value, dict) else value
    return found.strip() if isinstance(found, str) and found.strip() else "Other"


def fingerprint(item: Mapping[str, Any], where: str) -> str:
    """What moves when the market moves: lowest all-in price, median, listings, tickets."""
    prices = [item.get("minAipPrice"), item.get("medianPrice")]
    amounts = ["-" if p is None else str(parse.cents(p, f"{where} price")) for p in prices]
    counts = [parse.count(item.get(k), f"{where} {k}") for k in ("listingCount", "ticketCount")]
    return "/".join([*amounts, *map(str, counts)])


def moment(value: Any, where: str) -> datetime:
    """An ISO time with an offset (a zone name in brackets after it is allowed), in UTC."""
    written = _ZONED.sub("", parse.text(value, where, empty=False))
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        raise Rejected("bad_time", f"{where} is {written[:40]!r}") from None
    if found.tzinfo is None or not 2000 <= found.year <= 2100:
        raise Rejected("bad_time", f"{where} is {written[:40]!r}")
    return found.astimezone(UTC)


def zone(name: str, where: str) -> ZoneInfo:
    """The time zone called `name`."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Rejected("bad_zone", f"{where}: no time zone is called {name[:40]!r}") from None
