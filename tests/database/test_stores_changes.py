"""What changes about a connected shop itself: its zone, its version, its first object, its scopes."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from uuid import uuid4

from headgate.apps.stores.app import app
from headgate.apps.stores.connect import Q as CONNECT
from headgate.apps.stores.simulator.projection import dump
from headgate.apps.stores.simulator.wire import Answer
from headgate.db import Database, Jsonb
from headgate.engine.bulk import ingest_file
from tests import stores_shop, stores_sync
from tests.database.test_stores_bulk_put import READ_AT
from tests.database.test_stores_lines import simulated


async def hear(synced: stores_sync.Synced, topic: str) -> None:
    """A webhook about the shop comes and is applied."""
    made = await synced.db.fetch_value(
        "insert into stores.webhook_inbox (topic, shop_domain, event_id, webhook_id, connection_ids, bytes, payload)"
        " values (%s, %s, gen_random_uuid(), gen_random_uuid(), %s, 2, '{}') returning id",
        (topic, synced.outlet.shop.domain, [synced.connection]),
    )
    async with synced.db.transaction() as conn:
        await conn.execute(
            "select control.enqueue_job('stores.webhook_apply', jsonb_build_object('inbox_id', %s::bigint))",
            (made,),
        )
    await synced.settled()
    state = await synced.db.fetch_value("select state from stores.webhook_inbox where id = %s", (made,))
    assert state == "applied"


def move(synced: stores_sync.Synced, zone: str) -> None:
    """The merchant moves the shop to another time zone."""
    shop = synced.outlet.shop
    shop.options = dataclasses.replace(shop.options, timezone=zone)


async def test_days_move_when_the_shop_tells_of_another_zone(database: Database) -> None:
    async with stores_sync.shop(database, seed=3) as synced:
        await synced.begin()
        await synced.settled()
        before = await synced.figures()
        move(synced, "Asia/Tokyo")
        await hear(synced, "shop/update")
        assert await synced.figures() != before
        assert await synced.differences() == []


async def test_days_move_when_the_shop_comes_back_from_another_zone(database: Database) -> None:
    async with stores_sync.shop(database, seed=3, orders=20) as synced:
        await synced.begin()
        await synced.settled()
        move(synced, "Asia/Tokyo")
        row = await database.fetch_one("select * from stores.connections")
        assert row is not None
        again = {
            "brand": row["brand_id"],
            "shop": row["shop_domain"],
            "user": None,
            "version": row["api_version"],
        }
        given = {**row, **again, "coverage": Jsonb(row["coverage"]), "time_zone": "Asia/Tokyo"}
        await database.execute(CONNECT.keep_connection, given)
        await synced.begin()
        await synced.settled()
        assert await database.fetch_value("select time_zone from stores.connections") == "Asia/Tokyo"
        assert await synced.differences() == []


async def test_days_of_a_file_move_when_the_zone_changes_while_it_is_ingested(
    database: Database, tmp_path: Path
) -> None:
    connection = await stores_shop.connection(database, await stores_shop.brand(database, uuid4()))
    await database.execute("select stores.begin_sync(%s)", [connection])
    operation = await database.fetch_value("select id from stores.bulk_operations where entity = 'orders'")
    meta = {"connection_id": connection, "operation_id": operation, "read_at": READ_AT}
    lines = simulated(60)
    parts = [[one for one in lines if ("actionType" in one) is sales] for sales in (False, True)]
    assert all(parts)
    for number, part in enumerate(parts):
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes(b"".join(map(dump, part)))
        told = await ingest_file(database, app, app.source("bulk"), path, key=f"part {number}", meta=meta)
        assert told.seen == len(part)
        if number == 0:
            await database.execute("select stores.set_zone(%s, 'Asia/Tokyo', 'USD')", [connection])
    days = """
        select count(*) as sales,
               count(*) filter (where s.day <> (a.happened_at at time zone 'Asia/Tokyo')::date) as wrong,
               count(*) filter (where s.day <> (a.happened_at at time zone 'UTC')::date) as moved
          from public.shop_sales s join public.shop_sales_agreements a
            on a.connection_id = s.connection_id and a.shopify_id = s.agreement_id"""
    found = await database.fetch_one(days)
    assert found is not None and found["sales"] == len(parts[1])
    assert found["wrong"] == 0 and found["moved"] > 0


async def test_requests_go_to_the_version_that_the_settings_name(database: Database) -> None:
    """Also for a shop that connected when they named another one, which Shopify will retire."""
    async with stores_sync.shop(database, orders=5) as synced:
        await database.execute("update stores.connections set api_version = '2025-10'")
        asked: set[str] = set()
        serve = synced.simulator._served

        def seen(version: str) -> str | None:
            asked.add(version)
            return serve(version)

        synced.simulator._served = seen  # type: ignore[method-assign]
        await synced.begin()
        await synced.settled()
        assert asked == {"2026-07"}
        assert await database.fetch_value("select api_version from stores.connections") == "2026-07"


async def test_first_objects_of_an_empty_shop_come_without_a_webhook(database: Database) -> None:
    async with stores_sync.shop(database, orders=0, customers=0) as synced:
        await synced.begin()
        await synced.settled()
        assert set((await synced.milestones()).values()) == {"completed"}
        customer = synced.outlet.live.create_customer()
        assert customer is not None
        await synced.begin("stores.incremental")
        await synced.settled()
        assert await synced.differences() == []
        assert await database.fetch_value("select count(*) from public.shop_customers") == 1


async def test_what_a_new_scope_shows_is_read_at_once(database: Database) -> None:
    """Else the coverage says `all` while the orders of before the window are not here."""
    async with stores_sync.shop(database, history_days=200) as synced:
        oauth = synced.outlet.oauth
        oauth.withheld = frozenset({"read_all_orders"})
        await database.execute(
            "update stores.connections set scopes = array_remove(scopes, 'read_all_orders')"
        )
        await synced.begin()
        await synced.settled()
        assert any(one.startswith("orders: ") for one in await synced.differences())
        oauth.withheld = frozenset()
        await hear(synced, "app/scopes_update")
        coverage = await database.fetch_value("select coverage ->> 'orders' from stores.connections")
        assert coverage == "all"
        assert await synced.differences() == []


async def test_milestone_of_what_was_denied_for_a_while_is_mended(database: Database) -> None:
    async with stores_sync.shop(database, orders=5) as synced:
        await synced.begin()
        await synced.settled()
        synced.outlet.oauth.withheld = frozenset({"read_customers"})
        await synced.begin("stores.incremental")
        await synced.settled()
        assert (await synced.milestones())["customers"] == "error"
        synced.outlet.oauth.withheld = frozenset()
        await synced.begin("stores.incremental")
        await synced.settled()
        assert set((await synced.milestones()).values()) == {"completed"}


async def test_a_shop_that_is_closed_says_so_until_it_opens_again(database: Database) -> None:
    """As one that is frozen (402) or locked (423): what is here grows old, and the status must not say `completed`."""
    async with stores_sync.shop(database, orders=5) as synced:
        await synced.begin()
        await synced.settled()
        serve = synced.simulator._graphql
        synced.simulator._graphql = lambda *_: Answer(402, b'{"errors":"Unavailable Shop"}')  # type: ignore[method-assign]
        overall = "select stores.shop_status(%s) ->> 'overall_status'"
        async with stores_sync.working(synced):
            await synced.begin("stores.incremental")
            async with asyncio.timeout(30):
                while await database.fetch_value(overall, (synced.connection,)) != "error":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        row = await database.fetch_one("select state, error from stores.connections")
        assert row is not None and row["state"] == "error" and "402" in row["error"]
        synced.simulator._graphql = serve  # type: ignore[method-assign]
        await synced.settled()
        row = await database.fetch_one("select state, error from stores.connections")
        assert row == {"state": "connected", "error": None}
        assert await database.fetch_value(overall, (synced.connection,)) == "completed"
