"""A console in a real browser: the whole server with its services, accounts that sign in, axe, and layout shifts."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from headgate.db import Database
from headgate.db.keys import ensure_keys
from tests import ticket_market as market
from tests.browser.chromium import Browser, browsing
from tests.console_site import make_user

PASSWORD = "correct horse battery"
ADMIN, USER = "admin@example.com", "user@example.com"
_SHIFTS = """
window.__shift = 0;
try {
  new PerformanceObserver((list) => {
    for (const e of list.getEntries()) if (!e.hadRecentInput) window.__shift += e.value;
  }).observe({ type: 'layout-shift', buffered: true });
} catch { window.__shift = -1; }
"""


@dataclass(frozen=True)
class Site:
    """The running server and its accounts."""

    base: str
    admin: UUID
    user: UUID
    key: str


@contextlib.asynccontextmanager
async def site(db: Database, folder: Path, **settings: Any) -> AsyncIterator[Site]:
    """The whole server with every service, an administrator and a user who have passwords."""
    keys = await ensure_keys(db, folder / "keys.json")
    admin = await make_user(db, ADMIN, admin=True, password=PASSWORD)
    user = await make_user(db, USER, password=PASSWORD)
    with socket.socket() as probe:  # known beforehand, so that the links of letters lead to it
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {"data_dir": folder, "auth_bcrypt_cost": 4, "port": port, **settings}
    async with market.serving(db, publishable_key=keys["anon"], **options) as base:
        yield Site(base, admin, user, keys["anon"])


@contextlib.asynccontextmanager
async def visiting(site: Site, who: str | None = None, **view: Any) -> AsyncIterator[Browser]:
    """A browser; with the session of `who` (an address) when given, as a sign-in some time ago has left it."""
    stored = {} if who is None else {"headgate-session": await session(site, who)}
    async with browsing(site.base, stored=stored, **view) as browser:
        await browser.page.context.add_init_script(_SHIFTS)
        yield browser


async def session(site: Site, email: str, password: str = PASSWORD) -> str:
    """What supabase-js keeps of a sign-in. The form itself has tests of its own."""
    async with httpx.AsyncClient(base_url=site.base, headers={"apikey": site.key}) as http:
        reply = await http.post(
            "/auth/v1/token?grant_type=password", json={"email": email, "password": password}
        )
    assert reply.status_code == 200, reply.text
    return reply.text


async def sign_in(browser: Browser, email: str, password: str = PASSWORD) -> None:
    """Through the page, as people do."""
    await go(browser, "sign-in")
    await browser.page.fill("input[name=email]", email)
    await browser.page.fill("input[name=password]", password)
    await browser.page.click("form button.main")
    await browser.page.wait_for_selector(".side-foot .who", timeout=20_000, state="attached")
    await browser.page.wait_for_selector(".side-nav a[href='#/overview'][aria-current]", state="attached")


async def go(browser: Browser, path: str) -> None:
    """One of the console's pages, freshly loaded, until nothing on it is loading any more."""
    await browser.page.goto("about:blank")
    await browser.page.goto(f"{browser.base}/console/#/{path}")
    await settled(browser)


async def move(browser: Browser, path: str) -> None:
    """To another page as a click on a link does, without loading the console anew."""
    await browser.page.evaluate(
        """(path) => new Promise((done) => {
          if (location.hash === `#/${path}`) return done();
          addEventListener('hashchange', () => setTimeout(done, 50), { once: true });
          location.hash = `#/${path}`;
        })""",
        path,
    )
    await settled(browser)


async def settled(browser: Browser) -> None:
    """Until the page has its heading and nothing says that it is loading."""
    await browser.page.wait_for_selector("h1, [role=alert]", state="attached", timeout=20_000)
    await browser.page.wait_for_selector("[aria-busy=true]", state="detached", timeout=20_000)


async def carry(browser: Browser, axe: str) -> None:
    """Have axe (its source) on every page opened from now on: by the test's own hand, past the page's policy."""
    await browser.page.context.add_init_script(f"if (location.protocol.startsWith('http')) {{{axe}\n}}")


async def violations(browser: Browser, axe: str = "") -> list[str]:
    """What axe finds, as `rule: where`; its source is needed where the browser does not carry it."""
    if axe:
        await browser.page.evaluate(axe)
    found = await browser.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{v['id']}: {json.dumps([n['target'] for n in v['nodes'][:3]])}" for v in found["violations"]]


async def shift(browser: Browser) -> float:
    """The cumulative layout shift since the page was opened."""
    return float(await browser.page.evaluate("window.__shift"))
