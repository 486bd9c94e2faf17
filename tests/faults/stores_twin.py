"""Every column of every row, against a twin: the same shop read once, in calm weather, into tables of its own.

The oracle says which objects there are, when they changed and what they add up to; the twin says what is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

from headgate.apps.stores import paging
from headgate.apps.stores.means import ENTITIES, Means, connected
from headgate.apps.stores.upkeep import read_refunds
from headgate.db import Connection, Database
from headgate.engine.jobs import Handler, JobContext
from headgate.engine.manifest import Services
from tests import stores_shop
from tests.stores_sync import TABLES, Synced

#: When a row was read differs by its nature; a refund's lines are read apart, and whether that is done is asked below.
PASSED_OVER = ("connection_id", "version", "lines_read")
#: Rows of an erased person stay empty, whatever the shop shows.
_ONLY = {"shop_customers": "not redacted"}


def _kept(column: str, table: str) -> str:
    """An object that is gone: Shopify shows its number no more in what names it, and here it stays."""
    return (
        f"- case when t.{column} is null or exists (select from public.{table} k where"
        f" k.connection_id = %(theirs)s and k.shopify_id = t.{column}) then '' else '{column}' end"
    )


#: Parts of rows that may differ: what people wrote in orders whose erasure was asked for, and numbers of what is gone.
_BUT = {
    "shop_refunds": "- case when exists (select from stores.gdpr_requests) then 'note' else '' end",
    "shop_orders": _kept("customer_id", "shop_customers")
    + " - case when exists (select from stores.gdpr_requests) then array['tags', 'customer_id'] else '{}' end::text[]",
    "shop_line_items": f"{_kept('product_id', 'shop_products')} {_kept('variant_id', 'shop_variants')}",
}
_SINCE = datetime(2000, 1, 1, tzinfo=UTC)
_KINDS = {
    "order": "orders",
    "line_item": "line_items",
    "customer": "customers",
    "product": "products",
    "variant": "variants",
}


@dataclass
class _Calm:
    """A job's means where no job is: nobody else is at work."""

    db: Database

    def transaction(self) -> Any:
        return self.db.transaction()


async def twin(synced: Synced) -> int:
    """Read the whole shop into a connection of its own; its number."""
    brand = await stores_shop.brand(synced.db, uuid4(), name="twin")
    made: int = await synced.db.fetch_value(
        "insert into stores.connections (brand_id, shop_domain, state, shared, api_version, scopes, time_zone,"
        " currency) select %s, shop_domain, 'connected', true, api_version, scopes, time_zone, currency"
        " from stores.connections where id = %s returning id",
        [brand, synced.connection],
    )
    ctx = cast(JobContext, _Calm(synced.db))

    def read(services: Services) -> Handler:
        async def handle(ctx: JobContext) -> None:
            shopify = await Means.of(services).shopify(made)
            for entity in ENTITIES:
                async for lines in paging.changed(shopify, entity, _SINCE):
                    async with synced.db.transaction() as conn:
                        await paging.apply_in(conn, made, lines, paging.reading())
            await read_refunds(ctx, shopify)

        return handle

    await connected(read)(synced.services())(ctx)
    await synced.db.execute("update stores.connections set state = 'disconnected' where id = %s", [made])
    return made


async def differences(synced: Synced, other: int, conn: Connection | None = None) -> list[str]:
    """Rows that are not in both alike, as `conn` sees them."""
    if conn is None:
        async with synced.db.connection() as own:
            return await differences(synced, other, own)
    found: list[str] = []
    for table in (*TABLES.values(), "shop_inventory_levels"):
        row = f"jsonb_strip_nulls(to_jsonb(t)) - %(passed_over)s::text[] {_BUT.get(table, '')}"
        only = _ONLY.get(table, "true")
        keys = "inventory_item_id, location_id" if table == "shop_inventory_levels" else "shopify_id"
        query = f"""
            with ours as (select {keys}, {row} as row from public.{table} t where connection_id = %(ours)s),
                 theirs as (select {keys}, {row} as row from public.{table} t where connection_id = %(theirs)s),
                 kept as (select {keys} from public.{table} t where connection_id = %(ours)s and {only})
            select o.row as ours, t.row as theirs, (select count(*) from ours) as rows
            from ours o full join theirs t using ({keys}) left join kept k using ({keys})
            where o.row is distinct from t.row and (o.row is null or k is not null)"""
        given = {"ours": synced.connection, "theirs": other, "passed_over": list(PASSED_OVER)}
        rows = await (await conn.execute(query, given)).fetchall()
        if rows:
            found.append(f"{table}: {len(rows)} rows differ from the shop's, such as {_first(rows[0])}")
    return found


def _first(row: dict[str, Any]) -> str:
    ours, theirs = row["ours"], row["theirs"]
    if ours is None or theirs is None:
        number = (ours or theirs).get("shopify_id", (ours or theirs).get("inventory_item_id"))
        return f"{number}, {'too many' if theirs is None else 'missing'}"
    names = sorted(ours.keys() | theirs.keys())
    apart = {name: (ours.get(name), theirs.get(name)) for name in names if ours.get(name) != theirs.get(name)}
    return f"{ours.get('shopify_id', ours.get('inventory_item_id'))}: {apart}"


async def tombstones(synced: Synced, there: dict[str, list[str]]) -> list[str]:
    """Objects that the shop has and that would never be taken again. `there`: the oracle's ids."""
    found: list[str] = []
    for kind, entity in _KINDS.items():
        rows = await synced.db.fetch_all(
            "select shopify_id from stores.tombstones where connection_id = %s and kind = %s",
            [synced.connection, kind],
        )
        living = {int(one.rsplit("/", 1)[-1]) for one in there[entity]}
        wrong = living & {row["shopify_id"] for row in rows}
        if wrong:
            found.append(f"tombstones: {len(wrong)} of living {entity}, such as {min(wrong)}")
    return found
