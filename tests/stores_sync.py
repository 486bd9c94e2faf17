"""A simulated shop, a connection to it and workers, for tests of the stores application's sync."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from headgate.apps.stores.app import app
from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.simulator import ledger
from headgate.apps.stores.simulator.options import ShopOptions
from headgate.apps.stores.simulator.oracle import changed, ids, orders_table, stock
from headgate.apps.stores.simulator.server import CLIENT_ID, CLIENT_SECRET, Simulator, running
from headgate.apps.stores.tokens import Grant, Tokens
from headgate.db import Database
from headgate.engine.fetch import Fetcher
from headgate.engine.jobs import enqueue
from headgate.engine.manifest import Services
from headgate.engine.rollup import refresh
from headgate.engine.worker import Limits, Worker
from tests import stores_shop

TABLES = {
    "orders": "shop_orders",
    "line_items": "shop_line_items",
    "shipping_lines": "shop_shipping_lines",
    "agreements": "shop_sales_agreements",
    "sales": "shop_sales",
    "refunds": "shop_refunds",
    "refund_lines": "shop_refund_lines",
    "transactions": "shop_transactions",
    "customers": "shop_customers",
    "products": "shop_products",
    "variants": "shop_variants",
}
FIGURES = (
    "gross",
    "discounts",
    "reversals",
    "net",
    "shipping",
    "taxes",
    "duties",
    "fees",
    "total",
    "tips",
    "gift_cards",
    "orders",
)


@dataclass
class Synced:
    """A shop, its connection, and what tests do with them."""

    db: Database
    simulator: Simulator
    connection: int
    settings: dict[str, Any]
    folder: Path

    @property
    def outlet(self) -> Any:
        """The shop as the simulator has it."""
        return self.simulator.outlet

    def services(self) -> Services:
        """As a worker hands them to the jobs."""
        return Services(
            db=self.db, fetcher=Fetcher(self.db, user_agent="test"), app=app, settings=self.settings
        )

    def worker(self) -> Worker:
        """A worker with the application's jobs."""
        given = self.services()
        handlers = {kind: factory(given) for kind, factory in app.jobs.items()}
        return Worker(self.db, handlers, concurrency=6, limits=Limits(poll_s=0.1, lease_s=2.0))

    async def begin(self, kind: str = "stores.recent_sync", **args: Any) -> None:
        """Enqueue a job about the connection."""
        async with self.db.transaction() as conn:
            await enqueue(conn, kind, {"connection_id": self.connection, **args}, unique=str(self.connection))

    async def settled(self, *, timeout_s: float = 60.0) -> None:
        """Work until no job of the application is left."""
        async with working(self):
            await self.idle(timeout_s=timeout_s)

    async def idle(self, *, timeout_s: float = 60.0) -> None:
        """Wait until no job of the application waits or runs; snoozed and failing ones are hurried on."""
        async with asyncio.timeout(timeout_s):
            while True:
                rows = await self.db.fetch_all(
                    "select id, state from control.jobs where kind like 'stores.%%'"
                    " and state in ('scheduled', 'ready', 'running')"
                )
                if not rows:
                    return
                await self.db.fetch_all(
                    "update control.jobs set run_at = now() where state = 'scheduled' and kind like 'stores.%%'"
                    " and run_at > now() + interval '300 ms' returning id"
                )
                await asyncio.sleep(0.05)

    async def figures(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The days as the application has them."""
        await refresh(self.db, app)
        rows = await self.db.fetch_all(
            "select * from public.shop_daily_sales where connection_id = %s order by day", [self.connection]
        )
        return {(row["day"].isoformat(), row["currency"]): row for row in rows}

    async def differences(self) -> list[str]:
        """Everything that is not as the oracle says: numbers of objects, order totals, every figure of every day."""
        found: list[str] = []
        oracle = ids(self.outlet.shop)
        for kind, table in TABLES.items():
            rows = await self.db.fetch_all(
                f"select shopify_id from public.{table} where connection_id = %s", [self.connection]
            )
            theirs = {int(one.rsplit("/", 1)[-1]) for one in oracle[kind]}
            ours = {row["shopify_id"] for row in rows}
            if theirs - ours:
                found.append(f"{kind}: {len(theirs - ours)} missing, such as {min(theirs - ours)}")
            if ours - theirs:
                found.append(f"{kind}: {len(ours - theirs)} too many, such as {min(ours - theirs)}")
        return found + await self._age() + await self._stock() + await self._money()

    async def _age(self) -> list[str]:
        """Objects that stayed, or went back, to an older state."""
        found: list[str] = []
        for kind, theirs in changed(self.outlet.shop).items():
            rows = await self.db.fetch_all(
                f"select shopify_id, extract(epoch from updated_at)::bigint as at from public.{TABLES[kind]}"
                " where connection_id = %s",
                [self.connection],
            )
            late = [r["shopify_id"] for r in rows if theirs.get(r["shopify_id"], r["at"]) != r["at"]]
            if late:
                found.append(f"{kind}: {len(late)} of another time, such as {min(late)}")
        return found

    async def _stock(self) -> list[str]:
        rows = await self.db.fetch_all(
            "select inventory_item_id, location_id, available from public.shop_inventory_levels"
            " where connection_id = %s",
            [self.connection],
        )
        ours = {(row["inventory_item_id"], row["location_id"]): row["available"] for row in rows}
        theirs = stock(self.outlet.shop)
        wrong = [place for place, pieces in theirs.items() if ours.get(place) != pieces]
        found = [f"inventory: {len(wrong)} of {len(theirs)} differ, such as {min(wrong)}"] if wrong else []
        extra = set(ours) - set(theirs)
        return found + ([f"inventory: {len(extra)} too many, such as {min(extra)}"] if extra else [])

    async def _money(self) -> list[str]:
        found: list[str] = []
        shop = self.outlet.shop
        totals = orders_table(shop)
        for row in await self.db.fetch_all(
            "select * from stores.order_ledgers where connection_id = %s", [self.connection]
        ):
            told = totals.get(f"gid://shopify/Order/{row['order_id']}")
            if told is None:
                continue
            for ours, theirs in (("current_total_price", "current_total"), ("ledger", "ledger_total")):
                if row[ours] != type(row[ours])(told[theirs]):
                    found.append(f"order {row['order_id']}: {ours} {row[ours]}, oracle {told[theirs]}")
        days = await self.figures()
        expected = {
            (r["day"], r["currency"]): r
            for r in ledger.as_rows(ledger.daily(shop.orders, shop.options.timezone))
        }
        for key in sorted(set(days) | set(expected)):
            if key not in days or key not in expected:
                quiet = all(float((days.get(key) or expected[key])[f]) == 0 for f in FIGURES)
                if not quiet:
                    found.append(f"day {key}: {'missing' if key not in days else 'too many'}")
                continue
            for name in FIGURES:
                ours, theirs = days[key][name], expected[key][name]
                if ours != type(ours)(theirs):
                    found.append(f"day {key}: {name} {ours}, oracle {theirs}")
            average = expected[key]["aov"]
            if str(days[key]["average_order_value"]) != str(average):
                found.append(f"day {key}: average {days[key]['average_order_value']}, oracle {average}")
        return found

    async def milestones(self) -> dict[str, str]:
        """Label → status."""
        rows = await self.db.fetch_all("select label, status from public.shop_milestones")
        return {row["label"]: row["status"] for row in rows}


@contextlib.asynccontextmanager
async def working(synced: Synced) -> AsyncIterator[Worker]:
    """A worker that runs meanwhile."""
    worker, stop = synced.worker(), asyncio.Event()
    task = asyncio.create_task(worker.run(stop))
    try:
        yield worker
    finally:
        stop.set()
        await task


@contextlib.asynccontextmanager
async def shop(db: Database, options: ShopOptions | None = None, **given: Any) -> AsyncIterator[Synced]:
    """A simulated shop, connected; nothing is synced yet."""
    simulator = Simulator([options or ShopOptions(**{"orders": 50, "history_days": 60, **given})])
    with tempfile.TemporaryDirectory(prefix="hg-stores-") as folder:
        async with running(simulator) as url:
            settings = stores_shop.extras(
                client_id=CLIENT_ID, client_secret=CLIENT_SECRET, simulator_url=url
            ) | {"data_dir": folder}
            opened = StoresSettings.of(settings)
            domain = simulator.outlet.shop.domain
            made = await stores_shop.connection(db, await stores_shop.brand(db, uuid4()), domain)
            grant = _install(simulator)
            async with db.transaction() as conn:
                await Tokens(db, opened).keep(conn, domain, grant)
            yield Synced(db, simulator, made, settings, Path(folder))
        await simulator.close()


def _install(simulator: Simulator) -> Grant:
    """Approve the app at the simulator and exchange the code, without a browser."""
    outlet = simulator.outlet
    scopes = "read_orders,read_all_orders,read_products,read_customers,read_inventory"
    callback = outlet.oauth.approve(
        {"client_id": CLIENT_ID, "redirect_uri": "http://127.0.0.1/callback", "scope": scopes, "state": "s"}
    )
    code = dict(parse_qsl(urlsplit(callback).query))["code"]
    given = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "code": code, "expiring": "1"}
    return Grant.read(outlet.shop.domain, outlet.oauth.exchange(given))
