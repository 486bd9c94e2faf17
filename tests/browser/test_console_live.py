"""Runs that move on the page by the change feed: short ones too, each person's own only, and by polling without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from headgate.db import Database
from headgate.engine.manifest import Page, SourceContext
from headgate.engine.runs import run_source
from tests.browser.chromium import CHROMIUM, Browser
from tests.browser.console import ADMIN, USER, go, site, visiting
from tests.database.promote_demo import SCHEMA, demo, item

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"
)
PAGES, STEP_S = 5, 0.15
#: Keeps every text that the region has shown, since a short run is gone before a test could look.
_WATCH = """(label) => {
  const region = document.querySelector(`[aria-label="${label}"]`);
  window.__shown = [];
  const look = () => { window.__shown.push(region.innerText); };
  new MutationObserver(look).observe(region, { subtree: true, childList: true, characterData: true });
}"""


async def short_run(db: Database, name: str, owner: UUID | None = None) -> None:
    """A run of less than a second's work, one row a page."""

    async def fetch(ctx: SourceContext, cursor: Any) -> AsyncIterator[Page]:
        for number in range(PAGES):
            await asyncio.sleep(STEP_S)
            yield Page(rows=[item(f"{name}{number}")], next=number, expected=PAGES, last=number == PAGES - 1)

    await run_source(db, demo(fetch), "items", key=name, owner=owner)


async def listening(browser: Browser) -> list[str]:
    """What arrives on the page's sockets from its next load on."""
    heard: list[str] = []

    def told(payload: str | bytes) -> None:
        heard.append(payload if isinstance(payload, str) else payload.decode(errors="replace"))

    browser.page.on("websocket", lambda socket: socket.on("framereceived", told))
    return heard


async def until(browser: Browser, heard: list[str], word: str) -> None:
    """Until a frame with this word has come."""
    for _ in range(600):
        if any(word in frame for frame in heard):
            return
        await browser.page.wait_for_timeout(50)
    raise AssertionError(f"no frame has {word}")


async def test_short_run_is_seen_as_it_runs_without_polling(database: Database, tmp_path: Path) -> None:
    await database.execute(SCHEMA)
    async with site(database, tmp_path) as at, visiting(at, ADMIN) as browser:
        heard = await listening(browser)
        await go(browser, "overview")
        await until(browser, heard, "Subscribed to PostgreSQL")
        await browser.page.wait_for_timeout(500)  # the reading that the subscription asked for
        await browser.page.route("**/rpc/overview", lambda route: asyncio.sleep(0))  # is never answered
        await browser.page.evaluate(_WATCH, "Runs in progress")
        await short_run(database, "brief")
        await browser.page.wait_for_selector("[aria-label='Runs in progress'] .badge:has-text('succeeded')")
        shown: list[str] = await browser.page.evaluate("window.__shown")
        running = [text for text in shown if "demo.items · brief" in text and "succeeded" not in text]
        counts = [n for n in range(1, PAGES) if any(f"{n} of {PAGES}" in text for text in running)]
        assert len(counts) >= 2, shown  # it was seen to move, not only to be there
        await browser.page.wait_for_selector("text=No run is going on at this moment", timeout=10_000)
        assert browser.wrong == []


async def test_user_hears_of_own_runs_only(database: Database, tmp_path: Path) -> None:
    await database.execute(SCHEMA)
    async with site(database, tmp_path) as at, visiting(at, USER) as browser:
        heard = await listening(browser)
        await go(browser, "runs")
        await until(browser, heard, "Subscribed to PostgreSQL")
        await short_run(database, "secret")
        await short_run(database, "others", owner=at.admin)
        await short_run(database, "mine", owner=at.user)
        await until(browser, heard, '"state":"succeeded"')
        await browser.page.wait_for_selector("td:has-text('mine')")
        changes = [frame for frame in heard if "postgres_changes" in frame and '"record"' in frame]
        assert len(changes) >= PAGES
        assert not [frame for frame in heard if "secret" in frame or "others" in frame]
        assert "secret" not in await browser.page.inner_text("main")
        assert browser.wrong == []


async def test_administrator_who_is_signed_out_elsewhere_hears_no_more(
    database: Database, tmp_path: Path
) -> None:
    await database.execute(SCHEMA)
    async with site(database, tmp_path) as at, visiting(at, ADMIN) as browser:
        heard = await listening(browser)
        await go(browser, "overview")
        await until(browser, heard, "Subscribed to PostgreSQL")
        await short_run(database, "before")
        await until(browser, heard, "before")
        await database.execute("delete from auth.sessions where user_id = %s", [at.admin])
        await short_run(database, "after")
        await database.execute("update auth.users set raw_app_meta_data = '{}' where id = %s", [at.admin])
        await short_run(
            database, "mine", owner=at.admin
        )  # read after the others, and told: it is the account's own
        await until(browser, heard, "mine")
        assert not [frame for frame in heard if "after" in frame]


async def test_without_realtime_runs_move_by_polling(database: Database, tmp_path: Path) -> None:
    async with site(database, tmp_path, realtime="off") as at, visiting(at, ADMIN) as browser:
        await go(browser, "overview")
        await browser.page.wait_for_selector("text=No run is going on at this moment")
        await database.execute(
            "insert into control.runs (app, source, fence, state, seen, expected)"
            " values ('demo', 'demo.items', 1, 'running', 50, 150)"
        )
        await browser.page.wait_for_selector("[aria-label='Runs in progress'] >> text=50 of 150")
        await database.execute("update control.runs set seen = 100")
        await browser.page.wait_for_selector("[aria-label='Runs in progress'] >> text=100 of 150")
        # What the browser itself says of refused sockets, a few times and no more.
        assert {"WebSocket" in line for line in browser.wrong} <= {True}
        assert 1 <= len(browser.wrong) <= 6, browser.wrong
        known = len(browser.wrong)
        await browser.page.wait_for_timeout(12_000)
        assert len(browser.wrong) <= max(known, 6), browser.wrong


async def test_rows_of_this_hour_have_their_bar(database: Database, tmp_path: Path) -> None:
    """On a new server it is the only one."""
    await database.execute(SCHEMA)
    await short_run(database, "first")
    blue = """() => {
      const c = document.querySelector('.uplot canvas');
      const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);
      let n = 0;
      for (let i = 0; i < data.length; i += 4) n += data[i + 3] > 200 && data[i + 2] - data[i] > 80;
      return n;
    }"""
    async with site(database, tmp_path) as at, visiting(at, ADMIN) as browser:
        await go(browser, "overview")
        await browser.page.wait_for_selector(".uplot canvas")
        for _ in range(200):
            if await browser.page.evaluate(blue) > 500:
                break
            await browser.page.wait_for_timeout(50)
        assert await browser.page.evaluate(blue) > 500
        assert all("willReadFrequently" in one for one in browser.wrong), browser.wrong
