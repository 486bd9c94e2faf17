"""From approving at Shopify to a status that says completed: OAuth, sync, webhooks and status joined, nothing faked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from headgate.apps.stores.simulator import ShopOptions, Simulator, running
from headgate.db import Database
from headgate.engine.fetch import Fetcher
from headgate.engine.manifest import Services
from headgate.engine.worker import Limits, Worker
from tests import stores_shop as shop

DOMAIN = "acme.myshopify.com"


async def test_connected_shop_is_synced_and_kept_up_to_date_by_its_webhooks(
    database: Database, tmp_path: Path
) -> None:
    simulator = Simulator(
        [ShopOptions(domain=DOMAIN, orders=30, history_days=40)], apps={shop.CLIENT_ID: shop.CLIENT_SECRET}
    )
    async with running(simulator) as url, shop.serving(database, simulator_url=url) as client:
        owner = shop.someone()
        brand = await shop.brand(database, owner)
        body = {"brand_id": str(brand), "shop": DOMAIN}
        begun = await client.post("/api/stores/connect", json=body, headers=shop.bearer(owner))
        async with httpx.AsyncClient() as merchant:
            approved = await merchant.get(shop.decoded(begun)["data"]["url"])
        assert (await client.get(approved.headers["location"])).status_code == 303
        settings = shop.extras(simulator_url=url, public_url=str(client.base_url)) | {"data_dir": tmp_path}
        given = Services(
            db=database, fetcher=Fetcher(database, user_agent="test"), app=shop.app, settings=settings
        )
        handlers = {kind: factory(given) for kind, factory in shop.app.jobs.items()}
        stop = asyncio.Event()
        worker = Worker(database, handlers, concurrency=6, limits=Limits(poll_s=0.1, lease_s=2.0))
        working = asyncio.create_task(worker.run(stop))
        try:
            told = await until_complete(client, str(brand), shop.bearer(owner))
            assert told["coverage"]["orders"] == "all" and told["verified"]
            assert [one["status"] for one in told["milestones"]] == ["completed"] * 6
            orders = await database.fetch_value("select count(*) from public.shop_orders")
            assert orders > 0
            simulator.outlet.live.run(25)
            await simulator.outlet.webhooks.drain()
            async with asyncio.timeout(30):
                while not await database.fetch_value(  # noqa: ASYNC110 - a worker writes it
                    "select count(*) from stores.webhook_inbox where state = 'applied'"
                ):
                    await asyncio.sleep(0.1)
        finally:
            stop.set()
            await asyncio.wait_for(working, 20)
    states = await database.fetch_all("select distinct state from stores.webhook_inbox")
    assert "failed" not in {row["state"] for row in states}


async def until_complete(client: httpx.AsyncClient, brand: str, headers: dict[str, str]) -> dict[str, Any]:
    """The status as soon as it says completed; every answer before keeps the promised shape."""
    async with asyncio.timeout(100):
        while True:
            answer = await client.get(f"/api/sync/{brand}/status", headers=headers)
            told = shop.decoded(answer)["shopify"]
            assert {"milestones", "last_update", "overall_status", "summary", "coverage"} <= set(told)
            for one in told["milestones"]:
                assert one["status"] == "completed" or one.get("progress", {}).get("progress_pct", 0) < 100
            if told["overall_status"] in ("completed", "partial", "error"):
                assert told["overall_status"] == "completed", told
                return told
            await asyncio.sleep(0.3)
