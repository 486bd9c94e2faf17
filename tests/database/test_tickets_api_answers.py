"""Every endpoint over real HTTP: the envelope, the shapes that OpenAPI promises, filters, order, pages, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from pydantic import TypeAdapter

from headgate.apps.tickets import api_models as models
from headgate.db import Database
from tests import ticket_market as market

GETS: dict[str, Any] = {
    "/api/events": list[models.Event],
    "/api/events/1": models.Event,
    "/api/events/1/zones": list[models.Zone],
    "/api/events/1/snapshot": models.Snapshot,
    "/api/events/1/listings": list[models.Listing],
    "/api/events/1/heatmap": list[models.Section],
    "/api/events/1/series": list[models.SeriesPoint],
    "/api/events/1/series?granularity=daily": list[models.SeriesPoint],
    "/api/events/1/series?zone=Club": list[models.SeriesPoint],
    "/api/events/1/polls": list[models.Poll],
    "/api/events/1/percentiles": list[models.Percentiles],
    "/api/events/1/exits": list[models.Exit],
    "/api/events/1/velocity": models.Velocity,
    "/api/events/1/forecast": models.Forecast,
    "/api/analytics/price-trends?event_id=1": list[models.PricePoint],
    "/api/analytics/price-trends?event_id=1&granularity=daily": list[models.PricePoint],
    "/api/analytics/group-prices?event_id=1&group_size=4": list[models.GroupPrice],
    "/api/analytics/ticket-counts?event_id=1&zone=Club": list[models.TicketCount],
    "/api/realtime/latest-prices": list[models.LatestPrice],
    "/api/realtime/latest-prices?event_id=1&zone=Club": list[models.LatestPrice],
    "/api/screen?spark=true": list[models.Row],
    "/api/compare?ids=1,2": list[models.Comparison],
    "/api/freshness": list[models.Freshness],
}
META = {"as_of", "age_s", "promise_s", "coverage", "complete"}


class Client:
    """Requests against one server, answers as (status, headers, body)."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self.base = base
        self.session = session

    async def __call__(self, path: str, method: str = "GET", **more: Any) -> tuple[int, Any, Any]:
        async with self.session.request(method, self.base + path, **more) as answer:
            text = await answer.text()
            body = await answer.json() if text and "json" in answer.headers.get("content-type", "") else text
            return answer.status, answer.headers, body


@pytest.fixture
async def get(database: Database) -> AsyncIterator[Client]:
    """A server over two events with twelve hours of polls and one that was never polled."""
    await market.add_event(database, 1)
    await market.add_event(database, 2, name="Concert 100% live", category="music", city="Austin")
    await market.add_event(database, 3, active=False)
    for event_id in (1, 2):
        await market.history(database, event_id, hours=12)
    async with market.serving(database) as base, aiohttp.ClientSession() as session:
        yield Client(base, session)


async def test_every_endpoint_answers_in_the_promised_shape(get: Client) -> None:
    for path, shape in GETS.items():
        status, headers, body = await get(path)
        assert status == 200, (path, body)
        assert body["success"] is True
        assert set(body["meta"]) >= META, (path, body["meta"])
        TypeAdapter(shape).validate_python(body["data"])
        assert body["data"], path
        assert headers["ETag"] and headers["X-RateLimit-Limit"], path
        assert headers["X-Request-Id"]


async def test_meta_tells_age_promise_and_coverage(get: Client) -> None:
    _, _, body = await get("/api/events/1/snapshot")
    meta = body["meta"]
    assert 0 <= meta["age_s"] <= 1800 and meta["promise_s"] == 600
    assert meta["coverage"] == pytest.approx(1, abs=0.01)
    assert meta["complete"] is (meta["age_s"] <= 600)
    assert meta["currency"] == "USD"


async def test_price_trend_meta_names_what_was_asked_and_the_direction(get: Client) -> None:
    _, _, body = await get("/api/analytics/price-trends?event_id=1&zone=Club")
    meta = body["meta"]
    assert meta["event_id"] == 1 and meta["zone"] == "Club" and meta["granularity"] == "hourly"
    assert meta["data_points"] == len(body["data"]) >= 12
    assert meta["trend"] in {"up", "down", "flat"} and isinstance(meta["percent_change"], float)


async def test_null_zone_is_one_series_for_the_whole_event(get: Client) -> None:
    _, _, body = await get("/api/analytics/price-trends?event_id=1")
    times = [point["timestamp"] for point in body["data"]]
    assert times == sorted(set(times))
    _, _, club = await get("/api/analytics/price-trends?event_id=1&zone=Club")
    whole = {point["timestamp"]: point["min_price"] for point in body["data"]}
    assert all(whole[point["timestamp"]] <= point["min_price"] for point in club["data"])


