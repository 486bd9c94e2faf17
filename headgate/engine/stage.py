"""Staging: fetched rows into `stage.rows` by COPY, as they came. Never parses JSON lines in Python, never loses
a line: what PostgreSQL cannot take becomes a reject with its line number and the reason.
"""

from __future__ import annotations

import json
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

_WRITE = 1 << 20
_BAD_ROW = (errors.DataError, errors.IntegrityError, errors.ProgramLimitExceeded)

Rows = Sequence[Mapping[str, Any]] | bytes


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A staged batch: `seen` = `staged` + `rejected`; `size` in bytes.

    `first_line`: set when the rows have only their order yet, and their lines are counted from there.
    """

    seen: int
    staged: int
    rejected: int
    size: int
    first_line: int | None = None


class Unclean(Exception):
    """The fast path met a line that PostgreSQL refuses; stage the page with `copy_carefully` instead."""


def to_lines(rows: Rows) -> list[bytes]:
    """The page as lines of JSON; an empty line is a blank one, not a row."""
    if isinstance(rows, bytes):
        if b"\r\n" in rows:
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


async def copy_bytes(conn: Connection, batch_id: int, data: bytes, first_line: int = 1) -> Staged:
    """A page of JSON lines in one COPY, as it is: Python looks at no line. Raises `Unclean` like `copy_fast`.

    Blank lines and whatever CSV would read in its own way make it unclean.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if b"\x01" in data or b"\x02" in data or b"\r" in data:
        raise Unclean
    seen = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    if seen:
        await conn.execute(Q.for_batch, {"batch": batch_id})
        await _copy(conn, Q.copy_bytes, data, seen)
    return Staged(seen=seen, staged=seen, rejected=0, size=len(data), first_line=first_line)


async def copy_fast(conn: Connection, batch_id: int, lines: Sequence[bytes], first_line: int = 1) -> Staged:
    """All `lines` in one COPY, numbered from `first_line`. Raises `Unclean`; the transaction is then lost.

    The framing characters are control characters that JSON forbids, so a line that has one is malformed.
    """
    head = b"%d\x02" % batch_id
    data = b"".join(
        [b"%b%d\x02%b\n" % (head, number, line) for number, line in enumerate(lines, first_line) if line]
    )
    seen = sum(map(bool, lines))
    framing = data.count(b"\x02") != 2 * seen or b"\x01" in data or b"\r" in data
    if framing:
        raise Unclean
    if seen:
        await _copy(conn, Q.copy_rows, data, seen)
    return Staged(seen=seen, staged=seen, rejected=0, size=sum(map(len, lines)))


async def _copy(conn: Connection, query: str, data: bytes, seen: int) -> None:
    """COPY all of `data`; `Unclean` when PostgreSQL refuses a line or counts others than `seen`."""
    try:
        async with conn.cursor() as cur:
            async with cur.copy(query) as copy:
                for start in range(0, len(data), _WRITE):
                    await copy.write(data[start : start + _WRITE])
            if cur.rowcount != seen:
                raise Unclean
    except _BAD_ROW as error:
        raise Unclean from error


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
