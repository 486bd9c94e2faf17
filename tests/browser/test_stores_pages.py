"""The pages of stores over a synced shop: as each reader, wide and on a phone, searched, paged and in trouble."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

pytest.importorskip("playwright.async_api", reason="the playwright package is not installed")

from headgate.apps.stores.simulator import ledger
from headgate.testing.database import TestCluster
from tests.browser.chromium import CHROMIUM, Browser
from tests.browser.console import go, settled, shift, violations
from tests.browser.stores_site import ADMIN, OTHER, OWNER, VIEWER, Place, storefront
from tests.clients.installed import packages
from tests.stores_sync import working

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
]
MARKS = {
    "sales": ("Sales", ".uplot canvas"),
    "orders": ("Orders", "tbody tr"),
    "customers": ("Customers", "tbody tr"),
    "products": ("Products", "tbody tr"),
    "inventory": ("Inventory", "tbody tr"),
    "reconciliation": ("Reconciliation", "text=Every order ties"),
    "progress": ("Sync", "text=Checked to the cent"),
    "webhooks": ("Webhooks", ".pager, .state"),
    "connect": ("Shops", "tbody tr"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(cluster: TestCluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """One shop, one server and one Chromium for all of these tests; whoever changes something puts it back."""
    async with cluster.database() as db, storefront(db, tmp_path_factory.mktemp("stores")) as made:
        yield made


@pytest.fixture
def axe() -> str:
    """The source of axe-core, from npm."""
    folder = packages()
    if isinstance(folder, str):
        pytest.skip(folder)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


async def an_order(place: Place) -> dict[str, Any]:
    """An order that was refunded in part: the page has the most to show of it."""
    found = await place.db.fetch_one(
        "select * from public.shop_orders where connection_id = %s and financial_status = 'PARTIALLY_REFUNDED'"
        " order by shopify_id limit 1",
        (place.connection,),
    )
    assert found is not None
    return found


async def every_page(place: Place) -> dict[str, tuple[str, str]]:
    """Path → its title and something that is there once it has its data."""
    order = await an_order(place)
    return {
        **MARKS,
        f"orders/{order['shopify_id']}": (f"Order {order['name']}", "text=ties to Shopify's total"),
    }


async def hop(browser: Browser, path: str) -> None:
    """To another page as a link does it, without loading everything anew."""
    await browser.page.evaluate("(hash) => { location.hash = hash }", f"#/stores/{path}")
    await browser.page.wait_for_selector(f"h1:text-is('{MARKS[path][0]}')")
    await settled(browser)


async def rows(browser: Browser) -> list[str]:
    """The first cells of the table's rows, without what only a phone shows."""
    await settled(browser)
    cells = "main tbody tr td:first-child"
    read = "(cells) => cells.map((td) => (td.querySelector('strong, .name') || td).innerText)"
    return list(await browser.page.eval_on_selector_all(cells, read))


async def until(browser: Browser, script: str) -> None:
    """Until the page's expression is true. (`wait_for_function` evaluates text, which the page's policy forbids.)"""
    async with asyncio.timeout(25):
        while not await browser.page.evaluate(script):  # noqa: ASYNC110 - the page changes, not we
            await asyncio.sleep(0.05)


async def cut_off(browser: Browser) -> list[str]:
    """Tables and figures that are wider than the room they have."""
    wider = "(all) => all.filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.ariaLabel || e.innerText)"
    return list(await browser.page.eval_on_selector_all("main .scroll, main .stat dd", wider))


async def _picture(browser: Browser, name: str) -> None:
    """A screenshot for people, when the environment names a folder for them."""
    if folder := os.environ.get("TEST_PICTURES"):
        await browser.page.screenshot(path=f"{folder}/{name.replace('/', '-')}.png")


