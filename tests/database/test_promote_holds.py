"""A held batch waits for a person, survives a crash of staging, and is released or discarded once."""

from __future__ import annotations

import pytest

from headgate.base.errors import PromoteError
from headgate.db import Database
from headgate.engine.checks import max_rejected_share, min_rows, present
from headgate.engine.cursor import read
from headgate.engine.holds import discard, list_holds, release
from headgate.engine.manifest import App, Check, Page
from headgate.engine.promote import Stopped
from headgate.engine.runs import run_source
from tests.database.promote_demo import SCHEMA, counted, demo, item, items, one, pages

DEAR = Check(
    name="dear",
    action="hold",
    sql="select doc ->> 'id' as id from stage.rows where batch_id = %(batch)s and (doc ->> 'amount')::numeric > 100",
)


@pytest.fixture
async def db(database: Database) -> Database:
    await database.execute(SCHEMA)
    return database


def app() -> App:
    return demo(counted([[item(1)], [item(2, amount=500)], [item(3)]]), checks=[DEAR])


async def test_a_held_page_stops_the_run_before_it_and_nothing_after_is_promoted(db: Database) -> None:
    report = await run_source(db, app(), "items")
    assert (report.state, await read(db, "demo.items")) == ("held", 1)
    assert [row[0] for row in await items(db)] == ["1"]
    hold = (await list_holds(db))[0]
    assert (hold["check_name"], hold["rows"]) == ("dear", 1)
    run = await db.fetch_one("select seen, upserted, held from control.runs")
    assert run == {"seen": 2, "upserted": 1, "held": 1}


async def test_a_released_batch_is_promoted_and_the_position_moves_on(db: Database) -> None:
    await run_source(db, app(), "items")
    await db.execute("truncate stage.rows")
    hold = (await list_holds(db))[0]
    report = await release(db, app(), hold["id"], by="ada")
    assert (report.upserted, await read(db, "demo.items")) == (1, 2)
    assert [row[0] for row in await items(db)] == ["1", "2"]
    assert await one(db, "select count(*) from control.held_rows") == 0
    decided = (await list_holds(db, state=None))[0]
    assert (decided["state"], decided["decided_by"]) == ("released", "ada")
    with pytest.raises(PromoteError, match="not waiting"):
        await release(db, app(), hold["id"], by="bob")


async def test_a_release_does_not_move_a_position_that_moved_meanwhile(db: Database) -> None:
    await run_source(db, app(), "items")
    hold = (await list_holds(db))[0]
    await run_source(db, demo(pages(Page(rows=[item(9)], next=77, last=True))), "items")
    await release(db, app(), hold["id"], by="ada")
    assert await read(db, "demo.items") == 77
    assert [row[0] for row in await items(db)] == ["1", "2", "9"]


async def test_a_discarded_batch_is_gone(db: Database) -> None:
    await run_source(db, app(), "items")
    hold = (await list_holds(db))[0]
    await discard(db, hold["id"], by="ada")
    assert await list_holds(db) == []
    assert await one(db, "select count(*) from control.held_rows") == 0
    with pytest.raises(PromoteError) as caught:
        await discard(db, hold["id"], by="ada")
    assert caught.value.code == "HG505"


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (min_rows(2), b'{"id":"1"}\n{"id":"2"}\n', b'{"id":"1"}\n'),
        (max_rejected_share(0.4, action="stop"), b'{"id":"1"}\n{"id":"2"}\n{x\n', b'{"id":"1"}\n{x\n'),
        (present("id", "odd'%name"), b'{"id":"1","odd\'%name":2}\n', b'{"id":"1","odd\'%name":null}\n'),
    ],
)
async def test_ready_made_checks(db: Database, check: Check, good: bytes, bad: bytes) -> None:
    await run_source(db, demo(pages(Page(rows=good, last=True)), checks=[check]), "items")
    with pytest.raises(Stopped, match=check.name):
        await run_source(db, demo(pages(Page(rows=bad, last=True)), checks=[check]), "items")
