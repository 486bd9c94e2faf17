"""Does the sold interval contain what really sold? Scored against the truth of the simulated marketplace.

Every poll goes through HTTP, parse, stage and promote; only the clock is simulated, so that days take minutes.
`python -m bench.tickets_sold --events 24 --hours 48`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from bench import report
from bench._database import fresh_database
from headgate.apps.tickets.simulator import SimClock, WorldOptions
from headgate.base import log
from headgate.db import Database
from headgate.engine.runs import prune_runs
from tests.tickets_simulator import Bench, marketplace

STARTS = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
RESULT = "tickets-sold"


@dataclass(frozen=True)
class Hour:
    """One event-hour: what was inferred and what was true, in tickets and in whole listings."""

    low: int
    high: int
    true: int
    low_listings: int
    high_listings: int
    true_listings: int


async def measure(events: int, hours: int, listings: int, minutes: float, errors: float) -> list[Hour]:
    """Poll `events` markets for `hours` simulated hours every `minutes` (± a tenth), then compare hour by hour."""
    options = WorldOptions(seed=77, events=events, listings=listings, days_ahead=40.0, parking=False)
    async with (
        fresh_database(everything=True) as url,
        await Database.open(url, max_size=8) as db,
        marketplace(
            db, options, clock=SimClock(start=STARTS, scale=0.0), burst=100, rate_per_s=1000.0
        ) as bench,
    ):
        await bench.sweep()
        if errors:
            bench.order("mixed", rate=errors)
        looks = await _poll(db, bench, hours, minutes)
        bench.heal()
        return [
            hour
            for event in await bench.events()
            for hour in await _compare(db, bench, event, looks[event["id"]])
        ]


async def _poll(db: Database, bench: Bench, hours: int, minutes: float) -> dict[int, list[float]]:
    """Every market, poll after poll in order of time. Gives the accepted polls' times by event."""
    rng = Random(5)
    events = await bench.events()
    looks: dict[int, list[float]] = defaultdict(list)
    end = STARTS + hours * 3600
    due = sorted((STARTS + rng.random() * minutes * 60, event["id"]) for event in events)
    known = {event["id"]: event for event in events}
    while due:
        batch, due = due[:8], due[8:]
        asked = _in_order(bench, batch)
        await asyncio.gather(*(_one(bench, known[id_], at) for at, id_ in asked))
        following = [(at + minutes * 60 * rng.uniform(0.9, 1.1), id_) for at, id_ in asked]
        due = sorted(due + [pair for pair in following if pair[0] < end])
    await prune_runs(db, keep_s=0)
    rows = await db.fetch_all(
        "select event_id, extract(epoch from observed_at)::float as at from public.polls"
        " where status in ('accepted', 'unchanged') order by 1, 2"
    )
    for row in rows:
        looks[row["event_id"]].append(row["at"])
    return looks


def _in_order(bench: Bench, batch: Sequence[tuple[float, int]]) -> Sequence[tuple[float, int]]:
    """A batch is observed at its last moment; markets only ever move forward."""
    bench.world.clock.set_now(max(at for at, _ in batch))
    now = bench.world.clock.now()
    return [(now, id_) for _, id_ in batch]


async def _one(bench: Bench, event: dict[str, Any], at: float) -> None:
    moment = datetime.fromtimestamp(at, UTC).isoformat()
    await bench.poll(event, observed_at=moment)


async def _compare(db: Database, bench: Bench, event: dict[str, Any], looks: list[float]) -> list[Hour]:
    """Complete hours of an event. A sale counts to the poll that first could see it, as an exit does."""
    rows = await db.fetch_all(
        "select extract(epoch from hour)::float as hour, sold_lo_tickets, sold_hi_tickets, sold_lo, sold_hi"
        " from tickets.hours(%s, '-infinity', 'infinity', 'event', '') order by hour",
        [event["id"]],
    )
    facts = [f for f in bench.world.productions[int(event["external_id"])].market.facts if f.kind == "sale"]
    tickets: dict[float, int] = defaultdict(int)
    whole: dict[float, int] = defaultdict(int)
    for fact in facts:
        seen = bisect_right(looks, fact.at)
        if seen in (0, len(looks)):
            continue
        hour = looks[seen] // 3600 * 3600
        tickets[hour] += fact.quantity
        whole[hour] += fact.left == 0
    return [
        Hour(
            r["sold_lo_tickets"], r["sold_hi_tickets"], tickets[r["hour"]],
            r["sold_lo"], r["sold_hi"], whole[r["hour"]],
        )
        for r in rows[1:-1]
    ]  # fmt: skip


def figures(found: Sequence[Hour]) -> list[report.Figure]:
    """What the hours come to."""
    count, true = len(found), max(1, sum(h.true for h in found))
    busy = [h for h in found if h.true > 0]
    widths = [h.high - h.low for h in found]
    rows = [
        ("event-hours", count, ""),
        ("the same in hours with a sale", sum(map(_holds, busy)) / max(1, len(busy)), "share"),
        ("the same for whole listings", sum(map(_holds_listings, found)) / count, "share"),
        ("hours with the truth below the interval", sum(h.true < h.low for h in found) / count, "share"),
        ("hours with the truth above the interval", sum(h.true > h.high for h in found) / count, "share"),
        ("tickets really sold an hour, mean", sum(h.true for h in found) / count, "tickets"),
        ("width of the interval, mean", sum(widths) / count, "tickets"),
        ("width of the interval, median", report.middle(widths), "tickets"),
        ("all low ends over the truth", sum(h.low for h in found) / true, ""),
        ("all high ends (a naive count) over the truth", sum(h.high for h in found) / true, ""),
    ]
    held = report.at_least(
        "hours whose interval contains the tickets really sold", sum(map(_holds, found)) / count, 0.9, "share"
    )
    return [held, *(report.Figure(name=name, value=value, unit=unit) for name, value, unit in rows)]


def _holds(hour: Hour) -> bool:
    return hour.low <= hour.true <= hour.high


def _holds_listings(hour: Hour) -> bool:
    return hour.low_listings <= hour.true_listings <= hour.high_listings


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=report.sized(24, 3))
    parser.add_argument("--hours", type=int, default=report.sized(48, 4))
    parser.add_argument("--listings", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--errors", type=float, default=0.02)
    given = parser.parse_args()
    log.configure(level="error")
    found = asyncio.run(measure(given.events, given.hours, given.listings, given.minutes, given.errors))
    report.write(
        RESULT,
        "Sold intervals against the truth",
        figures(found),
        command="python -m bench tickets_sold",
        about="Tickets that left a simulated market, hour by hour, against the interval inferred from polls every"
        f" {given.minutes:g} minutes, {given.errors:.0%} of answers spoilt, about half of what vanishes relisted"
        " under a new id after two minutes on average, a quarter of sales made on another market, and about one"
        " listing in eighty a day withdrawn for good.",
    )


if __name__ == "__main__":
    sys.exit(main())
