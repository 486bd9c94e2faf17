"""Who may ask, how often, and what a client already has: keys, tokens, quotas, ETag, CORS, size cap, live feed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from headgate.db import Database, errors
from headgate.db.keys import create_key
from tests import ticket_market as market


async def _one_event(db: Database) -> None:
    await market.add_event(db, 1)
    await market.poll(db, 1, market.now(), market.walk(1))


async def test_address_without_key_has_its_own_hour_and_headers_count_down(database: Database) -> None:
    await _one_event(database)
    async with (
        market.serving(database, rate_limit_ip=5, rate_limit_loopback=0) as base,
        aiohttp.ClientSession() as session,
    ):
        left = []
        for _ in range(5):
            async with session.get(f"{base}/api/events") as answer:
                assert answer.status == 200
                assert answer.headers["X-RateLimit-Limit"] == "5"
                assert int(answer.headers["X-RateLimit-Reset"]) > market.now().timestamp()
                left.append(int(answer.headers["X-RateLimit-Remaining"]))
        assert left == [4, 3, 2, 1, 0]
        async with session.get(f"{base}/api/events") as answer:
            assert answer.status == 429 and int(answer.headers["Retry-After"]) >= 1
            assert (await answer.json())["error"]["code"] == "RATE_LIMIT_EXCEEDED"
        other = {"X-Forwarded-For": "198.51.100.7"}
        async with session.get(f"{base}/api/events", headers=other) as answer:
            assert answer.status == 200


async def test_key_has_its_own_larger_hour_and_names_its_role(database: Database) -> None:
    await _one_event(database)
    key = await create_key(database, name="test", role="anon")
    async with (
        market.serving(database, rate_limit_ip=1, rate_limit_key=7, rate_limit_loopback=0) as base,
        aiohttp.ClientSession() as session,
    ):
        for headers in ({"apikey": key}, {"Authorization": f"Bearer {key}"}):
            async with session.get(f"{base}/api/events", headers=headers) as answer:
                assert answer.status == 200 and answer.headers["X-RateLimit-Limit"] == "7"
        async with session.get(f"{base}/api/events", headers={"apikey": key[:-1]}) as answer:
            assert answer.status == 401
            assert (await answer.json())["error"]["code"] == "UNAUTHORIZED"


async def test_unchanged_answer_is_304_and_costs_nothing(database: Database) -> None:
    await _one_event(database)
    async with market.serving(database, rate_limit_loopback=50) as base, aiohttp.ClientSession() as session:
        async with session.get(f"{base}/api/events/1/snapshot") as answer:
            tag, left = answer.headers["ETag"], int(answer.headers["X-RateLimit-Remaining"])
        for _ in range(3):
            async with session.get(f"{base}/api/events/1/snapshot", headers={"If-None-Match": tag}) as answer:
                assert answer.status == 304 and await answer.read() == b""
                assert answer.headers["ETag"] == tag
                assert int(answer.headers["X-RateLimit-Remaining"]) == left
        await market.poll(database, 1, market.now(), market.walk(2))
        for _ in range(50):
            async with session.get(f"{base}/api/events/1/snapshot", headers={"If-None-Match": tag}) as answer:
                if answer.status == 200:
                    break
            await asyncio.sleep(0.02)
        assert answer.status == 200 and answer.headers["ETag"] != tag


async def test_anon_and_users_cannot_write_what_the_service_writes(database: Database) -> None:
    await _one_event(database)
    user = {"role": "authenticated", "sub": "5f3a1f52-94f4-4c0a-a5c3-6a9d4c2b0f01"}
    writes = (
        "update public.events set name = 'x'",
        "delete from public.polls",
        "insert into public.event_latest (event_id, observed_at, seq, n_listings, n_tickets) "
        "values (9, now(), 1, 1, 1)",
        "delete from public.listings_open",
        "select tickets.evaluate_alerts()",
        "select tickets.promote_poll(1, 1, '{}')",
        "select * from control.api_keys",
        "insert into public.alert_fires (event_id, rule_id, user_id, message, observed_at) "
        "values (1, 1, gen_random_uuid(), 'x', now())",
    )
    for claims in ({"role": "anon"}, user):
        for statement in writes:
            with pytest.raises(errors.InsufficientPrivilege):
                async with database.as_role(claims) as conn:
                    await conn.execute(statement)


async def test_token_goes_to_the_verifier_and_a_refused_one_is_401(database: Database) -> None:
    await _one_event(database)

    async def verify(token: str) -> Mapping[str, Any] | None:
        return (
            {"role": "authenticated", "sub": "5f3a1f52-94f4-4c0a-a5c3-6a9d4c2b0f01"}
            if token == "good"
            else None
        )

    async with (
        market.serving(database, extras={"verify_token": verify}) as base,
        aiohttp.ClientSession() as session,
    ):
        for token, status in (("good", 200), ("bad", 401)):
            async with session.get(
                f"{base}/api/alerts", headers={"Authorization": f"Bearer {token}"}
            ) as answer:
                assert answer.status == status


async def test_body_over_the_cap_is_413_before_it_is_read(database: Database) -> None:
    async with market.serving(database, max_body_bytes=1000) as base, aiohttp.ClientSession() as session:
        async with session.post(f"{base}/api/alerts", data=b"x" * 2000) as answer:
            assert answer.status == 413 and (await answer.json())["error"]["code"] == "VALIDATION_ERROR"

        async def chunks() -> Any:
            for _ in range(20):
                yield b"x" * 100

        async with session.post(f"{base}/api/alerts", data=chunks()) as answer:
            assert answer.status == 413


async def test_other_origins_may_read_with_the_rate_limit_headers(database: Database) -> None:
    await _one_event(database)
    async with market.serving(database) as base, aiohttp.ClientSession() as session:
        ask = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}
        async with session.options(f"{base}/api/events", headers=ask) as answer:
            assert answer.status == 200 and answer.headers["Access-Control-Allow-Origin"] == "*"
        async with session.get(f"{base}/api/events", headers={"Origin": "https://shop.example"}) as answer:
            assert "X-RateLimit-Remaining" in answer.headers["Access-Control-Expose-Headers"]


async def test_live_feed_names_the_event_that_changed(database: Database) -> None:
    await market.add_event(database, 1)
    await market.add_event(database, 2)
    async with (
        market.serving(database) as base,
        aiohttp.ClientSession() as session,
        session.get(f"{base}/api/live?event_ids=2") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")

        async def heard() -> str:
            async for line in answer.content:
                if b"event_id" in line:
                    return line.decode().strip()
            raise AssertionError("the feed ended")

        listening = asyncio.create_task(heard())
        for event_id in (1, 2, 2, 2):
            await asyncio.sleep(0.2)
            await market.poll(database, event_id, market.now(), market.walk(event_id))
        assert await asyncio.wait_for(listening, 5) == 'data: {"event_id":2}'


async def test_server_tells_its_health_and_metrics(database: Database) -> None:
    async with market.serving(database) as base, aiohttp.ClientSession() as session:
        async with session.get(f"{base}/health") as answer:
            assert (await answer.json())["status"] == "up"
        async with session.get(f"{base}/metrics") as answer:
            assert 'headgate_requests_total{route="/health",status="200"}' in await answer.text()
        async with session.get(f"{base}/", allow_redirects=False) as answer:
            assert answer.headers["location"] == "/console/"
