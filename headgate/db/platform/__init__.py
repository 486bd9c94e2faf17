"""Gives any PostgreSQL what hosted Supabase already has: roles, `auth.uid()` and its kin. Only what is
missing.

The files beside this one consist of pieces: `-- piece: <name>`, `-- missing: <SQL condition>`, then the SQL
that runs if the condition holds. On hosted Supabase no condition holds, so nothing runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

import psycopg

from headgate.base.errors import DatabaseError
from headgate.db.connect import Connection, connect

_PIECE = re.compile(r"^-- piece: (.+)\n-- missing: (.+)$", re.MULTILINE)
_LOCK = 5_132_107_001  # one applier at a time in one database


@dataclass(frozen=True)
class Piece:
    """One thing that hosted Supabase has: its name, when it is missing (SQL condition), how to make it
    (SQL).
    """

    name: str
    missing: str
    body: str


def pieces() -> list[Piece]:
    """All pieces, in the order in which they build on one another."""
    found: list[Piece] = []
    folder = resources.files(__name__)
    for file in sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql")):
        text = folder.joinpath(file).read_text(encoding="utf-8")
        heads = list(_PIECE.finditer(text))
        ends = [head.start() for head in heads[1:]] + [len(text)]
        for head, end in zip(heads, ends, strict=True):
            found.append(Piece(head.group(1), head.group(2), text[head.end() : end].strip()))
    return found


async def apply_platform(target: str | Connection) -> list[str]:
    """Make what is missing in the database of `target` (URL or connection), in one transaction; the names made.

    Idempotent; several callers at once are safe. Raises DatabaseError HG212 if the user may not make a piece.
    """
    if isinstance(target, str):
        async with await connect(target, application_name="headgate platform") as conn:
            return await _apply(conn)
    return await _apply(target)


async def missing(target: str) -> list[str]:
    """The names of what `apply_platform` would make; changes nothing."""
    made: list[str] = []
    async with (
        await connect(target, application_name="headgate platform") as conn,
        conn.transaction() as undo,
    ):
        made = await _apply(conn)
        raise psycopg.Rollback(undo)
    return made


async def _apply(conn: Connection) -> list[str]:
    made: list[str] = []
    async with conn.transaction():
        await conn.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        for piece in pieces():
            row = await (await conn.execute(f"select ({piece.missing}) as missing")).fetchone()
            if not (row and row["missing"]):
                continue
            try:
                await conn.execute(piece.body)
            except psycopg.errors.InsufficientPrivilege as error:
                raise DatabaseError(
                    f"The database lacks the {piece.name}, and this user may not make it:"
                    f" {error.diag.message_primary}.",
                    code="HG212",
                    hint="Run `headgate migrate up` once as the database's administrator.",
                ) from error
            made.append(piece.name)
    return made
