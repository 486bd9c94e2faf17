"""The pages of stores and the progress widget in a real browser: data, none, phone, dark; from connecting to hidden."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from headgate.db import Database
from headgate.db.keys import ensure_keys
from tests import stores_shop as shop
from tests.console_site import make_user

pytest.importorskip("playwright.async_api", reason="the playwright package is not installed")

from tests.browser.chromium import CHROMIUM, Browser, browsing
from tests.browser.console import PASSWORD, USER, go, settled, sign_in

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"
)
LABELS = ("connected", "recent", "orders", "customers", "products", "reconciled")
PAGES = {
    "sales": ("Sales", ".uplot canvas"),
    "orders": ("Orders", "table"),
    "orders/7000": ("Order #1000", "text=ties to Shopify"),
    "customers": ("Customers", "table"),
    "products": ("Products", "table"),
    "inventory": ("Inventory", "table"),
    "reconciliation": ("Reconciliation", "text=Orders that do not tie"),
    "progress": ("Sync", "headgate-sync-progress"),
    "webhooks": ("Webhooks", "table"),
    "connect": ("Shops", "table"),
}


@dataclass
class Site:
    """A server, a user with a brand, and a connected shop (0: none)."""

    db: Database
    base: str
    key: str
    user: UUID
    brand: UUID
    connection: int = 0


@contextlib.asynccontextmanager
async def site(db: Database, folder: Path, *, connected: bool = True) -> AsyncIterator[Site]:
    """Everything a signed-in owner needs."""
    keys = await ensure_keys(db, folder / "keys.json")
    user = await make_user(db, USER, password=PASSWORD)
    brand = await shop.brand(db, user)
    made = await shop.connection(db, brand, name="Acme & Sons", time_zone="Europe/Prague") if connected else 0
    process = {"data_dir": folder, "auth_bcrypt_cost": 4}
    async with shop.serving(db, process, key=keys["anon"]) as client:
        yield Site(db, str(client.base_url).rstrip("/"), keys["anon"], user, brand, made)


@contextlib.asynccontextmanager
async def visiting(at: Site, **view: Any) -> AsyncIterator[Browser]:
    """A browser in which the user is signed in."""
    async with browsing(at.base, **view) as browser:
        await sign_in(browser, USER)
        yield browser


async def milestone(at: Site, label: str, status: str, *, written: int = 0, total: int | None = None) -> None:
    """Move one milestone, as the sync does."""
    await at.db.execute(
        "insert into public.shop_milestones (connection_id, label, status, entity, rows_written, total_rows,"
        " objects_seen, verified, started_at, completed_at)"
        " values (%(c)s, %(l)s, %(s)s, %(l)s, %(w)s, %(t)s, %(w)s, %(s)s = 'completed', now() - interval '10 s',"
        "         case when %(s)s = 'completed' then now() end)"
        " on conflict (connection_id, label) do update set status = excluded.status,"
        "   rows_written = excluded.rows_written,"
        "   total_rows = excluded.total_rows, objects_seen = excluded.objects_seen, verified = excluded.verified,"
        "   completed_at = excluded.completed_at, updated_at = now()",
        {"c": at.connection, "l": label, "s": status, "w": written, "t": total},
    )


async def trade(at: Site) -> None:
    """Sixty days of sales, some orders with lines and ledger, people, goods, webhooks and a comparison."""
    db, c = at.db, at.connection
    for statement in (
        "insert into public.shop_daily_sales (connection_id, day, currency, gross, discounts, reversals, net, shipping,"
        " taxes, duties, fees, total, tips, gift_cards, orders)"
        " select %s, d::date, 'USD', g, -g / 10, -20, g * 0.9 - 20, 12, g / 5, 0, 0, g * 1.1 - 8, 3, 25,"
        "  4 + g::int %% 7"
        " from (select d, 400 + 150 * (extract(doy from d)::int %% 7) + extract(doy from d)::int %% 50 as g"
        "       from generate_series(now() - interval '60 days', now(), '1 day') d) s",
        "insert into public.shop_orders (connection_id, shopify_id, version, name, created_at, updated_at,"
        " financial_status, fulfillment_status, currency, presentment_currency, total_price, current_total_price)"
        " select %s, 7000 + n, now(), '#' || 1000 + n, now() - make_interval(hours => n), now(),"
        "  (array['PAID','PENDING','REFUNDED'])[1 + n %% 3], 'FULFILLED', 'USD', 'USD', 120.5, 100.25"
        " from generate_series(0, 40) n",
        "insert into public.shop_line_items (connection_id, shopify_id, order_id, title, variant_title, sku,"
        " quantity, current_quantity, unit_price) values (%s, 1, 7000, 'Lamp', 'Blue', 'L-1', 2, 1, 60.25)",
        "insert into public.shop_customers (connection_id, shopify_id, version, created_at, updated_at, first_name,"
        " last_name, email, state, redacted)"
        " select %s, n, now(), now() - make_interval(days => n), now(), 'Given ' || n, 'Family',"
        " 'c' || n || '@example.com', 'ENABLED', false from generate_series(1, 30) n",
        "insert into public.shop_products (connection_id, shopify_id, version, updated_at, title, vendor, status,"
        " total_inventory, product_type)"
        " select %s, n, now(), now(), 'Lamp ' || n, 'Maker', 'ACTIVE', n * 3 - 5, 'Light'"
        " from generate_series(1, 30) n",
        "insert into public.shop_variants (connection_id, shopify_id, product_id, version, updated_at, title,"
        " sku, price, inventory_item_id, inventory_quantity)"
        " select %s, n, n, now(), now(), 'Blue', 'L-' || n, 19.9, n, n * 3 - 5 from generate_series(1, 30) n",
        "insert into public.shop_inventory_levels (connection_id, inventory_item_id, location_id, location, version,"
        " updated_at, available) select %s, n, 1, 'Warehouse', now(), now(), n from generate_series(1, 30) n",
        "insert into stores.webhook_inbox (connection_ids, topic, shop_domain, event_id, webhook_id, bytes, payload,"
        " state, applied_at) select array[%s::bigint], 'orders/updated', 'x', n::text, n::text, 10, '{}', 'applied',"
        " clock_timestamp() from generate_series(1, 30) n",
        "insert into stores.reconciliations (connection_id, state, orders, tied, findings)"
        " values (%s, 'open', 41, 40, '[\"one order does not tie\"]')",
    ):
        await db.execute(statement, (c,))
    await db.execute(
        "insert into public.shop_sales (connection_id, shopify_id, order_id, agreement_id, day, currency,"
        " counted, reason, action, line_type, quantity, amount, tax, discount)"
        " values (%s, 1, 7000, 1, current_date, 'USD', true, 'ORDER', 'ORDER', 'PRODUCT', 2, 100.25, 10, 5)",
        (c,),
    )
    await db.execute(
        "insert into stores.untied_orders (reconciliation_id, connection_id, order_id, name, currency,"
        " current_total_price, ledger, difference)"
        " select id, %s, 7000, '#1000', 'USD', 10, 9, 1 from stores.reconciliations",
        (c,),
    )
    for label in LABELS[:3]:
        await milestone(at, label, "completed", written=40, total=40)
    await milestone(at, "customers", "in_progress", written=1200, total=3000)
    await milestone(at, "products", "queued")


async def test_every_page_shows_its_data_in_both_themes(database: Database, tmp_path: Path) -> None:
    async with site(database, tmp_path) as at:
        await trade(at)
        for dark in (False, True):
            async with visiting(at, dark=dark) as browser:
                for path, (title, mark) in PAGES.items():
                    if dark and path not in ("sales", "progress"):
                        continue
                    await go(browser, f"stores/{path}")
                    await browser.page.wait_for_selector(mark, timeout=15_000)
                    assert await browser.page.inner_text("h1") == title, path
                    assert not await browser.page.query_selector("[role=alert]"), path
                    await _picture(browser, f"{path.replace('/', '-')}-{'dark' if dark else 'light'}")
                assert browser.wrong == []


async def test_no_page_scrolls_sideways_on_a_phone(database: Database, tmp_path: Path) -> None:
    async with site(database, tmp_path) as at:
        await trade(at)
        async with visiting(at, width=360, height=740) as browser:
            for path, (_, mark) in PAGES.items():
                await go(browser, f"stores/{path}")
                await browser.page.wait_for_selector(mark, timeout=15_000)
                assert await browser.page.evaluate("document.documentElement.scrollWidth") <= 360, path
                await _picture(browser, f"{path.replace('/', '-')}-phone")
            assert browser.wrong == []


async def test_pages_without_a_shop_say_what_to_do(database: Database, tmp_path: Path) -> None:
    async with site(database, tmp_path, connected=False) as at:
        async with browsing(at.base) as browser:
            await go(browser, "stores/sales")
            await browser.page.wait_for_selector("text=Sign in to see this")
        async with visiting(at) as browser:
            for path in PAGES:
                await go(browser, f"stores/{path}")
                await browser.page.wait_for_selector("text=/No shop is connected|Connect a shop/ >> nth=0")
            await go(browser, "stores/connect?error=SHOP_TAKEN&shop=acme.myshopify.com")
            await browser.page.wait_for_selector("text=connected to another brand")
            assert await browser.page.input_value("form input.input") == "acme.myshopify.com"
            assert browser.wrong == []


async def test_widget_follows_a_sync_from_connecting_to_hidden_on_another_page(
    database: Database, tmp_path: Path
) -> None:
    async with site(database, tmp_path) as at, browsing(at.base) as browser:
        page = browser.page
        body = (
            f'<script type="module" src="{at.base}/api/stores/widget.js"></script>'
            f'<headgate-sync-progress brand="{at.brand}" token="{shop.token(at.user)}" apikey="{at.key}">'
            "</headgate-sync-progress>"
            "<script>document.addEventListener('headgate-sync-complete', () => { window.done = true })</script>"
        )
        await page.route("**/elsewhere", lambda route: route.fulfill(body=body, content_type="text/html"))
        await milestone(at, "connected", "completed")
        await milestone(at, "recent", "in_progress")
        await page.goto(f"{at.base}/elsewhere")
        await page.wait_for_selector("section[data-status=syncing]", timeout=15_000)
        await milestone(at, "recent", "completed", written=12)
        await milestone(at, "orders", "in_progress", written=300, total=1200)
        await page.wait_for_selector(
            "[data-label=orders] [role=progressbar][aria-valuenow='25']", timeout=15_000
        )
        await milestone(at, "orders", "in_progress", written=1200, total=1200)
        await page.wait_for_selector("[data-label=orders] [aria-valuenow='99']", timeout=15_000)
        for label in LABELS:
            await milestone(at, label, "completed", written=1200)
        await page.wait_for_selector("text=Complete", timeout=15_000)
        assert "1,200" in await page.inner_text("[data-label=orders]")
        await page.wait_for_function("window.done === true", timeout=15_000)
        assert not await page.is_visible("headgate-sync-progress")
        await page.reload()
        await page.wait_for_function("window.done === true", timeout=15_000)
        assert not await page.is_visible("headgate-sync-progress")


async def test_widget_shows_nothing_of_a_brand_that_is_not_the_users(
    database: Database, tmp_path: Path
) -> None:
    async with site(database, tmp_path) as at, browsing(at.base) as browser:
        await milestone(at, "orders", "in_progress", written=1, total=2)
        other = shop.token(shop.someone())
        body = (
            f'<script type="module" src="{at.base}/api/stores/widget.js"></script>'
            "<script>addEventListener('headgate-sync-denied', (e) => { window.denied = e.detail.status })</script>"
            f'<headgate-sync-progress brand="{at.brand}" token="{other}"></headgate-sync-progress>'
        )
        await browser.page.route(
            "**/elsewhere", lambda route: route.fulfill(body=body, content_type="text/html")
        )
        await browser.page.goto(f"{at.base}/elsewhere")
        await browser.page.wait_for_function("window.denied === 404", timeout=15_000)
        assert (
            await browser.page.evaluate(
                "document.querySelector('headgate-sync-progress').shadowRoot.innerHTML"
            )
            == ""
        )


async def _picture(browser: Browser, name: str) -> None:
    """A screenshot for people, when the environment names a folder for them."""
    import os

    folder = os.environ.get("TEST_PICTURES")
    if folder:
        await settled(browser)
        await browser.page.screenshot(path=f"{folder}/{name}.png")
