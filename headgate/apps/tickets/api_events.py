"""Events and everything about one event: zones, series, snapshot, listings, sections, exits, velocity, forecast."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request

from headgate.apps.tickets.api_answer import Question
from headgate.apps.tickets.api_desk import (
    EVENT_META,
    NOW_META,
    PAGED,
    Desk,
    EventId,
    Granularity,
    GroupSize,
    Limit,
    Offset,
    Order,
    Since,
    Until,
    Zone,
    filters,
    utc,
)
from headgate.apps.tickets.api_filters import narrow
from headgate.apps.tickets.api_models import (
    Envelope,
    Event,
    Exit,
    Forecast,
    Listing,
    Percentiles,
    Poll,
    Section,
    SeriesPoint,
    Snapshot,
    Velocity,
)
from headgate.apps.tickets.api_models import Zone as ZoneShape
from headgate.db import SQL

EVENT_COLUMNS = {
    "id": "integer",
    "name": "text",
    "venue": "text",
    "city": "text",
    "state": "text",
    "category": "text",
    "performer_name": "text",
    "status": "text",
    "active": "boolean",
    "starts_at": "time",
    "local_date": "date",
    "last_scraped": "time",
}
LISTING_COLUMNS = {
    "listing_id": "text",
    "zone": "text",
    "section": "text",
    "row": "text",
    "quantity": "integer",
    "price": "number",
    "since": "time",
}
_LIST = SQL("select * from hits {order}, id limit %(limit)s offset %(offset)s")
_LIST_META = SQL(
    "public.events_meta(array_agg(answer.id)) || "
    "jsonb_build_object('total', (select count(*) from hits), 'limit', %(limit)s::int, 'offset', %(offset)s::int)"
)
_LISTINGS = SQL("select * from hits {order}, listing_id limit %(limit)s offset %(offset)s")
_LISTINGS_META = SQL(
    "select public.event_meta(%(event_id)s, null, null) || "
    "jsonb_build_object('total', (select count(*) from hits), 'limit', %(limit)s::int, 'offset', %(offset)s::int)"
)
Section_ = Annotated[str | None, Query(max_length=200, pattern="^[^\\x00]*$", description="One section.")]


def add(desk: Desk) -> None:
    """Add the endpoints."""
    _add_list(desk)
    _add_now(desk)
    _add_history(desk)
    _add_outlook(desk)


def _add_list(desk: Desk) -> None:
    get = desk.router.get
    extra = filters(EVENT_COLUMNS)

    @get("/events", response_model=Envelope[list[Event]], tags=["events"], openapi_extra=extra)
    async def events(
        request: Request,
        *,
        active: bool | None = None,
        category: Annotated[str | None, Query(max_length=200, pattern="^[^\\x00]*$")] = None,
        limit: Limit = 50,
        offset: Offset = 0,
        order: Order = None,
    ) -> Any:
        """Events, filtered by suffix (`city_eq`, `starts_at_gte`, `name_like`, …), ordered and paged."""
        pairs = [*request.query_params.multi_items()]
        known = PAGED | {"active", "category"}
        found = narrow(pairs, EVENT_COLUMNS, known=known, order="starts_at.asc")
        params = {**found.params, "active": active, "category": category, "limit": limit, "offset": offset}
        hits = SQL(
            "hits as materialized (select * from (select * from public.list_events(%(active)s, %(category)s)) e {})"
        ).format(found.where)
        return await desk.answer(
            request, Question(_LIST.format(order=found.order), _LIST_META, params, ctes=hits)
        )

    @get("/events/{event_id}", response_model=Envelope[Event], tags=["events"])
    async def event(request: Request, event_id: EventId) -> Any:
        """One event."""
        query = SQL("select * from public.list_events(null, null) where id = %(event_id)s")
        return await desk.answer(
            request, Question(query, NOW_META, {"event_id": event_id}, event_id, one=True)
        )


def _add_now(desk: Desk) -> None:
    get = desk.router.get

    @get("/events/{event_id}/zones", response_model=Envelope[list[ZoneShape]], tags=["event"])
    async def zones(request: Request, event_id: EventId) -> Any:
        """The event's zones, now."""
        query = SQL("select * from public.event_zones(%(event_id)s)")
        return await desk.answer(request, Question(query, NOW_META, {"event_id": event_id}, event_id))

    @get("/events/{event_id}/snapshot", response_model=Envelope[Snapshot], tags=["event"])
    async def snapshot(request: Request, event_id: EventId) -> Any:
        """The event, its whole market and its zones at the newest accepted poll."""
        query = SQL("select * from public.event_snapshot(%(event_id)s)")
        return await desk.answer(
            request, Question(query, NOW_META, {"event_id": event_id}, event_id, one=True)
        )

    @get("/events/{event_id}/heatmap", response_model=Envelope[list[Section]], tags=["event"])
    async def heatmap(request: Request, event_id: EventId, zone: Zone = None) -> Any:
        """Every section now: the cheapest and the median price, inventory, and the change over 24 h."""
        query = SQL("select * from public.event_heatmap(%(event_id)s, %(zone)s)")
        params = {"event_id": event_id, "zone": zone}
        return await desk.answer(request, Question(query, NOW_META, params, event_id))

    @get(
        "/events/{event_id}/listings",
        response_model=Envelope[list[Listing]],
        tags=["event"],
        openapi_extra=filters(LISTING_COLUMNS),
    )
    async def listings(
        request: Request,
        *,
        event_id: EventId,
        group_size: GroupSize = 1,
        limit: Limit = 50,
        offset: Offset = 0,
        order: Order = None,
    ) -> Any:
        """Listings on sale now; `group_size` keeps those that can be bought as one, a pair or a four."""
        pairs = [*request.query_params.multi_items()]
        found = narrow(pairs, LISTING_COLUMNS, known=PAGED | {"group_size"}, order="price.asc")
        params = {
            **found.params,
            "event_id": event_id,
            "group_size": group_size,
            "limit": limit,
            "offset": offset,
        }
        hits = SQL(
            "hits as materialized (select * from "
            "(select * from public.event_listings(%(event_id)s, %(group_size)s)) l {})"
        ).format(found.where)
        query = _LISTINGS.format(order=found.order)
        return await desk.answer(request, Question(query, _LISTINGS_META, params, event_id, ctes=hits))


