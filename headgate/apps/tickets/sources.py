"""The application's sources: async generators of pages, one per upstream. They fetch and read; promote stores.

Arguments of a listings run: `event_id`, `external_id` (without them, the event is the run's key), and for replays
and measurements `observed_at`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl, urlencode

from headgate.apps.tickets import polls, seatgeek, ticketmaster, vivid
from headgate.apps.tickets.parse import Rejected
from headgate.apps.tickets.settings import TicketsSettings
from headgate.apps.tickets.vivid import Production
from headgate.base.errors import SourceError
from headgate.engine.manifest import Page, SourceContext

PAGE_SIZE = 50


async def vivid_listings(ctx: SourceContext, cursor: Any) -> AsyncIterator[Page]:
    """One event's listings from Vivid Seats."""
    settings = TicketsSettings.of(ctx.settings)
    if not settings.vivid_url:
        raise SourceError("Vivid Seats needs HEADGATE_TICKETS_VIVID_URL.", code="HG443")
    event_id, external = await _event(ctx, "vivid")
    query = urlencode({"productionId": external, "currency": "USD", "localizeCurrency": "false"})
    target = polls.Target(
        event_id=event_id,
        source="vivid",
        url=f"{settings.vivid_url.rstrip('/')}/hermes/api/v1/listings?{query}",
        read=lambda body: vivid.parse_listings(body, production_id=external),
        timeout_s=settings.timeout_s,
    )
    async for page in polls.poll(ctx, target):
        yield page


async def seatgeek_listings(ctx: SourceContext, cursor: Any) -> AsyncIterator[Page]:
    """One event's listings from SeatGeek."""
    settings = TicketsSettings.of(ctx.settings)
    if settings.seatgeek_client_id is None:
        raise SourceError("SeatGeek needs HEADGATE_TICKETS_SEATGEEK_CLIENT_ID.", code="HG443")
    key = settings.seatgeek_client_id.get_secret_value()
    event_id, external = await _event(ctx, "seatgeek")
    query = urlencode({"id": external, "client_id": key})
    stated = ctx.args.get("stated")
    target = polls.Target(
        event_id=event_id,
        source="seatgeek",
        url=f"{settings.seatgeek_url.rstrip('/')}/api/event_listings_v2?{query}",
        read=lambda body: seatgeek.parse_listings(body, stated=stated),
        timeout_s=settings.timeout_s,
    )
    async for page in polls.poll(ctx, target):
        yield page


async def _event(ctx: SourceContext, source: str) -> tuple[int, str]:
    """The event to poll and its id at the market. Raises SourceError HG445 when there is none."""
    if "event_id" in ctx.args and "external_id" in ctx.args:
        return int(ctx.args["event_id"]), str(ctx.args["external_id"])
    given = str(ctx.args.get("event_id", ctx.key or ""))
    number = int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0
    external = await ctx.db.fetch_value(
        "select external_id from public.events where id = %s and source = %s", (number, source)
    )
    if external is None:
        raise SourceError(
            f"There is no event {given!r} of {source}." if given else "It is not said which event to poll.",
            code="HG445",
            hint="Give the number of an event as --key; /api/events lists them.",
        )
    return number, str(external)


async def vivid_productions(ctx: SourceContext, cursor: Any) -> AsyncIterator[Page]:
    """Vivid Seats' catalogue, page by page. The sweep is complete when every page could be read whole."""
    settings = TicketsSettings.of(ctx.settings)
    if not settings.vivid_url:
        raise SourceError("Vivid Seats needs HEADGATE_TICKETS_VIVID_URL.", code="HG443")
    base = f"{settings.vivid_url.rstrip('/')}/hermes/api/v1/productions"
    number, pages, whole = 1, 1, True
    while number <= pages:
        query = urlencode(
            [*parse_qsl(settings.vivid_query), ("pageSize", str(PAGE_SIZE)), ("page", str(number))]
        )
        reply = await ctx.fetch.get(f"{base}?{query}", timeout_s=settings.timeout_s, wait_s=15.0)
        try:
            page = vivid.parse_productions(reply.body)
        except Rejected as error:
            raise SourceError(f"Productions page {number} is unusable: {error}", code="HG444") from None
        pages = page.pages
        whole = whole and not page.bad
        yield _catalogue(
            "vivid", page.productions, page.bad, number, pages, poll=True, whole=whole, total=page.total
        )
        number += 1