async def test_constant_inventory_reads_as_itself_at_every_granularity(database: Database) -> None:
    await market.add_event(database, 7, tz="UTC")
    rows = [market.listing(n, qty=4) for n in range(50)]
    start = (market.now() - timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0)
    for step in range(6 * 12):
        await market.poll(database, 7, start + timedelta(minutes=10 * step), rows)
    await market.refresh(database)
    async with market.serving(database) as base, aiohttp.ClientSession() as session:
        get = Client(base, session)
        for granularity in ("hourly", "daily"):
            _, _, body = await get(
                f"/api/analytics/ticket-counts?event_id=7&granularity={granularity}"
                f"&start_date={start.isoformat().replace('+', '%2B')}"
            )
            assert body["data"], granularity
            assert {point["total_tickets"] for point in body["data"]} == {200}, granularity
            assert {point["total_listings"] for point in body["data"]} == {50}, granularity


async def test_a_sold_out_zone_reads_as_zero_and_an_unknown_one_as_nothing(database: Database) -> None:
    await market.add_event(database, 9, tz="UTC")
    hour = market.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=4)
    floor = [market.listing(n, zone="Club") for n in range(4)]
    for step in range(18):
        gone = [] if step >= 6 else [market.listing(99, qty=2, zone="Floor")]
        await market.poll(database, 9, hour + timedelta(minutes=10 * step), [*floor, *gone])
    await market.refresh(database)
    async with market.serving(database) as base, aiohttp.ClientSession() as session:
        get = Client(base, session)
        _, _, body = await get("/api/analytics/ticket-counts?event_id=9&zone=Floor")
        assert [point["total_tickets"] for point in body["data"]][:3] == [2, 0, 0]
        _, _, body = await get("/api/analytics/price-trends?event_id=9&zone=Floor")
        assert [point["min_price"] for point in body["data"]][:2] == [100, None]
        _, _, body = await get("/api/analytics/ticket-counts?event_id=9&zone=Nowhere")
        assert body["data"] == []


async def test_time_that_is_still_to_come_is_not_observed(database: Database) -> None:
    await market.add_event(database, 10, tz="UTC")
    await market.poll(database, 10, market.now() - timedelta(minutes=2), [market.listing(1)])
    async with market.serving(database) as base, aiohttp.ClientSession() as session:
        get = Client(base, session)
        _, _, body = await get("/api/events/10/velocity")
        assert body["data"]["observed_days"] <= 0.002
        later = (market.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        _, _, body = await get(f"/api/analytics/price-trends?event_id=10&end_date={later}")
        assert all(point["timestamp"] <= market.now().isoformat() for point in body["data"])
        _, _, body = await get(f"/api/events/10/series?until={later}")
        now = market.now()
        if now.minute >= 10:
            assert body["data"][-1]["coverage"] <= 3 / now.minute


async def test_the_api_describes_itself_with_every_parameter(get: Client) -> None:
    status, _, document = await get("/api/openapi.json")
    assert status == 200, document
    for path in {one.partition("?")[0].replace("/1", "/{event_id}") for one in GETS}:
        assert "200" in document["paths"][path]["get"]["responses"], path
    names = {one["name"] for one in document["paths"]["/api/events/{event_id}/velocity"]["get"]["parameters"]}
    assert names == {"event_id", "zone", "days"}


async def test_missing_time_is_missing_and_coverage_says_so(database: Database) -> None:
    await market.add_event(database, 8, tz="UTC")
    hour = market.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=10)
    rows = [market.listing(1)]
    for at in (hour, hour + timedelta(minutes=20), hour + timedelta(hours=5)):
        await market.poll(database, 8, at, rows)
    await market.refresh(database)
    async with market.serving(database) as base, aiohttp.ClientSession() as session:
        since = hour.isoformat().replace("+", "%2B")
        _, _, body = await Client(base, session)(f"/api/events/8/series?since={since}")
        observed = {point["timestamp"]: point["coverage"] for point in body["data"] if point["polls"]}
        assert len(observed) == 2
        assert sorted(observed.values()) == pytest.approx([0.5, 50 / 60], abs=0.01)
        assert body["meta"]["complete"] is False and body["meta"]["coverage"] < 0.2


