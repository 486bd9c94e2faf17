"""The other sources: their catalogues become events that are not polled, under the limits of their keys."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from headgate.apps.tickets.app import app
from headgate.apps.tickets.jobs import prepare_catalogue
from headgate.apps.tickets.settings import TicketsSettings, host_key
from headgate.base.errors import SourceError
from headgate.db import Database
from headgate.engine.fetch import Fetcher
from headgate.engine.runs import run_source
from tests.serving import on_loopback
from tests.shared_data import shared


@contextlib.asynccontextmanager
async def answering(pages: dict[str, bytes]) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that answers each path with these bytes; its address and the queries it was asked."""
    asked: list[str] = []

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        asked.append(scope["path"] + "?" + scope["query_string"].decode())
        body = pages.get(scope["path"])
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200 if body else 404, "headers": headers})
        await send({"type": "http.response.body", "body": body or b""})

    async with on_loopback(serve, lifespan="off") as url:
        yield url, asked


async def run(db: Database, url: str, source: str, settings: TicketsSettings, **args: Any) -> Any:
    """One run of a source against a local address."""
    values = {name: getattr(settings, name) for name in TicketsSettings.model_fields}
    async with Fetcher(db, user_agent="headgate-test", allow_private={host_key(url)}) as fetcher:
        key = str(args["event_id"]) if "event_id" in args else None
        return await run_source(db, app, source, key=key, args=args, fetcher=fetcher, settings=values)


async def test_ticketmasters_catalogue_becomes_events_that_nobody_polls(database: Database) -> None:
    document = orjson.loads(shared("tickets/catalogues/ticketmaster_discovery_events_20.json").read_bytes())
    document["page"]["totalPages"] = 1
    async with answering({"/discovery/v2/events.json": orjson.dumps(document)}) as (url, asked):
        settings = TicketsSettings(ticketmaster_url=url, ticketmaster_key=SecretStr("k-123"))
        assert await prepare_catalogue(database, "tickets.ticketmaster", settings)
        report = await run(database, url, "tickets.ticketmaster", settings)
    assert (report.state, report.upserted) == ("succeeded", 20)
    rows = await database.fetch_all("select * from public.events order by id")
    assert len(rows) == 20 and not any(row["active"] for row in rows)
    assert rows[0]["source"] == "ticketmaster" and rows[0]["tz"] == "America/Los_Angeles"
    assert any("apikey=k-123" in query for query in asked)
    limits = await database.fetch_one("select rate_per_s from control.hosts where host = %s", [host_key(url)])
    assert limits == {"rate_per_s": 5.0}
    kept = await database.fetch_value(
        "select string_agg(args::text || meta::text, '') from control.runs, control.run_steps"
    )
    assert "k-123" not in kept


async def test_a_second_look_changes_nothing(database: Database) -> None:
    body = orjson.loads(shared("tickets/catalogues/seatgeek_events_10.json").read_bytes())
    body["meta"]["total"] = 10
    async with answering({"/2/events": orjson.dumps(body)}) as (url, _):
        settings = TicketsSettings(seatgeek_url=url, seatgeek_client_id=SecretStr("c"))
        first = await run(database, url, "tickets.seatgeek_events", settings)
        second = await run(database, url, "tickets.seatgeek_events", settings)
    assert (first.upserted, second.upserted, second.unchanged) == (10, 0, 10)


async def test_seatgeek_listings_are_polled_by_hand_and_a_contradiction_is_refused(
    database: Database,
) -> None:
    body = orjson.loads(shared("tickets/catalogues/seatgeek_events_10.json").read_bytes())
    body["meta"]["total"] = 10
    good = {"id": "a1", "s": "Loge 102", "r": "C", "q": 2, "sp": [2], "p": 100, "f": 23.5, "pf": 123.5}
    pages = {"/2/events": orjson.dumps(body), "/api/event_listings_v2": orjson.dumps({"listings": [good]})}
    async with answering(pages) as (url, _):
        settings = TicketsSettings(seatgeek_url=url, seatgeek_client_id=SecretStr("c"))
        await run(database, url, "tickets.seatgeek_events", settings)
        event = await database.fetch_one("select id, external_id from public.events order by id limit 1")
        assert event is not None
        args = {"event_id": event["id"], "external_id": event["external_id"]}
        await run(database, url, "tickets.seatgeek_listings", settings, **args)
        pages["/api/event_listings_v2"] = orjson.dumps({"listings": [{**good, "pf": 99}]})
        await run(database, url, "tickets.seatgeek_listings", settings, **args)
    polls = await database.fetch_all("select status, reason, get_in from public.polls order by observed_at")
    assert polls == [
        {"status": "accepted", "reason": None, "get_in": 12350},
        {"status": "rejected", "reason": "contradiction", "get_in": None},
    ]


async def test_without_a_key_nothing_is_asked(database: Database) -> None:
    settings = TicketsSettings()
    for source in ("tickets.ticketmaster", "tickets.seatgeek_events", "tickets.productions"):
        assert not await prepare_catalogue(database, source, settings)
    with pytest.raises(SourceError, match="HEADGATE_TICKETS_TICKETMASTER_KEY"):
        await run(database, "http://127.0.0.1:1", "tickets.ticketmaster", settings)