async def test_each_page_shows_its_data_is_accessible_and_does_not_jump(place: Place, axe: str) -> None:
    found: dict[str, object] = {}
    async with place.visit(OWNER) as browser:
        for path, (title, mark) in (await every_page(place)).items():
            await go(browser, f"stores/{path}")
            await browser.page.wait_for_selector(mark)
            if (heading := await browser.page.inner_text("h1")) != title:
                found[path] = heading
            if alert := await browser.page.query_selector("main [role=alert]"):
                found[f"{path} alert"] = await alert.inner_text()
            await browser.page.wait_for_timeout(200)
            if not 0 <= (moved := await shift(browser)) < 0.001:
                found[f"{path} moved"] = moved
            if broken := await violations(browser, axe):
                found[f"{path} axe"] = broken
            await _picture(browser, f"{path}-light")
        found.update({"wrong": browser.wrong} if browser.wrong else {})
    assert found == {}


async def test_each_page_fits_a_phone_in_the_dark_and_no_table_is_cut_off(place: Place, axe: str) -> None:
    found: dict[str, object] = {}
    async with place.visit(OWNER, dark=True, width=390, height=844) as browser:
        for path, (_, mark) in (await every_page(place)).items():
            await go(browser, f"stores/{path}")
            await browser.page.wait_for_selector(mark)
            if (wide := await browser.page.evaluate("document.documentElement.scrollWidth")) > 390:
                found[path] = wide
            if hidden := await cut_off(browser):
                found[f"{path} cut off"] = hidden
            if broken := await violations(browser, axe):
                found[f"{path} axe"] = broken
            await _picture(browser, f"{path}-phone-dark")
        found.update({"wrong": browser.wrong} if browser.wrong else {})
    assert found == {}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_trouble_is_readable_and_accessible_too(place: Place, axe: str, dark: bool) -> None:
    """A sync on its way that failed in part, an open comparison, a privacy request: no healthy shop shows them."""
    db, this = place.db, place.connection
    before = await db.fetch_all("select * from public.shop_milestones where connection_id = %s", (this,))
    put = (
        "update public.shop_milestones set status = %s, rows_written = %s, total_rows = %s, error = %s"
        " where connection_id = %s and label = %s"
    )
    await db.execute(put, ("in_progress", 4000, 12000, None, this, "orders"))
    await db.execute(put, ("in_progress", 0, None, None, this, "customers"))
    await db.execute(put, ("error", 3, 9, "A scope for this is missing.", this, "products"))
    await db.execute(
        put, ("partial", 0, None, "orders: Shopify counts 111, 110 are here", this, "reconciled")
    )
    await db.execute(
        "insert into stores.gdpr_requests (connection_id, topic, customer_id, webhook_id, state, counts, collected)"
        " values (%s, 'customers/data_request', 77, %s, 'done', '{\"shop_orders\": 3}', '{\"orders\": []}')",
        (this, "privacy"),
    )
    await db.execute(
        "with open as (insert into stores.reconciliations (connection_id, state, orders, tied, findings)"
        "  values (%(c)s, 'open', 110, 109, %(f)s) returning id)"
        " insert into stores.untied_orders (reconciliation_id, connection_id, order_id, name, currency,"
        "  current_total_price, ledger, difference) select id, %(c)s, 7, '#7', 'USD', 10, 9.5, 0.5 from open",
        {"c": this, "f": '[{"what": "orders", "why": "Shopify counts 111, 110 are here"}]'},
    )
    found: dict[str, object] = {}
    view = {"width": 390, "height": 844} if dark else {}
    try:
        async with place.visit(OWNER, dark=dark, **view) as browser:
            for path, mark in {
                "progress": "text=A scope for this is missing.",
                "sales": "text=still being read",
                "reconciliation": "text=Orders that do not tie",
                "webhooks": ".pager, .state",
            }.items():
                await go(browser, f"stores/{path}")
                await browser.page.wait_for_selector(mark)
                if path == "webhooks":
                    await browser.page.click("text=Privacy requests")
                    await browser.page.wait_for_selector("[aria-label='Save the data of customer 77']")
                if broken := await violations(browser, axe) + await cut_off(browser):
                    found[path] = broken
                await _picture(browser, f"trouble-{path}-{'dark' if dark else 'light'}")
            found.update({"wrong": browser.wrong} if browser.wrong else {})
    finally:
        for one in before:
            values = (one["status"], one["rows_written"], one["total_rows"], one["error"], this, one["label"])
            await db.execute(put, values)
        await db.execute("delete from stores.gdpr_requests where customer_id = 77")
        await db.execute("delete from stores.reconciliations where state = 'open'")
    assert found == {}


