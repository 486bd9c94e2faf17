"""Files of JSON lines: the last line wins whoever staged it, and an interrupted file goes on where it stopped."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from headgate.base.errors import SourceError
from headgate.db import Database, errors
from headgate.engine import bulk
from headgate.engine.bulk import ingest_file
from headgate.engine.manifest import Check
from headgate.engine.runs import one_run
from tests.database.promote_demo import SCHEMA, demo, item, items, jsonl, one, pages


@pytest.fixture
async def db(database: Database) -> Database:
    await database.execute(SCHEMA)
    return database


@pytest.mark.parametrize("promoters", [1, 2, 4])
async def test_the_last_line_wins_over_all_chunks(db: Database, tmp_path: Path, promoters: int) -> None:
    dice = random.Random(promoters)
    rows = [{"id": dice.randrange(40), "name": str(n)} for n in range(3000)]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl(rows))
    app = demo(pages(), table="public.demo_plain")
    report = await ingest_file(db, app, "items", path, promoters=promoters, chunk_bytes=1 << 10)
    assert (report.seen, report.state, report.rejected) == (3000, "succeeded", 0)
    assert report.pages > 10
    truth = {r["id"]: r["name"] for r in rows}
    got = await db.fetch_all("select id, name from public.demo_plain")
    assert {r["id"]: r["name"] for r in got} == truth


async def test_rejects_carry_the_line_number_of_the_file(db: Database, tmp_path: Path) -> None:
    lines = [json.dumps(item(n)).encode() for n in range(200)]
    lines[57] = b"{broken"
    lines[150] = json.dumps(item(150, amount="x")).encode()
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(lines))
    report = await ingest_file(db, demo(pages()), "items", path, chunk_bytes=1 << 10)
    assert (report.seen, report.rejected, report.upserted) == (200, 2, 198)
    assert [r["line"] for r in (await one_run(db, report.run_id))["rejects"]] == [58, 151]


async def test_an_interrupted_file_goes_on_where_it_stopped(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl(item(n) for n in range(500)))
    app = demo(pages())
    original = bulk.promote_batch
    calls = 0

    async def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise errors.AdminShutdown("the server went away")
        return await original(*args, **kwargs)

    monkeypatch.setattr(bulk, "promote_batch", failing)
    with pytest.raises(errors.AdminShutdown):
        await ingest_file(db, app, "items", path, chunk_bytes=4096)
    monkeypatch.setattr(bulk, "promote_batch", original)
    done = len(await items(db))
    assert 0 < done < 500
    report = await ingest_file(db, app, "items", path, chunk_bytes=4096, resume=True)
    assert report.seen == 500 - done
    assert len(await items(db)) == 500
    assert await one(db, "select count(*) from stage.rows") == 0
    path.write_bytes(jsonl(item(n) for n in range(510)))
    assert (await ingest_file(db, app, "items", path, resume=True)).seen == 510


async def test_an_unchanged_file_again_writes_next_to_nothing(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl(item(n, extra={"text": "x" * 300}) for n in range(4000)))
    app = demo(pages())

    async def wal() -> int:
        return int(await one(db, "select pg_current_wal_insert_lsn() - '0/0'"))

    start = await wal()
    await ingest_file(db, app, "items", path)
    first = await wal() - start
    start = await wal()
    report = await ingest_file(db, app, "items", path)
    assert (report.upserted, report.unchanged) == (0, 4000)
    assert (await wal() - start) < 0.05 * first


async def test_a_held_chunk_stops_the_file(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl(item(n) for n in range(300)))
    check = Check(
        name="odd",
        action="hold",
        sql="select 1 as one from stage.rows where batch_id = %(batch)s and doc ->> 'id' = '150'",
    )
    report = await ingest_file(db, demo(pages(), checks=[check]), "items", path, chunk_bytes=2048)
    assert report.state == "held"
    held = await one(db, "select rows from control.holds")
    assert len(await items(db)) + held <= 300
    assert max(int(row[0]) for row in await items(db)) < 150


async def test_a_file_that_cannot_be_read_is_named(db: Database, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.jsonl cannot be read") as caught:
        await ingest_file(db, demo(pages()), "items", tmp_path / "none.jsonl")
    assert caught.value.code == "HG430"
