"""Coming in and going out by the console's form, as people do: letters opened, providers visited, mistakes made."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headgate.db import Database
from tests.browser.chromium import CHROMIUM, Browser
from tests.browser.console import ADMIN, PASSWORD, USER, Site, go, settled, sign_in, site, visiting
from tests.identity_provider import CLIENT, SECRET, Fault, IdentityProvider

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"
)
NEW = "new@example.com"


async def submit(browser: Browser, **values: str) -> None:
    """Fill the form in and send it."""
    for name, value in values.items():
        await browser.page.fill(f"form input[name={name}]", value)
    await browser.page.click("form button.main")


async def inside(browser: Browser, email: str) -> None:
    """Until the console says who is signed in."""
    await browser.page.wait_for_selector(f".side-foot .who[title='{email}']", timeout=20_000)
    await settled(browser)


async def letter(at: Site, recipient: str, kind: str) -> str:
    """The HTML of the newest letter, as the administrator's page of the inbox shows it."""
    async with visiting(at, ADMIN) as browser:
        await go(browser, "mail")
        await browser.page.click(f"[aria-label$='to {recipient}']", timeout=15_000)
        await browser.page.wait_for_selector(f"dd:text-is('{kind}')")
        await browser.page.click("text=HTML source")
        await browser.page.wait_for_selector("pre:has-text('href')")
        assert browser.wrong == []
        return await browser.page.inner_text("pre")


async def click_in(browser: Browser, html: str) -> None:
    """Open the letter and click its link."""
    await browser.page.goto("about:blank")
    await browser.page.set_content(html)
    await browser.page.click("a")


async def test_account_is_made_and_open_at_once_where_addresses_are_not_confirmed(
    database: Database, tmp_path: Path
) -> None:
    async with site(database, tmp_path, auth_autoconfirm=True) as at, visiting(at) as browser:
        await go(browser, "sign-in")
        await browser.page.click("text=Create an account")
        await submit(browser, email=NEW, password=PASSWORD)
        await inside(browser, NEW)
        assert browser.page.url == f"{at.base}/console/#/overview"
        assert browser.wrong == []


async def test_account_is_open_once_its_address_is_confirmed_by_the_letter(
    database: Database, tmp_path: Path
) -> None:
    async with site(database, tmp_path) as at, visiting(at) as browser:
        await go(browser, "sign-in")
        await browser.page.click("text=Create an account")
        await submit(browser, email=NEW, password=PASSWORD)
        await browser.page.wait_for_selector(f"[role=status]:has-text('a link is on its way to {NEW}')")
        await go(browser, "sign-in")
        await submit(browser, email=NEW, password=PASSWORD)
        await browser.page.wait_for_selector("[role=alert]:has-text('Email not confirmed')")
        browser.wrong.clear()  # the browser reports the refused request itself
        html = await letter(at, NEW, "confirmation")
        await click_in(browser, html)
        await inside(browser, NEW)
        assert "code=" not in browser.page.url  # a code in the address would be kept in the history
        assert browser.wrong == []


async def test_link_of_a_letter_signs_in_once(database: Database, tmp_path: Path) -> None:
    async with site(database, tmp_path) as at, visiting(at) as browser:
        await go(browser, "sign-in")
        await browser.page.click("text=Send me a link instead")
        await submit(browser, email=USER)
        await browser.page.wait_for_selector("[role=status]:has-text('a link is on its way')")
        html = await letter(at, USER, "magic_link")
        await click_in(browser, html)
        await inside(browser, USER)
        await go(browser, "account")
        await browser.page.click("main >> text='Sign out'")
        await browser.page.wait_for_selector(".side-foot a:has-text('Sign in')")
        await click_in(browser, html)
        await browser.page.wait_for_selector("[role=alert]:has-text('expired')", timeout=15_000)
        assert await browser.page.query_selector(".side-foot .who") is None
        assert browser.wrong == []


async def test_link_opened_in_another_browser_says_so_and_the_form_is_there(
    database: Database, tmp_path: Path
) -> None:
    async with site(database, tmp_path) as at:
        async with visiting(at) as browser:
            await go(browser, "sign-in")
            await browser.page.click("text=Create an account")
            await submit(browser, email=NEW, password=PASSWORD)
            await browser.page.wait_for_selector("[role=status]:has-text('a link is on its way')")
        html = await letter(at, NEW, "confirmation")
        async with visiting(at) as browser:
            await click_in(browser, html)
            await browser.page.wait_for_selector("[role=alert]:has-text('in the browser that asked for it')")
            assert "code=" not in browser.page.url
            await submit(browser, email=NEW, password=PASSWORD)  # the address has been confirmed all the same
            await inside(browser, NEW)
            assert browser.wrong == []