async def test_nobody_sees_what_is_not_theirs(place: Place) -> None:
    order = await an_order(place)
    async with place.visit() as browser:
        await go(browser, "overview")
        for path in MARKS:
            await hop(browser, path)
            await browser.page.wait_for_selector("text=Sign in to see this")
        assert browser.wrong == []
    async with place.visit(ADMIN) as browser:
        await go(browser, "overview")
        for path in MARKS:
            await hop(browser, path)
            await browser.page.wait_for_selector("text=/You belong to no brand yet|First, a brand/")
        assert browser.wrong == []
    async with place.visit(OTHER) as browser:
        seen = ""
        for path in (f"orders/{order['shopify_id']}", f"orders?customer={order['customer_id']}"):
            await go(browser, f"stores/{path}")
            seen += await browser.page.inner_text("main")
        for path in MARKS:
            await hop(browser, path)
            seen += await browser.page.inner_text("main")
        assert "There is no such order" in seen and "No orders of this customer" in seen
        for secret in ("acme", "Acme", order["name"], "First1"):
            assert secret not in seen
        assert browser.wrong == []


async def test_viewer_may_look_and_is_offered_nothing_else(place: Place) -> None:
    async with place.visit(VIEWER) as browser:
        await go(browser, "overview")
        for path, (_, mark) in MARKS.items():
            await hop(browser, path)
            await browser.page.wait_for_selector(mark)
            offered = await browser.page.inner_text("main")
            for wish in ("Sync now", "Disconnect", "Repair", "Compare now"):
                assert wish not in offered, path
        assert "You may look, not connect" in offered
        assert browser.wrong == []


async def test_empty_shop_says_what_to_expect(place: Place) -> None:
    expected = {
        "sales": "none was sold or taken back",
        "orders": "No orders yet",
        "customers": "No customers yet",
        "products": "No products yet",
        "inventory": "No stock yet",
        "progress": "Complete",
        "reconciliation": "Every order ties",
    }
    async with place.visit(OTHER) as browser:
        await go(browser, "overview")
        for path, text in expected.items():
            await hop(browser, path)
            await browser.page.wait_for_selector(f"text={text}")
        assert browser.wrong == []


def figure(text: str) -> Decimal:
    """The number in an amount as the page writes it."""
    return Decimal(re.sub(r"[^0-9.−]", "", text).replace("−", "-"))


async def stats(browser: Browser) -> dict[str, str]:
    """Label → value of the figures at the top."""
    read = "(all) => all.map((s) => [s.querySelector('dt').innerText, s.querySelector('dd').firstChild.textContent])"
    return dict(await browser.page.eval_on_selector_all("main .stat", read))


async def test_sales_are_the_oracles_to_the_cent_and_a_quiet_day_is_zero(place: Place) -> None:
    options = place.simulator.outlet.shop.options
    last = datetime.now(UTC).astimezone(ZoneInfo(options.timezone)).date()
    days = {str(last - timedelta(days=n)) for n in range(30)}
    every = ledger.as_rows(ledger.daily(place.simulator.outlet.shop.orders, options.timezone))
    told = [row for row in every if row["day"] in days]
    names = ("gross", "discounts", "reversals", "net", "total", "orders")
    total = {name: sum(Decimal(row[name]) for row in told) for name in names}
    async with place.visit(OWNER) as browser:
        await go(browser, "stores/sales")
        await browser.page.wait_for_selector(".uplot canvas")
        shown = await stats(browser)
        assert figure(shown["Total sales"]) == total["total"] and figure(shown["Net sales"]) == total["net"]
        assert figure(shown["Orders"]) == total["orders"]
        average = (total["gross"] - total["discounts"]) / total["orders"]
        assert abs(figure(shown["Average order"]) - average) <= Decimal("0.005")
        told_text = await browser.page.inner_text("[aria-label='How the total comes about'] table")
        assert figure(re.findall(r"Discounts\s+(\S+)", told_text)[0]) == -total["discounts"]
        assert figure(re.findall(r"Returns\s+(\S+)", told_text)[0]) == -total["reversals"]
        await browser.page.click("text=Numbers as a table")
        cells = "[...document.querySelectorAll('.tablewise tbody tr')].map((r) => [...r.cells].map((c) => c.innerText))"
        table = await browser.page.evaluate(cells)
        assert len(table) == 30 and sum(figure(row[1]) for row in table) == total["total"]
        assert sum(figure(row[3]) for row in table) == total["orders"]
        await browser.page.wait_for_selector("text=Gross sales − discounts − returns.")
        assert browser.wrong == []


