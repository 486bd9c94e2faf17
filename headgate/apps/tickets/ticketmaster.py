"""Ticketmaster Discovery v2: the official catalogue, with an official key. Events only; it lists no resale offers.

Limits of a standard key: 5 requests a second and 5000 a day, kept by the host's rate and by a lane of the queue.
https://developer.ticketmaster.com/products-and-docs/apis/discovery-api/v2/
"""

from __future__ import annotations

from typing import Any

from headgate.apps.tickets import parse
from headgate.apps.tickets.parse import Rejected
from headgate.apps.tickets.vivid import Production, is_parking, moment, zone

PER_SECOND = 5.0
PER_DAY = 5000
#: The API answers no deeper than this many events per query (size × page).
DEEPEST = 1000
PAGE = 100


def parse_events(body: bytes) -> tuple[list[Production], int, list[tuple[str, str]]]:
    """A page: events, how many pages there are, and items that could not be read, with why."""
    document = parse.decode(body)
    page = parse.member(document, "page", dict)
    pages = parse.count(page.get("totalPages"), "page.totalPages", most=10_000_000)
    embedded = document.get("_embedded") or {"events": []}
    if not isinstance(embedded, dict):
        raise Rejected("bad_shape", "_embedded is not an object")
    good, bad = parse.each(parse.member(embedded, "events", list), _event, "event")
    return good, pages, bad


def _event(item: Any, where: str) -> Production:
    if not isinstance(item, dict):
        raise Rejected("bad_shape", f"{where} is a {type(item).__name__}")
    embedded = parse.member(item, "_embedded", dict, where)
    venue = _first(embedded.get("venues"))
    attraction = _first(embedded.get("attractions"))
    dates = parse.member(item, "dates", dict, where)
    start = parse.member(dates, "start", dict, where)
    if not start.get("dateTime"):
        raise Rejected("no_time", f"{where} has no exact start yet")
    tz = parse.text(venue.get("timezone"), f"{where} time zone", empty=False)
    starts_at = moment(start["dateTime"], f"{where} start")
    name = parse.text(item.get("name"), f"{where} name", empty=False)
    status = dates.get("status")
    code = status.get("code") if isinstance(status, dict) else None
    return Production(
        external_id=parse.identifier(item.get("id"), f"{where} id"),
        name=name,
        starts_at=starts_at,
        local_date=starts_at.astimezone(zone(tz, where)).date(),
        tz=tz,
        venue=parse.text(venue.get("name") or "", f"{where} venue"),
        city=parse.text(_named(venue.get("city"), "name"), f"{where} city"),
        state=parse.text(_named(venue.get("state"), "stateCode"), f"{where} state"),
        category=parse.text(
            _named(_first(item.get("classifications")).get("segment"), "name") or "Other", where
        ),
        performer_id=parse.identifier(attraction["id"], f"{where} performer") if "id" in attraction else None,
        performer_name=parse.text(attraction["name"], f"{where} performer") if "name" in attraction else None,
        parking=is_parking(name),
        cancelled=code in ("cancelled", "canceled", "postponed"),
        fingerprint=str(code or "-"),
    )


def _first(value: Any) -> dict[str, Any]:
    found = value[0] if isinstance(value, list) and value else {}
    return found if isinstance(found, dict) else {}


def _named(value: Any, key: str) -> Any:
    return value.get(key) or "" if isinstance(value, dict) else ""
