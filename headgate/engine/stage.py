"""Staging: fetched rows into `stage.rows` by COPY, as they came. Never parses JSON lines in Python, never loses
a line: what PostgreSQL cannot take becomes a reject with its line number and the reason.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from headgate.db import Connection, errors
from headgate.db.queries import load

Q = load("headgate.engine.sql", "stage.sql")

#: Rejects kept per batch; all are counted. The same bound is in `control.reject_lines`.
KEPT_REJECTS = 1000
#: Characters kept of a rejected row.
KEPT_RAW = 4096

#: COPY's binary format: signature, flags and header extension; the end; and before each document the number of
#: fields, two bigints with their lengths, the document's length and jsonb's version.
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_TUPLE = struct.Struct(">hiqiqiB").pack
#: Lines handed to the driver at a time, so that a page is never in memory twice.
_LINES = 1000
_BAD_ROW = (errors.DataError, errors.IntegrityError, errors.ProgramLimitExceeded)

Rows = Sequence[Mapping[str, Any]] | bytes


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A staged batch: `seen` = `staged` + `rejected`; `size` in bytes."""

    seen: int
    staged: int
    rejected: int
    size: int


class Unclean(Exception):
    """The fast path met a line that PostgreSQL refuses; stage the page with `copy_carefully` instead."""


def to_lines(rows: Rows) -> list[bytes]:
    """The page as lines of JSON; an empty line is a blank one, not a row."""
    if isinstance(rows, bytes):
        if (
            b"\r" in rows
        ):  # one byte is found much faster than two, and JSON has none of them inside of a line
            rows = rows.replace(b"\r\n", b"\n")
        lines = rows.split(b"\n")
        if not lines[-1]:
            lines.pop()
        return lines
    return [_encode(row) for row in rows]


def _encode(row: Any) -> bytes:
    """One row as JSON. What orjson refuses (large integers, lone surrogates) goes the slow, exact way."""
    try:
        return orjson.dumps(row, default=_plain)
    except orjson.JSONEncodeError:
        return json.dumps(row, default=_plain).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else str(value)
    return str(value)


async def copy_fast(conn: Connection, batch_id: int, lines: Sequence[bytes], first_line: int = 1) -> Staged:
    """All `lines` in one binary COPY, numbered from `first_line`; only PostgreSQL parses them.

    Raises `Unclean` when PostgreSQL refuses a line; the transaction is then lost.
    """
    seen = len(lines) - lines.count(b"")
    if seen:
        try:
            async with conn.cursor() as cur:
                async with cur.copy(Q.copy_rows) as copy:
                    await copy.write(_HEADER)
                    for start in range(0, len(lines), _LINES):
                        await copy.write(_tuples(batch_id, lines[start : start + _LINES], first_line + start))
                    await copy.write(_TRAILER)
                if cur.rowcount != seen:
                    raise Unclean
        except _BAD_ROW as error:
            raise Unclean from error
    return Staged(seen=seen, staged=seen, rejected=0, size=sum(map(len, lines)))


def _tuples(batch_id: int, lines: Sequence[bytes], first_line: int) -> bytes:
    """Rows of (batch_id, line, doc) as COPY's binary format has them; jsonb is sent as version 1 and its text."""
    return b"".join(
        [
            part
            for number, line in enumerate(lines, first_line)
            if line
            for part in (_TUPLE(3, 8, batch_id, 8, number, len(line) + 1, 1), line)
        ]
    )


async def copy_carefully(
    conn: Connection, *, run_id: int, batch_id: int, lines: Sequence[bytes], first_line: int = 1
) -> Staged:
    """The same for a page with malformed lines: the good ones are staged, each bad one becomes a reject."""
    rejects: list[tuple[int, str, str, int]] = []
    good: list[bytes] = []
    for number, line in enumerate(lines, first_line):
        if not line:
            continue
        reason = _unreadable(line)
        if reason:
            raw = line[: KEPT_RAW * 4].decode("utf-8", "replace").replace("\0", "\N{SYMBOL FOR NULL}")
            rejects.append((number, reason, raw[:KEPT_RAW], len(line)))
        else:
            good.append(b"%d\t%d\t%b\n" % (batch_id, number, _escape(line)))
    async with conn.cursor() as cur, cur.copy(Q.copy_raw) as copy:
        for start in range(0, len(good), 1000):
            await copy.write(b"".join(good[start : start + 1000]))
    for number, reason, raw, size in rejects[:KEPT_REJECTS]:
        await conn.execute(
            Q.reject,
            {"run": run_id, "batch": batch_id, "line": number, "reason": reason, "raw": raw, "size": size},
        )
    found = await (await conn.execute(Q.sort_raw, {"run": run_id, "batch": batch_id})).fetchone()
    await conn.execute(Q.clear_raw, {"batch": batch_id})
    staged, malformed = (found["staged"], found["malformed"]) if found else (0, 0)
    return Staged(
        seen=staged + malformed + len(rejects),
        staged=staged,
        rejected=malformed + len(rejects),
        size=sum(map(len, lines)),
    )


def _unreadable(line: bytes) -> str | None:
    """Why PostgreSQL could not even take the line as text."""
    if b"\0" in line:
        return "not text: it has a NUL byte"
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8: {error.reason} at byte {error.start}"
    return None


def _escape(line: bytes) -> bytes:
    """For COPY's text format."""
    return line.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\r", b"\\r")