async def test_sales_are_compared_with_what_is_chosen_in_the_currency_that_is_chosen(place: Place) -> None:
    await place.db.execute(
        "insert into public.shop_daily_sales (connection_id, day, currency, gross, discounts, reversals, net, shipping,"
        " taxes, duties, fees, total, tips, gift_cards, orders) select %s, current_date - 3, 'JPY', 0, 0, 900, -900, 0,"
        " 0, 0, 0, -900, 0, 0, 0",
        (place.connection,),
    )
    try:
        async with place.visit(OWNER) as browser:
            page = browser.page
            await go(browser, "stores/sales")
            await page.wait_for_selector("text=/, compared with/")
            await page.select_option("label:has-text('Compared with') select", "none")
            await page.wait_for_selector("text=/, compared with/", state="detached")
            await page.select_option("label:has-text('Compared with') select", "year")
            await page.wait_for_selector(
                f"text=/, compared with .*{(datetime.now(UTC) - timedelta(days=365)).year}/"
            )
            await page.click("text=7 days")
            await page.select_option("label:has-text('Currency') select", "JPY")
            await page.wait_for_selector("dd:has-text('−¥900')")
            await page.click("button:text-is('Other')")
            await page.fill("label:has-text('From') input", "2026-01-05")
            await page.fill("label:has-text('To') input", "2026-01-05")
            await page.wait_for_selector("text=No sales in this period")
            assert browser.wrong == []
    finally:
        await place.db.execute("delete from public.shop_daily_sales where currency = 'JPY'")


async def test_first_view_of_sales_asks_for_nothing_twice(place: Place) -> None:
    async with place.visit(OWNER) as browser:
        asked: list[str] = []
        browser.page.on("request", lambda request: asked.append(urlsplit(request.url).path))
        await go(browser, "stores/sales")
        await browser.page.wait_for_selector(".uplot canvas")
        await browser.page.wait_for_timeout(500)
        tables = ("shop_brands", "shop_connections", "shop_daily_sales", "shop_milestones")
        rest = sorted(path for path in asked if "/rest/" in path and not path.endswith("/whoami"))
        assert rest == [f"/rest/v1/{table}" for table in tables]


async def test_figures_that_are_not_final_say_so(place: Place) -> None:
    db, this = place.db, place.connection
    covered = "update stores.connections set coverage = %s where id = %s"

    async def stand(status: str) -> None:
        await db.execute(
            "update public.shop_milestones set status = %s, rows_written = 40, total_rows = 100"
            " where connection_id = %s and label = 'orders'",
            (status, this),
        )

    async with place.visit(OWNER) as browser:
        try:
            await stand("in_progress")
            await go(browser, "stores/sales")
            await browser.page.wait_for_selector("text=still being read")
            assert await browser.page.get_attribute("main [role=progressbar]", "aria-valuenow") == "40"
            await stand("partial")
            await go(browser, "stores/sales")
            await browser.page.wait_for_selector("text=did not read every order")
            await stand("completed")
            await db.execute(covered, ('{"orders": "60_days", "reason": "No read_all_orders."}', this))
            await go(browser, "stores/sales")
            await browser.page.click("text=90 days")
            await browser.page.wait_for_selector("text=Earlier days are not complete")
            assert ", compared with" not in await browser.page.inner_text("main")
        finally:
            await stand("completed")
            await db.execute(covered, ('{"orders": "all"}', this))


