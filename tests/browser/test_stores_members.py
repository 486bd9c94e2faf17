"""Members of a brand on the page Shops: inviting, accepting, roles, removing, leaving; what each reader is offered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

pytest.importorskip("playwright.async_api", reason="the playwright package is not installed")

from headgate.testing.database import TestCluster
from tests.browser.chromium import CHROMIUM, Browser
from tests.browser.console import go, violations
from tests.browser.stores_site import ADMIN, OTHER, OWNER, VIEWER, Place, storefront
from tests.browser.test_stores_pages import _picture, axe, cut_off

__all__ = ["axe"]  # the fixture
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
]
MEMBERS = "section[aria-label=Members]"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(cluster: TestCluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """Brands and people, no shop."""
    folder = tmp_path_factory.mktemp("members")
    async with cluster.database() as db, storefront(db, folder, synced=False) as made:
        yield made


async def listed(browser: Browser) -> list[str]:
    """The rows as they read: who, with what is said of them."""
    await browser.page.wait_for_selector(f"{MEMBERS} tbody tr")
    read = "(all) => all.map((td) => td.innerText.replace(/\\s+/g, ' '))"
    return list(await browser.page.eval_on_selector_all(f"{MEMBERS} tbody td:first-child", read))


async def invite(browser: Browser, address: str, role: str = "viewer") -> None:
    await browser.page.fill(f"{MEMBERS} input[type=email]", address)
    await browser.page.select_option(f"{MEMBERS} form select", role)
    await browser.page.click(f"{MEMBERS} form button")


async def roles(place: Place) -> dict[str, str]:
    rows = await place.db.fetch_all(
        "select user_id, role from stores.brand_members where brand_id = %s", [place.acme]
    )
    names = {number: who for who, number in place.people.items()}
    return {names[row["user_id"]]: row["role"] for row in rows}


@pytest.mark.parametrize("view", [{}, {"dark": True, "width": 390, "height": 844}], ids=["wide", "phone"])
async def test_each_reader_is_offered_what_they_may_do(place: Place, axe: str, view: dict[str, Any]) -> None:
    found: dict[str, object] = {}
    expected = {
        OWNER: ("text=Members of Acme & Sons", 2),
        OTHER: ("text=Nobody else belongs to this brand", 1),
        VIEWER: ("text=You are a viewer of this brand", 0),
        ADMIN: ("text=First, a brand", 0),
    }
    await place.db.execute(
        "insert into stores.brand_invitations (brand_id, email, role, invited_by) values (%s, %s, 'viewer', %s)",
        (place.acme, ADMIN, place.people[OWNER]),
    )
    try:
        for who, (mark, members) in expected.items():
            async with place.visit(who, **view) as browser:
                await go(browser, "stores/connect")
                await browser.page.wait_for_selector(mark)
                rows = await listed(browser) if members else []
                invitations = [row for row in rows if "invited" in row]
                if (len(rows), len(invitations)) != (members + (who == OWNER), int(who == OWNER)):
                    found[who] = rows
                if await browser.page.locator(MEMBERS).count() != bool(members):
                    found[f"{who} members"] = "offered"
                accept = await browser.page.locator("text=Acme & Sons invites you").count()
                if accept != (who == ADMIN):
                    found[f"{who} invited"] = accept
                if (wide := await browser.page.evaluate("document.documentElement.scrollWidth")) > (
                    view.get("width") or 1280
                ):
                    found[f"{who} width"] = wide
                if broken := await violations(browser, axe) + await cut_off(browser):
                    found[f"{who} axe"] = broken
                await browser.page.evaluate("scrollTo(0, document.body.scrollHeight)")
                name = who.split("@")[0]
                await _picture(browser, f"members-{name}-{'phone-dark' if view else 'light'}")
                if browser.wrong:
                    found[f"{who} wrong"] = browser.wrong
    finally:
        await place.db.execute("delete from stores.brand_invitations")
    assert found == {}


async def test_from_an_invitation_to_a_member_with_another_role_and_out_again(place: Place, axe: str) -> None:
    async with place.visit(OWNER) as owner, place.visit(OTHER) as other:
        await go(owner, "stores/connect")
        await invite(owner, OTHER.upper(), "viewer")
        await owner.page.wait_for_selector(f"text={OTHER} is invited.")
        assert any(row.startswith(f"{OTHER} invited ends in 1") for row in await listed(owner))
        await invite(owner, VIEWER)
        await owner.page.wait_for_selector("[role=alert]:has-text('This address is a member already.')")
        assert await violations(owner, axe) == []
        await _picture(owner, "members-error")
        await go(other, "stores/connect")
        await other.page.click("section[aria-label='Invitation to Acme & Sons'] >> text=Accept")
        await other.page.wait_for_selector("text=You are a viewer of this brand")
        assert (await roles(place))[OTHER] == "viewer"
        await go(owner, "stores/connect")
        await owner.page.select_option(f"[aria-label='Role of {OTHER}']", "admin")
        await owner.page.wait_for_selector(f"text={OTHER}: admin.")
        assert (await roles(place))[OTHER] == "admin"
        await other.page.reload()
        await other.page.click("button:text-is('Leave') >> nth=-1")
        await other.page.click(".dialog-foot >> text=Leave")
        await other.page.wait_for_selector("text=You are an admin of this brand", state="detached")
        assert set(await roles(place)) == {OWNER, VIEWER}
        assert all("409" in one for one in owner.wrong) and other.wrong == []


async def test_declining_withdrawing_and_removing(place: Place) -> None:
    async with place.visit(OWNER) as owner, place.visit(ADMIN) as guest:
        await go(owner, "stores/connect")
        await invite(owner, ADMIN)
        await owner.page.wait_for_selector(f"text={ADMIN} is invited.")
        await go(guest, "stores/connect")
        await guest.page.click("text=Decline")
        await guest.page.wait_for_selector("text=Acme & Sons invites you", state="detached")
        assert ADMIN not in await roles(place)
        await invite(owner, "new@example.com")
        await owner.page.click("[aria-label='Withdraw new@example.com']")
        await owner.page.click(".dialog-foot >> text=Withdraw")
        await owner.page.wait_for_selector("[aria-label='Withdraw new@example.com']", state="detached")
        assert await place.db.fetch_value("select count(*) from stores.brand_invitations") == 0
        await owner.page.click(f"[aria-label='Remove {VIEWER}']")
        await owner.page.click(".dialog-foot >> text=Remove")
        await owner.page.wait_for_selector("text=Nobody else belongs to this brand")
        assert await roles(place) == {OWNER: "owner"}
        await owner.page.click("[aria-label='Leave Acme & Sons']")
        await owner.page.click(".dialog-foot >> text=Leave")
        await owner.page.wait_for_selector(
            ".dialog [role=alert]:has-text('This is the last owner of the brand.')"
        )
        await owner.page.keyboard.press("Escape")
        await owner.page.select_option(f"[aria-label='Role of {OWNER}']", "viewer")
        await owner.page.wait_for_selector(".toast:has-text('This is the last owner of the brand.')")
        assert await roles(place) == {OWNER: "owner"}
        assert all("409" in one for one in owner.wrong) and guest.wrong == []
