"""The progress widget on other people's pages: from connecting a shop to hidden, live and by asking, and in trouble."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

pytest.importorskip("playwright.async_api", reason="the playwright package is not installed")

from headgate.apps.stores import ingest
from headgate.testing.database import TestCluster
from tests.browser.chromium import CHROMIUM, Browser
from tests.browser.stores_site import ACME, ADMIN, OTHER, OWNER, VIEWER, Place, connect, storefront
from tests.serving import on_loopback
from tests.stores_sync import working

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
]
LABELS = ("connected", "recent", "orders", "customers", "products", "reconciled")
# Everything the widget ever showed of a milestone, and the events it sent.
RECORDER = """
window.seen = {}; window.happened = [];
for (const name of ['headgate-sync-complete', 'headgate-sync-denied'])
  document.addEventListener(name, (e) => window.happened.push([name, e.detail && e.detail.status]));
document.addEventListener('headgate-sync', (e) => setTimeout(() => {
  const root = document.querySelector('headgate-sync-progress').shadowRoot;
  for (const line of root.querySelectorAll('li')) {
    const bar = line.querySelector('[role=progressbar]');
    (window.seen[line.dataset.label] ||= []).push([line.className, bar && bar.ariaValueNow]);
  }
}));
"""
# Timers of five seconds and more never ring: what moves then was moved by realtime.
NO_POLLING = """
const ring = setTimeout;
window.setTimeout = (f, ms, ...more) => ring(f, ms >= 5000 ? 2 ** 31 - 1 : ms, ...more);
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(cluster: TestCluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A server, a simulated shop and people; nothing is connected."""
    async with (
        cluster.database() as db,
        storefront(db, tmp_path_factory.mktemp("widget"), synced=False) as made,
    ):
        yield made


@pytest.fixture
async def shop(place: Place) -> AsyncIterator[int]:
    """A connection whose milestones the test moves itself; gone afterwards."""
    made: int = await place.db.fetch_value(
        "insert into stores.connections (brand_id, shop_domain, api_version) values (%s, %s, '2026-07') returning id",
        (place.acme, f"{uuid4().hex}.myshopify.com"),
    )
    try:
        yield made
    finally:
        await place.db.execute("delete from stores.connections where id = %s", (made,))


async def move(place: Place, shop: int, label: str, status: str, **columns: Any) -> None:
    """Move one milestone, as the sync does."""
    values = {"written": None, "total": None, "error": None, "detail": "{}", **columns}
    await place.db.execute(
        "insert into public.shop_milestones as m (connection_id, label, status, rows_written, total_rows, objects_seen,"
        "  error, detail, started_at) values (%(shop)s, %(label)s, %(status)s, coalesce(%(written)s, 0), %(total)s,"
        "  coalesce(%(written)s, 0), %(error)s, %(detail)s::jsonb, now())"
        " on conflict (connection_id, label) do update set status = excluded.status, error = excluded.error,"
        "  rows_written = coalesce(%(written)s, m.rows_written), total_rows = coalesce(%(total)s, m.total_rows),"
        "  objects_seen = coalesce(%(written)s, m.objects_seen), detail = excluded.detail, updated_at = now()",
        {"shop": shop, "label": label, "status": status, **values},
    )


def page_of(place: Place, attributes: str, script: str = "") -> str:
    """A page of somebody else's: plain HTML, with the widget from our server."""
    return (
        f"<!doctype html><title>Elsewhere</title><script>{RECORDER}</script>"
        f'<script type="module" src="{place.base}/api/stores/widget.js"></script>'
        f"<h1>Another site</h1><headgate-sync-progress {attributes}></headgate-sync-progress>{script}"
    )


@contextlib.asynccontextmanager
async def elsewhere(html: str) -> AsyncIterator[str]:
    """A site of another origin that serves one page."""

    async def site(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        found = scope["path"] == "/"
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200 if found else 204, "headers": headers})
        await send({"type": "http.response.body", "body": html.encode() if found else b""})

    async with on_loopback(site, lifespan="off") as address:
        yield address + "/"


@contextlib.asynccontextmanager
async def showing(
    place: Place, attributes: str, *, script: str = "", init: str = ""
) -> AsyncIterator[Browser]:
    """The other site's page, open in a browser in which nobody is signed in."""
    async with elsewhere(page_of(place, attributes, script)) as address, place.visit() as browser:
        if init:
            await browser.page.add_init_script(init)
        await browser.page.goto(address)
        yield browser


def as_owner(place: Place, more: str = "") -> str:
    """The attributes with which the owner sees the brand."""
    return f'brand="{place.acme}" token="{place.token(OWNER)}" {more}'


async def inside(browser: Browser) -> str:
    """What the widget holds, visible or not."""
    return str(await browser.page.eval_on_selector("headgate-sync-progress", "(e) => e.shadowRoot.innerHTML"))


async def hidden(browser: Browser) -> None:
    """Until the widget has hidden itself, and said once that everything is complete."""
    await browser.page.wait_for_selector("headgate-sync-progress", state="hidden")
    assert await browser.page.evaluate("window.happened") == [["headgate-sync-complete", None]]