async def test_orders_are_searched_chosen_sorted_and_paged(place: Place) -> None:
    db, this = place.db, place.connection
    order = await an_order(place)
    orders = await db.fetch_all("select * from public.shop_orders where connection_id = %s", (this,))
    names = {one["name"] for one in orders}
    cancelled = {one["name"] for one in orders if one["cancelled_at"]}
    top = max(orders, key=lambda one: one["current_total_price"])["name"]
    async with place.visit(OWNER) as browser:
        page = browser.page
        await go(browser, "stores/orders")
        listed: list[str] = []
        for number in range(0, len(names), 25):
            await page.wait_for_selector(f".pager:has-text('{number + 1}–')")
            listed += await rows(browser)
            if not await page.is_disabled("text=Next"):
                await page.click("text=Next")
        assert await page.is_disabled("text=Next") and sorted(listed) == sorted(names)
        await page.fill("input[type=search]", order["name"])
        await until(browser, "document.querySelectorAll('main tbody tr').length === 1")
        assert await rows(browser) == [order["name"]]
        await page.fill("input[type=search]", "no such order %_\"'*(),.")
        await page.click("text=Show everything")
        await page.wait_for_selector(f".pager:has-text('1–25 of {len(names)}')")
        await page.select_option("label:has-text('Payment') select", "PARTIALLY_REFUNDED")
        states = "[...document.querySelectorAll('main tbody td:nth-child(4)')].map((td) => td.innerText)"
        await until(browser, f"new Set({states}).size === 1 && {states}[0] === 'partially refunded'")
        await page.select_option("label:has-text('Payment') select", "")
        await page.select_option("label:has-text('Kind') select", "cancelled")
        await until(
            browser, f"document.querySelectorAll('main tbody tr').length === {min(25, len(cancelled))}"
        )
        assert set(await rows(browser)) <= cancelled
        await page.click("td a.name >> nth=0")
        await page.click("text=← Orders")
        await page.wait_for_selector("label:has-text('Kind') select")
        assert await page.input_value("label:has-text('Kind') select") == "cancelled"
        await page.select_option("label:has-text('Kind') select", "")
        await page.click("th button:has-text('Total now')")
        await page.wait_for_selector("th[aria-sort=descending]:has-text('Total now')")
        await until(browser, f"document.querySelector('main tbody .name').innerText === '{top}'")
        assert browser.wrong == []


async def test_people_goods_and_stock_are_found(place: Place) -> None:
    db, this = place.db, place.connection
    person = await db.fetch_one(
        "select c.shopify_id, c.first_name, c.last_name, c.email, count(*) as orders from public.shop_customers c"
        " join public.shop_orders o on o.connection_id = c.connection_id and o.customer_id = c.shopify_id"
        " where c.connection_id = %s and c.email is not null group by 1, 2, 3, 4 order by 5 desc limit 1",
        (this,),
    )
    variant = await db.fetch_one(
        "select v.sku, p.title from public.shop_variants v"
        " join public.shop_products p on p.connection_id = v.connection_id and p.shopify_id = v.product_id"
        " where v.connection_id = %s and v.sku is not null limit 1",
        (this,),
    )
    assert person and variant
    full = f"{person['first_name']} {person['last_name']}"
    store = place.simulator.outlet.shop
    bought = [
        one for one in store.orders
        if one.customer is not None and store.numbers.make(one.customer) == person["shopify_id"]
    ]  # fmt: skip
    days = ledger.daily(bought, store.options.timezone).values()
    async with place.visit(OWNER) as browser:
        page = browser.page
        for words in (full, person["email"]):
            await go(browser, "stores/customers")
            await page.fill("input[type=search]", words)
            await until(browser, "document.querySelectorAll('main tbody tr').length === 1")
            assert await rows(browser) == [full]
        assert figure(await page.inner_text("tbody td:last-child strong")) == sum(day.total for day in days)
        placed = sum(day.orders for day in days)
        assert await page.inner_text("tbody td:nth-last-child(2)") == f"{placed} order{'s' * (placed != 1)}"
        await page.click("td a.name:visible")
        await page.wait_for_selector("text=Orders of one customer")
        assert len(await rows(browser)) == min(25, person["orders"])
        await go(browser, "stores/orders")
        await page.fill("input[type=search]", person["email"])
        await until(
            browser, f"document.querySelectorAll('main tbody tr').length === {min(25, person['orders'])}"
        )
        await go(browser, "stores/products")
        await page.fill("input[type=search]", variant["title"])
        await until(
            browser, f"document.querySelector('main tbody .name')?.innerText === {variant['title']!r}"
        )
        await page.click("td a.name >> nth=0")
        await page.wait_for_selector("text=Variants of one product")
        for words in (variant["sku"], variant["title"]):
            await go(browser, "stores/inventory")
            await page.fill("input[type=search]", words)
            listed = "[...document.querySelectorAll('main tbody strong:not(.num *)')].map((e) => e.innerText)"
            await until(browser, f"new Set({listed}).size === 1 && {listed}[0] === {variant['title']!r}")
        await page.select_option("label:has-text('Stock') select", "out")
        await page.wait_for_selector("text=/There is no match/")
        assert browser.wrong == []


