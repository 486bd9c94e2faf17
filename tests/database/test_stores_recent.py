"""The last three days are in the status while the bulk operations are still running."""

from __future__ import annotations

import asyncio
from typing import Any

from headgate.apps.stores.simulator.options import ShopOptions
from headgate.db import Database
from tests.stores_sync import Synced, shop, working


async def _status(synced: Synced) -> dict[str, Any]:
    told = await synced.db.fetch_value("select stores.shop_status(%s)", [synced.connection])
    return {one["label"]: one for one in told["milestones"]} | {"overall": told["overall_status"]}


async def _states(synced: Synced) -> set[str]:
    rows = await synced.db.fetch_all("select state from stores.bulk_operations where finished_at is null")
    return {row["state"] for row in rows}


async def _orders(synced: Synced, at: str) -> set[int]:
    """The orders here that changed within three days before `at`, or later."""
    rows = await synced.db.fetch_all(
        "select shopify_id from public.shop_orders where updated_at >= %s::timestamptz - interval '3 days'",
        [at],
    )
    return {row["shopify_id"] for row in rows}


async def test_recent_orders_are_seen_before_the_bulk_operations_end(database: Database) -> None:
    async with shop(database, ShopOptions(orders=600, history_days=30)) as synced:
        synced.outlet.bulk.seconds = 600.0  # they do not end while this test looks
        await synced.begin()
        async with working(synced):
            async with asyncio.timeout(60):
                while (await _status(synced)).get("recent", {}).get("status") != "completed":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                while await _states(synced) != {"running_remote"}:  # noqa: ASYNC110 - Shopify works on all
                    await asyncio.sleep(0.05)
            told = await _status(synced)
            assert told["overall"] == "syncing"
            assert {told[entity]["status"] for entity in ("orders", "customers", "products")} == {
                "in_progress"
            }
            here = await _orders(synced, "-infinity")
            assert told["recent"]["objects_seen"] == len(here) > 10
            synced.outlet.bulk.seconds = 0.0
            await synced.idle()
        assert await synced.differences() == []
        assert await _orders(synced, told["recent"]["completed_at"]) <= here
