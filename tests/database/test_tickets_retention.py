"""Sealing, partitions and retention: less space, the same answers, and nothing dropped that is still needed."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from headgate.db import Database, errors
from tests.database.test_tickets_spans import check_against_oracle, crowd
from tests.database.tickets_polls import Offer, Poll, after, new_event, promote, refresh, state

OLD = datetime(2026, 3, 30, 22, 0, tzinfo=UTC)


async def market(db: Database, event_id: int, start: datetime, polls: int, step_min: int = 60) -> list[Poll]:
    """Polls with churn every `step_min` minutes."""
    made = []
    for i in range(polls):
        offers = tuple(
            Offer(f"x{k}-{(i + k) // 7}", 1_000 * k + 500 + 10 * ((i + k) % 5), row=str(k)) for k in range(12)
        )
        made.append(Poll(start + timedelta(minutes=step_min * i), offers))
        await promote(db, event_id, made[-1])
    return made


async def test_sealing_changes_no_answer_and_empties_the_tables(database: Database) -> None:
    event = await new_event(database)
    await market(database, event, after(0), 100)
    await refresh(database)
    before = await state(database, event)
    sealed = 0
    while n := await database.fetch_value("select tickets.seal('2027-01-01', 2)"):
        sealed += n
    assert sealed > 100
    assert await database.fetch_value("select count(*) from tickets.ended") == 0
    kept = "select (select count(*) from listings) - (select count(*) from listings_open)"
    assert await database.fetch_value(kept) == 0
    assert await state(database, event) == before


async def test_a_late_poll_into_a_sealed_day_takes_it_apart_and_is_applied(database: Database) -> None:
    event = await new_event(database)
    polls = await market(database, event, after(0), 60)
    await refresh(database)
    assert await database.fetch_value("select tickets.seal('2027-01-01', 100)") > 0
    late = Poll(after(60 * 20 + 13), crowd(5))
    await promote(database, event, late)
    await check_against_oracle(database, event, [*polls, late])
    assert await database.fetch_value("select tickets.seal('2027-01-01', 100)") > 0
    await promote(database, event, Poll(after(60 * 70), crowd(2)))
    await check_against_oracle(database, event, [*polls, late, Poll(after(60 * 70), crowd(2))])


async def test_a_rebuild_of_a_sealed_event_changes_nothing(database: Database) -> None:
    event = await new_event(database)
    await market(database, event, after(0), 60)
    await refresh(database)
    await database.fetch_value("select tickets.seal('2027-01-01', 100)")
    before = await state(database, event)
    await database.execute("select tickets.rebuild_event(%s)", [event])
    await refresh(database)
    assert await state(database, event) == before


async def test_a_day_with_dirty_hours_is_not_sealed(database: Database) -> None:
    event = await new_event(database)
    await market(database, event, after(0), 30)
    assert await database.fetch_value("select tickets.seal('2027-01-01', 100)") == 0
    assert await database.fetch_value("select tickets.seal_day(%s, %s)", [event, after(0).date()]) == 0


async def test_retention_drops_old_spans_and_keeps_rollups(database: Database) -> None:
    event = await new_event(database, starts_at=None)
    await database.execute("select tickets.ensure_partitions('2026-01-01', 12)")
    await market(database, event, OLD, 60)
    await market(database, event, after(0), 5)
    await refresh(database)
    hours = await database.fetch_value("select count(*) from rollup_hours")
    days = await database.fetch_value("select count(*) from rollup_days")
    report = await database.fetch_value("select tickets.retain('2026-08-15')")
    assert report["spans_from"] == "2026-04-01"
    assert await database.fetch_value("select count(*) from polls where observed_at < '2026-04-01'") == 0
    assert await database.fetch_value("select count(*) from polls where observed_at >= '2026-04-01'") > 0
    assert await database.fetch_value("select count(*) from rollup_hours") == hours
    await database.fetch_value("select tickets.retain('2026-11-22', 4, 6)")
    assert await database.fetch_value("select count(*) from rollup_hours where hour < '2026-05-01'") == 0
    assert await database.fetch_value("select count(*) from rollup_days") == days
    assert await database.fetch_value("select to_regclass('tickets.polls_202603')") is None


async def test_a_poll_from_before_the_horizon_is_rejected(database: Database) -> None:
    event = await new_event(database, starts_at=None)
    await database.fetch_value("select tickets.retain('2026-11-22')")
    report = await promote(database, event, Poll(OLD, crowd(3)))
    assert (report["status"], report["reason"]) == ("rejected", "beyond_retention")


async def test_rebuilding_after_a_drop_leaves_what_was_dropped_rolled_up(database: Database) -> None:
    event = await new_event(database, starts_at=None)
    await market(database, event, OLD - timedelta(days=3), 150)
    await refresh(database)
    await database.fetch_value("select tickets.retain('2026-08-15')")
    before = await state(database, event)
    await database.execute("select tickets.rebuild_event(%s)", [event])
    await refresh(database)
    assert await state(database, event) == before


async def test_fault_20_retention_waits_for_dirty_hours(database: Database) -> None:
    event = await new_event(database, starts_at=None)
    await market(database, event, OLD, 5)
    report = await database.fetch_value("select tickets.retain('2026-11-22')")
    assert report["waits_for"] == "refresh"
    assert await database.fetch_value("select count(*) from polls") == 5
    await refresh(database)
    assert "waits_for" not in await database.fetch_value("select tickets.retain('2026-11-22')")
    assert await database.fetch_value("select count(*) from polls") == 0


async def test_fault_20_retention_and_a_refresher_take_turns(database: Database) -> None:
    event = await new_event(database, starts_at=None)
    await market(database, event, OLD, 8)
    async with database.transaction() as conn:
        await conn.execute("select tickets.refresh_rollups(100)")
        racing = asyncio.create_task(database.fetch_value("select tickets.retain('2026-11-22')"))
        await asyncio.sleep(0.3)
        assert not racing.done()
    assert "waits_for" not in await racing
    assert await database.fetch_value("select sum(polls) from rollup_days where scope = 'event'") == 8


async def test_fault_20_retention_racing_refresh_and_ingest_loses_nothing(database: Database) -> None:
    event = await new_event(database, starts_at=None)
    await database.execute("select tickets.ensure_partitions('2026-03-01', 1)")
    await market(database, event, OLD, 20)

    async def drain() -> None:
        for _ in range(40):
            await database.fetch_value("select tickets.refresh_rollups(3)")

    async def drop() -> None:
        for _ in range(10):
            with contextlib.suppress(errors.LockNotAvailable):  # it gives way, and is tried again
                await database.fetch_value("select tickets.retain('2026-11-22')")
            await asyncio.sleep(0.01)

    async def ingest() -> None:
        await market(database, event, after(0), 10)

    await asyncio.gather(drain(), drop(), ingest())
    await refresh(database)
    await database.fetch_value("select tickets.retain('2026-11-22')")
    total = await database.fetch_value("select sum(polls) from rollup_days where scope = 'event'")
    assert total == 30
    assert await database.fetch_value("select count(*) from polls") == 10


async def test_hours_may_not_be_dropped_before_spans(database: Database) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="at least as long"):
        await database.execute("select tickets.retain(now(), 4, 3)")


async def test_partitions_are_not_in_the_exposed_schema_and_nobody_reads_them_directly(
    database: Database,
) -> None:
    parts = await database.fetch_all(
        "select c.relnamespace::regnamespace::text as home, c.relrowsecurity as secured, "
        "has_table_privilege('anon', c.oid, 'select') as open from pg_class c "
        "where c.relispartition and c.relkind = 'r'"
    )
    assert len(parts) >= 25
    assert all(p == {"home": "tickets", "secured": True, "open": False} for p in parts)
