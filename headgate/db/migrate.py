"""Plain SQL migrations, recorded where the Supabase CLI records its own. Each is one transaction with its
record.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psycopg

from headgate.base.errors import DatabaseError
from headgate.db import statements
from headgate.db.connect import Connection, connect

State = Literal["applied", "pending", "changed", "foreign"]
_FILE = re.compile(r"^(\d{14})_([a-z0-9_]+)\.sql$")
_LOCK = 5_132_107_002  # one migration at a time in one database, whoever runs it
_LOCK_TIMEOUT = "4s"
_OWN_TRANSACTION = frozenset(
    {"begin", "commit", "rollback", "start transaction", "end", "abort", "prepare transaction"}
)
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class MigrationSource:
    """A folder of migrations and the folder of their rollbacks, under a name for people."""

    name: str
    migrations: Path
    rollbacks: Path


@dataclass(frozen=True)
class Migration:
    """One file: `version` (14 digits), `name`, its SQL, and the SQL that takes it back (None: there is
    none).
    """

    version: str
    name: str
    source: str
    sql: str
    rollback: str | None

    @property
    def statements(self) -> list[str]:
        """The statements, as the record keeps them."""
        return statements.split(self.sql)


@dataclass(frozen=True)
class Status:
    """One migration as files and database see it. `foreign`: recorded, but no file of ours."""

    version: str
    name: str
    source: str
    state: State


def built_in_sources() -> list[MigrationSource]:
    """The engine's migrations, then those of every application in the package."""
    places = [("engine", _PACKAGE / "engine" / "sql")]
    places += [(app.parent.name, app.parent) for app in sorted(_PACKAGE.glob("apps/*/migrations"))]
    return [
        MigrationSource(name, place / "migrations", place / "rollbacks")
        for name, place in places
        if (place / "migrations").is_dir()
    ]


def read(sources: Sequence[MigrationSource]) -> list[Migration]:
    """Every migration of `sources`, by version. Raises DatabaseError HG220 if a file or version is wrong."""
    found: dict[str, Migration] = {}
    for source in sources:
        for path in sorted(source.migrations.glob("*.sql")):
            match = _FILE.match(path.name)
            if match is None:
                raise _malformed(path, "its name is not <14 digits>_<name>.sql")
            version, name = match.groups()
            if version in found:
                raise _malformed(path, f"version {version} is taken by {found[version].name}")
            back = source.rollbacks / path.name
            migration = Migration(
                version,
                name,
                source.name,
                path.read_text(encoding="utf-8"),
                back.read_text(encoding="utf-8") if back.exists() else None,
            )
            for text in (migration.sql, migration.rollback or ""):
                _check(path, text)
            found[version] = migration
    return [found[version] for version in sorted(found)]


def _check(path: Path, text: str) -> None:
    for statement in statements.split(text):
        kind = statements.first_words(statement)
        if kind in _OWN_TRANSACTION or kind.split(" ")[0] in ("begin", "commit", "rollback", "abort"):
            raise _malformed(path, f"it says `{kind}`, but a migration is one transaction already")


def _malformed(path: Path, why: str) -> DatabaseError:
    return DatabaseError(
        f"The migration {path.name} is malformed: {why}.", code="HG220", hint="Repair the file."
    )


async def status(url: str, sources: Sequence[MigrationSource]) -> list[Status]:
    """Every migration known to the files or to the database, by version."""
    known = read(sources)
    async with await connect(url, application_name="headgate migrate") as conn:
        return _compare(known, await _recorded(conn))


async def plan(url: str, sources: Sequence[MigrationSource], *, to: str | None = None) -> list[Migration]:
    """What `up` would apply, in order; changes nothing. Raises DatabaseError HG221 as `up` would."""
    known = read(sources)
    async with await connect(url, application_name="headgate migrate") as conn:
        return _pending(known, await _recorded(conn), to)


async def up(
    url: str, sources: Sequence[MigrationSource], *, to: str | None = None, wait_s: float = 60.0
) -> list[Migration]:
    """Apply what is pending, up to version `to`; what this call applied.

    Safe to run from several places at once: each migration is taken by one of them. `wait_s` bounds the wait
    for another runner. Raises DatabaseError HG220–HG225; what failed left nothing behind, earlier ones stay
    applied.
    """
    known = read(sources)
    done: list[Migration] = []
    async with await connect(url, application_name="headgate migrate") as conn:
        while _pending(known, await _recorded(conn), to):
            applied = await _apply_next(conn, known, to, wait_s)
            if applied is not None:
                done.append(applied)
    return done


async def down(
    url: str, sources: Sequence[MigrationSource], count: int = 1, *, wait_s: float = 60.0
) -> list[Migration]:
    """Take back the last `count` applied migrations of `sources`, newest first; what was taken back.

    Raises DatabaseError HG223, before anything is changed, if one of them has no rollback.
    """
    known = read(sources)
    async with await connect(url, application_name="headgate migrate") as conn:
        chosen = _to_take_back(known, await _recorded(conn), count)
        return [migration for migration in chosen if await _take_back(conn, migration, wait_s)]


async def plan_down(url: str, sources: Sequence[MigrationSource], count: int = 1) -> list[Migration]:
    """What `down` would take back, newest first; changes nothing. Raises DatabaseError HG223 as `down` would."""
    known = read(sources)
    async with await connect(url, application_name="headgate migrate") as conn:
        return _to_take_back(known, await _recorded(conn), count)


