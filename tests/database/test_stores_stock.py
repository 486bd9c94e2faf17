"""Stock goes with its variant: whichever comes first of the variant, its stock and the deletion, and however often."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from headgate.apps.stores.app import app
from headgate.apps.stores.simulator.options import ShopOptions
from headgate.db import Database
from headgate.engine.bulk import ingest_file
from tests import stores_shop, stores_sync
from tests.database.test_stores_orders_of_arrival import put

AT = "2026-01-01T00:00:00Z"


def product(number: int) -> dict[str, Any]:
    return {"id": f"gid://shopify/Product/{number}", "title": f"Lamp {number}", "updatedAt": AT}


def variant(number: int, of: int) -> dict[str, Any]:
    return {
        "id": f"gid://shopify/ProductVariant/{number}",
        "__parentId": f"gid://shopify/Product/{of}",
        "updatedAt": AT,
        "inventoryItem": {"id": f"gid://shopify/InventoryItem/{number + 1000}"},
    }


def level(number: int, place: int = 1, *, pieces: int = 5) -> dict[str, Any]:
    """Of the variant `number`."""
    return {
        "id": f"gid://shopify/InventoryLevel/{place}?inventory_item_id={number + 1000}",
        "__parentId": f"gid://shopify/ProductVariant/{number}",
        "updatedAt": AT,
        "item": {"id": f"gid://shopify/InventoryItem/{number + 1000}"},
        "location": {"id": f"gid://shopify/Location/{place}", "name": "Shelf"},
        "quantities": [{"name": "available", "quantity": pieces}, {"name": "incoming", "quantity": 2}],
    }


async def connected(db: Database) -> int:
    return await stores_shop.connection(db, await stores_shop.brand(db, uuid4()))


async def stock(db: Database, connection: int) -> list[tuple[int, int, int]]:
    rows = await db.fetch_all(
        "select inventory_item_id, location_id, available from public.shop_inventory_levels"
        " where connection_id = %s order by 1, 2",
        [connection],
    )
    return [(row["inventory_item_id"], row["location_id"], row["available"]) for row in rows]


@pytest.mark.parametrize("deleted", ["product", "variant"])
async def test_stock_of_a_deleted_variant_goes_in_every_order_of_arrival(
    database: Database, deleted: str
) -> None:
    brand = await stores_shop.brand(database, uuid4())
    steps = ("variant", "level", "other level", "delete")
    orders = list(itertools.permutations(steps))
    for at, order in enumerate(orders):
        connection = await stores_shop.connection(database, brand, f"shop-{at}.myshopify.com")
        await put(database, connection, [variant(9, 2), level(9)], second=30)
        for _ in range(2):  # the second time, everything is late
            for step in order:
                if step == "delete":
                    number = 1 if deleted == "product" else 8
                    await database.execute(
                        "select stores.apply_delete(%s, %s, %s)", [connection, deleted, number]
                    )
                else:
                    line = {"variant": variant(8, 1), "level": level(8), "other level": level(8, 2)}[step]
                    await put(database, connection, [line], second=31)
        assert await stock(database, connection) == [(1009, 1, 5)], order
    assert await database.fetch_value("select count(*) from public.shop_variants") == len(orders)


async def test_another_shops_stock_of_the_same_number_stays(database: Database) -> None:
    brand = await stores_shop.brand(database, uuid4())
    mine = await stores_shop.connection(database, brand)
    other = await stores_shop.connection(database, brand, "other.myshopify.com")
    for connection in (mine, other):
        await put(database, connection, [product(1), variant(8, 1), level(8)], second=30)
    await database.execute("select stores.apply_delete(%s, 'product', 1)", [mine])
    await database.execute("select stores.drop_stray_stock(%s)", [mine])
    await put(database, other, [level(8, pieces=4) | {"updatedAt": "2026-01-01T00:00:09Z"}], second=39)
    assert (await stock(database, mine), await stock(database, other)) == ([], [(1008, 1, 4)])


async def test_an_inventory_item_that_the_shop_does_not_show_any_more_has_no_stock(
    database: Database,
) -> None:
    connection = await connected(database)
    await put(database, connection, [level(8), level(9)], second=30)
    gone = "select stores.apply_delete(%s, 'inventory_item', 1008)"
    assert [await database.fetch_value(gone, [connection]) for _ in range(2)] == [True, False]
    await put(database, connection, [level(8)], second=40)
    assert await stock(database, connection) == [(1009, 1, 5)]


async def test_stray_stock_goes_but_not_while_a_file_of_products_is_under_way(database: Database) -> None:
    connection = await connected(database)
    await put(database, connection, [variant(9, 2), level(9), level(8)], second=30)
    run = await database.fetch_value(
        "insert into stores.sync_runs (connection_id, kind) values (%s, 'full') returning id", [connection]
    )
    operation = await database.fetch_value(
        "insert into stores.bulk_operations (run_id, connection_id, entity) values (%s, %s, 'products') returning id",
        [run, connection],
    )
    drop = "select stores.drop_stray_stock(%s)"
    assert await database.fetch_value(drop, [connection]) == 0
    await database.execute("update stores.bulk_operations set finished_at = now() where id = %s", [operation])
    assert await database.fetch_value(drop, [connection]) == 1
    assert await stock(database, connection) == [(1009, 1, 5)]
    await put(database, connection, [variant(8, 1), level(8)], second=30)
    assert await stock(database, connection) == [(1008, 1, 5), (1009, 1, 5)], "it was stray, not deleted"


@pytest.mark.parametrize("seed", range(2))
async def test_a_file_of_products_in_any_order_leaves_nothing_of_those_that_were_deleted(
    database: Database, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(f"stock {seed}")
    connection = await connected(database)
    lines: list[dict[str, Any]] = []
    for number in range(1, 31):
        lines += [product(number), variant(number, number), level(number), level(number, 2)]
    known = dice.sample(range(1, 31), 10)
    for number in known:
        await put(database, connection, [variant(number, number), level(number)], second=30)
    dead = [*known[:4], *(n for n in range(1, 31) if n not in known)][:9]
    for number in dead:
        await database.execute("select stores.apply_delete(%s, 'product', %s)", [connection, number])
    dice.shuffle(lines)
    path = tmp_path / "products.jsonl"
    await asyncio.to_thread(path.write_text, "".join(json.dumps(line) + "\n" for line in lines))
    meta = {"connection_id": connection, "read_at": "2026-01-01T00:00:40Z"}
    told = await ingest_file(
        database, app, "bulk", path, key="products", promoters=3, chunk_bytes=1024, meta=meta
    )
    assert (told.seen, told.rejected) == (len(lines), 0)
    living = [n for n in range(1, 31) if n not in dead]
    assert await stock(database, connection) == [(n + 1000, place, 5) for n in living for place in (1, 2)]
    again = await ingest_file(
        database, app, "bulk", path, key="products again", promoters=3, chunk_bytes=1024, meta=meta
    )
    assert (again.upserted, again.state) == (0, "succeeded")


async def test_quantities_are_read_by_name_and_what_is_unreadable_stands_aside(
    database: Database, tmp_path: Path
) -> None:
    connection = await connected(database)
    lines = [level(8), level(9, 2), level(10)]
    del lines[1]["quantities"]
    lines[2]["quantities"] = {"name": "available"}
    path = tmp_path / "levels.jsonl"
    await asyncio.to_thread(path.write_text, "".join(json.dumps(line) + "\n" for line in lines))
    meta = {"connection_id": connection, "read_at": "2026-01-01T00:00:40Z"}
    told = await ingest_file(database, app, "bulk", path, key="levels", meta=meta)
    rows = await database.fetch_all(
        "select inventory_item_id, location, available, on_hand, committed, incoming"
        " from public.shop_inventory_levels order by 1"
    )
    assert [tuple(row.values()) for row in rows] == [
        (1008, "Shelf", 5, None, None, 2),
        (1009, "Shelf", None, None, None, None),
    ]
    assert (told.rejected, await database.fetch_value("select line from stores.dead_letters")) == (1, 3)


async def test_deleted_products_leave_no_stock_after_webhooks_and_a_comparison(database: Database) -> None:
    async with stores_sync.shop(database, ShopOptions(orders=5, products=8, history_days=20)) as synced:
        await synced.begin()
        await synced.settled()
        assert await synced.differences() == []
        live = synced.outlet.live
        live.set_inventory()
        silent = live.delete_product()  # no webhook says so: nothing listens
        assert silent is not None and any(one.startswith("inventory") for one in await synced.differences())
        await synced.begin("stores.reconcile")
        await synced.settled()
        assert await synced.differences() == []
