"""`headgate migrate` as somebody at a terminal sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headgate.cli import database as command
from headgate.db.migrate import MigrationSource
from headgate.testing.database import TestCluster

Run = Callable[..., Result]


@pytest.fixture
def run(cluster: TestCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The command on a fresh database, with two migrations of its own."""
    for name, sql, back in (
        ("20260101000001_shops.sql", "create table shops (id int primary key);", "drop table shops;"),
        ("20260101000002_open.sql", "alter table shops add open boolean;", "alter table shops drop open;"),
    ):
        for folder, text in (("migrations", sql), ("rollbacks", back)):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_text(text)
    source = MigrationSource("shops", tmp_path / "migrations", tmp_path / "rollbacks")
    monkeypatch.setattr(command, "chosen_apps", lambda _: [])
    monkeypatch.setattr(command, "migration_sources", lambda _: [source])

    async def fresh() -> str:
        await cluster.template("command", [])
        return await cluster.clone("command")

    url = asyncio.run(fresh())
    yield lambda *words, **more: CliRunner().invoke(
        command.migrate, [*words, "--database-url", url], catch_exceptions=False, **more
    )
    asyncio.run(cluster.drop(url))


def test_dry_run_says_what_it_would_do_and_does_nothing(run: Run) -> None:
    told = run("up", "--dry-run", "--sql").output
    assert "would apply 20260101000001_shops (shops)" in told
    assert "create table shops" in told
    assert "2 pending; nothing was changed." in told
    assert "2 pending." in run("status").output


def test_up_status_down(run: Run) -> None:
    assert "2 applied; the schema is up to date." in run("up").output
    assert "0 applied; the schema is up to date." in run("up").output
    status = run("status").output
    assert status.count("applied") == 2
    assert "The schema is up to date." in status
    assert "would take back 20260101000002_open (shops)" in run("down", "--dry-run").output
    assert "Nothing was changed" in run("down", "--dry-run").output
    assert run("down", input="n\n").exit_code == 1
    assert "1 taken back." in run("down", "--yes").output
    assert "1 pending." in run("status").output
    assert "1 applied." in run("up", "--to", "20260101000002").output
