"""API keys are kept as hashes, verified, revived and revoked."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from headgate.db import Database
from headgate.db.keys import Keyring, create_key, ensure_keys


async def test_key_verifies_as_its_role_and_is_stored_only_as_hash(database: Database) -> None:
    key = await create_key(database, name="test", role="anon")
    assert key.startswith("sb_publishable_")
    found = await Keyring(database).verify(key)
    assert found is not None and found.role == "anon"
    assert await Keyring(database).verify(key + "x") is None
    kept = await database.fetch_value(
        "select to_jsonb(k)::text from control.api_keys k where id = %s", (found.id,)
    )
    assert key not in kept


async def test_first_start_makes_keys_and_later_starts_keep_them(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "home" / "keys.json"
    first = await ensure_keys(database, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == first == await ensure_keys(database, file)
    ring = Keyring(database)
    roles = {name: found.role for name, key in first.items() if (found := await ring.verify(key))}
    assert roles == {"anon": "anon", "service_role": "service_role"}
    assert await database.fetch_value("select count(*) from control.api_keys") == 2


async def test_revoked_key_stops_working_once_the_memory_ends(database: Database) -> None:
    key = await create_key(database, name="test", role="service_role")
    ring = Keyring(database, memory_s=0)
    found = await ring.verify(key)
    assert found is not None
    assert await database.fetch_value("select control.revoke_api_key(%s)", (found.id,))
    assert await ring.verify(key) is None


async def test_clients_cannot_read_keys(database: Database) -> None:
    await create_key(database, name="test", role="anon")
    for role in ("anon", "authenticated"):
        allowed = await database.fetch_value(
            "select has_table_privilege(%s, 'control.api_keys', 'select') "
            "or has_function_privilege(%s, 'control.verify_api_key(bytea)', 'execute')",
            (role, role),
        )
        assert allowed is False
