"""`headgate admin`: the first administrator is made on the machine, with a password that is shown once."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import bcrypt
import pytest
from click.testing import CliRunner, Result

from headgate.cli.main import cli
from headgate.db import Database


async def _run(database: Database, folder: Path, *arguments: str) -> Result:
    options = ["--database-url", database.url, "--data-dir", str(folder)]
    return await asyncio.to_thread(CliRunner().invoke, cli, ["admin", *arguments, *options])


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_AUTH_BCRYPT_COST", "4")


async def _account(database: Database) -> tuple[str, bool]:
    row = await database.fetch_one(
        "select encrypted_password as hash, raw_app_meta_data ->> 'headgate_role' = 'admin' as admin from auth.users"
    )
    assert row is not None
    return str(row["hash"]), bool(row["admin"])


async def test_first_administrator_gets_a_password_once(database: Database, tmp_path: Path) -> None:
    made = await _run(database, tmp_path, "create", "First@Example.com")
    assert made.exit_code == 0, made.output
    shown = re.search(r"^Password: (\S+)$", made.output, re.MULTILINE)
    assert shown is not None and len(shown.group(1)) >= 20
    hashed, admin = await _account(database)
    assert admin and bcrypt.checkpw(shown.group(1).encode(), hashed.encode())
    again = await _run(database, tmp_path, "create", "first@example.com")
    assert again.exit_code == 0 and "Password:" not in again.output
    assert (await _account(database))[0] == hashed
    listed = await _run(database, tmp_path, "list")
    assert "first@example.com  never signed in" in listed.output


async def test_reset_gives_another_password_and_ends_sessions(database: Database, tmp_path: Path) -> None:
    await _run(database, tmp_path, "create", "first@example.com")
    before, _ = await _account(database)
    await database.execute(
        "insert into auth.sessions (id, user_id, created_at) select gen_random_uuid(), id, now() from auth.users"
    )
    done = await _run(database, tmp_path, "create", "first@example.com", "--reset-password")
    assert "Password:" in done.output
    assert (await _account(database))[0] != before
    assert await database.fetch_value("select count(*) from auth.sessions") == 0


async def test_what_is_no_address_is_refused(database: Database, tmp_path: Path) -> None:
    refused = await _run(database, tmp_path, "create", "nobody")
    assert refused.exit_code == 2 and "not an e-mail address" in refused.output
    assert await database.fetch_value("select count(*) from auth.users") == 0
