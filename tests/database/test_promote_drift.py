"""The drift record tells what changed in a source's fields, with names and types, never values."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.db import Database
from headgate.engine.manifest import Page
from headgate.engine.runs import run_source
from tests.database.promote_demo import SCHEMA, demo, one, pages


@pytest.fixture
async def db(database: Database) -> Database:
    await database.execute(SCHEMA)
    return database


async def send(db: Database, *rows: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """Send one page; what the record says of it."""
    before = await one(db, "select coalesce(max(id), 0) from control.drift")
    await run_source(db, demo(pages(Page(rows=rows, last=True))), "items")
    found = await db.fetch_all(
        "select path, kind, type from control.drift where id > %s order by path, kind", (before,)
    )
    return [(f["path"], f["kind"], f["type"]) for f in found]


async def test_drift_is_recorded_once_per_change(db: Database) -> None:
    first = {"id": "1", "seq": 1, "place": {"city": "Oslo", "geo": {"lat": 1.5}}, "tags": ["a"], "note": None}
    assert await send(db, first, first) == []
    assert await send(db, first) == []
    changed = {**first, "seq": "1", "place": {"city": "Oslo"}, "extra": {"k": True}, "note": "hi"}
    assert await send(db, changed) == [
        ("extra", "new", "object"),
        ("extra.k", "new", "boolean"),
        ("place.geo", "missing", "object"),
        ("place.geo.lat", "missing", "number"),
        ("seq", "type", "string"),
    ]
    assert await send(db, changed) == []
    assert await send(db, {**changed, "place": first["place"]}) == [
        ("place.geo", "returned", "object"),
        ("place.geo.lat", "returned", "number"),
    ]


async def test_a_field_that_some_rows_lack_is_optional_and_may_be_absent(db: Database) -> None:
    await send(db, {"id": "1", "b": 1}, {"id": "2"})
    assert await send(db, {"id": "1"}) == []
    assert await one(db, "select optional from control.fields where path = 'b'") is True


async def test_objects_used_as_maps_do_not_fill_the_record(db: Database) -> None:
    await send(db, {"id": "1", "by_id": {f"k{n}": n for n in range(1000)}})
    assert await one(db, "select count(*) from control.fields") == 400


async def test_no_value_is_kept(db: Database) -> None:
    await send(db, {"id": "1", "secret": "hunter2"})
    await send(db, {"id": "1", "secret": 5, "also": "hunter2"})
    dump = await one(db, "select string_agg(f::text, '') from control.fields f")
    dump += await one(db, "select string_agg(d::text, '') from control.drift d")
    assert "hunter2" not in dump


async def test_unchanged_fields_cost_no_write_within_the_hour(db: Database) -> None:
    await send(db, {"id": "1"})
    before = await one(db, "select xmin::text from control.fields where path = 'id'")
    await send(db, {"id": "2"})
    assert await one(db, "select xmin::text from control.fields where path = 'id'") == before
