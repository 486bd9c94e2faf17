"""What people do in the console's areas, through the page; and that hostile names and contents stay text."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pyotp
import pytest

from headgate.db import Database
from headgate.engine.holds import release_by_job
from headgate.engine.jobs import JobContext
from headgate.engine.manifest import Check
from headgate.engine.runs import run_source
from tests.browser.chromium import CHROMIUM, Browser
from tests.browser.console import ADMIN, PASSWORD, USER, Site, go, settled, site, visiting
from tests.database.promote_demo import SCHEMA, counted, demo, item
from tests.workers import working

pytest.importorskip("playwright.async_api", reason="the playwright package is not installed")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"
)

HOSTILE = '<img src=x onerror="window.owned=1"><script>window.owned=1</script>\'"`${1}'


@pytest.fixture
async def place(database: Database, tmp_path: Path) -> AsyncIterator[Site]:
    async with site(database, tmp_path) as running:
        yield running


async def _confirm(browser: Browser) -> None:
    await browser.page.click("dialog[open] .button.danger")
    await browser.page.wait_for_selector("dialog h2:has-text('?')", state="detached")


async def test_row_is_added_changed_and_deleted_in_the_table_browser(database: Database, place: Site) -> None:
    await database.execute("create table public.notes (id bigint primary key, body text, done boolean)")
    async with visiting(place, ADMIN) as browser:
        page = browser.page
        await go(browser, "tables/public/notes")
        await page.click("text=New row")
        await page.fill("dialog label:has-text('id') input", "7")
        await page.fill("dialog label:has-text('body') input", "first")
        await page.click("dialog >> text=Save")
        await page.wait_for_selector("td:has-text('first')")
        await page.click("[aria-label='Open row 1']")
        await page.fill("dialog label:has-text('body') input", "second")
        await page.click("dialog >> text=Save")
        await page.wait_for_selector("td:has-text('second')")
        assert await database.fetch_value("select body from public.notes where id = 7") == "second"
        await page.click("text=Filter")
        await page.fill("[aria-label=Value]", "8")
        await page.wait_for_selector("text=No row passes the filters")
        await page.fill("[aria-label=Value]", "7")
        await page.click("[aria-label='Open row 1']")
        await page.click("dialog >> text=Delete")
        await _confirm(browser)
        await page.wait_for_selector("text=No row passes the filters")
        assert await database.fetch_value("select count(*) from public.notes") == 0
        assert browser.wrong == []


async def test_user_reads_what_row_level_security_allows(database: Database, place: Site) -> None:
    await database.execute("create table public.notes (id bigint primary key, owner uuid, body text)")
    await database.execute("alter table public.notes enable row level security")
    await database.execute("grant select on public.notes to authenticated")
    await database.execute(
        "create policy own on public.notes to authenticated using (owner = (select auth.uid()))"
    )
    await database.execute(
        "insert into public.notes values (1, %s, 'mine'), (2, %s, 'theirs')", [place.user, place.admin]
    )
    await database.execute("notify pgrst, 'reload schema'")
    async with visiting(place, USER) as browser:
        await go(browser, "tables/public/notes")
        await browser.page.wait_for_selector("td:has-text('mine')")
        assert "theirs" not in await browser.page.inner_text("main")
        assert await browser.page.query_selector("text=New row") is None
        assert browser.wrong == []


async def test_sql_runs_and_tells_errors(place: Site) -> None:
    async with visiting(place, ADMIN) as browser:
        page = browser.page
        await go(browser, "sql")
        await page.fill("textarea", "select 'answer ' || 42 as said")
        await page.keyboard.press("Control+Enter")
        await page.wait_for_selector("td:has-text('answer 42')")
        await page.fill("textarea", "create table public.x (n int)")
        await page.click("button:has-text('Run')")
        await page.wait_for_selector("text=read-only transaction")
        await page.wait_for_selector("li:has-text('create table public.x')")
        assert browser.wrong == []


async def test_users_are_made_banned_and_deleted_and_mail_lets_them_in(
    database: Database, place: Site
) -> None:
    async with visiting(place, ADMIN) as browser:
        page = browser.page
        await go(browser, "users")
        await page.click("text=New user")
        await page.fill("dialog input[name=email]", "new@example.com")
        await page.click("dialog >> text=Make the account")
        await page.wait_for_selector("td:has-text('new@example.com')")
        await go(browser, "mail")
        await page.click("[aria-label$='to new@example.com']")
        await page.wait_for_selector("a:has-text('Open the link')")
        await go(browser, "users")
        for button, shown in (("Ban", "banned"), ("Lift the ban", "confirmed")):
            await page.click("[aria-label='Open new@example.com']")
            await page.click(f"dialog button:text-is('{button}')")
            if button == "Ban":
                await _confirm(browser)
            await page.wait_for_selector(f"tr:has-text('new@example.com') .badge:has-text('{shown}')")
            await page.keyboard.press("Escape")
            await page.wait_for_selector("dialog", state="detached")
        await page.click("[aria-label='Open new@example.com']")
        await page.click("dialog button:text-is('Delete')")
        await _confirm(browser)
        await page.wait_for_selector("td:has-text('new@example.com')", state="detached")
        await go(browser, "logs/audit")
        await page.wait_for_selector("text=delete user")
        assert browser.wrong == []
    assert await database.fetch_value("select count(*) from auth.users where email = 'new@example.com'") == 0


async def test_files_are_stored_seen_and_deleted(place: Site, tmp_path: Path) -> None:
    picture = tmp_path / "dot.svg"
    picture.write_text(
        "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9' height='9'/></svg>"
    )
    async with visiting(place, ADMIN) as browser:
        page = browser.page
        await go(browser, "storage")
        await page.click("text=New bucket")
        await page.fill("dialog input[name=name]", "pictures")
        await page.click("dialog >> text=Make it")
        await page.click(".picker a:has-text('pictures')")
        await settled(browser)
        await page.set_input_files("input[type=file]", str(picture))
        await page.click("button:text-is('dot.svg')")
        await page.wait_for_selector("dialog img.preview")
        link = await page.get_attribute("dialog a:has-text('Download')", "href")
        assert link is not None and "token=" in link
        await page.click("dialog >> text=Delete")
        await _confirm(browser)
        await page.wait_for_selector("text=Nothing here")
        assert browser.wrong == []
        await page.click("text=Delete bucket")
        await _confirm(browser)
        await page.wait_for_selector(".picker a", state="detached")
    async with visiting(place, USER) as browser:
        await go(browser, "storage")
        await browser.page.wait_for_selector("text=No bucket is open to you")
        assert await browser.page.query_selector("text=New bucket") is None
        assert browser.wrong == []


async def test_hostile_names_and_contents_stay_text(database: Database, place: Site) -> None:
    quoted = '"' + HOSTILE.replace('"', '""')[:50] + '"'
    await database.execute(f"create table public.{quoted} (id bigint primary key, {quoted} text)")  # type: ignore[arg-type]
    await database.execute(
        f"insert into public.{quoted} values (1, %s)",  # type: ignore[arg-type]
        [HOSTILE],
    )
    await database.execute(
        "insert into control.runs (app, source, key, fence, state, error) values (%(x)s, %(x)s, %(x)s, 1, 'failed',"
        " jsonb_build_object('message', %(x)s::text))",
        {"x": HOSTILE},
    )
    await database.execute(
        "insert into control.jobs (kind, key, state, error, error_code, finished_at)"
        " values (%(x)s, %(x)s, 'failed', %(x)s, 'HG1', now())",
        {"x": HOSTILE},
    )
    await database.execute(
        "insert into control.mail (kind, recipient, subject, text, html, state)"
        " values ('x', %(x)s, %(x)s, %(x)s, %(x)s, 'inbox')",
        {"x": HOSTILE},
    )
    await database.execute(
        "update auth.users set raw_user_meta_data = jsonb_build_object('name', %s::text)", [HOSTILE]
    )
    await database.execute(
        "insert into storage.buckets (id, name, public) values ('b', %s, false)", [HOSTILE]
    )
    async with visiting(place, ADMIN) as browser:
        page = browser.page
        for path in (
            "overview",
            "runs",
            "runs/1",
            "jobs",
            "jobs/1",
            "logs/failures",
            "mail",
            "users",
            "storage",
            "tables",
        ):
            await go(browser, path)
            assert await page.evaluate("window.owned") is None, path
            assert not await page.query_selector("main img[src=x]"), path
        await page.click(".picker a:has-text('<img')")
        await page.wait_for_selector("td:has-text('onerror')")
        await page.click("[aria-label='Open row 1']")
        await page.wait_for_selector("dialog[open]")
        await go(browser, "mail")
        await page.click("main td button")
        await page.click("text=HTML source")
        await page.wait_for_selector("pre:has-text('onerror')")
        assert await page.evaluate("window.owned") is None
        assert not await page.query_selector("main img[src=x]")
        assert browser.wrong == []


async def test_realtime_inspector_shows_broadcasts_and_who_is_there(place: Site) -> None:
    async with visiting(place, ADMIN) as browser:
        page = browser.page
        await go(browser, "realtime")
        await page.click("button:text-is('Join')")
        await page.wait_for_selector(".head .badge:has-text('joined')", timeout=15_000)
        await page.click("text='Send'")
        await page.wait_for_selector("[role=log] .badge:has-text('broadcast')")
        await page.click("text='Be present'")
        await page.wait_for_selector("li:has-text('admin@example.com')")
        await page.click("text='Leave'")
        await page.wait_for_selector(".head .badge:has-text('left')")
        assert browser.wrong == []


async def test_administrator_with_a_second_factor_must_use_it(place: Site) -> None:
    async with visiting(place, ADMIN) as browser:
        page = browser.page
        await go(browser, "account")
        await page.click("text=Set up an authenticator")
        await page.wait_for_selector("img[alt*='QR code']")
        totp = pyotp.TOTP(await page.inner_text("form p code"))
        await page.fill("form:has(img) input[name=code]", totp.now())
        await page.click("form:has(img) >> text=Confirm")
        await page.wait_for_selector("text=The second factor is set up")
        await page.click("main >> text='Sign out'")
        await page.wait_for_selector(".side-foot a:has-text('Sign in')")
        await go(browser, "sign-in")
        await page.fill("input[name=email]", ADMIN)
        await page.fill("input[name=password]", PASSWORD)
        await page.click("form button.main")
        await page.wait_for_selector("h1:has-text('Second factor')")
        await go(browser, "users")
        await page.wait_for_selector("text=Confirm with your second factor")
        await go(browser, "sign-in")
        await page.fill("input[name=code]", totp.at(int(time.time()) + 30))  # the one just used is used up
        await page.click("form button.main")
        await page.wait_for_selector(".side-nav a[href='#/users']")
        assert browser.wrong == []


async def test_held_batch_is_released_or_discarded_by_an_administrator(
    database: Database, place: Site
) -> None:
    check = Check(
        name="dear",
        action="hold",
        sql="select doc ->> 'id' as id from stage.rows"
        " where batch_id = %(batch)s and (doc ->> 'amount')::numeric > 100",
    )
    await database.execute(SCHEMA)
    app = demo(counted([[item(1)], [item(2, amount=500)], [item(3)]]), checks=[check])
    await run_source(database, app, "items")
    run = await database.fetch_value("select run_id from control.holds")

    async def release(ctx: JobContext) -> None:
        await release_by_job(ctx, [app])

    async with visiting(place, USER) as browser:
        await go(browser, f"runs/{run}")
        assert await browser.page.query_selector("button:has-text('Release')") is None
    async with visiting(place, ADMIN) as browser:
        page = browser.page
        await go(browser, f"runs/{run}")
        await page.wait_for_selector("[aria-label='Rows of the held batch'] >> text=500")
        await page.click("button:text-is('Discard')")
        await page.click("dialog >> text=Keep it")
        assert await database.fetch_value("select state from control.holds") == "waiting"
        await page.click("button:text-is('Release')")
        await _confirm(browser)
        async with working(database, {"engine.release_hold": release}):
            await page.wait_for_selector(".badge:has-text('released')")
        await page.wait_for_selector(f"text=Decided by {ADMIN}")
        assert await page.query_selector("button:text-is('Discard')") is None
        assert browser.wrong == []
    assert await database.fetch_value("select count(*) from public.demo_items where amount = 500") == 1
