"""The migration runner: plans, applies, takes back, refuses; alone and with others at the same time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headgate.base.errors import DatabaseError
from headgate.db import Database
from headgate.db.connect import connect
from headgate.db.migrate import MigrationSource, down, plan, plan_down, status, up


class Folder:
    """A source of migrations in a temporary folder."""

    def __init__(self, root: Path, name: str = "made") -> None:
        self.source = MigrationSource(name, root / "migrations", root / "rollbacks")
        for folder in (self.source.migrations, self.source.rollbacks):
            folder.mkdir(parents=True)

    def write(self, number: int, sql: str, back: str | None = None) -> None:
        name = f"{20260101000000 + number}_step_{number}.sql"
        (self.source.migrations / name).write_text(sql)
        if back is not None:
            (self.source.rollbacks / name).write_text(back)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.write(1, "create table one (id int primary key);", "drop table one;")
    made.write(2, "create table two (id int references one);\ncreate index on two (id);", "drop table two;")
    return made


async def test_up_applies_in_order_and_records_as_the_supabase_cli_does(
    bare_database: Database, folder: Folder
) -> None:
    assert [m.version for m in await plan(bare_database.url, [folder.source])] == [
        "20260101000001",
        "20260101000002",
    ]
    assert len(await up(bare_database.url, [folder.source])) == 2
    rows = await bare_database.fetch_all(
        "select * from supabase_migrations.schema_migrations order by version"
    )
    assert rows[1] == {
        "version": "20260101000002",
        "statements": ["create table two (id int references one)", "create index on two (id)"],
        "name": "step_2",
    }
    assert await up(bare_database.url, [folder.source]) == []


async def test_up_stops_at_the_version_asked_for(bare_database: Database, folder: Folder) -> None:
    done = await up(bare_database.url, [folder.source], to="20260101000001")
    assert [m.name for m in done] == ["step_1"]


async def test_plan_changes_nothing(bare_database: Database, folder: Folder) -> None:
    await plan(bare_database.url, [folder.source])
    await plan_down(bare_database.url, [folder.source])
    assert await bare_database.fetch_value("select to_regnamespace('supabase_migrations') is null") is True


async def test_down_takes_back_the_newest_first(bare_database: Database, folder: Folder) -> None:
    await up(bare_database.url, [folder.source])
    done = await down(bare_database.url, [folder.source], 1)
    assert [m.name for m in done] == ["step_2"]
    assert await bare_database.fetch_value("select to_regclass('two') is null") is True
    assert [s.state for s in await status(bare_database.url, [folder.source])] == ["applied", "pending"]


async def test_down_without_rollback_changes_nothing(bare_database: Database, folder: Folder) -> None:
    folder.write(3, "create table three ()")
    folder.write(4, "create table four ()", "drop table four")
    await up(bare_database.url, [folder.source])
    with pytest.raises(DatabaseError) as caught:
        await down(bare_database.url, [folder.source], 2)
    assert caught.value.code == "HG223"
    assert await bare_database.fetch_value("select to_regclass('four') is not null") is True


async def test_failing_migration_leaves_nothing_and_keeps_the_ones_before(
    bare_database: Database, folder: Folder
) -> None:
    folder.write(3, "create table three ();\n\ninsert into nowhere values (1);")
    with pytest.raises(DatabaseError, match="nowhere") as caught:
        await up(bare_database.url, [folder.source])
    assert caught.value.code == "HG222"
    assert caught.value.details["line"] == 3
    assert await bare_database.fetch_value("select to_regclass('three') is null") is True
    assert [s.state for s in await status(bare_database.url, [folder.source])] == [
        "applied",
        "applied",
        "pending",
    ]


async def test_changed_migration_is_refused_before_anything_is_done(
    bare_database: Database, folder: Folder
) -> None:
    await up(bare_database.url, [folder.source])
    folder.write(1, "create table one (id bigint primary key);")
    folder.write(3, "create table three ()")
    with pytest.raises(DatabaseError, match="20260101000001_step_1") as caught:
        await up(bare_database.url, [folder.source])
    assert caught.value.code == "HG221"
    assert await bare_database.fetch_value("select to_regclass('three') is null") is True
    assert (await status(bare_database.url, [folder.source]))[0].state == "changed"


async def test_new_comments_and_white_space_are_no_change(bare_database: Database, folder: Folder) -> None:
    await up(bare_database.url, [folder.source])
    folder.write(1, "-- the first table\ncreate table one (\n  id int primary key /* of course */\n)\n")
    assert [s.state for s in await status(bare_database.url, [folder.source])] == ["applied", "applied"]


async def test_migrations_of_others_are_left_alone(bare_database: Database, folder: Folder) -> None:
    await up(bare_database.url, [folder.source])
    await bare_database.execute(
        "insert into supabase_migrations.schema_migrations values ('20200101000000', null, 'theirs')"
    )
    states = {s.name: s.state for s in await status(bare_database.url, [folder.source])}
    assert states["theirs"] == "foreign"
    assert [m.name for m in await down(bare_database.url, [folder.source], 5)] == ["step_2", "step_1"]


async def test_record_with_more_columns_is_used_as_it_is(bare_database: Database, folder: Folder) -> None:
    await bare_database.execute("create schema supabase_migrations")
    await bare_database.execute(
        "create table supabase_migrations.schema_migrations"
        " (version text primary key, statements text[], name text, created_by text, idempotency_key text unique)"
    )
    assert len(await up(bare_database.url, [folder.source])) == 2


async def test_runners_at_the_same_time_apply_each_migration_once(
    bare_database: Database, folder: Folder
) -> None:
    for number in range(3, 12):
        folder.write(number, f"create table t{number} (); select pg_sleep(0.02);")
    done = await asyncio.gather(*(up(bare_database.url, [folder.source]) for _ in range(4)))
    assert sum(map(len, done)) == 11


async def test_other_runner_that_never_ends_is_named(bare_database: Database, folder: Folder) -> None:
    async with await connect(bare_database.url) as other, other.transaction():
        await other.execute("select pg_advisory_xact_lock(5132107002)")
        with pytest.raises(DatabaseError) as caught:
            await up(bare_database.url, [folder.source], wait_s=0.3)
    assert caught.value.code == "HG224"


async def test_table_in_use_gives_up_after_four_seconds_instead_of_blocking_everybody(
    bare_database: Database, folder: Folder
) -> None:
    await up(bare_database.url, [folder.source])
    folder.write(3, "alter table one add column more text;")
    async with bare_database.transaction() as reader:
        await reader.execute("select * from one")
        with pytest.raises(DatabaseError) as caught:
            await up(bare_database.url, [folder.source])
    assert caught.value.code == "HG225"
    assert len(await up(bare_database.url, [folder.source])) == 1


async def test_setting_of_one_migration_does_not_reach_the_next(
    bare_database: Database, folder: Folder
) -> None:
    folder.write(3, "set search_path = ''; create table public.three ();")
    folder.write(4, "create table four ();")
    await up(bare_database.url, [folder.source])
    assert await bare_database.fetch_value("select to_regclass('public.four') is not null") is True


@pytest.mark.parametrize(
    "sql", ["begin; create table x (); commit;", "/* */ COMMIT", "start transaction; select 1", "rollback"]
)
async def test_transactions_inside_a_migration_are_refused(folder: Folder, sql: str) -> None:
    folder.write(3, sql)
    with pytest.raises(DatabaseError) as caught:
        await plan("postgresql://nowhere.invalid/x", [folder.source])
    assert caught.value.code == "HG220"


async def test_wrong_names_and_shared_versions_are_refused(folder: Folder, tmp_path: Path) -> None:
    other = Folder(tmp_path / "other", "other")
    other.write(1, "select 1")
    for sources in ([folder.source, other.source],):
        with pytest.raises(DatabaseError, match="taken by step_1"):
            await plan("postgresql://nowhere.invalid/x", sources)
    (folder.source.migrations / "1_short.sql").write_text("select 1")
    with pytest.raises(DatabaseError, match="14 digits"):
        await plan("postgresql://nowhere.invalid/x", [folder.source])