def _to_take_back(
    known: list[Migration], recorded: dict[str, tuple[str, list[str] | None]], count: int
) -> list[Migration]:
    chosen = [migration for migration in reversed(known) if migration.version in recorded][:count]
    for migration in chosen:
        if migration.rollback is None:
            raise DatabaseError(
                f"The migration {migration.version}_{migration.name} has no rollback.",
                code="HG223",
                hint="Restore a backup, or write a new migration that changes things back.",
            )
    return chosen


async def _apply_next(
    conn: Connection, known: list[Migration], to: str | None, wait_s: float
) -> Migration | None:
    await conn.execute("reset all")  # a migration's SET must not reach the next one
    async with conn.transaction():
        await _lock(conn, wait_s)
        await _prepare_record(conn)
        pending = _pending(known, await _recorded(conn), to)
        if not pending:
            return None
        migration = pending[0]
        await _run(conn, migration, migration.sql)
        await conn.execute(
            "insert into supabase_migrations.schema_migrations (version, statements, name) values"
            " (%s, %s, %s)",
            [migration.version, migration.statements, migration.name],
        )
    return migration


async def _take_back(conn: Connection, migration: Migration, wait_s: float) -> bool:
    """False if somebody else took it back in the meantime."""
    await conn.execute("reset all")
    async with conn.transaction():
        await _lock(conn, wait_s)
        if migration.version not in await _recorded(conn):
            return False
        await _run(conn, migration, migration.rollback or "")
        await conn.execute(
            "delete from supabase_migrations.schema_migrations where version = %s", [migration.version]
        )
    return True


async def _lock(conn: Connection, wait_s: float) -> None:
    """The advisory lock for this transaction. It also works through a pooler, which a session's lock would
    not.
    """
    deadline = time.monotonic() + wait_s
    while True:
        row = await (await conn.execute("select pg_try_advisory_xact_lock(%s) as got", [_LOCK])).fetchone()
        if row and row["got"]:
            break
        if time.monotonic() > deadline:
            raise DatabaseError(
                f"Another migration has been running for more than {wait_s:g} s.",
                code="HG224",
                hint="Wait for it, or look for application_name 'headgate migrate' in pg_stat_activity.",
            )
        await asyncio.sleep(0.1)
    await conn.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")


async def _run(conn: Connection, migration: Migration, sql: str) -> None:
    label = f"{migration.version}_{migration.name} ({migration.source})"
    try:
        await conn.execute(sql)
    except psycopg.errors.LockNotAvailable as error:
        raise DatabaseError(
            f"The migration {label} waited {_LOCK_TIMEOUT} for a lock and was taken back.",
            code="HG225",
            details={"context": error.diag.context},
            hint="Somebody uses the table in a long transaction. Run it again when that has ended.",
        ) from error
    except psycopg.Error as error:
        raise DatabaseError(
            f"The migration {label} failed and was taken back: {error.diag.message_primary or error}",
            code="HG222",
            details=_where(error, sql),
            hint=error.diag.message_hint or "The migrations before it stay applied.",
        ) from error


def _where(error: psycopg.Error, sql: str) -> dict[str, Any]:
    place = error.diag.statement_position
    line = sql[: int(place)].count("\n") + 1 if place else None
    return {"sqlstate": error.sqlstate, "line": line, "detail": error.diag.message_detail}


async def _prepare_record(conn: Connection) -> None:
    """The Supabase CLI's table, in its own shape, where it is missing."""
    row = await (
        await conn.execute("select to_regclass('supabase_migrations.schema_migrations') is null as missing")
    ).fetchone()
    if row and row["missing"]:
        await conn.execute("create schema if not exists supabase_migrations")
        await conn.execute(
            "create table supabase_migrations.schema_migrations"
            " (version text not null primary key, statements text[], name text)"
        )


async def _recorded(conn: Connection) -> dict[str, tuple[str, list[str] | None]]:
    """version → (name, statements) of what is applied."""
    try:
        rows = await (
            await conn.execute("select version, name, statements from supabase_migrations.schema_migrations")
        ).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return {}
    return {row["version"]: (row["name"] or "", row["statements"]) for row in rows}


def _compare(known: list[Migration], recorded: dict[str, tuple[str, list[str] | None]]) -> list[Status]:
    found = [Status(m.version, m.name, m.source, _state(m, recorded)) for m in known]
    ours = {migration.version for migration in known}
    found += [
        Status(version, name, "", "foreign") for version, (name, _) in recorded.items() if version not in ours
    ]
    return sorted(found, key=lambda entry: entry.version)


def _state(migration: Migration, recorded: dict[str, tuple[str, list[str] | None]]) -> State:
    if migration.version not in recorded:
        return "pending"
    kept = recorded[migration.version][1]
    if kept is not None and statements.fingerprint(kept) != statements.fingerprint(migration.sql):
        return "changed"
    return "applied"


def _pending(
    known: list[Migration], recorded: dict[str, tuple[str, list[str] | None]], to: str | None
) -> list[Migration]:
    changed = [entry for entry in _compare(known, recorded) if entry.state == "changed"]
    if changed:
        label = f"{changed[0].version}_{changed[0].name} ({changed[0].source})"
        raise DatabaseError(
            f"The migration {label} was changed after it had been applied.",
            code="HG221",
            details={"changed": [entry.version for entry in changed]},
            hint="Put the file back as it was, and write a new migration for the change.",
        )
    return [m for m in known if m.version not in recorded and (to is None or m.version <= to)]
