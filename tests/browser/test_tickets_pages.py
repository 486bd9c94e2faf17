"""The pages in a real browser: with data, without, live, on a phone; no console error and no policy violation."""

from __future__ import annotations

import asyncio

import pytest

from headgate.db import Database
from tests import ticket_market as market
from tests.browser.chromium import CHROMIUM, browsing

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"
)

PAGES = {
    "events": ("Events", "table"),
    "events/1": ("Game 1", ".uplot canvas"),
    "events/1/sections": ("Game 1", ".tile"),
    "events/1/listings": ("Game 1", "table"),
    "screener": ("Screener", "table"),
    "screener/compare/1,2": ("Comparison", ".card.flush table"),
    "alerts": ("Alerts", "form"),
    "freshness": ("Freshness", "table"),
}


async def _market(db: Database) -> None:
    for event_id in (1, 2):
        await market.add_event(db, event_id)
        await market.history(db, event_id, hours=30, every_s=3600)


async def test_every_page_shows_its_data_without_an_error(database: Database) -> None:
    await _market(database)
    async with market.serving(database) as base:
        for dark in (False, True):
            async with browsing(base, dark=dark) as browser:
                for path, (title, mark) in PAGES.items():
                    await browser.open(path)
                    await browser.page.wait_for_selector(mark, timeout=15_000)
                    assert await browser.page.inner_text("h1") == title, path
                    await browser.page.wait_for_selector("[aria-busy=true]", state="detached", timeout=15_000)
                    assert not await browser.page.query_selector("[role=alert]"), path
                assert browser.wrong == []


async def test_no_page_scrolls_sideways_on_a_phone(database: Database) -> None:
    await _market(database)
    async with market.serving(database) as base, browsing(base, width=360, height=740) as browser:
        for path, (_, mark) in PAGES.items():
            await browser.open(path)
            await browser.page.wait_for_selector(mark, timeout=15_000)
            await browser.page.wait_for_selector("[aria-busy=true]", state="detached", timeout=15_000)
            assert await browser.page.evaluate("document.documentElement.scrollWidth") <= 360, path
        assert browser.wrong == []


async def test_pages_without_data_say_what_to_do(database: Database) -> None:
    async with market.serving(database) as base, browsing(base) as browser:
        for path, text in {
            "events": "headgate up --demo",
            "screener": "Loosen a filter",
            "alerts": "No rules yet",
            "freshness": "No events are watched yet",
        }.items():
            await browser.open(path)
            await browser.page.wait_for_selector(f"text={text}", timeout=15_000)
        assert browser.wrong == []
        await browser.open("events/77")
        await browser.page.wait_for_selector("text=There is no such event", timeout=15_000)


async def test_event_that_was_never_polled_says_so(database: Database) -> None:
    await market.add_event(database, 1)
    async with market.serving(database) as base, browsing(base) as browser:
        await browser.open("events/1")
        await browser.page.wait_for_selector("text=Nothing is known about this event yet", timeout=15_000)
        assert browser.wrong == []


async def test_new_poll_reaches_an_open_page_by_itself(database: Database) -> None:
    await market.add_event(database, 1)
    await market.poll(database, 1, market.now(), [market.listing(1, price=12_300)])
    async with market.serving(database) as base, browsing(base) as browser:
        await browser.open("events/1")
        await browser.page.wait_for_selector("dd:has-text('$123')", timeout=15_000)
        await browser.page.wait_for_selector(".live.on", timeout=15_000)
        await asyncio.sleep(0.2)
        await market.poll(database, 1, market.now(), [market.listing(1, price=9_900)])
        await browser.page.wait_for_selector("dd:has-text('$99')", timeout=10_000)
        updated = await browser.page.inner_text("[data-updated]")
        assert "ago" in updated or "just now" in updated
        assert browser.wrong == []


async def test_rule_is_created_and_its_firing_appears(database: Database) -> None:
    await market.add_event(database, 1)
    await market.poll(database, 1, market.now(), [market.listing(1, price=12_300)])
    async with market.serving(database) as base, browsing(base) as browser:
        await browser.open("alerts")
        await browser.page.wait_for_selector("option:has-text('Game 1')", state="attached", timeout=15_000)
        await browser.page.select_option("form select >> nth=0", label="Game 1")
        await browser.page.fill("form input[type=number]", "100")
        await browser.page.click("text=Create the rule")
        await browser.page.wait_for_selector("text=armed", timeout=10_000)
        await market.poll(database, 1, market.now(), [market.listing(1, price=9_000)])
        await database.execute("select tickets.evaluate_alerts()")
        await browser.page.wait_for_selector("text=The cheapest ticket at 90.00 USD", timeout=15_000)
        await browser.page.click("text=Delete")
        await browser.page.wait_for_selector("text=No rules yet", timeout=10_000)
        assert browser.wrong == []


async def test_theme_is_chosen_and_kept_and_everything_is_reached_by_keyboard(database: Database) -> None:
    await _market(database)
    async with market.serving(database) as base, browsing(base) as browser:
        await browser.open("events")
        await browser.page.wait_for_selector("table", timeout=15_000)
        await browser.page.click("[aria-label='Use dark colours']")
        assert await browser.page.evaluate("document.documentElement.dataset.theme") == "dark"
        await browser.page.reload()
        assert await browser.page.evaluate("document.documentElement.dataset.theme") == "dark"
        await browser.page.wait_for_selector("table a.name", timeout=15_000)
        for _ in range(30):
            await browser.page.keyboard.press("Tab")
            if await browser.page.evaluate("document.activeElement.matches('table a.name')"):
                break
        await browser.page.keyboard.press("Enter")
        await browser.page.wait_for_selector(".uplot canvas", timeout=15_000)
        assert browser.wrong == []


async def test_server_that_goes_away_is_said_and_found_again(database: Database) -> None:
    await _market(database)
    async with market.serving(database) as base, browsing(base) as browser:
        await browser.open("events")
        await browser.page.wait_for_selector("table", timeout=15_000)
        await browser.page.route("**/api/**", lambda route: route.abort())
        await browser.open("freshness")
        await browser.page.wait_for_selector("text=The server does not answer", timeout=15_000)
        await browser.page.unroute("**/api/**")
        await browser.page.click("text=Try again")
        await browser.page.wait_for_selector("table", timeout=15_000)
