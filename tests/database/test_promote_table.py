"""Promote into a typed table: newest wins, equal rows write nothing, bad rows are rejected alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from headgate.base.errors import Fenced, PromoteError
from headgate.db import Database, errors
from headgate.engine.manifest import Check, Page
from headgate.engine.promote import Stopped
from headgate.engine.runs import one_run, run_source
from tests.database.promote_demo import SCHEMA, counted, demo, item, items, jsonl, one, pages


@pytest.fixture
async def db(database: Database) -> Database:
    await database.execute(SCHEMA)
    return database


async def test_promote_writes_rows_history_dirty_keys_cursor_and_progress_together(db: Database) -> None:
    app = demo(counted([[item(1), item(2)], [item(3), item(1, 2, "Rome")]]))
    report = await run_source(db, app, "items")
    assert (report.state, report.seen, report.upserted, report.cursor) == ("succeeded", 4, 4, 2)
    assert await items(db) == [
        ("1", 2, "Rome", "1.50"),
        ("2", 1, "Oslo", "1.50"),
        ("3", 1, "Oslo", "1.50"),
    ]
    assert await one(db, "select value from control.cursors where source = 'demo.items'") == 2
    assert await one(db, "select count(*) from control.rollup_dirty") == 2
    assert await one(db, "select count(*) from stage.rows") == 0
    versions = await db.fetch_all(
        "select operation, city, valid_to is null as open from public.demo_items_history"
        " where id = '1' order by valid_from"
    )
    assert [tuple(v.values()) for v in versions] == [("insert", "Oslo", False), ("update", "Rome", True)]


async def test_an_older_version_never_overwrites_a_newer_one(db: Database) -> None:
    await run_source(db, demo(pages(Page(rows=[item(1, 5, "Rome")], last=True))), "items")
    report = await run_source(db, demo(pages(Page(rows=[item(1, 4, "Oslo")], last=True))), "items")
    assert (report.upserted, report.stale) == (0, 1)
    assert await items(db) == [("1", 5, "Rome", "1.50")]


async def test_the_last_line_of_the_newest_version_wins_within_a_batch(db: Database) -> None:
    rows = [item(1, 2, "A"), item(1, 3, "B"), item(1, 3, "C"), item(1, 1, "D"), item(1, None, "E")]
    report = await run_source(db, demo(pages(Page(rows=rows, last=True))), "items")
    assert (report.seen, report.upserted, report.stale) == (5, 1, 4)
    assert await items(db) == [("1", 3, "C", "1.50")]


async def test_unchanged_rows_write_no_row_version_and_no_history(db: Database) -> None:
    rows = [item(n, 1, tags=["a", "b"], extra={"deep": [1, None]}) for n in range(50)]
    await run_source(db, demo(pages(Page(rows=rows, last=True))), "items")
    before = await db.fetch_all("select ctid::text, xmin::text, id from public.demo_items order by id")
    report = await run_source(db, demo(pages(Page(rows=rows, last=True))), "items")
    assert (report.upserted, report.unchanged) == (0, 50)
    assert (
        await db.fetch_all("select ctid::text, xmin::text, id from public.demo_items order by id") == before
    )
    assert await one(db, "select count(*) from public.demo_items_history") == 50


async def test_types_arrive_as_they_were_sent(db: Database) -> None:
    row = item(
        "x",
        9007199254740993,
        amount=Decimal("0.1000"),
        tags=["ä", "b,c"],
        extra={"k": None},
        at="2026-01-01T12:00",
    )
    await run_source(db, demo(pages(Page(rows=[row], last=True))), "items")
    got = await db.fetch_one("select seq, amount::text, tags, extra, at::text as at from public.demo_items")
    assert got is not None
    assert (got["seq"], got["amount"], got["tags"], got["extra"]) == (
        9007199254740993,
        "0.1000",
        ["ä", "b,c"],
        {"k": None},
    )
    assert await one(db, "select at = '2026-01-01T12:00Z'::timestamptz from public.demo_items")


BAD: list[tuple[Any, str]] = [
    (item(2, "abc"), "seq: invalid input syntax for type bigint"),
    (item(2, amount="much"), "amount: invalid input syntax for type numeric"),
    (item(2, qty=3_000_000_000), "qty: value"),
    (item(2, at="yesterdayish"), "at: invalid input syntax for type timestamp"),
    ({"seq": 1}, "id: missing"),
    (item(2, amount=-1), "violates check constraint"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
async def test_a_row_that_cannot_be_cast_is_rejected_alone(db: Database, bad: Any, reason: str) -> None:
    rows = [item(1), bad, item(3), item(1, 2, "Rome")]
    report = await run_source(db, demo(pages(Page(rows=rows, last=True))), "items")
    assert report.rejected == 1
    assert [row[0] for row in await items(db)] == ["1", "3"]
    assert (await items(db))[0][2] == "Rome"
    run = await one_run(db, report.run_id)
    assert [r["line"] for r in run["rejects"]] == [2]
    assert reason in run["rejects"][0]["reason"]
    assert run["seen"] == run["upserted"] + run["unchanged"] + run["stale"] + run["rejected"]


async def test_many_bad_rows_are_all_counted_and_a_thousand_kept(db: Database) -> None:
    rows = [item(n, amount="-1" if n % 2 else "1") for n in range(2400)]
    report = await run_source(db, demo(pages(Page(rows=rows, last=True))), "items")
    assert (report.seen, report.rejected, report.upserted) == (2400, 1200, 1200)
    assert await one(db, "select count(*) from control.rejects") == 1000


async def test_a_required_column_that_the_table_would_take_as_null_is_rejected(db: Database) -> None:
    app = demo(pages(Page(rows=[{"id": 1, "name": "a"}, {"id": 2}], last=True)), table="public.demo_plain")
    await db.execute("alter table public.demo_plain alter name drop not null")
    report = await run_source(db, app, "items")
    assert (report.upserted, report.rejected) == (1, 1)


async def test_an_application_function_promotes_and_its_counts_are_kept(db: Database) -> None:
    await db.execute(
        "create function public.demo_promote(p_batch bigint, p_run bigint, p_meta jsonb) returns jsonb"
        " language sql as $$ with i as (insert into public.demo_plain"
        " select (doc->>'id')::bigint, p_meta->>'name' from stage.rows where batch_id = p_batch returning 1)"
        " select jsonb_build_object('upserted', count(*), 'note', 'x') from i $$"
    )
    app = demo(
        pages(Page(rows=[{"id": 1}, {"id": 2}], meta={"name": "N"}, last=True)), promote="public.demo_promote"
    )
    report = await run_source(db, app, "items")
    assert report.upserted == 2
    assert await one(db, "select string_agg(name, '') from public.demo_plain") == "NN"
    run = await one_run(db, report.run_id)
    assert run["steps"][0]["result"]["note"] == "x"


async def test_a_superseded_run_can_promote_nothing(db: Database) -> None:
    async def taken_over(ctx: Any, cursor: Any) -> Any:
        yield Page(rows=[item(1)], next=1)
        await run_source(ctx.db, demo(pages(Page(rows=[item(2)], next=7, last=True))), "items")
        yield Page(rows=[item(3)], next=2, last=True)

    with pytest.raises(Fenced):
        await run_source(db, demo(taken_over), "items")
    assert [row[0] for row in await items(db)] == ["1", "2"]
    assert await one(db, "select value from control.cursors") == 7
    states = await db.fetch_all("select state from control.runs order by id")
    assert [s["state"] for s in states] == ["superseded", "succeeded"]
    assert await one(db, "select count(*) from stage.rows") == 0


async def test_a_source_that_fails_leaves_what_was_promoted_and_says_why(db: Database) -> None:
    async def breaks(ctx: Any, cursor: Any) -> Any:
        yield Page(rows=[item(1)], next=1)
        raise ValueError("upstream sent nonsense; token=abc")

    with pytest.raises(ValueError, match="nonsense"):
        await run_source(db, demo(breaks), "items")
    run = await db.fetch_one("select state, error, cursor_to from control.runs")
    assert run is not None
    assert (run["state"], run["cursor_to"]) == ("failed", 1)
    assert "token=***" in run["error"]["message"]


async def test_an_error_in_the_applications_sql_fails_the_run_and_keeps_the_cursor(db: Database) -> None:
    app = demo(pages(Page(rows=[item(1)], next=1, last=True)), promote="public.no_such_function")
    with pytest.raises(errors.UndefinedFunction):
        await run_source(db, app, "items")
    assert await one(db, "select state from control.runs") == "failed"
    assert await one(db, "select value from control.cursors") is None
    assert await one(db, "select count(*) from stage.rows") == 0


async def test_a_stop_check_promotes_nothing_and_records_the_finding(db: Database) -> None:
    check = Check(
        name="cheap",
        sql="select doc ->> 'id' as id from stage.rows where batch_id = %(batch)s"
        " and (doc ->> 'amount')::numeric > 100",
        message="too dear",
    )
    app = demo(pages(Page(rows=[item(1), item(2, amount=500)], next=1, last=True)), checks=[check])
    with pytest.raises(Stopped, match="too dear"):
        await run_source(db, app, "items")
    assert await items(db) == []
    assert await one(db, "select finding ->> 'id' from control.findings") == "2"
    assert await one(db, "select state from control.runs") == "failed"
    assert await one(db, "select value from control.cursors") is None


async def test_a_warning_is_recorded_and_the_batch_promoted(db: Database) -> None:
    check = Check(name="odd", action="warn", sql="select 1 as one where %(meta)s::jsonb ->> 'kind' = 'odd'")
    app = demo(pages(Page(rows=[item(1)], meta={"kind": "odd"}, last=True)), checks=[check])
    report = await run_source(db, app, "items")
    assert report.upserted == 1
    assert (await one_run(db, report.run_id))["findings"][0]["check_name"] == "odd"


async def test_a_snapshot_deletes_what_it_lacks_over_all_its_pages(db: Database) -> None:
    await run_source(db, demo(pages(Page(rows=[item(n) for n in range(5)], last=True))), "items")
    app = demo(
        pages(Page(rows=[item(0), item(1)]), Page(rows=[item(2), item(7, amount="bad")])), snapshot=True
    )
    report = await run_source(db, app, "items")
    assert (report.deleted, report.upserted, report.rejected) == (2, 0, 1)
    assert [row[0] for row in await items(db)] == ["0", "1", "2"]
    gone = await db.fetch_all(
        "select id, operation from public.demo_items_history where operation = 'delete' order by id"
    )
    assert [g["id"] for g in gone] == ["3", "4"]
    back = await run_source(db, demo(pages(Page(rows=[item(3)], last=True))), "items")
    assert back.upserted == 1
    assert [row[0] for row in await items(db)] == ["0", "1", "2", "3"]


async def test_a_rejected_row_protects_its_key_from_a_snapshot(db: Database) -> None:
    await run_source(db, demo(pages(Page(rows=[item(n) for n in range(4)], last=True))), "items")
    app = demo(pages(Page(rows=[item(0), item(1), item(2, amount="bad")], last=True)), snapshot=True)
    report = await run_source(db, app, "items")
    assert (report.deleted, report.rejected) == (1, 1)
    assert [row[0] for row in await items(db)] == ["0", "1", "2"]


async def test_a_snapshot_that_would_delete_too_much_fails(db: Database) -> None:
    await run_source(db, demo(pages(Page(rows=[item(n) for n in range(4)], last=True))), "items")
    with pytest.raises(PromoteError, match="would delete 4 of 4") as caught:
        await run_source(db, demo(pages(Page(rows=[], last=True)), snapshot=True), "items")
    assert caught.value.code == "HG507"
    assert len(await items(db)) == 4


async def test_malformed_lines_stop_a_snapshot_from_deleting(db: Database) -> None:
    await run_source(db, demo(pages(Page(rows=[item(n) for n in range(4)], last=True))), "items")
    data = jsonl([item(0), item(1), item(2)]) + b"{oops\n"
    report = await run_source(db, demo(pages(Page(rows=data, last=True)), snapshot=True), "items")
    assert (report.deleted, report.rejected) == (0, 1)
    assert len(await items(db)) == 4
