"""Where each (source, key) stands: any JSON value, moved only together with the rows it stands for."""

from __future__ import annotations

from typing import Any

import orjson

from headgate.base.errors import JobError
from headgate.db import Database, Jsonb
from headgate.db.queries import load

Q = load("headgate.engine.sql", "runs.sql")


def as_jsonb(value: Any) -> Jsonb | None:
    """`value` for a jsonb parameter; dates become ISO text, None becomes SQL null."""
    return None if value is None else Jsonb(value, dumps=_dumps)


def _dumps(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


async def read(db: Database, source: str, key: str | None = None) -> Any:
    """The position of (source, key); None when it has none yet."""
    return await db.fetch_value(Q.cursor, {"source": source, "key": key or ""})


async def move(db: Database, source: str, key: str | None, value: Any) -> None:
    """Set the position by hand (None: from the start). Fences a running run; raises JobError if none ever ran."""
    moved = await db.execute(Q.move_cursor, {"source": source, "key": key or "", "value": as_jsonb(value)})
    if moved == 0:
        raise JobError(f"{source} {key or ''} has no position: it never ran.", code="HG313")
