"""Rollups kept by dirty keys equal a rebuild byte for byte, whatever the order and whoever refreshes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.db import Database
from headgate.engine.manifest import Page
from headgate.engine.rollup import rebuild, refresh, waiting
from headgate.engine.runs import run_source
from tests.database.promote_demo import SCHEMA, demo, item, one, pages

ROWS = "select string_agg(c::text, E'\\n' order by city) from public.demo_cities c"


@pytest.fixture
async def db(database: Database) -> Database:
    await database.execute(SCHEMA)
    return database


async def send(db: Database, *rows: dict[str, Any], snapshot: bool = False) -> Any:
    app = demo(pages(Page(rows=rows, last=True)), snapshot=snapshot, max_deleted=1)
    await run_source(db, app, "items")
    return app


async def test_both_the_old_and_the_new_key_of_a_moved_row_are_refreshed(db: Database) -> None:
    app = await send(db, item(1, 1, "Oslo", 5), item(2, 1, "Oslo", 7))
    assert await refresh(db, app) == 1
    await send(db, item(2, 2, "Rome", 9))
    assert await waiting(db, app) == {"demo.cities": 2}
    assert await refresh(db, app) == 2
    assert await one(db, ROWS) == "(Oslo,1,5)\n(Rome,1,9)"
    await send(db, item(1, 1, "Oslo", 5), snapshot=True)
    await refresh(db, app)
    assert await one(db, ROWS) == "(Oslo,1,5)"
    assert await refresh(db, app) == 0


async def test_a_rebuild_writes_the_same_and_clears_the_marks(db: Database) -> None:
    app = await send(db, item(1, 1, "Oslo", 5), item(2, 1, "Rome", 7))
    await db.execute("insert into public.demo_cities values ('Atlantis', 9, 9)")
    assert await rebuild(db, app, "cities") == 2
    assert await waiting(db, app) == {"demo.cities": 0}
    assert await one(db, ROWS) == "(Oslo,1,5)\n(Rome,1,7)"


async def test_refreshers_and_promoters_at_once_lose_nothing(db: Database) -> None:
    app = demo(pages())
    stop = asyncio.Event()

    async def refresher() -> None:
        while not stop.is_set():
            await refresh(db, app, limit=3)
            await asyncio.sleep(0.002)

    async def promoter(number: int) -> None:
        for turn in range(15):
            rows = [item(f"{number}-{n}", turn, f"City {(n + turn) % 5}", n + turn) for n in range(8)]
            await run_source(db, demo(pages(Page(rows=rows, last=True))), "items", key=str(number))

    refreshers = [asyncio.create_task(refresher()) for _ in range(3)]
    await asyncio.gather(*(promoter(n) for n in range(4)))
    stop.set()
    await asyncio.gather(*refreshers)
    await refresh(db, app)
    incremental = await one(db, ROWS)
    await rebuild(db, app, "cities")
    assert await one(db, ROWS) == incremental
    assert await one(db, "select sum(items) from public.demo_cities") == 32


CHANGE = st.tuples(st.integers(0, 5), st.integers(0, 9), st.sampled_from(["A", "B", "C"]), st.integers(0, 99))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.tuples(st.lists(CHANGE, max_size=5), st.booleans(), st.booleans()), max_size=5))
async def test_incremental_equals_rebuild_for_any_history(db: Database, batches: list[Any]) -> None:
    app = demo(pages())
    for changes, snapshot, refreshed in batches:
        await send(db, *(item(i, s, c, f"{a}.10") for i, s, c, a in changes), snapshot=snapshot)
        if refreshed:
            await refresh(db, app, limit=2)
    await refresh(db, app)
    incremental = await one(db, ROWS)
    await rebuild(db, app, "cities")
    assert await one(db, ROWS) == incremental