def never_backwards(seen: list[Any]) -> list[int]:
    """The percentages in their order, each at most a hundred and none below the one before it."""
    numbers = [int(now) for status, now in seen if status == "in_progress" and now is not None]
    assert numbers == sorted(numbers) and all(0 <= number <= 100 for number in numbers), seen
    return numbers


#: A chunk takes as long as that of a large shop, so that there is progress to see.
SLOW = """
create function public.slow() returns trigger language plpgsql as $$
begin perform pg_sleep(0.3); return new; end $$
"""
SLOWLY = """
create trigger slow before update of lines on stores.bulk_operations for each row
when (new.lines > old.lines) execute function public.slow()
"""


async def test_from_connecting_a_shop_to_hidden_on_a_foreign_page(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documented snippet on a page of another origin, before the shop is connected; then a real sync."""
    monkeypatch.setattr(ingest, "ingest_file", functools.partial(ingest.ingest_file, chunk_bytes=40_000))
    place.simulator.outlet.bulk.seconds = 1.0
    await place.synced.db.execute(SLOW)
    await place.synced.db.execute(SLOWLY)
    snippet = (
        "<script type=module>const token = async () => " + repr(place.token(OWNER)) + ";"
        'document.querySelector("headgate-sync-progress").getToken = token;</script>'
    )
    attributes = f'brand="{place.acme}" apikey="{place.key}"'
    async with showing(place, attributes, script=snippet) as browser:
        await asyncio.sleep(0.5)
        assert await inside(browser) == ""
        made = await connect(place.base, place.token(OWNER), place.acme, ACME)
        place.synced.connection = made
        try:
            await browser.page.wait_for_selector("section[data-status]")
            async with working(place.synced):
                idle = asyncio.create_task(place.synced.idle(timeout_s=120))
                await browser.page.wait_for_selector("text=Complete", timeout=120_000)
                await idle
            assert "110 · done" in await inside(browser)
            await hidden(browser)
            seen = await browser.page.evaluate("window.seen")
            moved = never_backwards(seen["orders"])
            assert len({number for number in moved if 0 < number < 100}) >= 2, moved
            order = ["pending", "queued", "in_progress", "completed"]
            for label in LABELS:
                steps = [order.index(status) for status, _ in seen[label]]
                assert steps == sorted(steps) and steps[-1] == 3, (label, seen[label])
            await browser.page.reload()
            await browser.page.wait_for_selector("headgate-sync-progress", state="hidden")
            assert browser.wrong == []
        finally:
            place.simulator.outlet.bulk.seconds = 0.0
            await place.db.execute("delete from stores.connections where id = %s", (made,))


async def test_changes_arrive_live_without_asking(place: Place, shop: int) -> None:
    await move(place, shop, "connected", "completed")
    await move(place, shop, "orders", "in_progress", written=300, total=1200)
    for label in ("recent", "customers", "products", "reconciled"):
        await move(place, shop, label, "pending")
    joined = asyncio.Event()

    def heard(frame: Any) -> None:
        if "Subscribed to PostgreSQL" in str(frame):
            joined.set()

    html = page_of(place, as_owner(place, f'apikey="{place.key}"'))
    async with elsewhere(html) as address, place.visit() as browser:
        browser.page.on("websocket", lambda socket: socket.on("framereceived", heard))
        await browser.page.add_init_script(NO_POLLING)
        await browser.page.goto(address)
        await browser.page.wait_for_selector("[data-label=orders] [aria-valuenow='25']")
        await asyncio.wait_for(joined.wait(), 25)
        await asyncio.sleep(2.5)  # the last reading that was asked for before
        for written in (600, 900, 1200):
            await move(place, shop, "orders", "in_progress", written=written, total=1200)
            now = min(99, written // 12)
            await browser.page.wait_for_selector(f"[data-label=orders] [aria-valuenow='{now}']")
        for label in LABELS:
            await move(place, shop, label, "completed")
        await browser.page.wait_for_selector("text=Complete")
        await hidden(browser)
        assert never_backwards((await browser.page.evaluate("window.seen"))["orders"])[-1] == 99
        assert browser.wrong == []


@pytest.mark.parametrize("key", [False, True], ids=["no key", "websockets are cut off"])
async def test_asking_does_where_realtime_is_not_there(place: Place, shop: int, key: bool) -> None:
    await move(place, shop, "orders", "in_progress", written=10, total=100)
    opened: list[str] = []
    more = f'apikey="{place.key}"' if key else ""
    async with elsewhere(page_of(place, as_owner(place, more))) as address, place.visit() as browser:
        browser.page.on("websocket", lambda socket: opened.append(socket.url))
        await browser.page.route_web_socket("**/*", lambda socket: socket.close())
        await browser.page.goto(address)
        await browser.page.wait_for_selector("[data-label=orders] [aria-valuenow='10']")
        await move(place, shop, "orders", "in_progress", written=60, total=100)
        await browser.page.wait_for_selector("[data-label=orders] [aria-valuenow='60']")
        await move(
            place, shop, "orders", "in_progress", written=0, total=100
        )  # the file is read a second time
        await asyncio.sleep(2.5)
        await browser.page.wait_for_selector("[data-label=orders] [aria-valuenow='60']")
        await move(place, shop, "orders", "completed", written=100)
        await hidden(browser)
        never_backwards((await browser.page.evaluate("window.seen"))["orders"])
        assert key or opened == []


async def test_what_is_missing_is_said_and_stays(place: Place, shop: int) -> None:
    missing = '{"missing": [{"what": "orders", "why": "Shopify counts 12, 11 are here"}]}'
    for label in LABELS[:-1]:
        await move(place, shop, label, "completed", written=11)
    await move(place, shop, "reconciled", "partial", detail=missing)
    async with showing(place, as_owner(place)) as browser:
        await browser.page.wait_for_selector("text=orders: Shopify counts 12, 11 are here")
        await browser.page.wait_for_selector("text=Incomplete")
        await asyncio.sleep(4.5)  # longer than it stays when all is well
        assert await browser.page.is_visible("headgate-sync-progress")
        await move(place, shop, "orders", "error", error="A scope for this is missing.")
        await browser.page.evaluate("document.querySelector('headgate-sync-progress').refresh()")
        await browser.page.wait_for_selector("text=A scope for this is missing.")
        await browser.page.wait_for_selector("text=Needs attention")
        await place.db.execute(
            "update stores.connections set state = 'error', error = 'Connect it again.' where id = %s",
            (shop,),
        )
        await browser.page.evaluate("document.querySelector('headgate-sync-progress').refresh()")
        await browser.page.wait_for_selector("footer:has-text('Connect it again.')")
        assert await browser.page.evaluate("window.happened") == []


async def test_of_several_shops_progress_waits_until_each_knows_its_whole(place: Place, shop: int) -> None:
    second: int = await place.db.fetch_value(
        "insert into stores.connections (brand_id, shop_domain, api_version) values (%s, %s, '2026-07') returning id",
        (place.acme, "second.myshopify.com"),
    )
    try:
        await move(place, shop, "orders", "completed", written=900, total=900)
        await move(place, second, "orders", "in_progress", detail='{"state": "submitted"}')
        async with showing(place, as_owner(place)) as browser:
            await browser.page.wait_for_selector("text=Shopify prepares the file")
            assert (
                await browser.page.get_attribute("[data-label=orders] [role=progressbar]", "aria-valuenow")
                is None
            )
            await move(
                place, second, "orders", "in_progress", written=100, total=1100, detail='{"state": "staged"}'
            )
            await browser.page.wait_for_selector("[data-label=orders] [aria-valuenow='50']")
    finally:
        await place.db.execute("delete from stores.connections where id = %s", (second,))


@pytest.mark.parametrize("who", [OTHER, ADMIN, None], ids=["another brand's user", "admin", "nobody"])
async def test_brand_of_others_shows_nothing_and_leaks_nothing(
    place: Place, shop: int, who: str | None
) -> None:
    await move(place, shop, "orders", "in_progress", written=4711, total=9999)
    token = place.token(who) if who else place.token(OWNER, exp=1)
    opened: list[str] = []
    asked: list[str] = []
    attributes = f'brand="{place.acme}" token="{token}" apikey="{place.key}"'
    async with elsewhere(page_of(place, attributes)) as address, place.visit() as browser:
        page = browser.page
        page.on("websocket", lambda socket: opened.append(socket.url))
        page.on("request", lambda request: asked.append(request.method) if "/status" in request.url else None)
        await page.goto(address)
        status = 404 if who else 401
        async with asyncio.timeout(25):
            while not (happened := await page.evaluate("window.happened")):  # noqa: ASYNC110 - the page changes it
                await asyncio.sleep(0.1)
        assert happened == [["headgate-sync-denied", status]]
        await asyncio.sleep(2.5)
        assert await inside(browser) == "" and opened == [] and asked.count("GET") == 1
    async with httpx.AsyncClient(base_url=place.base, headers={"Authorization": f"Bearer {token}"}) as client:
        told = [await client.get(f"/api/sync/{brand}/status") for brand in (place.acme, uuid4())]
    assert told[0].status_code == told[1].status_code == status and told[0].json() == told[1].json()


async def test_viewer_sees_it_and_a_token_that_comes_late_is_enough(place: Place, shop: int) -> None:
    await move(place, shop, "orders", "in_progress", written=1, total=2)
    widget = "document.querySelector('headgate-sync-progress')"
    given = f"setTimeout(() => {widget}.setAttribute('token', '{place.token(VIEWER)}'), 300)"
    late = f"<script>{given}</script>"
    before = f"<script>{widget}.getToken = async () => window.given</script>"
    async with showing(
        place, f'brand="{place.acme}" theme="dark" heading="Our shop"', script=late
    ) as browser:
        await browser.page.wait_for_selector("h2:has-text('Our shop')")
        assert browser.wrong == []
    init = f"window.given = '{place.token(VIEWER)}'"
    async with showing(place, f'brand="{place.acme}"', script=before, init=init) as browser:
        await browser.page.wait_for_selector("[data-label=orders] [aria-valuenow='50']")
        assert browser.wrong == []