async def seatgeek_events(ctx: SourceContext, cursor: Any) -> AsyncIterator[Page]:
    """SeatGeek's catalogue, as far as `args["pages"]` (default 20 of 100 events)."""
    settings = TicketsSettings.of(ctx.settings)
    if settings.seatgeek_client_id is None:
        raise SourceError("SeatGeek needs HEADGATE_TICKETS_SEATGEEK_CLIENT_ID.", code="HG443")
    number, pages = 1, 1
    while number <= pages:
        key = settings.seatgeek_client_id.get_secret_value()
        query = urlencode({"client_id": key, "per_page": 100, "page": number})
        reply = await ctx.fetch.get(f"{settings.seatgeek_url.rstrip('/')}/2/events?{query}", wait_s=15.0)
        try:
            found, total, bad = seatgeek.parse_events(reply.body)
        except Rejected as error:
            raise SourceError(f"SeatGeek's page {number} is unusable: {error}", code="HG444") from None
        pages = min(-(-total // 100), int(ctx.args.get("pages", 20)))
        yield _catalogue("seatgeek", found, bad, number, pages, poll=False, whole=False, total=total)
        number += 1


async def ticketmaster_events(ctx: SourceContext, cursor: Any) -> AsyncIterator[Page]:
    """Ticketmaster's catalogue by the Discovery API, as deep as it answers."""
    settings = TicketsSettings.of(ctx.settings)
    if settings.ticketmaster_key is None:
        raise SourceError("Ticketmaster needs HEADGATE_TICKETS_TICKETMASTER_KEY.", code="HG443")
    size, number, pages = ticketmaster.PAGE, 0, 1
    while number < pages:
        key = settings.ticketmaster_key.get_secret_value()
        query = urlencode(
            [
                *parse_qsl(settings.ticketmaster_query),
                ("apikey", key),
                ("size", str(size)),
                ("page", str(number)),
            ]
        )
        url = f"{settings.ticketmaster_url.rstrip('/')}/discovery/v2/events.json?{query}"
        reply = await ctx.fetch.get(url, wait_s=15.0, timeout_s=settings.timeout_s)
        try:
            found, stated, bad = ticketmaster.parse_events(reply.body)
        except Rejected as error:
            raise SourceError(f"Ticketmaster's page {number} is unusable: {error}", code="HG444") from None
        pages = min(stated, ticketmaster.DEEPEST // size)
        number += 1
        yield _catalogue("ticketmaster", found, bad, number, pages, poll=False, whole=False, total=None)


def _catalogue(
    source: str,
    found: list[Production],
    bad: list[tuple[str, str]],
    number: int,
    pages: int,
    *,
    poll: bool,
    whole: bool,
    total: int | None,
) -> Page:
    """A catalogue page in the shape that `tickets.promote_events` reads. Bad items are named in the meta."""
    last = number >= pages
    rows = []
    for production in {p.external_id: p for p in found}.values():
        row = asdict(production)
        row |= {
            "starts_at": production.starts_at.isoformat(),
            "local_date": production.local_date.isoformat(),
        }
        rows.append(row)
    meta = {
        "source": source,
        "poll": poll,
        "page": number,
        "pages": pages,
        "complete": last and whole,
        "bad": [{"id": id_, "reason": reason} for id_, reason in bad[:20]],
    }
    step = f"{source} page {number} of {pages}"
    return Page(rows=rows, expected=total, meta=meta, last=last, step=step)