FILTERS: dict[str, list[str]] = {
    "city_eq=Austin": ["Concert 100% live"],
    "name_like=game%25": ["Game 1", "Game 3"],
    "id_in=1,3": ["Game 1", "Game 3"],
    "id_neq=2": ["Game 1", "Game 3"],
    "id_gt=1&id_lt=3": ["Concert 100% live"],
    "id_gte=2&id_lte=2": ["Concert 100% live"],
    "active=false": ["Game 3"],
    "category=music": ["Concert 100% live"],
    "order=id.desc&limit=2": ["Game 3", "Concert 100% live"],
    "order=id.asc&limit=1&offset=1": ["Concert 100% live"],
}
INVALID = (
    "/api/events?limit=101",
    "/api/events?limit=0",
    "/api/events?offset=-1",
    "/api/events?nonsense=1",
    "/api/events?id_eq=x",
    "/api/events?order=secret.asc",
    "/api/events/abc",
    "/api/events/0",
    "/api/events/99999999999999999999",
    "/api/analytics/price-trends",
    "/api/analytics/price-trends?event_id=1&granularity=weekly",
    "/api/analytics/price-trends?event_id=1&start_date=yesterday",
    "/api/analytics/price-trends?event_id=1&zone=%00",
    "/api/analytics/group-prices?event_id=1&group_size=3",
    "/api/compare?ids=1,x",
    "/api/compare?ids=0",
)
ABSENT = (
    "/api/events/99",
    "/api/events/99/series",
    "/api/analytics/price-trends?event_id=99",
    "/api/nothing",
    "/api/",
)


async def test_filters_order_and_pages(get: Client) -> None:
    for query, names in FILTERS.items():
        status, _, body = await get(f"/api/events?{query}")
        found = [row["name"] for row in body["data"]]
        assert status == 200 and (found if "order" in query else sorted(found)) == names, query
        assert body["meta"]["total"] >= len(found)


async def test_bad_parameters_are_validation_errors(get: Client) -> None:
    for path in INVALID:
        status, _, body = await get(path)
        assert (status, body["success"], body["error"]["code"]) == (400, False, "VALIDATION_ERROR"), (
            path,
            body,
        )
        assert body["error"]["message"] and "Traceback" not in str(body)


async def test_what_does_not_exist_is_not_found(get: Client) -> None:
    for path in ABSENT:
        status, _, body = await get(path)
        assert (status, body["error"]["code"]) == (404, "NOT_FOUND"), path


async def test_wrong_method_is_405_and_says_which_would_do(get: Client) -> None:
    status, headers, body = await get("/api/events", "DELETE")
    assert status == 405 and headers["Allow"] == "GET" and body["error"]["code"] == "VALIDATION_ERROR"


async def test_event_that_was_never_polled_answers_honestly(get: Client) -> None:
    _, _, body = await get("/api/events/3/snapshot")
    assert body["data"]["now"]["get_in"] is None and body["data"]["zones"] == []
    assert (
        body["meta"]["as_of"] is None and body["meta"]["complete"] is False and body["meta"]["coverage"] == 0
    )
    _, _, forecast = await get("/api/events/3/forecast")
    assert forecast["data"]["status"] == "not_enough_data" and forecast["data"]["points"] == []


async def test_listings_for_a_pair_are_only_those_that_sell_a_pair(get: Client, database: Database) -> None:
    _, _, body = await get("/api/events/1/listings?group_size=2&limit=100")
    assert body["data"] and all(2 in row["splits"] for row in body["data"])
    prices = [row["price"] for row in body["data"]]
    assert prices == sorted(prices)
    _, _, cheap = await get(
        f"/api/events/1/listings?price_lte={prices[0]}&zone_in=Club,Lower Level,Upper Level"
    )
    assert all(row["price"] <= prices[0] for row in cheap["data"])


async def test_get_in_for_pair_and_four_follow_what_is_sold_together(database: Database) -> None:
    await market.add_event(database, 9)
    rows = [
        market.listing(1, price=5_000, qty=4, splits=[4]),
        market.listing(2, price=7_000, qty=2, splits=[2]),
        market.listing(3, price=4_000, qty=1, splits=[1]),
    ]
    await market.poll(database, 9, market.now(), rows)
    async with market.serving(database) as base, aiohttp.ClientSession() as session:
        _, _, body = await Client(base, session)("/api/events/9/snapshot")
        assert body["data"]["now"]["get_in"] == 40
        assert body["data"]["now"]["get_in_pair"] == 70 and body["data"]["now"]["get_in_four"] == 50


async def test_rpc_price_trends_is_callable_by_name_and_not_ambiguous(database: Database) -> None:
    await market.add_event(database, 1)
    await market.history(database, 1, hours=3)
    async with database.as_role({"role": "anon"}) as conn:
        rows = await (
            await conn.execute(
                "select * from public.get_price_trends(p_event_id => 1, p_zone => null, p_start_date => null,"
                " p_end_date => null, p_granularity => 'hourly')"
            )
        ).fetchall()
        short = await (await conn.execute("select * from public.get_price_trends(1)")).fetchall()
    assert rows == short and len(rows) >= 3
    assert set(rows[0]) == {"timestamp", "min_price", "avg_price", "max_price"}