async def test_numbers_that_are_none_are_said_to_be_none(place: Place) -> None:
    async with place.visit(OWNER) as browser:
        for wrong in ("x", "999999999999999999", "12345678901234567890123456", "-1", "%27or%201=1"):
            await go(browser, f"stores/orders/{wrong}")
            await browser.page.wait_for_selector("text=There is no such order")
        await go(browser, "stores/orders?customer=999999999")
        await browser.page.wait_for_selector("text=No orders of this customer")
        await go(browser, "stores/orders?customer=x'")
        await browser.page.wait_for_selector("tbody tr")
        await go(browser, "stores/inventory?product=5")
        await browser.page.wait_for_selector("text=No variants of this product")
        assert browser.wrong == []


async def test_shop_in_trouble_says_so_on_its_pages(place: Place) -> None:
    states = {
        "error": ("The merchant took a scope away.", "The merchant took a scope away."),
        "uninstalled": (None, "The app was removed from this shop"),
        "disconnected": (None, "This shop is disconnected"),
    }
    put = "update stores.connections set state = %s, error = %s where id = %s"
    async with place.visit(OWNER) as browser:
        try:
            for state, (error, text) in states.items():
                await place.db.execute(put, (state, error, place.connection))
                await go(browser, "stores/orders")
                await browser.page.wait_for_selector(f"text={text}")
                await browser.page.wait_for_selector("tbody tr")
                await browser.page.wait_for_selector("main >> text=Connect it again")
            await go(browser, "stores/progress")
            await browser.page.wait_for_selector("text=No shop is connected")
            await go(browser, "stores/connect")
            await browser.page.click("main >> text=Connect again")
            await until(
                browser, "document.querySelector('main form input')?.value.endsWith('.myshopify.com')"
            )
        finally:
            await place.db.execute(put, ("connected", None, place.connection))
        for code, text in {
            "SHOP_TAKEN": "connected to another brand",
            "WHAT": "could not be connected",
        }.items():
            await go(browser, f"stores/connect?error={code}")
            await browser.page.wait_for_selector(f"text={text}")
        assert browser.wrong == []


async def test_server_that_goes_away_is_said_and_found_again(place: Place) -> None:
    async with place.visit(OWNER) as browser:
        for path in ("orders", "connect"):
            await browser.page.route("**/rest/v1/shop_*", lambda route: route.abort())
            await go(browser, f"stores/{path}")
            await browser.page.wait_for_selector("text=The server does not answer")
            await browser.page.unroute("**/rest/v1/shop_*")
            await browser.page.click("text=Try again")
            await browser.page.wait_for_selector(MARKS[path][1])


