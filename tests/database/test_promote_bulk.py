"""Files of JSON lines: the last line wins whoever staged it, and an interrupted file goes on where it stopped."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from headgate.base.errors import SourceError
from headgate.db import Database, errors
from headgate.engine import bulk, runs
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


PREPARED = """
create table public.demo_seen (batch bigint primary key, prepared bigint);
create function public.demo_prepare(p_batch bigint, p_run bigint, p_meta jsonb) returns void language plpgsql as $$
begin
    create temporary table if not exists demo_ready (id bigint, name text, line bigint) on commit delete rows;
    insert into pg_temp.demo_ready
    select (doc ->> 'id')::bigint, doc ->> 'name', line from stage.rows where batch_id = p_batch;
    perform set_config('demo.ready', p_batch::text, true);
end $$;
create function public.demo_promote(p_batch bigint, p_run bigint, p_meta jsonb) returns jsonb language plpgsql as $$
declare
    v_ready boolean := coalesce(current_setting('demo.ready', true), '') = p_batch::text;
begin
    if not v_ready then
        perform public.demo_prepare(p_batch, p_run, p_meta);
    end if;
    insert into public.demo_seen values (p_batch, case when v_ready then (select count(*) from pg_temp.demo_ready) end);
    insert into public.demo_plain select distinct on (id) id, name from pg_temp.demo_ready order by id, line desc
    on conflict (id) do update set name = excluded.name;
    return '{"upserted": 0}';
end $$;
"""


@pytest.mark.parametrize(("promoters", "connections"), [(1, 2), (2, 2), (4, 3)])
async def test_a_chunk_is_prepared_in_the_transaction_that_promotes_it(
    db: Database, tmp_path: Path, promoters: int, connections: int
) -> None:
    await db.execute(PREPARED)
    dice = random.Random(promoters)
    rows = [{"id": dice.randrange(40), "name": str(n)} for n in range(2000)]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl(rows))
    app = demo(pages(), promote="public.demo_promote", prepare="public.demo_prepare")
    # chunks that wait for their turn hold connections: there has to be one left for the chunk whose turn it is
    async with await Database.open(db.url, max_size=connections, timeout_s=20) as few:
        report = await ingest_file(few, app, "items", path, promoters=promoters, chunk_bytes=1 << 11)
    assert (report.seen, report.state) == (2000, "succeeded")
    got = await db.fetch_all("select id, name from public.demo_plain")
    assert {r["id"]: r["name"] for r in got} == {r["id"]: r["name"] for r in rows}
    seen = [r["prepared"] for r in await db.fetch_all("select prepared from public.demo_seen order by batch")]
    assert len(seen) == report.pages
    early = [n for n in seen if n is not None]
    assert min(early) > 0
    assert len(early) >= report.pages - 1


async def test_a_deadlock_prepares_anew_and_a_failure_lets_the_waiting_chunks_go(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await db.execute(PREPARED)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl({"id": n, "name": str(n)} for n in range(600)))
    app = demo(pages(), promote="public.demo_promote", prepare="public.demo_prepare")
    original = runs.promote
    calls = 0

    async def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise errors.DeadlockDetected("two at once")
        if calls == 7:
            raise errors.CheckViolation("it may not be")
        return await original(*args, **kwargs)

    monkeypatch.setattr(runs, "promote", failing)
    async with await Database.open(db.url, max_size=2, timeout_s=20) as few:
        with pytest.raises(errors.CheckViolation):
            await ingest_file(few, app, "items", path, promoters=3, chunk_bytes=1 << 11)
    done = await db.fetch_all("select prepared from public.demo_seen order by batch")
    assert [r["prepared"] is not None for r in done] == [True] * 5
    count = await db.fetch_value("select count(*) from public.demo_plain")
    assert count == sum(r["prepared"] for r in done)


async def test_a_held_chunk_lets_more_promoters_than_chunks_go(db: Database, tmp_path: Path) -> None:
    await db.execute(PREPARED)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl({"id": n, "name": str(n)} for n in range(400)))
    check = Check(
        name="odd",
        action="hold",
        sql="select 1 as one from stage.rows where batch_id = %(batch)s and doc ->> 'id' = '150'",
    )
    app = demo(pages(), promote="public.demo_promote", prepare="public.demo_prepare", checks=[check])
    report = await ingest_file(db, app, "items", path, promoters=5, chunk_bytes=1 << 10)
    assert report.state == "held"
    assert await db.fetch_value("select max(id) from public.demo_plain") < 150
