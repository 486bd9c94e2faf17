"""Polls for tests: events, staged listings, and the promote call, without any source or worker."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from headgate.db import Connection, Database, Jsonb

START = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Offer:
    """One listing as a reader hands it over; money in cents."""

    id: str
    base: int = 10_000
    qty: int = 2
    zone: str = "Lower"
    section: str = "101"
    row: str = "A"
    aip: int | None = None
    splits: tuple[int, ...] | None = None

    def doc(self) -> dict[str, Any]:
        """The normalised row."""
        return {
            "id": self.id,
            "zone": self.zone,
            "section": self.section,
            "row": self.row,
            "qty": self.qty,
            "splits": list(self.splits if self.splits is not None else (self.qty,)),
            "base_cents": self.base,
            "aip_cents": self.aip if self.aip is not None else self.base + self.base // 4,
            "face_cents": None,
            "seats": None,
            "notes": None,
        }


@dataclass(frozen=True)
class Poll:
    """One complete answer at an instant."""

    at: datetime
    offers: tuple[Offer, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """What the body's hash would be: equal for equal contents."""
        docs = sorted(json.dumps(o.doc(), sort_keys=True) for o in self.offers)
        return hashlib.sha256("\n".join(docs).encode()).hexdigest()

    def meta(self, event_id: int, source: str = "test") -> dict[str, Any]:
        """The poll as the promote function is told of it."""
        return {
            "event_id": event_id,
            "source": source,
            "observed_at": self.at.isoformat(),
            "received_at": self.at.isoformat(),
            "status": "accepted",
            "currency": "USD",
            "body_hash": self.hash,
            "global": {"listingCount": len(self.offers), "ticketCount": sum(o.qty for o in self.offers)},
            **self.extra,
        }


def after(minutes: float, start: datetime = START) -> datetime:
    """An instant so many minutes after the start of the tests' time."""
    return start + timedelta(minutes=minutes)


async def new_event(db: Database, name: str = "e1", **columns: Any) -> int:
    """An event of the market `test`; its number."""
    values = {
        "external_id": name,
        "source": "test",
        "name": name,
        "starts_at": START + timedelta(days=40),
    } | columns
    names = ", ".join(values)
    marks = ", ".join(f"%({key})s" for key in values)
    return int(
        await db.fetch_value(f"insert into public.events ({names}) values ({marks}) returning id", values)
    )


async def stage(conn: Connection, batch: int, docs: Sequence[Mapping[str, Any]]) -> None:
    """Rows in staging under a batch."""
    async with (
        conn.cursor() as cursor,
        cursor.copy("copy stage.rows (batch_id, line, doc) from stdin") as copy,
    ):
        for line, doc in enumerate(docs, 1):
            await copy.write_row((batch, line, json.dumps(doc)))


async def promote(db: Database, event_id: int, poll: Poll, batch: int = 1) -> dict[str, Any]:
    """One poll through the promote function in a transaction of its own; what it answered."""
    return await promote_raw(db, [o.doc() for o in poll.offers], poll.meta(event_id), batch)


async def promote_raw(
    db: Database, docs: Sequence[Mapping[str, Any]], meta: Mapping[str, Any], batch: int = 1
) -> dict[str, Any]:
    """Any rows and any meta through the promote function."""
    async with db.transaction() as conn:
        await conn.execute("delete from stage.rows where batch_id = %s", [batch])
        await stage(conn, batch, docs)
        row = await (
            await conn.execute("select tickets.promote_poll(%s, 1, %s) as r", [batch, Jsonb(dict(meta))])
        ).fetchone()
    assert row is not None
    return dict(row["r"])


async def refresh(db: Database) -> int:
    """Refresh until nothing is dirty; how many hours."""
    total = 0
    while done := int(await db.fetch_value("select tickets.refresh_rollups(1000)")):
        total += done
    return total


async def hour(
    db: Database, event_id: int, at: datetime, scope: str = "event", scope_id: str = ""
) -> dict[str, Any]:
    """The one row of an hour, live or clean."""
    rows = await db.fetch_all(
        "select * from tickets.hours(%s, %s, %s, %s, %s)",
        [event_id, at, at + timedelta(hours=1), scope, scope_id],
    )
    assert len(rows) == 1, rows
    return dict(rows[0])


async def state(db: Database, event_id: int) -> list[str]:
    """Everything derived about an event, as sorted lines without internal numbers."""
    return [str(row["state"]) for row in await db.fetch_all("select tickets.state(%s) as state", [event_id])]
