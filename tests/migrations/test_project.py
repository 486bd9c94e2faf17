"""Every migration of the project: up, down and up again leave the same schema, on PostgreSQL 18 and on 15."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.base.errors import DatabaseError
from headgate.db import Database, binaries, dump, migrate
from headgate.db.binaries import Binaries
from headgate.db.connect import connect
from headgate.db.platform import apply_platform, missing
from headgate.testing.database import TestCluster, running_cluster

SOURCES = migrate.built_in_sources()


def test_every_migration_has_its_rollback_and_no_rollback_is_alone() -> None:
    for source in SOURCES:
        ups = {path.name for path in source.migrations.glob("*.sql")}
        assert ups == {path.name for path in source.rollbacks.glob("*.sql")}, source.name


async def up_down_up(cluster: TestCluster, programs: Binaries) -> None:
    await cluster.template("updownup_bare", [])
    url = await cluster.clone("updownup_bare")
    empty = await dump.schema(url, programs)
    done = await migrate.up(url, SOURCES)
    first = await dump.schema(url, programs)
    if done:
        await migrate.down(url, SOURCES, len(done))
    assert await dump.schema(url, programs) == empty, "the rollbacks leave something behind"
    await migrate.up(url, SOURCES)
    assert await dump.schema(url, programs) == first
    await cluster.drop(url)


async def test_up_down_up_leaves_an_empty_difference(cluster: TestCluster) -> None:
    await up_down_up(cluster, binaries.find())


async def test_each_migration_comes_back_by_itself(cluster: TestCluster) -> None:
    programs = binaries.find()
    await cluster.template("each_bare", [])
    url = await cluster.clone("each_bare")
    for migration in migrate.read(SOURCES):
        before = await dump.schema(url, programs)
        await migrate.up(url, SOURCES, to=migration.version)
        await migrate.down(url, SOURCES, 1)
        assert await dump.schema(url, programs) == before, migration.name
        await migrate.up(url, SOURCES, to=migration.version)
    await cluster.drop(url)


def test_migrations_use_no_extension_and_no_superuser_feature() -> None:
    forbidden = re.compile(
        r"\bcreate\s+extension\b|\bcopy\b.*\bprogram\b|\balter\s+system\b|\bleakproof\b", re.I
    )
    for migration in migrate.read(SOURCES):
        bare = re.sub(r"--[^\n]*", "", migration.sql)
        assert not forbidden.search(bare), migration.name


def oldest_programs() -> Binaries | None:
    """PostgreSQL 15 of the machine, the oldest that Headgate promises to run on."""
    places = [Path(found).resolve().parent for found in [shutil.which("postgres")] if found]
    for place in [*places, Path("/usr/lib/postgresql/15/bin")]:
        try:
            found = binaries.find(place)
        except DatabaseError:
            continue
        if found.major == 15 and (place / "initdb").exists():
            return found
    return None


@pytest.fixture(scope="module")
def oldest() -> Iterator[tuple[TestCluster, Binaries]]:
    programs = oldest_programs()
    if programs is None:
        pytest.skip("no PostgreSQL 15 is installed on this machine")
    with running_cluster(programs.folder) as running:
        yield running, programs


async def test_postgresql_15_takes_every_migration_and_gives_it_back(
    oldest: tuple[TestCluster, Binaries],
) -> None:
    await up_down_up(*oldest)


async def test_postgresql_15_owner_needs_no_superuser(oldest: tuple[TestCluster, Binaries]) -> None:
    cluster, _ = oldest
    async with cluster.database() as db:
        assert await db.fetch_value("select rolsuper from pg_roles where rolname = current_user") is False
        async with db.as_role({"role": "anon"}) as conn:
            row = await (await conn.execute("select current_user::text as who")).fetchone()
            assert row == {"who": "anon"}


async def test_platform_does_nothing_where_everything_is(cluster: TestCluster) -> None:
    await cluster.template("platform_twice", [])
    url = await cluster.clone("platform_twice")
    assert await apply_platform(cluster.server.admin_url("platform_twice")) == []
    assert await apply_platform(url) == [], "and needs no superuser to see that"
    await cluster.drop(url)


async def test_owner_without_superuser_makes_the_platform(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]) if os.geteuid() == 0 else ():
        folder.chmod(0o755)  # the server may run as another system user
    fresh = await TestCluster.start(folder=tmp_path / "pg")
    try:
        assert "role service_role" in await missing(fresh.server.url())
        made = await apply_platform(fresh.server.url())
        assert {"role anon", "role authenticator", "function auth.uid"} <= set(made)
        assert await apply_platform(fresh.server.url()) == []
        async with (
            await Database.open(fresh.server.url()) as db,
            db.as_role({"role": "service_role"}) as conn,
        ):
            row = await (await conn.execute("select auth.role() as role")).fetchone()
            assert row == {"role": "service_role"}
    finally:
        await fresh.stop()


async def test_missing_right_to_make_roles_is_said(oldest: tuple[TestCluster, Binaries]) -> None:
    cluster, _ = oldest
    async with await connect(cluster.server.admin_url("postgres")) as admin:
        await admin.execute("create role plain login")
        await admin.execute("create database plain owner plain")
    with pytest.raises(DatabaseError, match="may not make it") as caught:
        await apply_platform(cluster.server.url("plain", "plain"))
    assert caught.value.code == "HG212"
