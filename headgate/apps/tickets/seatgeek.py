"""SeatGeek: listings of one event (`event_listings_v2`) and its public catalogue (`/2/events`). Stores nothing.

Listings carry base price, fee and total, which must add up; the catalogue needs the client id of an official key.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from headgate.apps.tickets import parse
from headgate.apps.tickets.parse import Parsed, Rejected
from headgate.apps.tickets.vivid import Production, is_parking, moment, zone


def parse_listings(body: bytes, *, stated: int | None = None) -> Parsed:
    """All listings of an event. `stated`: how many the catalogue says there are, if known; fewer is a cap."""
    document = parse.decode(body)
    items = parse.member(document, "listings", list)
    if len(items) > parse.MAX_LISTINGS:
        raise Rejected("too_many", f"{len(items)} listings")
    rows, _ = parse.once_each([_row(item, f"listing {n}") for n, item in enumerate(items)])
    tickets = sum(row["qty"] for row in rows)
    if stated is not None and len(rows) < stated:
        raise Rejected(
            "empty_tickets" if not rows else "capped", f"{len(rows)} of {stated} listings are there"
        )
    parsed = Parsed(rows=[], listing_count=len(rows), ticket_count=tickets, currency="USD")
    for row in rows:
        if row["aip_cents"] >= parse.ABSURD_CENTS:
            parsed.leave_out("absurd_price", row["qty"])
        elif is_parking(row["section"]):
            parsed.leave_out("parking", row["qty"])
        else:
            parsed.rows.append(row)
    return parsed


def _row(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise Rejected("bad_shape", f"{where} is a {type(item).__name__}")
    quantity = parse.count(item.get("q"), f"{where} quantity", most=parse.MAX_QUANTITY, least=1)
    base, total = parse.price(item.get("p"), f"{where} p"), parse.price(item.get("pf"), f"{where} pf")
    fee = item.get("f")
    if fee is not None and base + parse.cents(fee, f"{where} f") != total:
        raise Rejected("contradiction", f"{where}: p and f do not add up to pf")
    section = parse.text(item.get("s"), f"{where} section", empty=False)
    row = parse.text(item.get("r") or "", f"{where} row", most=60)
    general = item.get("gk") in (1, True, "1")
    return {
        "id": parse.identifier(item.get("id"), f"{where} id"),
        "zone": section.rstrip("0123456789 ").strip() or "Section",
        "section": section,
        "section_id": "",
        "row": "GA" if general and not row else row,
        "qty": quantity,
        "splits": parse.splits(item.get("sp"), quantity, f"{where} splits"),
        "base_cents": base,
        "aip_cents": total,
        "face_cents": None,
        "seats": None,
        "notes": parse.note(item.get("d")),
    }


def parse_events(body: bytes) -> tuple[list[Production], int, list[tuple[str, str]]]:
    """A page of the catalogue: events, how many there are in all, and items that could not be read, with why."""
    document = parse.decode(body)
    total = parse.count(parse.member(document, "meta", dict).get("total"), "meta.total", most=10_000_000)
    good, bad = parse.each(parse.member(document, "events", list), _event, "event")
    return good, total, bad


def _event(item: Any, where: str) -> Production:
    if not isinstance(item, dict):
        raise Rejected("bad_shape", f"{where} is a {type(item).__name__}")
    venue = parse.member(item, "venue", dict, where)
    tz = parse.text(venue.get("timezone"), f"{where} time zone", empty=False)
    starts_at = _utc(item.get("datetime_utc"), f"{where} datetime_utc")
    stats: dict[str, Any] = item["stats"] if isinstance(item.get("stats"), dict) else {}
    performers = item.get("performers")
    first = (
        performers[0]
        if isinstance(performers, list) and performers and isinstance(performers[0], dict)
        else {}
    )
    name = parse.text(item.get("title"), f"{where} title", empty=False)
    lowest, median, listed = (stats.get(k) for k in ("lowest_price", "median_price", "listing_count"))
    return Production(
        external_id=parse.identifier(item.get("id"), f"{where} id"),
        name=name,
        starts_at=starts_at,
        local_date=starts_at.astimezone(zone(tz, where)).date(),
        tz=tz,
        venue=parse.text(venue.get("name"), f"{where} venue"),
        city=parse.text(venue.get("city") or "", f"{where} city"),
        state=parse.text(venue.get("state") or "", f"{where} state"),
        category=parse.text(item.get("type") or "Other", f"{where} type"),
        performer_id=parse.identifier(first["id"], f"{where} performer") if "id" in first else None,
        performer_name=parse.text(first["name"], f"{where} performer") if "name" in first else None,
        parking=is_parking(name),
        cancelled=item.get("status") in ("canceled", "cancelled", "postponed"),
        fingerprint=f"{lowest or '-'}/{median or '-'}/{listed or 0}/-",
    )


def _utc(value: Any, where: str) -> datetime:
    """SeatGeek writes UTC without saying so: `2020-03-03T08:30:00`."""
    written = parse.text(value, where, empty=False)
    if written.endswith("Z") or "+" in written[10:]:
        return moment(written, where)
    return moment(f"{written}+00:00", where).astimezone(UTC)
