"""`headgate keys`: keys are made, shown once, listed without their secret, rotated and revoked."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from headgate.db import Database
from headgate.db.keys import Keyring, ensure_keys
from headgate.surface.auth.tokens import Verifier, read_keys


async def _keys(database: Database, folder: Path, *arguments: str, fails: bool = False) -> str:
    environment = {**os.environ, "HEADGATE_DATABASE_URL": database.url, "HEADGATE_DATA_DIR": str(folder)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headgate", "keys", *arguments, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert (process.returncode != 0) == fails, out.decode()
    return out.decode().strip()


async def _role(database: Database, key: str) -> str | None:
    found = await Keyring(database).verify(key)
    return found.role if found else None


async def test_a_key_is_made_listed_and_revoked(database: Database, tmp_path: Path) -> None:
    key = await _keys(database, tmp_path, "create", "--name", "importer", "--role", "service_role")
    assert key.startswith("sb_secret_") and await _role(database, key) == "service_role"
    listed = await _keys(database, tmp_path, "list")
    assert "importer" in listed and key not in listed
    number = await database.fetch_value("select id from control.api_keys where name = 'importer'")
    await _keys(database, tmp_path, "revoke", str(number))
    assert await _role(database, key) is None
    again = await _keys(database, tmp_path, "revoke", str(number), fails=True)
    assert "No API key" in again and "Traceback" not in again


async def test_rotation_replaces_the_installations_key_and_only_that(
    database: Database, tmp_path: Path
) -> None:
    before = await ensure_keys(database, tmp_path / "keys.json")
    fresh = await _keys(database, tmp_path, "rotate", "--role", "anon")
    assert await _role(database, fresh) == "anon"
    assert await _role(database, before["anon"]) is None
    assert await _role(database, before["service_role"]) == "service_role"
    assert (await ensure_keys(database, tmp_path / "keys.json"))["anon"] == fresh
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0


async def test_a_legacy_key_is_a_token_of_its_role(database: Database, tmp_path: Path) -> None:
    key = await _keys(database, tmp_path, "legacy", "--role", "service_role")
    secret = (tmp_path / "jwt_secret").read_text().strip()
    keys = read_keys(secret, is_base64=False)
    verifier = Verifier(keys, anon_role="anon", audience=None, role_path="$.role", cache_max=1)
    assert verifier.identify(key).role == "service_role"


async def test_signing_keys_are_rotated_and_old_ones_revoked(database: Database, tmp_path: Path) -> None:
    await _keys(database, tmp_path, "rotate-signing")
    await _keys(database, tmp_path, "rotate-signing", "--algorithm", "RS256")
    listed = await _keys(database, tmp_path, "list")
    assert {"current", "previous", "standby"} <= set(listed.split())
    previous = await database.fetch_value("select kid from control.signing_keys where status = 'previous'")
    await _keys(database, tmp_path, "revoke-signing", str(previous))
    assert "No previous" in await _keys(database, tmp_path, "revoke-signing", str(previous), fails=True)
