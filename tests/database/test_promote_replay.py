"""Replaying any prefix, any page again, in any order equals once; and PostgreSQL 15 promotes like the newest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.db import Database
from headgate.engine import cursor
from headgate.engine.manifest import Page
from headgate.engine.rollup import refresh
from headgate.engine.runs import one_run, run_source
from headgate.testing.database import TestCluster
from tests.database.promote_demo import SCHEMA, demo, item, items, one, pages
from tests.faults.promote_story import Truth, source, story
from tests.migrations.test_project import oldest_programs

EMPTY = "truncate public.demo_items, public.demo_items_history, control.rollup_dirty, control.cursors"


@pytest.fixture
async def db(database: Database) -> Database:
    await database.execute(SCHEMA)
    return database


async def told(db: Database) -> dict[str, Any]:
    rows = await db.fetch_all("select id, seq, city, amount::text as amount from public.demo_items")
    return {r["id"]: (r["seq"], r["city"], r["amount"]) for r in rows}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), stops=st.lists(st.integers(0, 4), max_size=4))
async def test_replaying_any_prefix_equals_once(db: Database, seed: int, stops: list[int]) -> None:
    """A position moved back by hand makes the source tell again what was promoted already."""
    await db.execute(EMPTY)
    whole = story(seed)
    app = source(seed, "table")
    await run_source(db, app, "items")
    truth = Truth(whole, len(whole))
    versions = await one(db, "select count(*) from public.demo_items_history")
    assert (await told(db), versions) == (truth.rows, truth.versions)
    for stop in stops:
        await cursor.move(db, "demo.items", None, stop)
        await run_source(db, app, "items")
    newest = {k: v[0] for k, v in (await told(db)).items()}
    assert newest == {k: v[0] for k, v in truth.rows.items()}
    if _versions_are_unique(whole):
        assert await told(db) == truth.rows
        assert await one(db, "select count(*) from public.demo_items_history") == truth.versions


def _versions_are_unique(whole: list[list[dict[str, Any]]]) -> bool:
    """Two different rows of one key and one version are the upstream's contradiction: the later told one stays."""
    seen: dict[tuple[str, int], Any] = {}
    return all(seen.setdefault((r["id"], r["seq"]), r) == r for page in whole for r in page)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_order_and_any_repetition_of_versioned_pages_end_alike(db: Database, data: Any) -> None:
    """With a version column the newest row of each key stays, however late, early or often the others come."""
    count = data.draw(st.integers(2, 5))
    told_pages = [
        [
            item(key, page * 10 + key, f"City {page}", f"{page}.00")
            for key in range(data.draw(st.integers(1, 4)))
        ]
        for page in range(count)
    ]
    order = data.draw(st.permutations(range(count))) + data.draw(
        st.lists(st.integers(0, count - 1), max_size=3)
    )
    await db.execute(EMPTY)
    await run_source(db, demo(pages(*(Page(rows=told_pages[n]) for n in order))), "items")
    shuffled = await items(db)
    await db.execute(EMPTY)
    await run_source(db, demo(pages(*(Page(rows=page) for page in told_pages))), "items")
    assert await items(db) == shuffled


@pytest.fixture
async def oldest() -> AsyncIterator[Database]:
    programs = oldest_programs()
    if programs is None:
        pytest.skip("no PostgreSQL 15 is installed on this machine")
    cluster = await TestCluster.start(programs=programs.folder)
    try:
        async with cluster.database() as db:
            await db.execute(SCHEMA)
            yield db
    finally:
        await cluster.stop()


async def test_postgresql_15_rejects_bad_rows_alone_and_keeps_history_and_rollups(oldest: Database) -> None:
    rows = [item(1), item(2, "x"), item(3, amount=-5), item(4, at="never"), item(1, 2, "Rome", 9)]
    app = demo(pages(Page(rows=rows, last=True)))
    report = await run_source(oldest, app, "items")
    assert (report.upserted, report.stale, report.rejected) == (1, 1, 3)
    reasons = [r["reason"] for r in (await one_run(oldest, report.run_id))["rejects"]]
    assert [r.split(":")[0] for r in reasons[:1]] == ["seq"]
    assert await refresh(oldest, app) == 1
    assert await one(oldest, "select total from public.demo_cities where city = 'Rome'") == 9
