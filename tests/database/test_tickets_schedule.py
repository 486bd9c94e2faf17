"""Deadline scheduling: what is promised, who is polled when, and what freshness comes to."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headgate.apps.tickets.jobs import plan_once
from headgate.apps.tickets.settings import TicketsSettings
from headgate.db import Database, Jsonb
from tests.tickets_simulator import marketplace

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


async def make_events(db: Database, count: int, *, days: float = 40.0, source: str = "vivid") -> list[int]:
    made = []
    for number in range(count):
        event = {
            "external_id": f"x{number}", "source": source, "name": f"Event {number}", "tz": "America/New_York",
            "starts_at": (NOW + timedelta(days=days)).isoformat(),
        }  # fmt: skip
        made.append(int(await db.fetch_value("select tickets.put_event(%s)", [Jsonb(event)])))
    return made


@pytest.mark.parametrize(
    ("days", "minutes"),
    [(60.0, 20), (30.01, 20), (29.9, 15), (7.01, 15), (6.9, 10), (1.2, 10), (0.2, 5), (-0.1, 5)],
)
async def test_the_promise_follows_the_days_to_the_event(
    database: Database, days: float, minutes: int
) -> None:
    query = "select tickets.base_promise_s(%s, 'America/New_York', %s, 1)"
    assert await database.fetch_value(query, [NOW + timedelta(days=days), NOW]) == minutes * 60


async def test_the_day_of_the_event_is_the_venues_day(database: Database) -> None:
    starts = datetime(2026, 6, 2, 3, 0, tzinfo=UTC)  # the evening of 1 June in New York
    query = "select tickets.base_promise_s(%s, %s, %s, 1)"
    assert await database.fetch_value(query, [starts, "America/New_York", NOW]) == 300
    assert await database.fetch_value(query, [starts, "UTC", NOW]) == 600


async def set_promises(db: Database, rate: float, now: datetime = NOW) -> float:
    query = "select tickets.set_promises('vivid', 'example.com', %s, 1, %s)"
    return float(await db.fetch_value(query, [rate, now]))


async def test_a_host_that_can_bear_the_demand_keeps_every_promise(database: Database) -> None:
    await make_events(database, 30)
    assert await set_promises(database, rate=1.0) == 1.0
    assert await database.fetch_value("select array_agg(distinct promise_s) from public.events") == [1200]


async def test_too_much_demand_stretches_and_publishes_the_degraded_promise(database: Database) -> None:
    await make_events(database, 180)  # 180 / (0.75 * 1200 s) = 0.2 polls a second
    stretch = await set_promises(database, rate=0.1)  # of which 0.08 may be used
    assert stretch == 2.5
    rows = await database.fetch_all("select promise_s, count(*) as n from public.events group by 1")
    assert rows == [{"promise_s": 3000, "n": 180}]
    demand = await database.fetch_value(
        "select sum(1 / tickets.poll_interval_s(promise_s)) from public.events"
    )
    assert demand <= 0.8 * 0.1 + 1e-9
    history = await database.fetch_value("select count(*) from tickets.promises where promise_s = 3000")
    assert history == 180


async def test_new_events_are_polled_at_once_and_then_spread_by_their_phase(database: Database) -> None:
    events = await make_events(database, 200)
    await set_promises(database, rate=10.0)
    assert await database.fetch_value("select count(*) from public.events where next_due <= %s", [NOW]) == 200
    waits = [(await after(database, event, NOW, status="accepted"))["wait_s"] for event in events]
    fifths = Counter(int((wait - 450) // 90) for wait in waits)
    assert set(fifths) == set(range(5))
    assert max(fifths.values()) < 200 / 5 * 2


async def take(db: Database, limit: int, now: datetime, lease_s: float = 60) -> list[int]:
    query = "select event_id from tickets.take_due('vivid', %s, 1, %s, %s)"
    return [row["event_id"] for row in await db.fetch_all(query, [limit, lease_s, now])]


async def test_the_earliest_deadline_goes_first_and_a_lease_keeps_others_off(database: Database) -> None:
    events = await make_events(database, 5)
    await set_promises(database, rate=10.0)
    for number, event in enumerate(reversed(events)):
        await database.execute(
            "update public.events set next_due = %s, deadline = %s where id = %s",
            [NOW, NOW + timedelta(minutes=number), event],
        )
    assert await take(database, 2, NOW) == [events[4], events[3]]
    assert await take(database, 9, NOW) == [events[2], events[1], events[0]]
    assert await take(database, 9, NOW + timedelta(seconds=59)) == []
    assert await take(database, 1, NOW + timedelta(seconds=61)) == [events[4]]


async def test_two_schedulers_at_once_never_offer_the_same_event(database: Database) -> None:
    events = await make_events(database, 60)
    await set_promises(database, rate=10.0)
    await database.execute("update public.events set next_due = %s", [NOW])
    found = await asyncio.gather(*(take(database, 10, NOW) for _ in range(8)))
    taken = [event for part in found for event in part]
    assert len(taken) == len(set(taken))
    taken += await take(database, 100, NOW)
    assert sorted(taken) == events


async def after(db: Database, event: int, now: datetime, **meta: Any) -> dict[str, Any]:
    await db.execute("select tickets.after_poll(%s, %s, %s)", [event, Jsonb(meta), now])
    row = await db.fetch_one(
        "select e.*, s.failures, s.quarantined_until, extract(epoch from e.next_due - %s)::float as wait_s"
        " from public.events e join tickets.poll_state s on s.event_id = e.id where e.id = %s",
        [now, event],
    )
    assert row is not None
    return row


async def test_catching_up_after_an_outage_is_one_poll_per_event(database: Database) -> None:
    (event,) = await make_events(database, 1)
    await set_promises(database, rate=10.0)
    await after(database, event, NOW, status="accepted")
    late = NOW + timedelta(hours=9)  # 27 promises were missed
    assert await take(database, 9, late) == [event]
    row = await after(database, event, late, status="accepted")
    assert 0.9 * 900 <= row["wait_s"] <= 1.1 * 900
    assert await take(database, 9, late + timedelta(seconds=1)) == []


async def test_polls_come_a_tenth_early_or_late_and_before_the_deadline(database: Database) -> None:
    (event,) = await make_events(database, 1)
    await set_promises(database, rate=10.0)
    await after(database, event, NOW, status="accepted")
    waits = [(await after(database, event, NOW, status="accepted"))["wait_s"] for _ in range(60)]
    assert 0.9 * 900 <= min(waits) < 0.93 * 900
    assert 1.07 * 900 < max(waits) <= 1.1 * 900 < 1200


async def test_failures_are_tried_again_soon_and_ever_more_slowly(database: Database) -> None:
    (event,) = await make_events(database, 1)
    await set_promises(database, rate=10.0)
    waits = [
        (await after(database, event, NOW, status="failed", http_status=403))["wait_s"] for _ in range(7)
    ]
    assert waits == pytest.approx([24, 48, 96, 192, 300, 300, 300])
    assert (await after(database, event, NOW, status="failed", retry_after_s=500))["wait_s"] == pytest.approx(
        500
    )
    assert (await after(database, event, NOW, status="accepted"))["failures"] == 0


async def test_not_found_quarantines_the_event_alone_and_longer_each_time(database: Database) -> None:
    gone, other = await make_events(database, 2)
    await set_promises(database, rate=10.0)
    first = await after(database, gone, NOW, status="failed", http_status=404)
    second = await after(database, gone, NOW, status="failed", http_status=404)
    assert (first["wait_s"], second["wait_s"]) == (1200, 2400)
    assert second["quarantined_until"] == NOW + timedelta(seconds=2400)
    await database.execute("update public.events set next_due = %s", [NOW])
    assert await take(database, 9, NOW) == [other]
    back = await after(database, gone, NOW, status="accepted")
    assert back["quarantined_until"] is None


async def test_a_sweep_is_started_by_one_of_many(database: Database) -> None:
    ask = "select tickets.sweep_due('vivid', 60, %s)"
    answers = await asyncio.gather(*(database.fetch_value(ask, [NOW]) for _ in range(8)))
    assert sorted(answers) == [False] * 7 + [True]
    assert not await database.fetch_value(ask, [NOW + timedelta(seconds=59)])
    assert await database.fetch_value(ask, [NOW + timedelta(seconds=60)])


async def accepted(db: Database, event: int, minutes: float) -> None:
    at = NOW + timedelta(minutes=minutes)
    await db.execute(
        "insert into public.polls (event_id, seq, observed_at, received_at, status, source) values"
        " (%s, %s, %s, %s, 'accepted', 'vivid')",
        [event, int(minutes * 10), at, at],
    )
    await db.execute(
        "update public.events set last_scraped = greatest(last_scraped, %s) where id = %s", [at, event]
    )


async def test_freshness_is_the_exact_share_of_event_minutes_within_the_promise(database: Database) -> None:
    good, bad = await make_events(database, 2)
    await set_promises(database, rate=10.0)
    for minute in range(0, 120, 15):
        await accepted(database, good, minute)
    await accepted(database, bad, 0)  # fresh for its 20 minutes, then again from 60 to 80
    await accepted(database, bad, 60)
    now = NOW + timedelta(minutes=120)
    rows = await database.fetch_all(
        "select * from tickets.event_freshness('24 hours', %s) order by event_id", [now]
    )
    assert [(r["event_id"], r["within_s"] / 60, r["total_s"] / 60) for r in rows] == [
        (good, 120, 120),
        (bad, 40, 120),
    ]
    total = await database.fetch_one("select * from tickets.freshness('24 hours', %s)", [now])
    assert total is not None
    assert total["within_promise"] == pytest.approx(160 / 240)
    assert (total["events"], total["fresh"], total["age_max_s"]) == (2, 1, 3600)
    starved = await database.fetch_one(
        "select * from tickets.freshness('24 hours', %s)", [now + timedelta(minutes=2)]
    )
    assert starved is not None and starved["starved"] == 1


async def test_the_past_is_judged_by_what_was_promised_then(database: Database) -> None:
    (event,) = await make_events(database, 1)
    await set_promises(database, rate=10.0)
    await accepted(database, event, 0)
    await database.execute(
        "insert into tickets.promises values (%s, %s, 3600)", [event, NOW + timedelta(minutes=60)]
    )
    row = await database.fetch_one(
        "select * from tickets.event_freshness('24 hours', %s)", [NOW + timedelta(minutes=120)]
    )
    assert row is not None and row["within_s"] == 20 * 60


async def test_a_tick_offers_no_more_than_the_host_can_take_soon(database: Database) -> None:
    async with marketplace(database) as bench:
        await bench.sweep()
        settings = TicketsSettings(vivid_url=bench.settings.vivid_url, rate_per_s=1, parallel=1)
        await plan_once(database, settings)
        await database.execute("update public.events set next_due = clock_timestamp() where active")
        await database.execute("update tickets.poll_state set leased_until = null")
        await database.execute("delete from control.jobs")
        planned = await plan_once(database, settings)
        assert planned.offered == 3
        again = await plan_once(database, settings)
        assert again.offered == 0
        waiting = await database.fetch_value("select count(*) from control.jobs where kind = 'tickets.poll'")
        assert waiting == 3


async def test_a_rescheduled_event_gets_a_new_promise_and_a_cancelled_one_no_more_polls(
    database: Database,
) -> None:
    async with marketplace(database) as bench:
        await bench.sweep()
        await plan_once(database, bench.settings)
        first, second, _ = await bench.events()
        world = bench.world
        world.act(world.productions[int(first["external_id"])], "reschedule", {"days": 90})
        world.productions[int(second["external_id"])].name += " (Cancelled)"
        await bench.sweep()
        await plan_once(database, bench.settings)
        rows = {r["id"]: r for r in await database.fetch_all("select * from public.events")}
        assert rows[first["id"]]["status"] == "rescheduled"
        assert rows[first["id"]]["promise_s"] == 1200
        assert (rows[second["id"]]["status"], rows[second["id"]]["active"]) == ("cancelled", False)


async def test_the_summary_says_how_promises_are_kept(database: Database) -> None:
    assert await database.fetch_value("select tickets.freshness_summary()") == {}
    now = await database.fetch_value("select now() - interval '1 hour'")
    (event,) = await make_events(database, 1)
    await database.execute("update public.events set starts_at = now() + interval '60 days'")
    await set_promises(database, 10.0, now)
    await database.execute(
        "insert into public.polls (event_id, seq, observed_at, received_at, status, source)"
        " values (%s, 1, %s, %s, 'accepted', 'vivid')",
        [event, now, now],
    )
    await database.execute("update public.events set last_scraped = %s", [now])
    summary = await database.fetch_value("select tickets.freshness_summary()")
    assert (summary["events"], summary["fresh"]) == (1, 0)
    assert summary["within_promise"] == pytest.approx(1 / 3, abs=0.01)
