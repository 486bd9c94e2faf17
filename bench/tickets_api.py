"""How long the ticket API takes for 50 clients while polls are promoted and rollups refreshed.

Server, database, ingest and clients share one machine. Clients are dashboards: each asks, waits `--pause` seconds, asks
again; a second, shorter part lets them ask without a pause, which measures the most that one server process serves.
`python -m bench.tickets_api --events 100 --listings 300 --hours 72 --seconds 30`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import time
from collections import defaultdict
from datetime import timedelta
from typing import Any

import aiohttp

from bench import report
from bench._database import fresh_database
from bench._server import served
from headgate.base import log
from headgate.db import Database
from tests import ticket_market as market

CLIENTS = 50
SECRET = "a secret that only this measurement knows"
PATHS = (
    "/api/events/{event}/snapshot",
    "/api/events/{event}/series?since={since}",
    "/api/analytics/price-trends?event_id={event}&start_date={since}",
    "/api/analytics/group-prices?event_id={event}&start_date={since}&group_size=2",
    "/api/analytics/ticket-counts?event_id={event}&start_date={since}",
    "/api/events/{event}/heatmap",
    "/api/events/{event}/listings?limit=50",
    "/api/events/{event}/zones",
    "/api/realtime/latest-prices?event_id={event}",
    "/api/events?limit=50",
    "/api/screen?limit=50&order=change_24h.asc",
)


def _application(db: Database) -> Any:
    from headgate.base.settings import Settings
    from headgate.server import create_app

    return create_app(Settings(_env_file=None, jwt_secret=SECRET), db)  # type: ignore[call-arg]


async def _fill(db: Database, events: int, listings: int, hours: int) -> None:
    for event_id in range(1, events + 1):
        await market.add_event(db, event_id)
        await market.history(db, event_id, hours=hours, every_s=3600, count=listings)


async def _ingest(db: Database, events: int, listings: int, per_s: float, counts: dict[str, int]) -> None:
    """Promote polls at a steady rate and keep the rollups fresh, until cancelled."""
    dice = random.Random(7)
    begun = time.monotonic()
    while True:
        event_id = dice.randrange(1, events + 1)
        rows = [dict(row) for row in market.walk(event_id, listings)]
        for row in dice.sample(rows, max(1, listings // 30)):
            row["aip_cents"] += 100
        await market.poll(db, event_id, market.now(), rows)
        counts["polls"] += 1
        if counts["polls"] % 4 == 0:
            await db.fetch_value("select tickets.refresh_rollups(20)")
        await asyncio.sleep(max(0.0, begun + counts["polls"] / per_s - time.monotonic()))


async def _client(
    session: aiohttp.ClientSession,
    base: str,
    seen: dict[str, list[float]],
    *,
    events: int,
    pause: float,
    until: float,
) -> None:
    dice = random.Random(id(seen) ^ time.monotonic_ns())
    since = (market.now() - timedelta(hours=72)).strftime("%Y-%m-%dT%H:00:00Z")
    await asyncio.sleep(dice.random() * pause)
    while time.monotonic() < until:
        path = dice.choice(PATHS)
        begun = time.perf_counter()
        async with session.get(
            base + path.format(event=dice.randrange(1, events + 1), since=since)
        ) as answer:
            await answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{path} answered {answer.status}")
        seen[path.split("?")[0]].append((time.perf_counter() - begun) * 1000)
        if pause:
            await asyncio.sleep(dice.uniform(0.5, 1.5) * pause)


async def _load(base: str, events: int, pause: float, seconds: float) -> dict[str, list[float]]:
    seen: dict[str, list[float]] = defaultdict(list)
    until = time.monotonic() + seconds
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CLIENTS)) as session:
        await asyncio.gather(
            *(_client(session, base, seen, events=events, pause=pause, until=until) for _ in range(CLIENTS))
        )
    return seen


async def measure(options: argparse.Namespace) -> tuple[list[report.Figure], dict[str, Any]]:
    """The figures, and p95 by endpoint."""
    counts = {"polls": 0}
    async with fresh_database(everything=True) as url, await Database.open(url, max_size=4) as db:
        await _fill(db, options.events, options.listings, options.hours)
        await db.execute("analyze")
        async with served(url, _application) as base:
            await _load(base, options.events, options.pause, 2)
            ingest = asyncio.create_task(
                _ingest(db, options.events, options.listings, options.polls_per_s, counts)
            )
            seen = await _load(base, options.events, options.pause, options.seconds)
            steady = [value for values in seen.values() for value in values]
            full = await _load(base, options.events, 0.0, options.seconds / 3)
            ingest.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ingest
    most = [value for values in full.values() for value in values]
    figures = [
        report.at_most("p95, 50 clients during ingest", report.percentile(steady, 0.95), 50, "ms"),
        report.Figure(name="p50", value=report.percentile(steady, 0.5), unit="ms"),
        report.Figure(name="p99", value=report.percentile(steady, 0.99), unit="ms"),
        report.Figure(name="requests per second", value=len(steady) / options.seconds, unit="1/s"),
        report.Figure(name="without a pause: p95", value=report.percentile(most, 0.95), unit="ms"),
        report.Figure(
            name="without a pause: requests per second", value=len(most) / (options.seconds / 3), unit="1/s"
        ),
        report.Figure(name="polls promoted meanwhile", value=float(counts["polls"])),
    ]
    by_path = {path: round(report.percentile(values, 0.95), 1) for path, values in sorted(seen.items())}
    return figures, by_path


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=report.sized(100, 5))
    parser.add_argument("--listings", type=int, default=report.sized(300, 40))
    parser.add_argument("--hours", type=int, default=report.sized(72, 6))
    parser.add_argument("--seconds", type=float, default=report.sized(30, 5))
    parser.add_argument("--pause", type=float, default=0.5)
    parser.add_argument("--polls-per-s", type=float, default=2.0)
    options = parser.parse_args()
    log.configure(level="error")
    figures, by_path = asyncio.run(measure(options))
    report.write(
        "tickets-api",
        "Ticket API: 50 clients during ingest",
        figures,
        command="python -m bench.tickets_api " + " ".join(sys.argv[1:]),
        about=(
            f"{options.events} events × {options.listings} listings × {options.hours} hours of history; each of 50 "
            f"clients asks about every {options.pause:g} s one of {len(PATHS)} questions about a random event; "
            f"one server process; {options.polls_per_s:g} polls promoted per second; all on one machine."
        ),
        samples={"p95 by endpoint, ms": by_path},
    )
    for path, value in by_path.items():
        print(f"{value:8.1f} ms  {path}")


if __name__ == "__main__":
    main()
