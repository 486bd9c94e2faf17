"""What customers bought, by the ledger's rules: the oracle's sums, for their brand only, read as far as asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from headgate.apps.stores.simulator import ledger
from headgate.apps.stores.simulator.facts import Order
from headgate.apps.stores.simulator.options import ShopOptions
from headgate.db import Database
from tests import stores_shop, stores_sync

BULK = """
insert into public.shop_orders
    (connection_id, shopify_id, version, name, created_at, updated_at, customer_id, currency, test)
select %(c)s, n, now(), '#' || n, now() - n * interval '1 minute', now(),
       case when n %% 2 = 0 then 1 else 100 + n %% 1500 end, 'USD', n %% 97 = 0
from generate_series(1, %(orders)s) n
"""
SALES = """
insert into public.shop_sales
    (connection_id, shopify_id, order_id, agreement_id, day, currency, counted, reason, action, line_type, amount, tax)
select %(c)s, o.shopify_id * 10 + k, o.shopify_id, o.shopify_id, current_date, 'USD', not o.test, 'ORDER', 'ORDER',
       'PRODUCT', 1.25, 0
from public.shop_orders o, generate_series(1, 3) k where o.connection_id = %(c)s
"""
TOTALS = (
    "select * from public.shop_customer_totals where connection_id = %s and customer_id = any (%s::bigint[])"
)


@pytest.fixture
async def synced(database: Database) -> AsyncIterator[stores_sync.Synced]:
    options = ShopOptions(orders=90, customers=12, history_days=60)
    async with stores_sync.shop(database, options) as made:
        await made.begin()
        await made.settled()
        yield made


def expected(orders: list[Order], timezone: str) -> tuple[int, Decimal]:
    """How many orders, and their total, by the independent ledger."""
    days = ledger.daily(orders, timezone).values()
    return sum(day.orders for day in days), sum((day.total for day in days), Decimal(0))


async def differences(synced: stores_sync.Synced) -> list[str]:
    """Customers whose figures are not the oracle's."""
    shop = synced.outlet.shop
    rows = await synced.db.fetch_all(
        "select * from public.shop_customer_totals where connection_id = %s", [synced.connection]
    )
    ours = {row["customer_id"]: row for row in rows}
    assert len(ours) == len(rows) and {row["currency"] for row in rows} == {shop.options.currency}
    theirs: dict[int, list[Order]] = {}
    for order in shop.orders:
        if order.customer is not None and shop.customers.has(order.customer) and not order.redacted:
            theirs.setdefault(shop.numbers.make(order.customer), []).append(order)
    found = [f"{number}: too many" for number in set(ours) - set(theirs)]
    for number, orders in theirs.items():
        row: dict[str, Any] = ours.get(number) or {"orders": -1, "total": None, "last_order_at": None}
        real = [order.created_at for order in orders if not order.test]
        last = datetime.fromtimestamp(max(real), UTC) if real else None
        told = (*expected(orders, shop.options.timezone), last)
        if (row["orders"], row["total"], row["last_order_at"]) != told:
            found.append(f"{number}: {row}, oracle {told}")
    return found


async def test_each_customers_figures_are_the_oracles_after_every_kind_of_change(
    synced: stores_sync.Synced,
) -> None:
    shop = synced.outlet.shop
    assert any(order.test for order in shop.orders), "a test order is among them"
    assert await differences(synced) == []
    live = synced.outlet.live
    for kind in ("edit", "partial_refund", "cancel"):
        live.change_order(order=live.place_order(), kind=kind)
    for _ in range(6):
        live.place_order()
    live.delete_order()
    await synced.begin("stores.reconcile")
    await synced.settled()
    assert await synced.differences() == []
    assert await differences(synced) == []
    days = await synced.figures()
    guests = [
        order for order in shop.orders if order.customer is None or not shop.customers.has(order.customer)
    ]
    told = await synced.db.fetch_one(
        "select sum(orders) as orders, sum(total) as total from public.shop_customer_totals"
    )
    apart = expected(guests, shop.options.timezone)
    assert told is not None
    assert told["orders"] + apart[0] == sum(day["orders"] for day in days.values())
    assert told["total"] + apart[1] == sum(day["total"] for day in days.values())


async def filled(db: Database, owner: UUID, orders: int) -> int:
    """A shop in which one customer has half of the orders."""
    connection = await stores_shop.connection(db, await stores_shop.brand(db, owner))
    for text in (BULK, SALES):
        await db.execute(text, {"c": connection, "orders": orders})
    return connection


async def pages_read(db: Database, claims: dict[str, str], connection: int, customers: list[int]) -> int:
    """How many pages of 8 kB the question touches."""
    async with db.as_role(claims) as conn:
        text = "explain (analyze, buffers, format json) " + TOTALS
        row = await (await conn.execute(text, [connection, customers])).fetchone()
    assert row is not None
    (told,) = row["QUERY PLAN"]
    return int(told["Plan"]["Shared Hit Blocks"]) + int(told["Plan"]["Shared Read Blocks"])


async def test_a_page_of_customers_costs_what_their_orders_cost(database: Database) -> None:
    owner = uuid4()
    connection = await filled(database, owner, 6000)
    claims = {"role": "authenticated", "sub": str(owner)}
    few = list(range(110, 135))
    async with database.as_role(claims) as conn:
        rows = await (await conn.execute(TOTALS, [connection, [1, *few]])).fetchall()
    told = {row["customer_id"]: (row["orders"], row["total"]) for row in rows}
    real = [n for n in range(1, 6001) if n % 97]
    by = {1: sum(n % 2 == 0 for n in real)} | {
        number: sum(n % 2 == 1 and 100 + n % 1500 == number for n in real) for number in few
    }
    assert told == {number: (n, n * Decimal("3.75")) for number, n in by.items() if number in told}
    assert set(told) == {number for number in by if number % 2 or number == 1}
    await database.execute(
        "analyze public.shop_orders, public.shop_sales"
    )  # as autovacuum does soon after an import
    cost = await pages_read(database, claims, connection, few)
    orders = sum(by[number] for number in few) + 1
    assert cost <= 15 * orders + 60, "a few pages for each order of these customers, whatever the shop has"
    whole = await pages_read(database, claims, connection, [1])
    assert whole <= 15 * (by[1] + 40), "the same for a customer with thousands of orders"


async def test_nobody_sees_what_another_brands_customers_bought(database: Database) -> None:
    owner, other = uuid4(), uuid4()
    connection = await filled(database, owner, 20)
    await stores_shop.connection(database, await stores_shop.brand(database, other), "other.myshopify.com")
    async with stores_shop.serving(database) as http:
        path = f"/rest/v1/shop_customer_totals?connection_id=eq.{connection}&customer_id=in.(1,101)"
        mine = await http.get(path, headers=stores_shop.bearer(owner))
        assert sorted((one["customer_id"], one["orders"], one["total"]) for one in mine.json()) == [
            (1, 10, 37.5),
            (101, 1, 3.75),
        ]
        assert (await http.get(path, headers=stores_shop.bearer(other))).json() == []
        assert (await http.get(path)).status_code == 401
