"""Children that do not fit on one page, read by ordinary paging: none is left behind."""

from __future__ import annotations

from headgate.apps.stores.simulator.facts import ZERO, Charge
from headgate.db import Database
from tests import stores_sync


async def test_every_shipping_line_of_a_changed_order_is_read(database: Database) -> None:
    async with stores_sync.shop(database, orders=10) as synced:
        await synced.begin()
        await synced.settled()
        shop = synced.outlet.shop
        order = synced.outlet.live.own(4)
        assert order is not None
        order.charges += [Charge("SHIPPING", f"Extra {n}", ZERO, removed=True) for n in range(58)]
        order.updated_at = shop.now() + 1
        shop.orders.put(4, order)
        await synced.begin("stores.incremental")
        await synced.settled()
        assert await synced.differences() == []


async def test_stock_at_every_location_is_read(database: Database) -> None:
    async with stores_sync.shop(database, orders=3, products=3, locations=53) as synced:
        await synced.begin()
        await synced.settled()
        for _ in range(150):
            synced.outlet.live.set_inventory()
        await synced.begin("stores.incremental")
        await synced.settled()
        assert await synced.differences() == []
