"""What storms look at notices what it is there for: in each table a lost, a doubled and a regressed row."""

from __future__ import annotations

import pytest

from headgate.apps.stores.bulk_jobs import take_up
from headgate.apps.stores.simulator.oracle import ids
from headgate.db import Database
from headgate.engine.jobs import enqueue
from tests.faults import stores_twin
from tests.faults.stores_watch import NOTES, WATCH
from tests.stores_sync import TABLES, Synced, shop

#: A column of each table whose loss is a regressed row, with an expression for another value.
COLUMNS = {
    "shop_orders": "current_total_price = current_total_price + 1",
    "shop_line_items": "current_quantity = current_quantity + 1",
    "shop_shipping_lines": "discounted_price = discounted_price + 1",
    "shop_sales_agreements": "happened_at = happened_at - interval '1 s'",
    "shop_sales": "amount = amount + 0.01",
    "shop_refunds": "total_refunded = total_refunded + 1",
    "shop_refund_lines": "quantity = quantity + 1",
    "shop_transactions": "status = 'PENDING'",
    "shop_customers": "email = 'a@example.com'",
    "shop_products": "title = title || '.'",
    "shop_variants": "price = price + 1",
    "shop_inventory_levels": "available = available + 1",
}


async def notes(db: Database) -> list[str]:
    return [row["what"] for row in await db.fetch_all(NOTES)]


async def begun(synced: Synced) -> str:
    """A sync that has begun: the number of one of its operations, each of which has its job."""
    await synced.db.execute("select stores.begin_sync(%s)", [synced.connection])
    async with synced.db.transaction() as conn:
        await take_up(conn, synced.connection)
    return str(await synced.db.fetch_value("select min(id) from stores.bulk_operations"))


async def test_every_table_is_compared_column_by_column_and_row_by_row(database: Database) -> None:
    assert set(COLUMNS) == {*TABLES.values(), "shop_inventory_levels"}
    async with shop(database, orders=40) as synced:
        await synced.begin()
        await synced.settled()
        other = await stores_twin.twin(synced)
        assert await stores_twin.differences(synced, other) == []
        key = "connection_id = %(ours)s and ctid = (select min(ctid) from public.{0} where connection_id = %(ours)s)"
        for table, change in COLUMNS.items():
            one = key.format(table)
            number = "inventory_item_id" if table == "shop_inventory_levels" else "shopify_id"
            for spoil in (
                f"update public.{table} set {change} where {one}",
                f"delete from public.{table} where {one}",
                f"update public.{table} set {number} = -{number} where {one}",
            ):
                with pytest.raises(ZeroDivisionError):  # taken back afterwards
                    async with database.transaction() as conn:
                        await conn.execute(spoil, {"ours": synced.connection})
                        found = await stores_twin.differences(synced, other, conn)
                        assert [one.partition(":")[0] for one in found] == [table], (spoil, found)
                        raise ZeroDivisionError
        living = await database.fetch_value("select min(shopify_id) from public.shop_orders")
        await database.execute(
            "insert into stores.tombstones (connection_id, kind, shopify_id) values (%s, 'order', %s)",
            [synced.connection, living],
        )
        found = await stores_twin.tombstones(synced, ids(synced.outlet.shop))
        assert found == [f"tombstones: 1 of living orders, such as {living}"]


async def test_a_row_that_goes_back_is_noted_even_if_it_is_mended(database: Database) -> None:
    async with shop(database, orders=3) as synced:
        await synced.begin()
        await synced.settled()
        await database.execute(WATCH)
        for table in (
            "shop_orders",
            "shop_customers",
            "shop_products",
            "shop_variants",
            "shop_inventory_levels",
        ):
            await database.execute(f"update public.{table} set version = version")
            assert await notes(database) == []
            await database.execute(f"update public.{table} set version = version - interval '1 s'")
            assert set(await notes(database)) == {"a row went back to an older state"}
            await database.execute("delete from public.storm_notes")


async def test_an_operation_of_nobodys_and_one_of_two_jobs_are_noted(database: Database) -> None:
    async with shop(database, orders=3) as synced:
        await database.execute(WATCH)
        operation = await begun(synced)
        assert await notes(database) == []
        async with database.transaction() as conn:
            await enqueue(conn, "stores.poll_bulk", {"operation_id": int(operation)}, unique=f"{operation}:1")
        assert await notes(database) == ["two jobs"]
        await database.execute("delete from public.storm_notes")
        await database.execute(
            "update control.jobs set state = 'cancelled' where args ->> 'operation_id' = %s", [operation]
        )
        assert set(await notes(database)) == {"left to nobody"}
