"""A synced shop, its server, its people and one Chromium, shared by the tests of a module.

The shop is the simulator's, connected and synced the way a merchant does it: nothing on a page is put there by hand.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import playwright.async_api as playwright

from headgate.apps.stores.app import app
from headgate.apps.stores.simulator.options import ShopOptions
from headgate.apps.stores.simulator.server import CLIENT_ID, CLIENT_SECRET, Simulator, running
from headgate.base.settings import Settings
from headgate.db import Database
from headgate.db.keys import ensure_keys
from headgate.engine.rollup import refresh
from headgate.server import create_app
from tests import stores_shop as shop
from tests.browser.chromium import Browser, address
from tests.browser.console import _SHIFTS, PASSWORD, sign_in
from tests.console_site import make_user
from tests.serving import on_loopback
from tests.stores_sync import Synced, working

OWNER, VIEWER, OTHER, ADMIN = (
    "user@example.com",
    "viewer@example.com",
    "other@example.com",
    "admin@example.com",
)
ACME, EMPTY = "acme-lamps.myshopify.com", "brand-new.myshopify.com"
SHOPS = (
    ShopOptions(seed=1, domain=ACME, orders=110, history_days=80),
    ShopOptions(seed=4, domain=EMPTY, orders=0, customers=0, products=0, currency="EUR", timezone="Europe/Prague"),
)  # fmt: skip
_POLICY = "addEventListener('securitypolicyviolation', e => console.error('policy: ' + e.violatedDirective))"


@dataclass
class Place:
    """Where everything is. `acme` has a synced shop with an owner and a viewer; `other` has an empty one."""

    db: Database
    base: str
    key: str
    people: dict[str, UUID]
    acme: UUID
    other: UUID
    connection: int
    empty: int
    synced: Synced
    chromium: playwright.Browser
    sessions: dict[str, Any] = field(default_factory=dict)

    @property
    def simulator(self) -> Simulator:
        """The shop's own side."""
        return self.synced.simulator

    def token(self, who: str, **claims: Any) -> str:
        """An access token of one of the people, good for an hour."""
        return shop.token(self.people[who], **claims)

    @contextlib.asynccontextmanager
    async def visit(
        self, who: str | None = None, *, width: int = 1280, height: int = 900, dark: bool = False
    ) -> AsyncIterator[Browser]:
        """A context of its own; signed in as `who`, through the form the first time. Anything wrong is collected."""
        if who is not None and who not in self.sessions:
            async with self._open({}) as browser:
                await sign_in(browser, who)
                self.sessions[who] = await browser.page.context.storage_state()
        view = {"viewport": {"width": width, "height": height}, "color_scheme": "dark" if dark else "light"}
        async with self._open({**view, "storage_state": self.sessions.get(who)}) as browser:
            yield browser

    @contextlib.asynccontextmanager
    async def _open(self, view: dict[str, Any]) -> AsyncIterator[Browser]:
        context = await self.chromium.new_context(locale="en-US", timezone_id="Asia/Tokyo", **view)
        try:
            page = await context.new_page()
            page.set_default_timeout(25_000)
            opened = Browser(self.base, page)
            page.on(
                "console", lambda m: opened.wrong.append(m.text) if m.type in {"error", "warning"} else None
            )
            page.on("pageerror", lambda error: opened.wrong.append(str(error)))
            await page.add_init_script(_POLICY)
            await page.add_init_script(_SHIFTS)
            yield opened
        finally:
            await context.close()


async def connect(base: str, token: str, brand: UUID, domain: str) -> int:
    """As an owner does it: begin, approve at the (simulated) Shopify, come back. The connection's number."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=base, timeout=20) as client:
        body = {"brand_id": str(brand), "shop": domain}
        begun = (await client.post("/api/stores/connect", json=body, headers=headers)).raise_for_status()
        approved = await client.get(begun.json()["data"]["url"])
        back = await client.get(approved.headers["location"])
        assert back.status_code == 303, back.text
        found = await client.get(
            f"/rest/v1/shop_connections?shop_domain=eq.{domain}&select=id", headers=headers
        )
        return int(found.raise_for_status().json()[-1]["id"])


@contextlib.asynccontextmanager
async def storefront(db: Database, folder: Path, *, synced: bool = True) -> AsyncIterator[Place]:
    """Everything running; with `synced`, both shops are connected and their sync is over."""
    keys = await ensure_keys(db, folder / "keys.json")
    people = {}
    for who in (OWNER, VIEWER, OTHER, ADMIN):
        people[who] = await make_user(db, who, password=PASSWORD, admin=who == ADMIN)
    acme = await shop.brand(db, people[OWNER], name="Acme & Sons")
    await db.execute("insert into stores.brand_members values (%s, %s, 'viewer')", (acme, people[VIEWER]))
    other = await shop.brand(db, people[OTHER], name="Other")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    simulator = Simulator(list(SHOPS))
    async with running(simulator) as upstream:
        given = shop.extras(
            client_id=CLIENT_ID, client_secret=CLIENT_SECRET, simulator_url=upstream, public_url=f"http://127.0.0.1:{port}"
        ) | {"data_dir": str(folder)}  # fmt: skip
        settings = Settings(_env_file=None, jwt_secret=shop.JWT_SECRET, data_dir=folder, auth_bcrypt_cost=4)  # type: ignore[call-arg]
        server = create_app(settings, db, apps=[app], extras=given, publishable_key=keys["anon"])
        async with on_loopback(server, port=port) as base, playwright.async_playwright() as play:
            chromium = await play.chromium.connect_over_cdp(address())
            work = Synced(db, simulator, 0, given, folder)
            place = Place(db, base, keys["anon"], people, acme, other, 0, 0, work, chromium)
            if synced:
                place.connection = work.connection = await connect(base, place.token(OWNER), acme, ACME)
                place.empty = await connect(base, place.token(OTHER), other, EMPTY)
                await settle(place)
            yield place
            await chromium.close()
    await simulator.close()


async def settle(place: Place) -> None:
    """Work until nothing is left to do, and bring the days' figures up to date."""
    async with working(place.synced):
        await place.synced.idle(timeout_s=120)
    await refresh(place.db, app)