async def test_comparison_finds_an_order_that_does_not_tie_and_names_it(place: Place) -> None:
    """The whole way: a button, a job, and the row in the list; then the order's own page says how far apart it is."""
    async with place.visit(OWNER) as browser, working(place.synced):
        page = browser.page
        await go(browser, "stores/reconciliation")
        await page.wait_for_selector("text=Every order ties")
        before = len(await rows(browser))
        await page.click("text=Compare now")
        await until(browser, f"document.querySelectorAll('main tbody tr').length > {before}")
        await page.wait_for_selector("button:has-text('Compare now'):not([disabled])")
        finding = '[{"what": "orders", "why": "Shopify counts 111, 110 are here"}]'
        await place.db.execute(
            "with open as (insert into stores.reconciliations (connection_id, state, orders, tied, findings)"
            "  values (%(c)s, 'open', 110, 109, %(f)s) returning id)"
            " insert into stores.untied_orders (reconciliation_id, connection_id, order_id, name, currency,"
            "  current_total_price, ledger, difference) select id, %(c)s, 7, '#7', 'KWD', 10, 9.995, 0.005 from open",
            {"c": place.connection, "f": finding},
        )
        try:
            await go(browser, "stores/reconciliation")
            await page.wait_for_selector("text=Orders: Shopify counts 111, 110 are here")
            assert "KWD\u00a00.005" in await page.inner_text("[aria-label='Orders that do not tie']")
        finally:
            await place.db.execute("delete from stores.reconciliations where state = 'open'")
        assert browser.wrong == []


async def test_webhooks_are_listed_chosen_and_told_how_soon_they_were_applied(place: Place) -> None:
    db = place.db
    await db.execute(
        "insert into stores.webhook_inbox (connection_ids, topic, shop_domain, event_id, webhook_id, bytes, payload,"
        " state, received_at, applied_at)"
        " select array[%s::bigint], 'orders/updated', 'x', 'p' || n, 'p' || n, 10, '{}',"
        "  case when n %% 10 = 0 then 'failed' else 'applied' end, now(), now() + interval '250 ms'"
        " from generate_series(1, 60) n",
        (place.connection,),
    )
    try:
        async with place.visit(OWNER) as browser:
            page = browser.page
            await go(browser, "stores/webhooks")
            await page.wait_for_selector("td:has-text('0.25 s')")
            await page.select_option("label:has-text('State') select", "failed")
            await until(browser, "document.querySelectorAll('main tbody tr').length === 6")
            await page.fill("input[type=search]", "products/")
            await page.wait_for_selector("text=There is no match")
            await page.click("text=Privacy requests")
            await page.wait_for_selector("text=No privacy request")
            assert browser.wrong == []
    finally:
        await db.execute("delete from stores.webhook_inbox where event_id like 'p%%'")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_keyboard_reaches_everything_and_shows_where_it_is(place: Place, dark: bool) -> None:
    here = """(() => {
      const at = document.activeElement, style = getComputedStyle(at);
      const name = `${at.tagName} ${at.innerText || at.ariaLabel || at.type}`.slice(0, 40);
      const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
      return [name, outlined, at.closest('main') !== null];
    })()"""
    reachable = "main :is(a[href], button:not([disabled]), input, select, summary, [tabindex='0']):visible"
    async with place.visit(OWNER, dark=dark) as browser:
        page = browser.page
        for path in ("sales", "orders", "connect"):
            await go(browser, f"stores/{path}")
            await page.wait_for_selector(MARKS[path][1])
            await page.focus("main")
            wanted = await page.locator(reachable).count()
            assert wanted >= 5, path
            seen = set()
            for _ in range(min(wanted, 14)):
                await page.keyboard.press("Tab")
                name, outlined, within = await page.evaluate(here)
                assert outlined, f"{path}: {name} does not show that it has the focus"
                assert within, f"{path}: the focus left the page after {sorted(seen)}"
                seen.add(name)
            assert len(seen) >= 5, path
        await go(browser, "stores/orders")
        await page.focus("th button:has-text('Placed')")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("th[aria-sort=ascending]:has-text('Placed')")
        assert browser.wrong == []
