"""A backfill takes the same path in chunks; it can pause, resume, fail in places and never fences the present."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headgate.base.errors import JobError
from headgate.db import Database
from headgate.engine import backfill
from headgate.engine.manifest import App, Page
from headgate.engine.runs import run_source
from tests.database.promote_demo import SCHEMA, demo, item, items, one


@pytest.fixture
async def db(database: Database) -> Database:
    await database.execute(SCHEMA)
    return database


def days(app_hook: Any = None) -> App:
    async def fetch(ctx: Any, cursor: Any) -> Any:
        if app_hook is not None:
            await app_hook(ctx)
        day = ctx.args["day"]
        yield Page(rows=[item(f"{day}-{n}", 1) for n in range(3)], next=day, last=True)

    return demo(fetch)


async def test_a_backfill_does_every_chunk_once_and_reports_rows(db: Database) -> None:
    app = days()
    number = await backfill.plan_backfill(db, app, "items", [{"day": d} for d in range(4)], key="k")
    done = await backfill.run_backfill(db, app, number)
    assert (done["state"], done["done"], done["rows"], done["eta_s"]) == ("done", 4, 12, None)
    assert len(await items(db)) == 12
    again = await backfill.run_backfill(db, app, number)
    assert again["rows"] == 12
    assert await one(db, "select count(*) from control.runs") == 4


async def test_the_present_goes_on_while_history_is_filled_in(db: Database) -> None:
    async def live(ctx: Any) -> None:
        if ctx.args.get("day") == 1:
            report = await run_source(db, days(), "items", key="k", args={"day": 99})
            assert report.state == "succeeded"

    app = days(live)
    number = await backfill.plan_backfill(db, app, "items", [{"day": d} for d in range(3)], key="k")
    assert (await backfill.run_backfill(db, app, number))["state"] == "done"
    assert await one(db, "select value from control.cursors where key = 'k'") == 99
    assert len(await items(db)) == 12


async def test_a_paused_backfill_takes_no_chunk_until_it_is_resumed(db: Database) -> None:
    number = 0

    async def pausing(ctx: Any) -> None:
        if ctx.args["day"] == 1:
            await backfill.pause(db, number)

    app = days(pausing)
    number = await backfill.plan_backfill(db, app, "items", [{"day": d} for d in range(4)])
    stopped = await backfill.run_backfill(db, app, number)
    assert (stopped["state"], stopped["done"]) == ("paused", 2)
    with pytest.raises(JobError, match="is paused"):
        await backfill.pause(db, number)
    await backfill.resume(db, number)
    assert (await backfill.run_backfill(db, days(), number))["done"] == 4


async def test_a_chunk_that_keeps_failing_is_given_up_and_the_others_done(db: Database) -> None:
    async def failing(ctx: Any) -> None:
        if ctx.args["day"] == 1:
            raise OSError("gone")

    app = days(failing)
    number = await backfill.plan_backfill(db, app, "items", [{"day": d} for d in range(3)])
    result = await backfill.run_backfill(db, app, number)
    assert (result["state"], result["done"], result["failed"]) == ("running", 2, 1)
    await backfill.pause(db, number)
    await backfill.resume(db, number)
    assert (await backfill.run_backfill(db, days(), number))["state"] == "done"


async def test_two_workers_share_a_backfill_and_keep_its_pace(db: Database) -> None:
    app = days()
    number = await backfill.plan_backfill(db, app, "items", [{"day": d} for d in range(5)], pace_s=0.05)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(backfill.run_backfill(db, app, number) for _ in range(2)))
    assert loop.time() - began >= 0.2
    assert await one(db, "select count(*) from control.runs") == 5


async def test_a_cancelled_or_empty_backfill_is_said_plainly(db: Database) -> None:
    with pytest.raises(JobError, match="nothing to do"):
        await backfill.plan_backfill(db, days(), "items", [])
    number = await backfill.plan_backfill(db, days(), "items", [{"day": 1}])
    await backfill.cancel(db, number)
    assert (await backfill.run_backfill(db, days(), number))["done"] == 0
    with pytest.raises(JobError, match="no backfill"):
        await backfill.progress(db, 999)
