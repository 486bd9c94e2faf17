"""Staging loses no line: what PostgreSQL cannot take is a reject with its line number and the reason."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.db import Database
from headgate.engine import runs
from headgate.engine.manifest import Page
from headgate.engine.runs import one_run, run_source
from tests.database.promote_demo import SCHEMA, demo, item, items, jsonl, one, pages

GOOD = json.dumps(item(1)).encode()


@pytest.fixture
async def db(database: Database) -> Database:
    await database.execute(SCHEMA)
    return database


async def rejects(db: Database, data: Any) -> tuple[Any, list[tuple[int, str]]]:
    report = await run_source(db, demo(pages(Page(rows=data, last=True))), "items")
    found = (await one_run(db, report.run_id, rejects=2000))["rejects"]
    return report, [(r["line"], r["reason"]) for r in found]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{oops", "not JSON"),
        (b'{"id": "2"', "not JSON"),
        (b"[1, 2]", "not a JSON object but array"),
        (b"null", "not a JSON object but null"),
        (b"\\.", "not JSON"),
        (b'{"id": "a\x01b"}', "not JSON"),
        (b'\x01{"id": "2"}', "not JSON"),
        (b'{"id":\x02 "2"}', "not JSON"),
        (b'{"id": "a\x00b"}', "NUL byte"),
        (b'{"id": "\xff"}', "not UTF-8"),
        (b'{"id": "\\u0000"}', "not JSON"),
        (b'{"id": "\\ud800"}', "not JSON"),
        (b'{"id": "a\rb"}', "not JSON"),
        (b"   ", "not JSON"),
        (b'{"id": 1}' * 1000, "not JSON"),
    ],
)
async def test_a_malformed_line_is_kept_with_its_number_and_the_others_arrive(
    db: Database, line: bytes, reason: str
) -> None:
    data = b"\n".join([GOOD, b"", line, json.dumps(item(3)).encode()])
    report, found = await rejects(db, data)
    assert (report.seen, report.rejected, report.upserted) == (3, 1, 2)
    assert [number for number, _ in found] == [3]
    assert reason in found[0][1]
    assert [row[0] for row in await items(db)] == ["1", "3"]
    assert await one(db, "select count(*) from stage.raw") == 0


async def test_windows_line_ends_and_a_missing_last_one_are_no_fault(db: Database) -> None:
    report, found = await rejects(db, GOOD + b"\r\n" + json.dumps(item(2)).encode())
    assert (report.seen, report.rejected, found) == (2, 0, [])


async def test_whitespace_inside_json_is_json(db: Database) -> None:
    report, found = await rejects(db, b'\t{"id"\r:\t"1"}  \n')
    assert (report.upserted, found) == (1, [])


async def test_mappings_that_json_cannot_say_are_rejected_and_large_integers_are_exact(db: Database) -> None:
    rows = [item(1, 2**62), item(2, amount=Decimal("12.340")), item("\ud800"), item("a\0b"), item(5, 2**70)]
    report, found = await rejects(db, rows)
    assert report.upserted == 2
    assert [number for number, _ in found] == [3, 4, 5]
    assert await one(db, "select seq from public.demo_items where id = '1'") == 2**62
    assert await one(db, "select amount::text from public.demo_items where id = '2'") == "12.340"


async def test_an_empty_page_moves_the_cursor(db: Database) -> None:
    report = await run_source(db, demo(pages(Page(rows=b"\n\n", next={"at": 3}, last=True))), "items")
    assert (report.seen, report.cursor) == (0, {"at": 3})


async def test_a_batch_that_a_crash_emptied_is_staged_again_and_never_promoted_empty(db: Database) -> None:
    """What crash recovery does to an unlogged table, at the worst moment: between staging and promoting."""
    original = runs.stage_batch
    lost = 0

    async def losing(*args: Any, **kwargs: Any) -> Any:
        nonlocal lost
        staged = await original(*args, **kwargs)
        if lost < 2:
            lost += 1
            await db.execute("truncate stage.rows")
        return staged

    runs.stage_batch = losing
    try:
        report = await run_source(db, demo(pages(Page(rows=[item(1), item(2)], last=True))), "items")
    finally:
        runs.stage_batch = original
    assert (report.seen, report.upserted, lost) == (2, 2, 2)
    assert len(await items(db)) == 2
    assert await one(db, "select count(*) from control.run_steps") == 1


LINE = st.one_of(
    st.builds(lambda n: json.dumps(item(n % 7, n)).encode(), st.integers(0, 50)),
    st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"")),
    st.sampled_from([b"", b"{}", b"{", b"\\N", b"\\", b"\x01", b'"', b"\xf0\x9f", '{"id": "é"}'.encode()]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINE, max_size=12))
async def test_every_line_is_accounted_for(db: Database, lines: list[bytes]) -> None:
    report = await run_source(db, demo(pages(Page(rows=b"\n".join(lines), last=True))), "items")
    normal = b"\n".join(lines).replace(b"\r\n", b"\n").split(b"\n")
    assert report.seen == sum(1 for line in normal if line)
    assert report.seen == report.upserted + report.unchanged + report.stale + report.rejected
    assert await one(db, "select count(*) from stage.rows") == 0
    kept = await one(db, "select count(*) from control.rejects where run_id = %s", report.run_id)
    assert kept == report.rejected


async def test_a_page_of_json_lines_equals_the_same_page_of_mappings(db: Database) -> None:
    rows = [item(n, n, tags=["x"], extra={"n": n}) for n in range(20)]
    await run_source(db, demo(pages(Page(rows=rows, last=True))), "items")
    report = await run_source(db, demo(pages(Page(rows=jsonl(rows), last=True))), "items")
    assert (report.upserted, report.unchanged) == (0, 20)
