"""Variants that a product does not have any more go here too, whichever way the product is read."""

from __future__ import annotations

import pytest

from headgate.db import Database
from tests import stores_sync


def remove(synced: stores_sync.Synced) -> int:
    """The first product with several variants loses its last one."""
    products = synced.outlet.shop.products
    index = next(n for n in range(products.next) if (found := products.get(n)) and len(found.variants) > 1)
    gone: int = synced.outlet.live.remove_variant(product=index)
    return gone


@pytest.mark.parametrize("way", ["stores.incremental", "stores.reconcile", "stores.recent_sync", "webhook"])
async def test_a_variant_that_was_removed_goes(database: Database, way: str) -> None:
    async with stores_sync.shop(database, orders=5, products=6) as synced:
        await synced.begin()
        await synced.settled()
        gone = remove(synced)
        there = "select count(*) from public.shop_variants where shopify_id = %s"
        assert await database.fetch_value(there, (gone,)) == 1
        if way == "webhook":
            product = await database.fetch_value(
                "select product_id from public.shop_variants where shopify_id = %s", (gone,)
            )
            await database.execute(
                "insert into stores.webhook_inbox (topic, shop_domain, event_id, webhook_id, connection_ids, bytes,"
                " payload, entity, object_id) values ('products/update', %s, 'e', 'w', %s, 2, '{}', 'products', %s)",
                (synced.outlet.shop.domain, [synced.connection], product),
            )
            await database.execute("select stores.read_soon(%s)", (synced.outlet.shop.domain,))
        else:
            await synced.begin(way)
        await synced.settled()
        assert await database.fetch_value(there, (gone,)) == 0
        assert await synced.differences() == []


async def test_a_variant_that_is_not_here_is_found_by_the_comparison(database: Database) -> None:
    async with stores_sync.shop(database, orders=5, products=6) as synced:
        await synced.begin()
        await synced.settled()
        await database.execute(
            "delete from public.shop_variants where shopify_id = (select min(shopify_id) from public.shop_variants)"
        )
        await synced.begin("stores.reconcile")
        await synced.settled()
        assert await synced.differences() == []
