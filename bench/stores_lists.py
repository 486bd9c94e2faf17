"""The pages' lists of a shop of 100,000 orders, asked over REST as the pages ask: newest, sorted, searched, added up.

A second shop beside it is as large, so that what is measured is one shop's part of the tables.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import aiohttp

from bench._database import fresh_database
from bench._server import served
from bench.report import Figure, at_least, at_most, percentile, sized, write
from headgate.base.clock import monotonic
from headgate.db import Database
from tests import stores_shop as shop

COMMAND = "python -m bench stores_lists"
TIMES = 20
CUSTOMERS = """
insert into public.shop_customers
    (connection_id, shopify_id, version, created_at, updated_at, first_name, last_name, email, phone, state, locale)
select %(c)s, n, now(), now() - n * interval '5 minutes', now(), 'First' || n, 'Last' || n, 'c' || n || '@example.com',
       '+1555' || n, 'ENABLED', 'en'
from generate_series(1, %(customers)s) n
"""
ORDERS = """
insert into public.shop_orders
    (connection_id, shopify_id, version, name, created_at, processed_at, updated_at, test, financial_status,
     fulfillment_status, source_name, customer_id, currency, presentment_currency, total_price, presentment_total_price,
     current_total_price, presentment_current_total_price, current_subtotal, current_taxes, total_shipping)
select %(c)s, n, now(), '#' || n, now() - n * interval '4 minutes', now(), now(), n %% 97 = 0, 'PAID', 'FULFILLED',
       'web', case when n %% 50 = 0 then 1 else 1 + n::bigint * 2654435761 %% %(customers)s end, 'USD', 'USD', x, x, x,
       x, x, 0, 5
from generate_series(1, %(orders)s) n, lateral (select (n::bigint * 7919 %% 50000)::numeric / 100 as x) v
"""
SALES = """
insert into public.shop_sales
    (connection_id, shopify_id, order_id, agreement_id, day, currency, counted, reason, action, line_type, quantity,
     amount, tax, discount)
select %(c)s, o.shopify_id * 10 + k, o.shopify_id, o.shopify_id, o.created_at::date, 'USD', not o.test, 'ORDER',
       'ORDER', (array['PRODUCT', 'PRODUCT', 'SHIPPING'])[k], 1, o.total_price / 3, 0, 0
from public.shop_orders o, generate_series(1, 3) k where o.connection_id = %(c)s
"""
ORDER = "shop_orders?select=shopify_id,name,created_at,current_total_price,customer_id"
CUSTOMER = "shop_customers?select=shopify_id,first_name,last_name,email,created_at"
LISTS = {
    "orders, newest": f"{ORDER}&order=created_at.desc,shopify_id.desc",
    "orders by total": f"{ORDER}&order=current_total_price.desc.nullslast,shopify_id.desc",
    "orders, a search without a match": f"{ORDER}&name=ilike.%25zzz%25&order=created_at.desc,shopify_id.desc",
    "customers, newest": f"{CUSTOMER}&order=created_at.desc,shopify_id.desc",
    "customers, a search without a match": f"{CUSTOMER}&or=(first_name.ilike.%25zzz%25,last_name.ilike.%25zzz%25,"
    "email.ilike.%25zzz%25)&order=created_at.desc,shopify_id.desc",
}


def _application(db: Database) -> Any:
    from headgate.apps.stores.app import app
    from headgate.base.settings import Settings
    from headgate.server import create_app

    settings = Settings(_env_file=None, jwt_secret=shop.JWT_SECRET)  # type: ignore[call-arg]
    return create_app(settings, db, apps=[app], extras=shop.extras())


async def fill(db: Database, owner: UUID) -> int:
    """Two shops of two brands; the first one's connection."""
    made = []
    for user, domain in ((owner, "acme.myshopify.com"), (shop.someone(), "other.myshopify.com")):
        connection = await shop.connection(db, await shop.brand(db, user), domain)
        given = {"c": connection, "customers": sized(30_000, 300), "orders": sized(100_000, 1000)}
        for text in (CUSTOMERS, ORDERS, SALES):
            await db.execute(text, given)
        made.append(connection)
    await db.execute("analyze")
    return made[0]


async def _asked(session: aiohttp.ClientSession, path: str, headers: dict[str, str]) -> tuple[float, int]:
    """The middle of some answers' milliseconds, and how many rows there are."""
    took, rows = [], 0
    for _ in range(TIMES):
        begun = monotonic()
        async with session.get(f"/rest/v1/{path}", headers=headers) as answer:
            told = await answer.json()
            if answer.status not in (200, 206):
                raise RuntimeError(f"{path}: {told}")
        took.append(1000 * (monotonic() - begun))
        rows = len(told)
    return percentile(took, 0.5), rows


async def measure() -> list[Figure]:
    """Run it; the figures."""
    owner = shop.someone()
    bearer = shop.bearer(owner)
    async with (
        fresh_database(everything=True) as url,
        await Database.open(url, max_size=2) as db,
        served(url, _application) as base,
        aiohttp.ClientSession(base) as session,
    ):
        this = await fill(db, owner)
        figures = []
        for name, path in LISTS.items():
            headers = {**bearer, "Prefer": "count=estimated"}
            took, _ = await _asked(session, f"{path}&connection_id=eq.{this}&limit=26", headers)
            figures.append(Figure(name=name, value=took, unit="ms"))
        totals = f"shop_customer_totals?connection_id=eq.{this}&customer_id=in.({{}})"
        few = ",".join(str(n) for n in range(11, 36))
        took, rows = await _asked(session, totals.format(few), bearer)
        figures += [
            at_most("what 25 customers bought", took, 50, "ms"),
            at_least("rows of these", rows, 20),
        ]
        took, _ = await _asked(session, totals.format("1"), bearer)
        orders = await db.fetch_value(
            "select orders from public.shop_customer_totals where connection_id = %s and customer_id = 1",
            [this],
        )
        figures.append(Figure(name="what one customer with many orders bought", value=took, unit="ms"))
        figures.append(Figure(name="orders of that customer", value=orders))
    return figures


def main() -> None:
    """The entry point of `python -m bench`."""
    write(
        "stores_lists",
        f"Lists of a shop of {sized(100_000, 1000):,} orders",
        asyncio.run(measure()),
        command=COMMAND,
        about=f"Two shops of two brands, each with {sized(100_000, 1000):,} orders, three lines of the ledger each, and"
        f" {sized(30_000, 300):,} customers. The middle of {TIMES} requests one after the other to one server process,"
        " as an owner, with the estimated count that the pages ask for; all on one machine.",
    )


if __name__ == "__main__":
    main()
