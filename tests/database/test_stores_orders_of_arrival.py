"""The same objects in any order, by any path, twice or thrice, give the same tables."""

from __future__ import annotations

import random
from typing import Any
from uuid import uuid4

import pytest

from headgate.db import Database, Jsonb
from tests import stores_shop

TABLES = (
    "shop_orders", "shop_line_items", "shop_shipping_lines", "shop_sales_agreements", "shop_sales", "shop_refunds",
    "shop_refund_lines", "shop_transactions",
)  # fmt: skip


def bag(amount: str) -> dict[str, Any]:
    return {"shopMoney": {"amount": amount}, "presentmentMoney": {"amount": amount}}


def state(number: int, version: int) -> list[dict[str, Any]]:
    """Order `number` after `version` edits: each adds an agreement with one sale, and takes units of its line."""
    order = f"gid://shopify/Order/{number}"
    total = f"{10 + version}.0"
    lines: list[dict[str, Any]] = [
        {
            "id": order,
            "updatedAt": f"2026-01-01T00:00:{version:02}Z",
            "createdAt": "2026-01-01T00:00:00Z",
            "currencyCode": "USD",
            "currentTotalPriceSet": bag(total),
        },
        {
            "id": f"gid://shopify/LineItem/{number}",
            "quantity": 9,
            "currentQuantity": 9 - version,
            "__parentId": order,
        },
        {"title": "Post", "originalPriceSet": bag("1.0"), "isRemoved": version > 2, "__parentId": order},
    ]
    for edit in range(version + 1):
        agreement = f"gid://shopify/SalesAgreement/{number * 10 + edit}"
        lines.append(
            {"id": agreement, "happenedAt": "2026-01-01T00:00:00Z", "reason": "ORDER", "__parentId": order}
        )
        lines.append(
            {
                "id": f"gid://shopify/Sale/{number * 10 + edit}",
                "actionType": "ORDER",
                "lineType": "PRODUCT",
                "quantity": 1,
                "totalAmount": bag("10.0" if edit == 0 else "1.0"),
                "totalTaxAmount": bag("0.0"),
                "__parentId": agreement,
            }
        )
    return lines


async def tables(db: Database, connection: int) -> dict[str, Any]:
    """Every row without what says which connection and reading it came from."""
    return {
        table: await db.fetch_all(
            f"select (to_jsonb(t) - 'connection_id' - 'version')::text as row from public.{table} t"
            " where connection_id = %s order by 1",
            [connection],
        )
        for table in TABLES
    }


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_of_arrival_gives_the_same_tables(database: Database, seed: int) -> None:
    dice = random.Random(f"arrival {seed}")
    brand = await stores_shop.brand(database, uuid4())
    plain = await stores_shop.connection(database, brand, "plain.myshopify.com")
    mixed = await stores_shop.connection(database, brand, "mixed.myshopify.com")
    readings = [(number, version) for number in range(1, 5) for version in range(4)]
    for number, version in readings:
        await put(database, plain, state(number, version), second=version + 30)
    storm = [*readings, *dice.sample(readings, 6)]
    dice.shuffle(storm)
    for number, version in storm:
        lines = state(number, version)
        dice.shuffle(lines)
        await put(database, mixed, lines, second=version + 30)
    assert await tables(database, mixed) == await tables(database, plain)
    assert await database.fetch_value("select count(*) from stores.untied(%s, 9)", [mixed]) == 0


async def put(db: Database, connection: int, lines: list[dict[str, Any]], *, second: int) -> None:
    """As one page or webhook would, read `second` seconds into the minute."""
    await db.execute(
        "select stores.apply_objects(%s, %s, %s::timestamptz)",
        [connection, Jsonb(lines), f"2026-01-01T00:00:{second:02}Z"],
    )


async def test_a_deleted_order_is_never_taken_again(database: Database) -> None:
    connection = await stores_shop.connection(database, await stores_shop.brand(database, uuid4()))
    await put(database, connection, state(1, 1), second=31)
    await database.execute("select stores.apply_delete(%s, 'order', 1)", [connection])
    await put(database, connection, state(1, 3), second=33)
    assert not any((await tables(database, connection)).values())


async def test_variants_do_not_outlive_a_product_that_was_deleted_before_they_came(
    database: Database,
) -> None:
    connection = await stores_shop.connection(database, await stores_shop.brand(database, uuid4()))
    variant = {
        "id": "gid://shopify/ProductVariant/8",
        "__parentId": "gid://shopify/Product/1",
        "title": "Blue",
        "updatedAt": "2026-01-01T00:00:00Z",
        "inventoryItem": {"id": "gid://shopify/InventoryItem/8"},
    }
    unasked = {**variant, "id": "gid://shopify/ProductVariant/9", "product": {"id": variant["__parentId"]}}
    del unasked["__parentId"]
    other = {**variant, "id": "gid://shopify/ProductVariant/16", "__parentId": "gid://shopify/Product/2"}
    await database.execute("select stores.apply_delete(%s, 'product', 1)", [connection])
    for second in (31, 32):
        await put(database, connection, [variant, unasked, other], second=second)
    rows = await database.fetch_all("select shopify_id from public.shop_variants")
    assert [row["shopify_id"] for row in rows] == [16]
