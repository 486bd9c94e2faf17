"""Alerts: one firing for one crossing, armed again when it is over, and nobody sees another's rules."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from headgate.db import Database
from tests import ticket_market as market

ANNA = {"role": "authenticated", "sub": "5f3a1f52-94f4-4c0a-a5c3-6a9d4c2b0f01"}
BEN = {"role": "authenticated", "sub": "0b8ce6b2-5a0c-4f6b-8a55-0d2f3f1f7a02"}


async def _rule(db: Database, claims: dict[str, str], kind: str, threshold: float | None, **more: Any) -> int:
    async with db.as_role(claims) as conn:
        row = await (
            await conn.execute(
                "select public.create_alert(%(event)s, %(kind)s, %(threshold)s::numeric, %(zone)s, %(group)s) as id",
                {"event": 1, "kind": kind, "threshold": threshold, "zone": None, "group": 1, **more},
            )
        ).fetchone()
    assert row is not None
    return int(row["id"])


async def _evaluate(db: Database) -> int:
    return int(await db.fetch_value("select tickets.evaluate_alerts()"))


async def _poll(db: Database, *prices: int, qty: int = 2, first: int = 1) -> int:
    await market.poll(
        db,
        1,
        market.now(),
        [market.listing(first + n, price=price, qty=qty) for n, price in enumerate(prices)],
    )
    await asyncio.sleep(0.002)
    return await _evaluate(db)


async def test_price_below_fires_once_and_arms_again(database: Database) -> None:
    await market.add_event(database, 1)
    await _rule(database, ANNA, "price_below", 100)
    assert await _poll(database, 12_000) == 0
    assert await _poll(database, 9_900) == 1
    assert await _poll(database, 9_000) == 0
    assert await _evaluate(database) == 0
    assert await _poll(database, 12_000) == 0
    assert await _poll(database, 9_500) == 1
    fires = await database.fetch_all("select value, threshold, message from public.alert_fires order by id")
    assert [row["value"] for row in fires] == [9_900, 9_500]
    assert fires[0]["message"] == "The cheapest ticket at 99.00 USD, below 100.00"


async def test_group_size_and_zone_narrow_the_price(database: Database) -> None:
    await market.add_event(database, 1)
    await _rule(database, ANNA, "price_below", 100, group=4, zone="Club")
    await asyncio.sleep(0.005)
    cheap = market.listing(1, price=5_000, qty=2, zone="Club")
    elsewhere = market.listing(2, price=5_000, qty=4, zone="Upper Level", splits=[4])
    await market.poll(database, 1, market.now(), [cheap, elsewhere])
    assert await _evaluate(database) == 0
    await market.poll(
        database,
        1,
        market.now(),
        [cheap, elsewhere, market.listing(3, price=9_000, qty=4, zone="Club", splits=[4])],
    )
    assert await _evaluate(database) == 1


async def test_inventory_new_listing_and_back_in_stock(database: Database) -> None:
    await market.add_event(database, 1)
    await _poll(database, 10_000, 11_000)
    rules = {
        kind: await _rule(database, ANNA, kind, threshold)
        for kind, threshold in (("inventory_below", 3.0), ("new_listing", None), ("back_in_stock", None))
    }

    async def fired() -> list[str]:
        rows = await database.fetch_all("select rule_id from public.alert_fires order by id")
        names = {number: kind for kind, number in rules.items()}
        await database.execute("delete from public.alert_fires")
        return sorted(names[row["rule_id"]] for row in rows)

    await _poll(database, 10_000, 11_500)
    assert await fired() == []
    await _poll(database, 10_000, 11_500, 9_000)
    assert await fired() == ["new_listing"]
    await _poll(database, 10_000)
    assert await fired() == ["inventory_below"]
    await _poll(database)
    assert await fired() == []
    await _poll(database, 10_000, 11_000, first=50)
    assert await fired() == ["back_in_stock", "new_listing"]


async def test_many_evaluators_at_once_fire_once(database: Database) -> None:
    await market.add_event(database, 1)
    for _ in range(20):
        await _rule(database, ANNA, "price_below", 100)
    await asyncio.sleep(0.005)
    await market.poll(database, 1, market.now(), [market.listing(1, price=5_000)])
    fired = await asyncio.gather(*(_evaluate(database) for _ in range(8)))
    assert sum(fired) == 20
    assert await database.fetch_value("select count(*) from public.alert_fires") == 20


async def test_poll_older_than_the_rule_fires_nothing(database: Database) -> None:
    await market.add_event(database, 1)
    await market.poll(database, 1, market.now(), [market.listing(1, price=5_000)])
    await _rule(database, ANNA, "price_below", 100)
    assert await _evaluate(database) == 0


async def test_users_see_and_change_only_their_own_rules(database: Database) -> None:
    await market.add_event(database, 1)
    mine = await _rule(database, ANNA, "price_below", 100)
    await asyncio.sleep(0.005)
    await market.poll(database, 1, market.now(), [market.listing(1, price=5_000)])
    await _evaluate(database)
    async with database.as_role(BEN) as conn:
        assert await (await conn.execute("select * from public.list_alerts()")).fetchall() == []
        assert await (await conn.execute("select * from public.alert_rules")).fetchall() == []
        assert await (await conn.execute("select * from public.list_alert_fires()")).fetchall() == []
        assert (await conn.execute("delete from public.alert_rules where id = %s", (mine,))).rowcount == 0
        changed = await (await conn.execute("select public.change_alert(%s, 5) as done", (mine,))).fetchone()
        assert changed == {"done": False}
    async with database.as_role(ANNA) as conn:
        assert len(await (await conn.execute("select * from public.list_alert_fires()")).fetchall()) == 1


async def test_rules_over_http_from_session_to_firing(database: Database) -> None:
    await market.add_event(database, 1)
    async with market.serving(database) as base, aiohttp.ClientSession() as session:

        async def ask(method: str, path: str, token: str | None, body: Any = None) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with session.request(method, f"{base}/api/{path}", headers=headers, json=body) as answer:
                return answer.status, await answer.json()

        tokens = [(await ask("POST", "session", None))[1]["data"]["access_token"] for _ in range(2)]
        rule = {"event_id": 1, "kind": "price_below", "threshold": 100}
        assert (await ask("POST", "alerts", None, rule))[0] == 401
        status, made = await ask("POST", "alerts", tokens[0], rule)
        assert status == 201 and made["data"]["threshold"] == 100 and made["data"]["armed"] is True
        number = made["data"]["id"]
        for wrong in (
            {**rule, "threshold": None},
            {**rule, "kind": "new_listing"},
            {**rule, "threshold": -1},
            {**rule, "kind": "price_drop_pct", "threshold": 100},
            {**rule, "kind": "nonsense"},
            {**rule, "extra": 1},
            {"event_id": 1},
        ):
            status, body = await ask("POST", "alerts", tokens[0], wrong)
            assert (status, body["error"]["code"]) == (400, "VALIDATION_ERROR"), wrong
        assert (await ask("POST", "alerts", tokens[0], {**rule, "event_id": 99}))[0] == 404
        assert (await ask("GET", f"alerts/{number}", tokens[1]))[0] == 404
        assert (await ask("DELETE", f"alerts/{number}", tokens[1]))[0] == 404
        assert (await ask("GET", "alerts", tokens[1]))[1]["data"] == []
        status, changed = await ask(
            "PATCH", f"alerts/{number}", tokens[0], {"threshold": 80, "note": "row A"}
        )
        assert status == 200 and changed["data"]["threshold"] == 80 and changed["data"]["note"] == "row A"
        assert await _poll(database, 7_000) == 1
        _, fires = await ask("GET", "alerts/fires", tokens[0])
        assert fires["data"][0]["value"] == 70 and fires["data"][0]["rule_id"] == number
        assert (await ask("DELETE", f"alerts/{number}", tokens[0]))[0] == 200
        assert (await ask("GET", "alerts/fires", tokens[0]))[1]["data"] == []
