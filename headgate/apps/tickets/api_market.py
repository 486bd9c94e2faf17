"""Many events at once: the screener, the comparison, and how fresh everything is."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from headgate.apps.tickets.api_answer import Question
from headgate.apps.tickets.api_desk import PAGED, Desk, Ids, Limit, Offset, Order, filters
from headgate.apps.tickets.api_errors import invalid
from headgate.apps.tickets.api_filters import narrow
from headgate.apps.tickets.api_models import Comparison, Envelope, Freshness, Row
from headgate.db import SQL, Identifier

SCREEN_COLUMNS = {
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
    "days_to_event": "number",
    "age_s": "integer",
    "get_in": "number",
    "get_in_pair": "number",
    "get_in_four": "number",
    "avg_price": "number",
    "median_price": "number",
    "max_price": "number",
    "total_listings": "integer",
    "total_tickets": "integer",
    "change_24h": "number",
    "change_7d": "number",
    "tickets_change_24h": "number",
    "sold_lo_24h": "integer",
    "sold_hi_24h": "integer",
}
FRESHNESS_COLUMNS = {
    "event_id": "integer",
    "name": "text",
    "status": "text",
    "starts_at": "time",
    "promise_s": "integer",
    "as_of": "time",
    "age_s": "integer",
    "within": "boolean",
    "service_24h": "number",
    "polls_24h": "integer",
    "failed_24h": "integer",
    "next_due": "time",
}
_SPARK = SQL("public.event_spark(p.id, 48)")
_SCREEN = SQL(
    "select p.*, {spark} as spark from (select * from hits {order}, id limit %(limit)s offset %(offset)s) p"
)
_FRESHNESS = SQL("select * from hits {order}, event_id limit %(limit)s offset %(offset)s")
_PAGE_META = SQL(
    "public.events_meta(array_agg(answer.{id})) || "
    "jsonb_build_object('total', (select count(*) from hits), 'limit', %(limit)s::int, 'offset', %(offset)s::int)"
    "{more}"
)
_SUMMARY = SQL(" || jsonb_build_object('summary', public.freshness_summary())")


def add(desk: Desk) -> None:
    """Add the endpoints."""
    get = desk.router.get

    @get(
        "/screen", response_model=Envelope[list[Row]], tags=["market"], openapi_extra=filters(SCREEN_COLUMNS)
    )
    async def screen(
        request: Request, spark: bool = False, limit: Limit = 50, offset: Offset = 0, order: Order = None
    ) -> Any:
        """Every event with its prices now and how they moved; `spark=true` adds 48 hourly get-in prices."""
        pairs = [*request.query_params.multi_items()]
        found = narrow(pairs, SCREEN_COLUMNS, known=PAGED | {"spark"}, order="starts_at.asc")
        hits = SQL("hits as materialized (select * from (select * from public.screen_events()) s {})").format(
            found.where
        )
        query = _SCREEN.format(spark=_SPARK if spark else SQL("null"), order=found.order)
        meta = _PAGE_META.format(id=Identifier("id"), more=SQL(""))
        params = {**found.params, "limit": limit, "offset": offset}
        return await desk.answer(request, Question(query, meta, params, ctes=hits))

    @get("/compare", response_model=Envelope[list[Comparison]], tags=["market"])
    async def compare(request: Request, ids: Ids) -> Any:
        """Up to ten events side by side, with their daily get-in prices by days to the event."""
        numbers = list(dict.fromkeys(int(part) for part in ids.split(",")))
        query = SQL("select event, daily from public.compare_events(%(ids)s::bigint[])")
        meta = SQL("select public.events_meta(%(ids)s::bigint[])")
        if any(number < 1 for number in numbers):
            raise invalid("ids: event numbers start at 1.", parameter="ids")
        return await desk.answer(request, Question(query, meta, {"ids": numbers}))

    @get(
        "/freshness",
        response_model=Envelope[list[Freshness]],
        tags=["market"],
        openapi_extra=filters(FRESHNESS_COLUMNS),
    )
    async def freshness(request: Request, limit: Limit = 100, offset: Offset = 0, order: Order = None) -> Any:
        """How old each active event's data is, against its promise.

        `meta.summary` has the whole: events, within, starved, the share of event-minutes of the last 24 h within
        the promise, and the age's p50, p95, p99 and maximum in seconds.
        """
        pairs = [*request.query_params.multi_items()]
        found = narrow(pairs, FRESHNESS_COLUMNS, known=PAGED, order="age_s.desc")
        hits = SQL(
            "hits as materialized (select * from (select * from public.event_freshness()) f {})"
        ).format(found.where)
        query = _FRESHNESS.format(order=found.order)
        meta = _PAGE_META.format(id=Identifier("event_id"), more=_SUMMARY)
        params = {**found.params, "limit": limit, "offset": offset}
        return await desk.answer(request, Question(query, meta, params, ctes=hits, life_s=3))
