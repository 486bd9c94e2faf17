"""Held batches in the console: administrators release (a worker does it) or discard them; nobody else, and once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from headgate.db import Database
from headgate.engine.holds import discard, release_by_job
from headgate.engine.jobs import JobContext
from headgate.engine.manifest import App, Check
from headgate.engine.runs import run_source
from tests import ticket_market as market
from tests.console_site import Desk, make_user, token
from tests.database.promote_demo import SCHEMA, counted, demo, item, items
from tests.workers import until, working

DEAR = Check(
    name="dear",
    action="hold",
    sql="select doc ->> 'id' as id from stage.rows where batch_id = %(batch)s and (doc ->> 'amount')::numeric > 100",
)
STOP = Check(name="stop", action="stop", sql=DEAR.sql)


@pytest.fixture
async def hold(database: Database) -> int:
    """A batch of one row that waits."""
    await database.execute(SCHEMA)
    await run_source(database, app(DEAR), "items")
    return int(await database.fetch_value("select id from control.holds"))


@pytest.fixture
async def base(database: Database, hold: int) -> AsyncIterator[str]:
    async with market.serving(database) as address:
        yield address


@pytest.fixture
async def admin(database: Database, base: str) -> Desk:
    me = await make_user(database, "admin@example.com", admin=True)
    return Desk(base, token(admin=True, user=me, email="admin@example.com"))


def app(*checks: Check) -> App:
    return demo(counted([[item(1)], [item(2, amount=500)], [item(3)]]), checks=list(checks))


async def _work(db: Database, *apps: App) -> str:
    """Run the release job until it has ended; its state."""

    async def handler(ctx: JobContext) -> None:
        await release_by_job(ctx, apps)

    job = await db.fetch_value("select release_job from control.holds")
    async with working(db, {"engine.release_hold": handler}):
        return str((await until(db, job, "succeeded", "failed", "cancelled"))["state"])


async def test_only_administrators_see_the_rows_and_decide(
    database: Database, base: str, admin: Desk, hold: int
) -> None:
    for bearer in (None, token(), token(admin=True), token(admin=True, role="anon")):
        visitor = Desk(base, bearer)
        for action in ("release", "discard"):
            reply = await visitor.call("act_on_hold", hold=hold, action=action)
            assert reply.status_code in (401, 403), reply.text
        for view in ("holds", "held_rows"):
            seen = await visitor.read(view)
            assert seen.status_code == 401 or seen.json() == [], (view, seen.text)
    assert await database.fetch_value("select state from control.holds") == "waiting"
    assert await database.fetch_value("select count(*) from control.jobs") == 0
    rows = (await admin.read("held_rows", f"hold_id=eq.{hold}")).json()
    assert [row["doc"]["id"] for row in rows] == ["2"]


async def test_release_is_one_job_that_ends_with_its_rows_and_twice_is_harmless(
    database: Database, admin: Desk, hold: int
) -> None:
    for _ in range(2):
        assert await admin.answer("act_on_hold", hold=hold, action="release") == "releasing"
    assert await database.fetch_value("select count(*) from control.jobs") == 1
    assert [row[0] for row in await items(database)] == ["1"]
    assert await _work(database, app(DEAR)) == "succeeded"
    assert [row[0] for row in await items(database)] == ["1", "2"]
    seen = (await admin.read("holds")).json()[0]
    assert (seen["state"], seen["decided_by"], seen["release_state"]) == (
        "released", "admin@example.com", "succeeded",
    )  # fmt: skip
    assert await admin.answer("act_on_hold", hold=hold, action="release") == "released"
    refused = await admin.call("act_on_hold", hold=hold, action="discard")
    assert refused.status_code >= 400 and refused.json()["code"] == "HG505"
    assert await database.fetch_value("select count(*) from control.jobs") == 1
    audited = (await admin.read("audit")).json()
    assert [row["action"] for row in audited] == ["release held batch"]


async def test_discard_calls_a_waiting_release_off_and_twice_is_harmless(
    database: Database, admin: Desk, hold: int
) -> None:
    await admin.answer("act_on_hold", hold=hold, action="release")
    for _ in range(2):
        assert await admin.answer("act_on_hold", hold=hold, action="discard") == "discarded"
    assert (await admin.read("holds")).json()[0]["release_state"] == "cancelled"
    assert await database.fetch_value("select count(*) from control.held_rows") == 0
    assert [row[0] for row in await items(database)] == ["1"]
    assert (await admin.call("act_on_hold", hold=hold, action="release")).json()["code"] == "HG505"


async def test_job_that_comes_after_another_decision_changes_nothing(
    database: Database, admin: Desk, hold: int
) -> None:
    await admin.answer("act_on_hold", hold=hold, action="release")
    await discard(database, hold, by="ada")
    assert await _work(database, app(DEAR)) == "cancelled"
    assert [row[0] for row in await items(database)] == ["1"]


@pytest.mark.parametrize("apps", [[], [app(STOP)]], ids=["no such application", "a check stops it"])
async def test_release_that_can_not_be_says_why_and_the_batch_waits_on(
    database: Database, admin: Desk, hold: int, apps: list[App]
) -> None:
    await admin.answer("act_on_hold", hold=hold, action="release")
    assert await _work(database, *apps) == "failed"
    seen = (await admin.read("holds")).json()[0]
    assert (seen["state"], seen["release_state"]) == ("waiting", "failed") and seen["release_error"]
    assert [row[0] for row in await items(database)] == ["1"]
    assert await admin.answer("act_on_hold", hold=hold, action="release") == "releasing"
    assert await _work(database, app(DEAR)) == "succeeded"


async def test_unknown_holds_and_actions_are_refused(admin: Desk, hold: int) -> None:
    assert (await admin.call("act_on_hold", hold=10**9, action="release")).status_code == 404
    assert (await admin.call("act_on_hold", hold=hold, action="x")).status_code == 400
