"""API keys: made here, kept in the database only as SHA-256, verified with a short memory. Never logs a key."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headgate.base.clock import monotonic
from headgate.base.errors import SettingsError
from headgate.base.ids import token
from headgate.db import Database

VISITOR_PREFIX = "hg_visitor_"
PREFIXES = {"anon": "sb_publishable_", "service_role": "sb_secret_"}


@dataclass(frozen=True)
class ApiKey:
    """A good key: its number in `control.api_keys` and the role it stands for."""

    id: int
    role: str


def _hash(key: str) -> bytes:
    # A key holds 192 random bits, so one fast hash is enough; a slow one would only cost every request.
    return hashlib.sha256(key.encode()).digest()


async def create_key(db: Database, *, name: str, role: str) -> str:
    """A new key for `role` (`anon` or `service_role`), returned in clear this one time."""
    if role not in PREFIXES:
        raise SettingsError(f"An API key cannot have the role {role!r}.", hint="Use anon or service_role.")
    key = token(PREFIXES[role])
    await _keep(db, name=name, role=role, key=key)
    return key


async def _keep(db: Database, *, name: str, role: str, key: str) -> None:
    shown = key[: len(PREFIXES[role]) + 4]
    await db.execute("select control.create_api_key(%s, %s, %s, %s)", (name, role, shown, _hash(key)))


async def ensure_keys(db: Database, file: Path) -> dict[str, str]:
    """The keys of this installation, `{"anon": ..., "service_role": ...}`, made at the first start.

    They are kept in `file`, readable by its owner only, so that later starts can show them again, and in the
    database by hash, so that a new database accepts the keys of the file.
    """
    fresh = await asyncio.to_thread(_read_or_make, file)
    for role, key in fresh.items():
        await _keep(db, name="installation", role=role, key=key)
    return fresh


async def list_keys(db: Database) -> list[dict[str, Any]]:
    """Every key as `id, name, role, prefix, created_at, revoked_at`; those in force first, newest first."""
    return await db.fetch_all(
        "select id, name, role, prefix, created_at, revoked_at from control.api_keys"
        " order by revoked_at is not null, id desc"
    )


async def revoke_key(db: Database, key_id: int) -> bool:
    """Stop a key; False when there is none in force. Servers remember a good key for up to 15 s."""
    return bool(await db.fetch_value("select control.revoke_api_key(%s)", (key_id,)))


async def rotate_key(db: Database, file: Path, *, role: str) -> str:
    """Replace the installation's key of `role` in `file` and in the database; the new one, in clear.

    The new key is kept before the old one is revoked, so that a failure in between leaves both good, never none.
    """
    before = await asyncio.to_thread(_read_or_make, file)
    fresh = token(PREFIXES[role])
    await _keep(db, name="installation", role=role, key=fresh)
    await asyncio.to_thread(_write_secret, file, json.dumps({**before, role: fresh}, indent=2))
    await db.execute(
        "select control.revoke_api_key(id) from control.api_keys where hash = %s", (_hash(before[role]),)
    )
    return fresh


async def create_visitor(db: Database) -> tuple[str, str]:
    """A new visitor: the id (the `sub` of the claims) and the token, returned in clear this one time."""
    secret = token(VISITOR_PREFIX)
    return str(await db.fetch_value("select control.create_visitor(%s)", (_hash(secret),))), secret


def _read_or_make(file: Path) -> dict[str, str]:
    keys: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    fresh = {role: keys.get(role) or token(prefix) for role, prefix in PREFIXES.items()}
    if fresh != keys:
        _write_secret(file, json.dumps(fresh, indent=2))
    return fresh


def _write_secret(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)


def ensure_jwt_secret(file: Path) -> str:
    """The secret that signs this installation's tokens, made at the first start, readable by its owner only."""
    secret = file.read_text().strip() if file.exists() else ""
    if not secret:
        secret = token(size=48)
        _write_secret(file, secret)
    return secret


class Keyring:
    """Verifies keys against the database; remembers an answer for `memory_s` seconds, so revoking takes that long."""

    def __init__(self, db: Database, *, memory_s: float = 15.0, size: int = 10_000) -> None:
        self._db = db
        self._memory_s = memory_s
        self._size = size
        self._seen: dict[bytes, tuple[float, ApiKey | None]] = {}
        self._visitors: dict[bytes, tuple[float, str | None]] = {}

    async def verify(self, key: str) -> ApiKey | None:
        """The key's number and role, or None when it is unknown or revoked."""
        hashed = _hash(key)
        known = self._seen.get(hashed)
        if known and known[0] > monotonic():
            return known[1]
        row = await self._db.fetch_one("select id, role from control.verify_api_key(%s)", (hashed,))
        found = ApiKey(row["id"], row["role"]) if row else None
        if len(self._seen) >= self._size:
            self._seen.clear()
        self._seen[hashed] = (monotonic() + self._memory_s, found)
        return found

    async def visitor(self, token_: str) -> str | None:
        """The id of the visitor who holds this token, or None."""
        hashed = _hash(token_)
        known = self._visitors.get(hashed)
        if known and known[0] > monotonic():
            return known[1]
        row = await self._db.fetch_one("select control.verify_visitor(%s)::text as id", (hashed,))
        found = row["id"] if row else None
        if len(self._visitors) >= self._size:
            self._visitors.clear()
        self._visitors[hashed] = (monotonic() + self._memory_s, found)
        return found
