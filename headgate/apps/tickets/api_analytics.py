"""Price trends, group prices, ticket counts and latest prices, under the paths the first clients were written for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Request

from headgate.apps.tickets.api_answer import Question
from headgate.apps.tickets.api_desk import (
    NOW_META,
    AskedEvent,
    Desk,
    Granularity,
    GroupSize,
    Since,
    Until,
    Zone,
    utc,
)
from headgate.apps.tickets.api_models import Envelope, GroupPrice, LatestPrice, PricePoint, TicketCount
from headgate.db import SQL, Identifier

_TRENDS = SQL(
    "select * from public.get_price_trends(%(event_id)s, %(zone)s, %(since)s, %(until)s, %(granularity)s)"
)
_GROUPS = SQL(
    "select * from public.get_group_prices"
    "(%(event_id)s, %(zone)s, %(since)s, %(until)s, %(granularity)s, %(group_size)s)"
)
_COUNTS = SQL(
    "select * from public.get_ticket_counts(%(event_id)s, %(zone)s, %(since)s, %(until)s, %(granularity)s)"
)
_LATEST = SQL("select * from public.get_latest_prices(%(event_id)s, %(zone)s)")
_MANY = SQL("public.events_meta(array_agg(answer.event_id))")


# The event's meta and the direction of a value from the first bucket that has one to the last.
_WITH_TREND = SQL(
    "select public.event_meta(%(event_id)s, %(since)s, %(until)s) || "
    "public.trend_meta(array_agg(answer.{} order by answer.timestamp)) from answer"
)


def _span(
    *,
    event_id: AskedEvent,
    zone: Zone = None,
    start_date: Since = None,
    end_date: Until = None,
    granularity: Granularity = "hourly",
) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "zone": zone,
        "since": utc(start_date),
        "until": utc(end_date),
        "granularity": granularity,
    }


#: One event over a span of time, as three of the endpoints ask for it; the parameters of their queries.
Span = Annotated[dict[str, Any], Depends(_span)]


def add(desk: Desk) -> None:
    """Add the endpoints."""
    get = desk.router.get

    @get("/analytics/price-trends", response_model=Envelope[list[PricePoint]], tags=["analytics"])
    async def price_trends(
        request: Request,
        span: Span,
    ) -> Any:
        """Minimum, time-weighted average and maximum price by hour or day.

        `meta` adds `event_id`, `zone`, `granularity`, `data_points`, `trend` (up, down or flat by the average
        price) and `percent_change`.
        """
        return await desk.answer(request, _question(_TRENDS, "avg_price", span))

    @get("/analytics/group-prices", response_model=Envelope[list[GroupPrice]], tags=["analytics"])
    async def group_prices(
        request: Request,
        span: Span,
        group_size: GroupSize = 2,
    ) -> Any:
        """The cheapest price per ticket for a group that sits together, counting only splits really for sale."""
        return await desk.answer(request, _question(_GROUPS, "price", {**span, "group_size": group_size}))

    @get("/analytics/ticket-counts", response_model=Envelope[list[TicketCount]], tags=["analytics"])
    async def ticket_counts(
        request: Request,
        span: Span,
    ) -> Any:
        """Tickets and listings on sale: levels, so a constant 200 tickets reads as 200 at every granularity."""
        return await desk.answer(request, _question(_COUNTS, "total_tickets", span))

    @get("/realtime/latest-prices", response_model=Envelope[list[LatestPrice]], tags=["analytics"])
    async def latest_prices(
        request: Request,
        *,
        event_id: int | None = Query(default=None, ge=1, lt=2**63, description="One event; without it, all."),
        zone: Zone = None,
    ) -> Any:
        """Prices by zone at the newest accepted poll, over all sections of the zone."""
        params = {"event_id": event_id, "zone": zone, "since": None, "until": None}
        meta = NOW_META if event_id else _MANY
        return await desk.answer(request, Question(_LATEST, meta, params, event_id))


def _question(query: SQL, value: str, params: dict[str, Any]) -> Question:
    meta = _WITH_TREND.format(Identifier(value))
    extra: dict[str, Any] = {
        name: params[name] for name in ("event_id", "zone", "granularity", "group_size") if name in params
    }
    return Question(query, meta, params, params["event_id"], extra=extra)