async def test_unknown_address_is_told_the_same_and_gets_no_letter(
    database: Database, tmp_path: Path
) -> None:
    async with site(database, tmp_path) as at, visiting(at) as browser:
        await go(browser, "sign-in")
        await browser.page.click("text=Forgotten password")
        await submit(browser, email="nobody@example.com")
        await browser.page.wait_for_selector("[role=status]:has-text('If nobody@example.com has an account')")
        assert browser.wrong == []
    assert await database.fetch_value("select count(*) from control.mail") == 0


async def test_forgotten_password_is_chosen_anew_through_the_letter(
    database: Database, tmp_path: Path
) -> None:
    async with site(database, tmp_path) as at, visiting(at) as browser:
        await go(browser, "sign-in")
        await browser.page.click("text=Forgotten password")
        await submit(browser, email=USER)
        await browser.page.wait_for_selector("[role=status]:has-text('is on its way')")
        await click_in(browser, await letter(at, USER, "recovery"))
        await browser.page.wait_for_selector("h2:has-text('Choose a new password')", timeout=15_000)
        await browser.page.fill("input[name=password]", "another good sentence")
        await browser.page.click("text=Change it")
        await browser.page.wait_for_selector("text=The password is changed")
        await browser.page.click("main >> text='Sign out'")
        await browser.page.wait_for_selector(".side-foot a:has-text('Sign in')")
        await go(browser, "sign-in")
        await submit(browser, email=USER, password=PASSWORD)
        await browser.page.wait_for_selector("[role=alert]:has-text('Invalid login credentials')")
        browser.wrong.clear()
        await sign_in(browser, USER, "another good sentence")
        assert browser.wrong == []


async def test_wrong_password_is_refused_and_another_sites_address_is_not_followed(
    database: Database, tmp_path: Path
) -> None:
    async with site(database, tmp_path) as at, visiting(at) as browser:
        page = browser.page
        await go(browser, "sign-in")
        await submit(browser, email=ADMIN, password=PASSWORD + "!")
        await page.wait_for_selector("[role=alert]:has-text('Invalid login credentials')")
        assert await page.input_value("input[name=email]") == ADMIN  # only the mistake is to be put right
        browser.wrong.clear()
        await go(browser, "sign-in?to=//evil.example/x")
        await page.focus("input[name=email]")
        await page.keyboard.type(USER)
        await page.keyboard.press("Tab")
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await inside(browser, USER)
        assert page.url == f"{at.base}/console/#/overview"
        await go(browser, "account")
        await page.click("main >> text='Sign out'")
        await page.wait_for_selector(".side-foot a:has-text('Sign in')")
        await page.reload()
        await page.wait_for_selector(".side-foot a:has-text('Sign in')")
        assert browser.wrong == []


async def test_form_offers_only_what_the_server_has(database: Database, tmp_path: Path) -> None:
    async with site(database, tmp_path, auth_signups=False) as at, visiting(at) as browser:
        await go(browser, "sign-in")
        assert await browser.page.query_selector("text=Create an account") is None
        assert await browser.page.query_selector("text=Continue with") is None
        assert browser.wrong == []


@asynccontextmanager
async def with_provider(db: Database, folder: Path) -> AsyncIterator[tuple[Browser, Site, IdentityProvider]]:
    """A browser at the sign-in form of a server that knows a provider called `company`."""
    async with IdentityProvider() as provider:
        company = {"issuer": provider.url, "client_id": CLIENT, "client_secret": SECRET}
        settings: dict[str, Any] = {
            "auth_providers": json.dumps({"company": company}),
            "allow_private_hosts": provider.place,
        }
        async with (
            site(db, folder, **settings) as at,
            visiting(at, also=[provider.url]) as browser,
        ):
            await go(browser, "sign-in")
            yield browser, at, provider


async def test_provider_signs_a_new_person_in_by_its_button(database: Database, tmp_path: Path) -> None:
    async with with_provider(database, tmp_path) as (browser, at, provider):
        await browser.page.focus("text='Continue with Company'")
        await browser.page.keyboard.press("Enter")
        await inside(browser, "a@example.com")
        assert provider.seen and "code=" not in browser.page.url and browser.page.url.startswith(at.base)
        await go(browser, "account")
        await browser.page.wait_for_selector("dd:text-is('company')")
        assert browser.wrong == []


async def test_person_who_says_no_at_the_provider_is_told_so_on_the_form(
    database: Database, tmp_path: Path
) -> None:
    async with with_provider(database, tmp_path) as (browser, _, provider):
        provider.fault = Fault.DENIED
        await browser.page.click("text='Continue with Company'")
        await browser.page.wait_for_selector("[role=alert]:has-text('The person said no')", timeout=15_000)
        provider.fault = None
        await browser.page.click("text='Continue with Company'")
        await inside(browser, "a@example.com")
        assert await browser.page.query_selector("[role=alert]") is None
        assert browser.wrong == []
