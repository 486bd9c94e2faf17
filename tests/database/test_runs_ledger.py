"""The ledger of runs: who may promote, what is told to people, what is cleaned up."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from headgate.base.errors import Fenced, JobError
from headgate.db import Database, errors
from headgate.engine import cursor, runs
from headgate.engine.jobs import Cancel, JobContext, Snooze, enqueue
from headgate.engine.manifest import Page
from headgate.engine.progress import Progress
from headgate.engine.runs import abandon_runs, list_runs, one_run, prune_runs, run_source
from headgate.engine.worker import Worker
from tests.database.promote_demo import SCHEMA, counted, demo, item, items, one, pages


@pytest.fixture
async def db(database: Database) -> Database:
    await database.execute(SCHEMA)
    return database


async def test_each_key_of_a_source_has_its_own_fence_and_position(db: Database) -> None:
    app = demo(counted([[item(1)], [item(2)]]))
    await run_source(db, app, "items", key="a")
    await run_source(db, app, "items", key="b")
    again = await run_source(db, app, "items", key="a")
    assert again.seen == 0
    fences = await db.fetch_all("select key, fence from control.cursors order by key")
    assert [tuple(f.values()) for f in fences] == [("a", 2), ("b", 1)]
    assert await cursor.read(db, "demo.items", "a") == 2


async def test_moving_a_position_by_hand_fences_the_running_run(db: Database) -> None:
    async def moved(ctx: Any, at: Any) -> Any:
        yield Page(rows=[item(1)], next=1)
        await cursor.move(ctx.db, "demo.items", None, None)
        yield Page(rows=[item(2)], next=2, last=True)

    with pytest.raises(Fenced):
        await run_source(db, demo(moved), "items")
    assert await cursor.read(db, "demo.items") is None
    assert [row[0] for row in await items(db)] == ["1"]
    with pytest.raises(JobError, match="never ran"):
        await cursor.move(db, "demo.other", None, 1)


async def test_a_source_that_never_says_last_ends_its_run_under_the_fence(db: Database) -> None:
    report = await run_source(db, demo(pages(Page(rows=[item(1)], next=1))), "items")
    assert report.state == "succeeded"
    assert await one(db, "select state from control.runs") == "succeeded"


async def test_progress_has_rate_and_eta_while_a_run_works(db: Database) -> None:
    seen: list[Progress] = []

    async def slow(ctx: Any, at: Any) -> Any:
        for number in range(3):
            yield Page(rows=[item(number)], next=number, expected=6)
            await asyncio.sleep(0.05)
            row = (await list_runs(ctx.db, state="running"))[0]
            seen.append(Progress.of(row))

    await run_source(db, demo(slow), "items")
    assert [p.seen for p in seen] == [1, 2, 3]
    assert all(p.rate and p.eta_s for p in seen)
    assert seen[1].rate is not None and 5 < seen[1].rate < 1000
    assert seen[2].share == 0.5


async def test_listeners_are_told_of_every_page(db: Database) -> None:
    heard: list[str] = []
    ready = asyncio.Event()

    async def listen() -> None:
        async for note in db.listen("headgate_runs", ready=ready):
            heard.append(note.payload)  # noqa: PERF401 - the list is watched while it grows

    task = asyncio.create_task(listen())
    await asyncio.wait_for(ready.wait(), 5)
    await run_source(db, demo(counted([[item(1)], [item(2)]])), "items")
    for _ in range(100):
        if len(heard) >= 3:
            break
        await asyncio.sleep(0.02)
    task.cancel()
    assert len(heard) == 3
    assert '"state" : "succeeded"' in heard[-1]


async def test_a_silent_run_is_abandoned_and_its_stage_cleared(db: Database) -> None:
    app = demo(counted([[item(1)]]))
    source = app.source("items")
    run, batch = await runs.start(db, app, source)
    await runs.stage_batch(db, run, source, Page(rows=[item(1)]), batch_id=batch, number=1)
    assert await abandon_runs(db, older_s=60) == 0
    await db.execute("update control.runs set heartbeat_at = now() - interval '2 minutes'")
    assert await abandon_runs(db, older_s=60) == 1
    assert await one(db, "select state from control.runs") == "abandoned"
    assert await one(db, "select count(*) from stage.rows") == 0
    late = runs.Batch(id=batch, last=True)
    with pytest.raises(Fenced, match="abandoned"):
        await runs.promote_batch(db, run, source, runs.plan(app, source), late)
    assert await items(db) == []


async def test_staging_of_a_run_that_had_ended_is_swept(db: Database) -> None:
    app = demo(counted([[item(1)]]))
    source = app.source("items")
    run, batch = await runs.start(db, app, source)
    await runs.start(db, app, source)
    await runs.stage_batch(db, run, source, Page(rows=[item(1)]), batch_id=batch, number=1)
    assert await abandon_runs(db, older_s=3600) == 0
    assert await one(db, "select count(*) from stage.rows") == 0


async def test_pruning_forgets_old_runs_with_everything_of_theirs(db: Database) -> None:
    report = await run_source(db, demo(pages(Page(rows=b"{bad", last=True))), "items")
    await db.execute("update control.runs set finished_at = now() - interval '40 days'")
    kept = await run_source(db, demo(pages(Page(rows=[item(1)], last=True))), "items")
    assert await prune_runs(db, keep_s=30 * 86400) == 1
    assert [r["id"] for r in await list_runs(db)] == [kept.run_id]
    assert await one(db, "select count(*) from control.rejects") == 0
    with pytest.raises(JobError, match="no run"):
        await one_run(db, report.run_id)


@pytest.mark.parametrize(
    ("error", "state"),
    [(Snooze(5), "deferred"), (Cancel("not needed"), "cancelled"), (OSError("x"), "failed")],
)
async def test_the_ledger_tells_a_snooze_from_a_failure(db: Database, error: Exception, state: str) -> None:
    async def raising(ctx: Any, at: Any) -> Any:
        raise error
        yield Page()

    with pytest.raises(type(error)):
        await run_source(db, demo(raising), "items")
    assert await one(db, "select state from control.runs") == state


async def test_a_cancelled_task_ends_its_run(db: Database) -> None:
    started = asyncio.Event()

    async def hangs(ctx: Any, at: Any) -> Any:
        started.set()
        await asyncio.sleep(60)
        yield Page()

    task = asyncio.create_task(run_source(db, demo(hangs), "items"))
    await asyncio.wait_for(started.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await one(db, "select state from control.runs") == "cancelled"


async def test_the_job_is_settled_in_the_transaction_of_the_last_page(db: Database) -> None:
    app = demo(counted([[item(1)], [item(2)]]))
    states: list[Any] = []

    async def handler(ctx: JobContext) -> None:
        report = await run_source(db, app, "items", job=ctx)
        states.append((report.state, await one(db, "select state from control.jobs")))

    stop = asyncio.Event()
    worker = Worker(db, {"demo.pull": handler}, concurrency=1)
    running = asyncio.create_task(worker.run(stop))
    async with db.transaction() as conn:
        await enqueue(conn, "demo.pull", {})
    for _ in range(200):
        if states:
            break
        await asyncio.sleep(0.02)
    stop.set()
    await running
    assert states == [("succeeded", "succeeded")]
    row = await db.fetch_one("select job_id, attempt from control.runs")
    assert row is not None and row["job_id"] is not None and row["attempt"] == 1


async def test_an_owner_reads_his_runs_and_nobody_elses(db: Database) -> None:
    me, other = uuid.uuid4(), uuid.uuid4()
    bad = demo(pages(Page(rows=b"{bad\n", last=True)))
    mine = await run_source(db, bad, "items", key="m", owner=me)
    await run_source(db, bad, "items", key="o", owner=other)
    await run_source(db, bad, "items", key="n")
    claims = {"role": "authenticated", "sub": str(me)}
    for table, column in (("runs", "id"), ("run_steps", "run_id"), ("rejects", "run_id")):
        async with db.as_role(claims) as conn:
            rows = await (
                await conn.execute(f"select {column} as id from control.{table}".encode())
            ).fetchall()
        assert {row["id"] for row in rows} == {mine.run_id}, table
    async with db.as_role({"role": "service_role"}) as conn:
        rows = await (await conn.execute("select id from control.runs")).fetchall()
    assert len(rows) == 3


@pytest.mark.parametrize("role", ["anon", "authenticated"])
@pytest.mark.parametrize(
    "statement",
    [
        "select * from stage.rows",
        "update control.runs set state = 'succeeded'",
        "insert into control.rejects (run_id, batch_id, line, reason, raw, raw_bytes) values (1, 1, 1, '', '', 0)",
        "select control.run_start('a', 'a.b', '', '{}', null, null, null)",
        "select control.run_end(1, 'failed', null)",
    ],
)
async def test_clients_cannot_touch_the_ledger(db: Database, role: str, statement: str) -> None:
    await run_source(db, demo(pages(Page(rows=[item(1)], last=True))), "items")
    with pytest.raises(errors.InsufficientPrivilege):
        async with db.as_role({"role": role, "sub": str(uuid.uuid4())}) as conn:
            await conn.execute(statement.encode())


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_clients_who_are_no_administrators_see_no_cursor(db: Database, role: str) -> None:
    await run_source(db, demo(pages(Page(rows=[item(1)], last=True))), "items")
    try:
        async with db.as_role({"role": role, "sub": str(uuid.uuid4())}) as conn:
            seen = await (await conn.execute("select * from control.cursors")).fetchall()
    except errors.InsufficientPrivilege:
        seen = []
    assert not seen
    assert await db.fetch_value("select count(*) from control.cursors") == 1
