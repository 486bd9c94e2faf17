"""A small made-up market for tests, written through the application's own promote function; and a running server."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from headgate.apps.tickets.app import app
from headgate.base.settings import Settings
from headgate.db import Database, Jsonb
from headgate.server import create_app
from tests.serving import on_loopback

ZONES = ("Lower Level", "Club", "Upper Level")


def now() -> datetime:
    """The time, in UTC, rounded up to the millisecond that polls are kept in."""
    time = datetime.now(UTC) + timedelta(milliseconds=1)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


async def add_event(db: Database, event_id: int = 1, **columns: Any) -> int:
    """An event in 20 days with a promise of 600 s, unless told otherwise."""
    values: dict[str, Any] = {
        "id": event_id,
        "external_id": f"p{event_id}",
        "source": "vivid",
        "name": f"Game {event_id}",
        "venue": "Hall",
        "city": "Boston",
        "state": "MA",
        "tz": "America/New_York",
        "category": "sports",
        "starts_at": now() + timedelta(days=20),
        "promise_s": 600,
    }
    values.update(columns)
    names = ", ".join(values)
    slots = ", ".join(f"%({name})s" for name in values)
    await db.execute(f"insert into public.events ({names}) values ({slots})", values)
    return event_id


def listing(
    number: int, *, price: int = 10_000, qty: int = 2, zone: str = ZONES[0], **more: Any
) -> dict[str, Any]:
    """One normalised listing; `price` all-in in cents."""
    return {
        "id": f"VB{number}",
        "zone": zone,
        "section": f"{zone} {100 + number % 7}",
        "row": str(number % 20),
        "qty": qty,
        "splits": [q for q in (1, 2, 4) if q <= qty] if qty != 1 else [1],
        "base_cents": price * 8 // 10,
        "aip_cents": price,
        "face_cents": None,
        **more,
    }


async def poll(
    db: Database, event_id: int, at: datetime, listings: Sequence[Mapping[str, Any]], **meta: Any
) -> dict[str, Any]:
    """Promote one poll, as a worker would; returns what promote says."""
    tickets = sum(row["qty"] for row in listings)
    told = {
        "event_id": event_id,
        "source": "vivid",
        "observed_at": at.isoformat(),
        "received_at": at.isoformat(),
        "status": "accepted",
        "currency": "USD",
        "global": {"listingCount": len(listings), "ticketCount": tickets},
        **meta,
    }
    async with db.transaction() as conn:
        batch = 900_000_000 + random.randrange(10**8)
        if listings:
            async with conn.cursor() as cursor:
                await cursor.executemany(
                    "insert into stage.rows (batch_id, line, doc) values (%s, %s, %s)",
                    [(batch, n, Jsonb(dict(row))) for n, row in enumerate(listings, 1)],
                )
        row = await (
            await conn.execute("select tickets.promote_poll(%s, null, %s) as r", (batch, Jsonb(told)))
        ).fetchone()
        await conn.execute("delete from stage.rows where batch_id = %s", (batch,))
    assert row is not None
    return dict(row["r"])


async def refresh(db: Database) -> None:
    """Bring every rollup up to date."""
    while await db.fetch_value("select tickets.refresh_rollups(1000)"):
        pass


def walk(seed: int, count: int = 24) -> Sequence[dict[str, Any]]:
    """A first set of listings over three zones."""
    dice = random.Random(seed)
    return [
        listing(
            seed * 1000 + n,
            price=int(6_000 * (1 + n % 3) * dice.uniform(0.9, 2.2)),
            qty=dice.choice((1, 2, 2, 4, 4, 6)),
            zone=ZONES[n % 3],
        )
        for n in range(count)
    ]


async def history(db: Database, event_id: int, *, hours: float, every_s: int = 1800, count: int = 24) -> None:
    """Polls from `hours` ago until now: prices drift, some listings leave, others come."""
    dice = random.Random(event_id)
    rows = [dict(row) for row in walk(event_id, count)]
    at = now() - timedelta(hours=hours)
    number = event_id * 1000 + 500
    while at <= now():
        for row in rows:
            if dice.random() < 0.1:
                row["aip_cents"] = max(500, int(row["aip_cents"] * dice.gauss(0.999, 0.02)))
                row["base_cents"] = row["aip_cents"] * 8 // 10
        if dice.random() < 0.3:
            rows.pop(dice.randrange(len(rows)))
            number += 1
            rows.append(
                listing(number, price=int(9_000 * dice.uniform(0.7, 3)), qty=2, zone=dice.choice(ZONES))
            )
        await poll(db, event_id, at, rows)
        at += timedelta(seconds=every_s)
    await refresh(db)


@contextlib.asynccontextmanager
async def serving(
    db: Database,
    *,
    extras: Mapping[str, Any] | None = None,
    publishable_key: str | None = None,
    **settings: Any,
) -> AsyncIterator[str]:
    """The whole server on a loopback port (a free one, unless `port` says); gives its base address."""
    settings = {"jwt_secret": "a secret that only tests know, of 32 bytes", **settings}
    server_app = create_app(
        Settings(_env_file=None, **settings),  # type: ignore[call-arg]
        db,
        apps=[app],
        extras=extras,
        publishable_key=publishable_key,
    )
    async with on_loopback(server_app, port=settings.get("port", 0)) as url:
        yield url
