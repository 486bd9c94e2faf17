"""Ticket storage and reads against a full-snapshot table with GROUP BY and REFRESH MATERIALIZED VIEW, in one run.

100 events × 800 listings × 432 ticks of ten minutes; at a tick 3 % of prices change and 2 % of listings give way to
others. Both sides hold the same observations, and their answers are compared before they are timed. History is laid
down in bulk; the last 24 ticks go poll by poll through `tickets.promote_poll`, and those are what WAL and promote
times are measured on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench import report
from bench._database import fresh_database
from headgate.db import SQL, Database, Jsonb
from headgate.db.queries import parse

_FILE = Path(__file__).with_name("_tickets_layouts.sql")
Q = parse(_FILE.read_text(), _FILE.name)
START = datetime(2026, 3, 2, tzinfo=UTC)
SLOTS = 800
LIVE = 24
WARM = 16  # after that nearly every page has had its full image since the last checkpoint
TICK = timedelta(minutes=10)
ROLLED_UP = 10
HISTORY_WORDS = (
    "event",
    "market",
    "snapshots",
    "sections",
    "listings",
    "packs",
    "open",
    "polls",
    "latest",
    "keep_live",
)
FOUR_MONTHS = 100 * 800 * 144 * 120
SEED_BYTES = 20e9


async def _ms(work: Callable[[], Awaitable[Any]], rounds: int) -> tuple[float, Any]:
    """The median milliseconds of some rounds after one that does not count, and the last answer."""
    answer = await work()
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        answer = await work()
        taken.append((time.perf_counter() - started) * 1000)
    return report.middle(taken), answer


class Bench:
    """One run: its size, its database, and the figures found so far."""

    def __init__(self, db: Database, events: int, ticks: int) -> None:
        self.db = db
        self.events = events
        self.ticks = ticks
        self.history = ticks - LIVE
        self.figures: list[report.Figure] = []
        self.rows = 0
        self.full_bytes = 0.0

    def at(self, tick: int) -> datetime:
        """The instant of a tick."""
        return START + tick * TICK

    async def fill(self) -> None:
        """The history, the same on both sides."""
        await self.db.execute(SQL(Q.tables))
        await self.db.execute(SQL(Q.live))
        await self.db.execute("select tickets.ensure_partitions(%s, 0)", [START.date()])
        for event in range(1, self.events + 1):
            params = {
                "event": event,
                "slots": SLOTS,
                "ticks": self.ticks,
                "history": self.history,
                "start": START,
                "at": self.at(self.history - 1),
            }
            for word in HISTORY_WORDS:
                await self.db.execute(SQL(getattr(Q, word)), params)
            await self.db.execute("drop table bench.now")
            if event == 1:
                await self.db.execute("analyze")
        await self.db.execute("vacuum (analyze)")

    async def live(self) -> None:
        """The last ticks through promote, and the same ticks into the full table; WAL of each, and promote's time."""
        ours: list[float] = []
        full: list[float] = []
        taken: list[float] = []
        for tick in range(self.history, self.ticks):
            await self.db.execute(SQL(Q.stage), {"tick": tick})
            before = await self._wal()
            for event in range(1, self.events + 1):
                meta = self._meta(event, tick)
                started = time.perf_counter()
                answer = await self.db.fetch_value(
                    SQL(Q.promote), {"batch": event * 1000 + tick, "meta": Jsonb(meta)}
                )
                taken.append((time.perf_counter() - started) * 1000)
                if answer["status"] != "accepted":
                    raise RuntimeError(f"promote answered {answer}")
            middle = await self._wal()
            await self.db.execute(SQL(Q.snapshot_tick), {"tick": tick})
            ours.append(middle - before)
            full.append(await self._wal() - middle)
            await self.db.execute("truncate stage.rows")
        ratio = report.middle(full[WARM:]) / report.middle(ours[WARM:])
        hundred = 100 / self.events / 1e6
        self.figures += [
            report.at_least("WAL per tick, full table ÷ ours", ratio, 8, "×"),
            report.Figure(
                name="WAL per 100-event tick, ours", value=report.middle(ours[WARM:]) * hundred, unit="MB"
            ),
            report.Figure(
                name="WAL per 100-event tick, full table",
                value=report.middle(full[WARM:]) * hundred,
                unit="MB",
            ),
            report.Figure(
                name="WAL of the first tick after bulk load and checkpoint, full table ÷ ours",
                value=full[0] / ours[0],
                unit="×",
            ),
            report.Figure(
                name="promote one poll of 800 listings, median", value=report.middle(taken), unit="ms"
            ),
            report.Figure(name="promote one poll, p99", value=report.percentile(taken, 0.99), unit="ms"),
        ]

    def _meta(self, event: int, tick: int) -> dict[str, Any]:
        return {
            "event_id": event,
            "source": "bench",
            "observed_at": self.at(tick).isoformat(),
            "received_at": self.at(tick).isoformat(),
            "currency": "USD",
            "body_hash": f"{event}-{tick}".ljust(64, "0"),
            "global": {"listingCount": SLOTS},
        }

    async def _wal(self) -> float:
        return float(await self.db.fetch_value("select pg_current_wal_insert_lsn() - '0/0'"))

    async def rollups(self) -> None:
        """One dirty (event, hour) against REFRESH; both sides' hours are then clean."""
        some = min(ROLLED_UP, self.events)
        for event in range(1, some + 1):
            await self.db.execute("select tickets.dirty_all(%s)", [event])
        await self.db.execute("delete from rollup_dirty where event_id > %s", [some])
        while await self.db.fetch_value("select tickets.refresh_rollups(50)"):
            pass
        await self.db.execute(
            "vacuum (analyze) rollup_hours, rollup_hour_sections, rollup_days, rollup_dirty"
        )
        alone, whole = [], []
        for i in range(30):
            event, hour = 1 + i % some, self.at(6 * (1 + 2 * i % (self.ticks // 6 - 2)))
            started = time.perf_counter()
            await self.db.execute("select tickets.refresh_hour(%s, %s)", [event, hour])
            alone.append((time.perf_counter() - started) * 1000)
            await self.db.execute("select tickets.mark_dirty(%s, 'UTC', array[%s])", [event, hour])
            started = time.perf_counter()
            await self.db.fetch_value("select tickets.refresh_rollups(1)")
            whole.append((time.perf_counter() - started) * 1000)
        await self.db.execute(SQL(Q.view))
        refresh, _ = await _ms(lambda: self.db.execute("refresh materialized view bench.hourly"), 1)
        ours = report.middle(alone)
        self.figures += [
            report.at_least(
                "REFRESH MATERIALIZED VIEW of hours ÷ one dirty (event, hour)", refresh / ours, 500, "×"
            ),
            report.Figure(name="REFRESH MATERIALIZED VIEW", value=refresh, unit="ms"),
            report.Figure(name="one dirty (event, hour)", value=ours, unit="ms"),
            report.Figure(name="the same with its day and the marks", value=report.middle(whole), unit="ms"),
            report.Figure(
                name="REFRESH ÷ the same with its day", value=refresh / report.middle(whole), unit="×"
            ),
        ]

    async def reads(self) -> None:
        """The series of one event and the get-in of all, compared and timed."""
        hours = self.ticks // 6
        params = {"event": 1, "low": START, "high": START + timedelta(hours=hours)}
        full, rows = await _ms(lambda: self.db.fetch_all(SQL(Q.series_full), params), 5)
        ours, own = await _ms(lambda: self.db.fetch_all(SQL(Q.series_ours), params), 50)
        _same(rows, own)
        now = {"events": self.events, "at": self.at(self.ticks - 1)}
        full_in, rows = await _ms(lambda: self.db.fetch_all(SQL(Q.get_in_full), now), 10)
        known_in, _ = await _ms(lambda: self.db.fetch_all(SQL(Q.get_in_known), now), 10)
        ours_in, own = await _ms(lambda: self.db.fetch_all(SQL(Q.get_in_ours)), 50)
        _same(rows, own)
        self.figures += [
            report.at_least(f"{hours} h series of one event, GROUP BY ÷ ours", full / ours, 50, "×"),
            report.Figure(name=f"{hours} h series, GROUP BY", value=full, unit="ms"),
            report.Figure(name=f"{hours} h series, ours", value=ours, unit="ms"),
            report.at_least(f"get-in of {self.events} events, GROUP BY ÷ ours", full_in / ours_in, 50, "×"),
            report.Figure(name="get-in, GROUP BY", value=full_in, unit="ms"),
            report.Figure(name="get-in, GROUP BY at one known instant", value=known_in, unit="ms"),
            report.Figure(name="get-in, ours", value=ours_in, unit="ms"),
        ]

    async def sizes(self) -> None:
        """Bytes per observation: open, then with every day sealed."""
        observed = self.events * SLOTS * self.ticks
        full = float(await self.db.fetch_value("select pg_total_relation_size('bench.snapshots')")) / observed
        opened = await self._store(observed)
        rolled = await self._rollups()
        last = (START + self.ticks * TICK + timedelta(days=1)).date()
        await self.db.execute(
            "delete from rollup_dirty"
        )  # events without rollups in this run, so that all may be sealed
        while await self.db.fetch_value("select tickets.seal(%s, 20)", [last]):
            pass
        for table in ("tickets.packs", "public.listings"):
            await self.db.execute(SQL(f"vacuum full {table}"))
        sealed = await self._store(observed)
        four = SEED_BYTES / FOUR_MONTHS
        self.figures += [
            report.at_least("bytes per observation, full table ÷ ours open", full / opened, 8, "×"),
            report.at_least("bytes per observation, full table ÷ ours sealed", full / sealed, 20, "×"),
            report.Figure(name="bytes per observation, full table", value=full, unit="B"),
            report.Figure(name="bytes per observation, ours open", value=opened, unit="B"),
            report.Figure(name="bytes per observation, ours sealed", value=sealed, unit="B"),
            report.Figure(
                name="bytes per observation, rollups of hours and days besides", value=rolled, unit="B"
            ),
            report.at_least("20 GB for 100 events over 4 months ÷ ours sealed", four / sealed, 4, "×"),
            report.Figure(name="4 months of 100 events, sealed", value=sealed * FOUR_MONTHS / 1e9, unit="GB"),
            report.Figure(name="20 GB ÷ ours sealed with rollups", value=four / (sealed + rolled), unit="×"),
        ]

    async def _store(self, observed: int) -> float:
        row = await self.db.fetch_one(SQL(Q.sizes))
        return float(row["store"]) / observed if row else 0.0

    async def _rollups(self) -> float:
        row = await self.db.fetch_one(SQL(Q.sizes))
        return float(row["rollup"]) / (min(ROLLED_UP, self.events) * SLOTS * self.ticks) if row else 0.0


def _same(full: list[dict[str, Any]], ours: list[dict[str, Any]]) -> None:
    """Both sides say the same, or the measurement is worth nothing."""
    if [[round(float(v), 6) if not isinstance(v, datetime) else v for v in r.values()] for r in full] != [
        [round(float(v), 6) if not isinstance(v, datetime) else v for v in r.values()] for r in ours
    ]:
        raise RuntimeError("The two sides disagree; the first rows are " + f"{full[:1]} and {ours[:1]}.")


async def run() -> None:
    """Fill, measure, report."""
    events = report.sized(100, 2)
    ticks = 432 if report.scale() >= 0.05 else 60
    async with fresh_database(everything=True) as url, await Database.open(url) as db:
        bench = Bench(db, events, ticks)
        started = time.monotonic()
        for step in (bench.fill, bench.live, bench.rollups, bench.reads, bench.sizes):
            await step()
            print(f"   {step.__name__}: {time.monotonic() - started:.0f} s", flush=True)
    report.write(
        "tickets_storage",
        "Ticket storage and reads",
        bench.figures,
        command="python -m bench tickets_storage",
        about=f"{events} events × {SLOTS} listings × {ticks} ticks; 3 % price changes, 2 % + 2 % churn per tick. "
        "The full table is the narrow one (no text, one index). Sizes count polls, spans, listings and all indexes; "
        f"rollups apart, from {ROLLED_UP} events.",
    )


def main() -> None:
    """Run the measurement."""
    asyncio.run(run())
