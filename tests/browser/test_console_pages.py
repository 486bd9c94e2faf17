"""Every page of the console as anonymous, user and administrator: what each sees, axe, layout shift, phone width."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from headgate.db import Database
from tests import ticket_market as market
from tests.browser.chromium import CHROMIUM, Browser
from tests.browser.console import (
    ADMIN,
    USER,
    Site,
    carry,
    go,
    move,
    shift,
    sign_in,
    site,
    violations,
    visiting,
)
from tests.browser.test_tickets_pages import PAGES
from tests.clients.installed import packages

pytest.importorskip("playwright.async_api", reason="the playwright package is not installed")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"
)

TICKETS = [f"tickets/{path}" for path in PAGES]
WAYS = [f"sign-in?way={way}" for way in ("new", "link", "forgot")]
OPEN = ["overview", "tables", "tables/public/events", *TICKETS]
FOR_USERS = ["runs", "runs/1", "storage", "realtime", "account"]
FOR_ADMINS = [
    "sql", "jobs", "jobs/1", "logs/audit", "logs/sign_ins", "logs/failures", "users", "mail", "storage/papers",
    "tables/auth/users",
]  # fmt: skip
#: The doors that any application has, what an application documents, and the console's own files. Nothing else.
PUBLIC = re.compile(
    r"/(?:rest|auth|realtime|storage|functions)/v1(?:/|$)|/api/"
    r"|/console/(?:$|manifest\.json$|static/[\w./-]+$|pages/[a-z]+/[\w./-]+$)"
)
EVERY = {None: ["sign-in", *WAYS, *OPEN], USER: [*OPEN, *FOR_USERS], ADMIN: [*OPEN, *FOR_USERS, *FOR_ADMINS]}


@pytest.fixture
def axe() -> str:
    """The source of axe-core, from npm."""
    folder = packages()
    if isinstance(folder, str):
        pytest.skip(folder)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture
async def place(database: Database, tmp_path: Path) -> AsyncIterator[Site]:
    """A server with some of everything in it."""
    for event in (1, 2):
        await market.add_event(database, event)
        await market.history(database, event, hours=4, every_s=3600)
    async with site(database, tmp_path) as running:
        await database.execute(
            "insert into control.runs (app, source, fence, state, owner, seen, expected, rate) values"
            " ('tickets', 'tickets.listings', 1, 'running', %s, 50, 150, 10)",
            [running.user],
        )
        await database.execute("select control.enqueue_job('t.kind', '{}', 'default', null, null, 0, now())")
        await database.execute("insert into storage.buckets (id, name) values ('papers', 'papers')")
        await database.execute(
            "insert into control.mail (kind, recipient, subject, text, state)"
            " values ('recovery', 'user@example.com', 'Choose a new password', 'Follow the link', 'inbox')"
        )
        yield running


@pytest.mark.parametrize("who", [None, USER, ADMIN], ids=["anonymous", "user", "admin"])
async def test_every_page_works_is_accessible_does_not_jump_and_asks_public_interfaces_only(
    place: Site, axe: str, who: str | None
) -> None:
    found: dict[str, object] = {}
    asked: list[str] = []

    async def look(tab: Browser, path: str) -> None:
        await go(tab, path)
        if await tab.page.query_selector("main [role=alert]"):
            found[path] = await tab.page.inner_text("main [role=alert]")
        begun = time.monotonic()
        if broken := await violations(tab):
            found[f"{path} axe"] = broken
        await tab.page.wait_for_timeout(max(0, 300 - 1000 * (time.monotonic() - begun)))
        moved = await shift(tab)
        if not 0 <= moved < 0.001:
            found[f"{path} moved"] = moved

    async with visiting(place, who, on_request=asked.append) as browser:
        await carry(browser, axe)
        await in_tabs(browser, EVERY[who], look)
        found |= {"wrong": browser.wrong} if browser.wrong else {}
    assert found == {}
    assert private(asked) == []
    spoken = {urlsplit(url).path.split("/")[1] for url in asked if not url.startswith(("data:", "about:"))}
    assert spoken >= {"console", "rest", "auth"} | (
        {"realtime", "storage"} if who else set()
    )  # it was recorded


def private(asked: list[str]) -> list[str]:
    """Those of the addresses that no other application could ask."""
    paths = [urlsplit(url).path for url in asked if not url.startswith(("data:", "about:", "blob:"))]
    return sorted({path for path in paths if not PUBLIC.match(path)})


def test_record_of_requests_tells_private_ones() -> None:
    base = "http://127.0.0.1:1"
    good = [
        "/rest/v1/rpc/overview",
        "/realtime/v1/websocket?apikey=x",
        "/console/",
        "/console/static/vendor/a.js",
    ]
    bad = [
        "/health",
        "/metrics",
        "/restricted",
        "/console/private.json",
        "/internal/x",
        "/rest/v2/x",
        "/apis",
    ]
    assert private([base + path for path in good]) == []
    assert private([base + path for path in bad]) == sorted(bad)


async def test_every_page_is_accessible_in_the_dark_on_a_phone_and_scrolls_one_way(
    place: Site, axe: str
) -> None:
    found: dict[str, object] = {}

    async def look(tab: Browser, path: str) -> None:
        await (move(tab, path) if "/console/" in tab.page.url else go(tab, path))
        await check(tab, path)

    async def check(tab: Browser, path: str) -> None:
        if (wide := await tab.page.evaluate("document.documentElement.scrollWidth")) > 360:
            found[path] = wide
        if broken := await violations(tab):
            found[f"{path} axe"] = broken

    async with visiting(place, dark=True, width=360, height=740) as browser:
        await carry(browser, axe)
        for path in ("sign-in", "overview"):
            await go(browser, path)
            await check(browser, f"{path} as nobody")
        await sign_in(browser, ADMIN)
        await in_tabs(browser, EVERY[ADMIN], look)
    assert found == {}


async def in_tabs(
    browser: Browser, paths: list[str], look: Callable[[Browser, str], Awaitable[None]]
) -> None:
    """Look at every page, in two tabs side by side: one draws while the other waits for the server."""
    waiting = iter(paths)

    async def one(tab: Browser) -> None:
        for path in waiting:
            await look(tab, path)

    async with asyncio.TaskGroup() as group:
        group.create_task(one(browser))
        group.create_task(one(await browser.tab()))


async def test_pages_are_refused_to_whom_they_are_not_for(place: Site) -> None:
    async with visiting(place) as browser:
        for path in (*FOR_USERS, *FOR_ADMINS[:1]):
            await go(browser, path)
            await browser.page.wait_for_selector("text=Sign in to see this", timeout=10_000)
        assert await browser.page.query_selector(".side-nav a[href='#/users']") is None
        await sign_in(browser, USER)
        for path in ("sql", "users", "mail", "jobs"):
            await go(browser, path)
            await browser.page.wait_for_selector("text=This is for administrators", timeout=10_000)
        assert await browser.page.query_selector(".side-nav a[href='#/users']") is None
        await go(browser, "runs")
        await browser.page.wait_for_selector("text=tickets.listings", timeout=10_000)
        await go(browser, "tables/auth/users")
        await browser.page.wait_for_selector("text=There is no such table", timeout=10_000)
        assert browser.wrong == []


async def test_keyboard_reaches_everything(place: Site) -> None:
    async with visiting(place, ADMIN) as browser:
        page = browser.page
        await go(browser, "overview")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        await page.keyboard.press("Control+k")
        await page.wait_for_selector("dialog[open] input", timeout=10_000)
        await page.keyboard.type("users")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("h1:has-text('Users')", timeout=10_000)
        await page.wait_for_selector("dialog", state="detached")
        await page.keyboard.press("/")
        assert await page.evaluate("document.activeElement.type") == "search"
        await page.click("text=New user")
        await page.wait_for_selector("dialog[open]")
        await page.keyboard.press("Escape")
        await page.wait_for_selector("dialog", state="detached")
        assert await page.inner_text(":focus") == "New user"
        assert browser.wrong == []


async def test_phone_has_its_menu(place: Site) -> None:
    async with visiting(place, width=360, height=740) as browser:
        await go(browser, "overview")
        assert not await browser.page.is_visible(".side-nav")
        await browser.page.click("[aria-label='Open the menu']")
        await browser.page.click(".side-nav a[href='#/tables']")
        await browser.page.wait_for_selector("h1:has-text('Tables')")
        assert not await browser.page.is_visible(".side-nav")
        assert browser.wrong == []


async def test_policy_allows_no_inline_script_and_no_other_origin(place: Site) -> None:
    async with visiting(place) as browser:
        reply = await browser.page.goto(f"{place.base}/console/")
        assert reply is not None
        policy = reply.headers["content-security-policy"]
        assert "unsafe" not in policy and "script-src 'self'" in policy and "default-src 'none'" in policy
        assert "http" not in policy
        ran = await browser.page.evaluate(
            "(() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
            " document.body.append(s); return window.ran; })()"
        )
        assert ran is None