def _add_history(desk: Desk) -> None:
    get = desk.router.get

    @get("/events/{event_id}/series", response_model=Envelope[list[SeriesPoint]], tags=["event"])
    async def series(
        request: Request,
        *,
        event_id: EventId,
        zone: Zone = None,
        section: Section_ = None,
        since: Since = None,
        until: Until = None,
        granularity: Granularity = "hourly",
    ) -> Any:
        """Prices, inventory, arrivals, departures and sold intervals by hour or day. Missing time stays missing."""
        query = SQL(
            "select * from public.event_series"
            "(%(event_id)s, %(zone)s, %(section)s, %(since)s, %(until)s, %(granularity)s)"
        )
        params = {
            "event_id": event_id,
            "zone": zone,
            "section": section,
            "since": utc(since),
            "until": utc(until),
            "granularity": granularity,
        }
        return await desk.answer(request, Question(query, EVENT_META, params, event_id))

    @get("/events/{event_id}/polls", response_model=Envelope[list[Poll]], tags=["event"])
    async def polls(request: Request, *, event_id: EventId, since: Since = None, limit: Limit = 60) -> Any:
        """Attempts to read the listings, newest first, three hours by default, and the market each found."""
        query = SQL("select * from public.event_polls(%(event_id)s, %(since)s, %(limit)s)")
        params = {"event_id": event_id, "since": utc(since), "limit": limit}
        return await desk.answer(request, Question(query, NOW_META, params, event_id))

    @get("/events/{event_id}/percentiles", response_model=Envelope[list[Percentiles]], tags=["event"])
    async def percentiles(
        request: Request, event_id: EventId, zone: Zone = None, since: Since = None, until: Until = None
    ) -> Any:
        """Price percentiles over a time, whole event first (`zone` null) and then by zone, weighted by time listed."""
        query = SQL("select * from public.event_percentiles(%(event_id)s, %(zone)s, %(since)s, %(until)s)")
        params = {"event_id": event_id, "zone": zone, "since": utc(since), "until": utc(until)}
        return await desk.answer(request, Question(query, EVENT_META, params, event_id))

    @get("/events/{event_id}/exits", response_model=Envelope[list[Exit]], tags=["event"])
    async def exits(
        request: Request,
        *,
        event_id: EventId,
        zone: Zone = None,
        since: Since = None,
        until: Until = None,
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> Any:
        """Listings that left, newest first, at their last listed price.

        `meta.sold_lo` and `meta.sold_hi` bound the tickets sold in the time asked for (24 h by default): low counts
        what stayed away for two complete polls without a relist, high counts everything that left.
        """
        query = SQL(
            "select * from public.event_exits"
            "(%(event_id)s, %(zone)s, %(since)s, %(until)s, %(limit)s, %(offset)s)"
        )
        params = {
            "event_id": event_id,
            "zone": zone,
            "since": utc(since),
            "until": utc(until),
            "limit": limit,
            "offset": offset,
        }
        meta = SQL(
            "select public.event_meta(%(event_id)s, %(since)s, %(until)s) || "
            "public.sold_meta(%(event_id)s, %(zone)s, %(since)s, %(until)s)"
        )
        return await desk.answer(request, Question(query, meta, params, event_id))


def _add_outlook(desk: Desk) -> None:
    get = desk.router.get

    @get("/events/{event_id}/velocity", response_model=Envelope[Velocity], tags=["event"])
    async def velocity(
        request: Request,
        *,
        event_id: EventId,
        zone: Zone = None,
        days: Annotated[int, Query(ge=1, le=90, description="Days of history to look at.")] = 7,
    ) -> Any:
        """Tickets sold a day and days of supply, both as intervals."""
        query = SQL("select * from public.event_velocity(%(event_id)s, %(zone)s, %(days)s)")
        params = {"event_id": event_id, "zone": zone, "days": days}
        question = Question(query, NOW_META, params, event_id, one=True)
        return await desk.answer(request, question)

    @get("/events/{event_id}/forecast", response_model=Envelope[Forecast], tags=["event"])
    async def forecast(
        request: Request,
        *,
        event_id: EventId,
        zone: Zone = None,
        hours: Annotated[int, Query(ge=1, le=336, description="How far to look ahead.")] = 72,
    ) -> Any:
        """The get-in price to come, with an interval and the error of the same method on held-out history."""
        query = SQL("select * from public.event_forecast(%(event_id)s, %(zone)s, %(hours)s)")
        params = {"event_id": event_id, "zone": zone, "hours": hours}
        question = Question(query, NOW_META, params, event_id, one=True, life_s=20)
        return await desk.answer(request, question)
