"""Seeded schedules of faults at Shopify and kills of workers: whatever happens, every row and every cent is there.

`HEADGATE_STORES_SCHEDULES=1000` runs that many; a few run by default.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Iterator

import pytest

from headgate.db import Database
from tests.stores_sync import Synced, shop, working

SCHEDULES = int(os.environ.get("HEADGATE_STORES_SCHEDULES", "4"))
FIRST = int(os.environ.get("HEADGATE_STORES_FIRST", "0"))
#: Faults at Shopify after which a sync must still come to the whole truth by itself.
FAULTS = (
    "finish_lost",
    "finish_early",
    "submit_response_lost",
    "download_cut",
    "url_expired",
    "operation_expired",
    "truncated_jsonl",
    "malformed_line",
    "duplicate_line",
    "child_before_parent",
    "orphan",
    "child_without_id",
    "completed_null_url",
    "failed_with_partial",
    "slot_taken",
    "throttled_200",
    "throttled_429",
    "server_error",
    "html_body",
    "token_expired",
    "refresh_response_lost",
    "version_retired",
    "changed_during_bulk",
    "deleted_during_bulk",
    "exchange_story",
    "awkward_money",
)


def schedules() -> Iterator[int]:
    yield from range(FIRST, FIRST + SCHEDULES)


@pytest.mark.parametrize("seed", schedules())
async def test_every_row_and_cent_is_there_after_faults_and_kills(database: Database, seed: int) -> None:
    dice = random.Random(f"stores storm {seed}")
    zone = dice.choice(("America/New_York", "Asia/Tokyo", "Europe/Berlin", "Pacific/Auckland", "UTC"))
    currency = dice.choice(("USD", "EUR", "JPY", "KWD"))
    async with shop(
        database, seed=seed, timezone=zone, currency=currency, taxes_included=dice.random() < 0.4
    ) as synced:
        ordered = order_faults(synced, dice)
        await synced.begin()
        kills = await storm(synced, dice)
        synced.simulator.faults.clear()
        await synced.settled()
        await again(synced)
        assert await synced.differences() == [], (seed, ordered, kills)
        assert await database.fetch_value("select count(*) from control.jobs where state = 'failed'") == 0, (
            ordered
        )
        regressed = await database.fetch_value(
            "select count(*) from stores.untied(%s, 100)", [synced.connection]
        )
        assert regressed == 0, (seed, ordered)


def order_faults(synced: Synced, dice: random.Random) -> list[str]:
    """Two to five faults, each once or twice."""
    chosen = dice.sample(FAULTS, dice.randint(2, 5))
    for name in chosen:
        options: dict[str, object] = {"count": dice.randint(1, 2), "seed": dice.randrange(1000)}
        if name == "truncated_jsonl":
            options["at_newline"] = dice.random() < 0.5
        if name == "failed_with_partial":
            options["late"] = dice.randint(0, 2)
        if name == "slot_taken":
            options["seconds"] = 0.3
        synced.simulator.control.order_fault({"fault": name, **options})
    return chosen


async def storm(synced: Synced, dice: random.Random) -> int:
    """Workers that are cut off at random moments while the sync runs, and live changes in between; how many died."""
    kills = 0
    for _ in range(dice.randint(0, 3)):
        worker = synced.worker()
        task = asyncio.create_task(worker.run(asyncio.Event()))
        await asyncio.sleep(dice.uniform(0.05, 0.9))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
        kills += 1
        if dice.random() < 0.5:
            synced.outlet.live.run(dice.randint(1, 8))
    return kills


async def again(synced: Synced) -> None:
    """What changed meanwhile is caught up by the timetable's reconciliation."""
    async with working(synced):
        await synced.idle()
        await synced.begin("stores.incremental")
        await synced.idle()
        await synced.begin("stores.reconcile")
        await synced.idle()
