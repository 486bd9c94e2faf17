"""Rollups: right semantics where the earlier design had none, inferred sales, and refreshers that may fail or race."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from headgate.db import Database, errors
from tests.database.test_tickets_spans import check_against_oracle, crowd, plain
from tests.database.tickets_polls import (
    START,
    Offer,
    Poll,
    after,
    hour,
    new_event,
    promote,
    promote_raw,
    refresh,
    state,
)


async def feed(db: Database, event_id: int, *polls: tuple[float, tuple[Offer, ...]]) -> list[Poll]:
    """Promote polls given as (minute, offers)."""
    made = [Poll(after(minute), offers) for minute, offers in polls]
    for poll in made:
        await promote(db, event_id, poll)
    return made


async def test_defect_2_a_constant_200_tickets_reads_as_200(database: Database) -> None:
    event = await new_event(database)
    await feed(database, event, *((10 * i, crowd(100)) for i in range(7)))
    for clean in (False, True):
        if clean:
            await refresh(database)
        row = await database.fetch_one(
            "select total_tickets, total_listings from aggregated_analytics "
            "where event_id = %s and zone is null and hour = %s",
            [event, START],
        )
        assert row == {"total_tickets": 200, "total_listings": 100}
    row = await database.fetch_one("select total_tickets from daily_analytics where zone is null")
    assert row == {"total_tickets": 200}


async def test_defect_3_a_missing_partition_fails_no_insert_and_is_filled_later(database: Database) -> None:
    event = await new_event(database, starts_at=None)
    far = datetime(2031, 5, 6, 10, 0, tzinfo=UTC)
    for i, base in enumerate((10_000, 11_000, 11_000)):
        await promote(database, event, Poll(far + timedelta(minutes=10 * i), crowd(3, base)))
    await refresh(database)
    before = await state(database, event)
    assert await database.fetch_value("select tickets.ensure_partitions('2031-05-01', 0)") == 6
    assert await database.fetch_value("select count(*) from tickets.polls_203105") == 3
    assert await database.fetch_value("select count(*) from tickets.polls_default") == 0
    assert await state(database, event) == before
    assert await database.fetch_value("select tickets.ensure_partitions('2031-05-01', 0)") == 0


async def test_defect_4_a_late_refresh_loses_no_minute(database: Database) -> None:
    on_time, late = await new_event(database, "on-time"), await new_event(database, "late")
    for i in range(9):
        await promote(database, on_time, Poll(after(10 * i + 7), crowd(3 + i % 3)))
        await refresh(database)
    for i in range(9):
        await promote(database, late, Poll(after(10 * i + 7), crowd(3 + i % 3)))
    await refresh(database)
    assert await state(database, on_time) == await state(database, late)


async def test_defect_5_an_average_is_weighted_by_listed_time_and_a_day_may_be_run_again(
    database: Database,
) -> None:
    event = await new_event(database)
    # 10 listings at 100.00 for 50 minutes, then 1 listing at 1000.00 for 10
    await feed(
        database,
        event,
        (0, tuple(Offer(f"A{i}", 8_000, aip=10_000, row=str(i)) for i in range(10))),
        (25, tuple(Offer(f"A{i}", 8_000, aip=10_000, row=str(i)) for i in range(10))),
        (50, (Offer("B", 80_000, aip=100_000),)),
    )
    await refresh(database)
    row = await hour(database, event, START)
    assert row["listing_ms"] == (10 * 50 + 10) * 60_000
    assert row["aip_ms"] == (10 * 50 * 10_000 + 10 * 100_000) * 60_000
    average = await database.fetch_value(
        "select avg_price from aggregated_analytics where zone is null and hour = %s", [START]
    )
    assert average == Decimal("117.65")
    before = await state(database, event)
    await database.execute("select tickets.refresh_day(%s, %s)", [event, START.date()])
    await database.execute("select tickets.refresh_day(%s, %s)", [event, START.date()])
    assert await state(database, event) == before


async def test_defects_6_and_7_zones_are_whole_and_the_event_is_a_row_of_its_own(database: Database) -> None:
    event = await new_event(database)
    offers = (
        Offer("a", 5_000, zone="Lower", section="101", aip=6_000),
        Offer("b", 9_000, zone="Lower", section="102", aip=9_900),
        Offer("c", 3_000, zone="Upper", section="301", aip=3_300),
    )
    await feed(database, event, (0, offers))
    rows = await database.fetch_all(
        "select zone, min_price, max_price, total_listings from aggregated_analytics where hour = %s order by zone",
        [START],
    )
    assert [(r["zone"], r["min_price"], r["max_price"], r["total_listings"]) for r in rows] == [
        ("Lower", Decimal("60.00"), Decimal("99.00"), 2),
        ("Upper", Decimal("33.00"), Decimal("33.00"), 1),
        (None, Decimal("33.00"), Decimal("99.00"), 3),
    ]
    assert await database.fetch_value("select get_in from event_latest where event_id = %s", [event]) == 3_300


async def test_defect_9_no_price_is_ever_stored_that_nobody_observed(database: Database) -> None:
    event = await new_event(database)
    for i in range(3):
        meta = Poll(after(10 * i), ()).meta(event) | {"status": "failed", "reason": "403", "body_hash": None}
        await promote_raw(database, [], meta)
    await promote_raw(database, [Offer("x", 10**9).doc()], Poll(after(40), ()).meta(event) | {"global": {}})
    await refresh(database)
    counts = await database.fetch_one(
        "select (select count(*) from listings_open) + (select count(*) from tickets.ended) as prices, "
        "(select count(*) from rollup_hours) as hours, (select count(*) from polls) as polls"
    )
    assert counts == {"prices": 0, "hours": 0, "polls": 4}


async def test_uncovered_time_contributes_nothing(database: Database) -> None:
    event = await new_event(database)
    polls = await feed(database, event, (0, crowd(4)), (150, crowd(4)))
    assert (await hour(database, event, START))["covered_ms"] == 30 * 60_000
    nothing = await database.fetch_all(
        "select * from tickets.hours(%s, %s, %s)", [event, after(60), after(120)]
    )
    assert nothing == []
    await check_against_oracle(database, event, polls)


async def test_an_hour_with_nothing_on_sale_is_level_zero_not_missing(database: Database) -> None:
    event = await new_event(database)
    await feed(database, event, (0, ()), (30, ()))
    row = await hour(database, event, START)
    assert (row["covered_ms"], row["listing_ms"], row["min_aip"]) == (3_600_000, 0, None)


async def test_pair_and_four_follow_what_can_really_be_bought(database: Database) -> None:
    event = await new_event(database)
    await feed(
        database,
        event,
        (
            0,
            (
                Offer("a", qty=4, aip=1_000, splits=(4,)),
                Offer("b", qty=4, aip=2_000, splits=(2, 4), row="B"),
                Offer("c", qty=3, aip=500, splits=(1, 3), row="C"),
            ),
        ),
    )
    row = await hour(database, event, START)
    assert (row["min_aip"], row["min_pair"], row["min_four"]) == (500, 2_000, 1_000)


@pytest.mark.parametrize(
    ("day", "tz", "length"),
    [
        (date(2026, 3, 8), "America/New_York", 23),
        (date(2026, 11, 1), "America/New_York", 25),
        (date(2026, 7, 1), "Asia/Kolkata", 24),
    ],
)
async def test_a_venue_day_has_the_hours_it_has(database: Database, day: date, tz: str, length: int) -> None:
    event = await new_event(database, tz=tz, starts_at=None)
    start = await database.fetch_value("select tickets.day_start(%s, %s)", [day, tz])
    end = await database.fetch_value("select tickets.day_start(%s, %s)", [day + timedelta(days=1), tz])
    assert end - start == timedelta(hours=length)
    at = start - timedelta(hours=1)
    while at < end + timedelta(hours=1):
        await promote(database, event, Poll(at, crowd(3)))
        at += timedelta(minutes=30)
    await refresh(database)
    row = await database.fetch_one("select * from rollup_days where scope = 'event' and day = %s", [day])
    assert row is not None
    assert row["covered_ms"] == length * 3_600_000
    assert row["polls"] == 2 * length
    merged = await database.fetch_one(
        "select sum(listing_ms) as listing_ms, count(*) as n from tickets.hours(%s, %s, %s)",
        [event, start, end],
    )
    assert merged == {"listing_ms": row["listing_ms"], "n": length}


async def test_hours_of_sections_merge_to_days_exactly(database: Database) -> None:
    event = await new_event(database)
    polls = await feed(
        database,
        event,
        *(
            (
                17 * i,
                tuple(
                    Offer(f"x{(i + k) % 9}", 1000 * k + 500, section=f"S{k % 3}", row=str(k))
                    for k in range(6)
                ),
            )
            for i in range(40)
        ),
    )
    await check_against_oracle(database, event, polls)


async def test_sold_low_needs_two_polls_without_and_high_is_naive(database: Database) -> None:
    event = await new_event(database)
    await feed(database, event, (0, crowd(5)), (10, crowd(4)))
    row = await hour(database, event, START)
    assert (row["exited"], row["sold_lo"], row["sold_hi"]) == (1, 0, 1)
    await promote(database, event, Poll(after(20), crowd(4)))
    row = await hour(database, event, START)
    assert (row["exited"], row["sold_lo"], row["sold_hi"]) == (1, 1, 1)
    assert row["sold_lo_cents"] == 2 * 12_500


async def test_fault_8_a_relist_under_another_id_is_no_sure_sale(database: Database) -> None:
    event = await new_event(database)
    others = crowd(5, prefix="K")
    gone = Offer("old", 10_000, section="200", row="Q")
    back = Offer("new", 10_500, section="200", row="Q")
    await feed(
        database, event, (0, (*others, gone)), (10, others), (20, (*others, back)), (30, (*others, back))
    )
    row = await hour(database, event, START)
    assert (row["exited"], row["entered"], row["sold_lo"], row["sold_hi"]) == (1, 1, 0, 1)


async def test_fault_9_fees_that_flap_are_no_price_change(database: Database) -> None:
    event = await new_event(database)
    flaps = [(10 * i, (Offer("a", 10_000, aip=12_500 if i % 2 else 12_775),)) for i in range(6)]
    await feed(database, event, *flaps)
    row = await hour(database, event, START)
    assert (row["price_up"], row["price_down"], row["exited"]) == (0, 0, 0)
    await promote(database, event, Poll(after(60), (Offer("a", 11_000, aip=13_000),)))
    assert (await hour(database, event, after(60)))["price_up"] == 1


async def test_fault_3_a_drop_to_a_round_page_freezes_inference(database: Database) -> None:
    event = await new_event(database)
    polls = await feed(database, event, (0, crowd(60)), (10, crowd(50)), (20, crowd(50)))
    row = await hour(database, event, START)
    assert (row["exited"], row["frozen"], row["sold_lo"], row["sold_hi"]) == (10, 10, 0, 0)
    await check_against_oracle(database, event, polls)


async def test_a_drop_like_an_outage_freezes_inference(database: Database) -> None:
    event = await new_event(database)
    polls = await feed(database, event, (0, crowd(60)), (10, crowd(33)), (20, crowd(33)))
    row = await hour(database, event, START)
    assert (row["exited"], row["frozen"], row["sold_hi"]) == (27, 27, 0)
    await check_against_oracle(database, event, polls)


async def test_fault_23_all_gone_after_doors_is_not_sold(database: Database) -> None:
    event = await new_event(database, starts_at=after(5))
    await feed(database, event, (0, crowd(4)), (10, ()), (20, ()))
    row = await hour(database, event, START)
    assert (row["exited"], row["frozen"], row["sold_lo"], row["sold_hi"]) == (4, 4, 0, 0)


async def test_fault_12_rescheduling_reckons_sales_anew(database: Database) -> None:
    event = await new_event(database, starts_at=after(5))
    await feed(database, event, (0, crowd(4)), (10, crowd(3)), (20, crowd(3)))
    await refresh(database)
    assert (await hour(database, event, START))["sold_lo"] == 0
    await database.execute(
        "update events set starts_at = %s, status = 'rescheduled' where id = %s", [after(9000), event]
    )
    await promote(database, event, Poll(after(70), crowd(3)))
    await refresh(database)
    assert (await hour(database, event, START))["sold_lo"] == 1
    await database.execute(
        "update events set cancelled_at = %s, status = 'cancelled' where id = %s", [after(8), event]
    )
    await promote(database, event, Poll(after(80), crowd(3)))
    assert (await hour(database, event, START))["sold_hi"] == 0


async def test_fault_11_a_renamed_section_is_neither_gone_nor_new(database: Database) -> None:
    event = await new_event(database)
    renamed = tuple(Offer(f"VB{i}", row=str(i), section="Section 101") for i in range(5))
    polls = await feed(database, event, (0, crowd(5)), (10, renamed), (20, renamed))
    row = await hour(database, event, START)
    assert (row["entered"], row["exited"]) == (0, 0)
    await check_against_oracle(database, event, polls)


async def test_fault_11_a_zone_remap_reaches_past_hours(database: Database) -> None:
    event = await new_event(database)
    await feed(database, event, (0, crowd(5)), (70, crowd(5)))
    await refresh(database)
    await database.execute(
        "insert into zones_mapping (source, raw_zone, zone) values ('test', 'Lower', 'Lower Bowl')"
    )
    assert await database.fetch_value("select tickets.remap_zones(%s)", [event]) == 1
    zones = "select distinct zone from aggregated_analytics where zone is not null"
    assert await database.fetch_value(zones) == "Lower Bowl"
    await refresh(database)
    assert await database.fetch_value(zones) == "Lower Bowl"
    assert await database.fetch_value("select count(*) from rollup_days where scope_id = 'Lower'") == 0


async def test_two_markets_of_one_show_are_never_mixed(database: Database) -> None:
    one = await new_event(database, "x", match_key="final")
    two = await new_event(database, "x", match_key="final", source="other")
    await promote(database, one, Poll(after(0), crowd(3)))
    report = await promote_raw(
        database, [o.doc() for o in crowd(9)], Poll(after(0), crowd(9)).meta(two, source="other")
    )
    assert report["status"] == "accepted"
    found = await database.fetch_all("select event_id, n_listings from event_latest order by event_id")
    assert found == [{"event_id": one, "n_listings": 3}, {"event_id": two, "n_listings": 9}]


async def test_fault_18_live_reads_are_right_while_the_refresher_is_down_for_six_hours(
    database: Database,
) -> None:
    event = await new_event(database)
    polls = await feed(database, event, *((10 * i, crowd(3 + i % 4)) for i in range(36)))
    assert await database.fetch_value("select count(*) from rollup_hours") == 0
    assert await database.fetch_value("select count(*) from rollup_dirty") == 7
    await check_against_oracle(database, event, polls)
    assert await database.fetch_value("select count(*) from rollup_dirty") == 0


async def test_an_hour_marked_again_while_it_is_refreshed_stays_marked(database: Database) -> None:
    event = await new_event(database)
    await feed(database, event, (0, crowd(3)))
    async with database.transaction() as conn:
        await conn.execute("select tickets.refresh_rollups(10)")
        late = asyncio.create_task(promote(database, event, Poll(after(10), crowd(5))))
        await asyncio.sleep(0.3)
        assert not late.done()
    await late
    assert await database.fetch_value("select count(*) from rollup_dirty") == 1
    await refresh(database)
    assert (await hour(database, event, START))["polls"] == 2


async def test_refreshers_side_by_side_take_different_events_and_agree(database: Database) -> None:
    events = [await new_event(database, f"e{n}") for n in range(6)]
    for event in events:
        await feed(database, event, *((20 * i, crowd(3 + i % 3)) for i in range(9)))
    alone = await new_event(database, "alone")
    await feed(database, alone, *((20 * i, crowd(3 + i % 3)) for i in range(9)))

    async def drain() -> None:
        while await database.fetch_value("select tickets.refresh_rollups(2)"):
            pass

    await asyncio.gather(*(drain() for _ in range(4)))
    await refresh(database)
    expected = await state(database, alone)
    for event in events:
        assert await state(database, event) == expected


async def test_percentiles_from_merged_sketches_are_within_one_percent(database: Database) -> None:
    event = await new_event(database)
    prices = [1_000 + 37 * i for i in range(300)]
    await feed(
        database, event, (0, tuple(Offer(f"x{i}", p, aip=p, row=str(i)) for i, p in enumerate(prices)))
    )
    row = await hour(database, event, START)
    for q in (0.05, 0.25, 0.5, 0.75, 0.95):
        found = await database.fetch_value(
            "select tickets.sketch_quantile(%s, %s, %s)", [row["sketch_keys"], row["sketch_ms"], q]
        )
        true = prices[max(0, round(q * len(prices)) - 1)]
        assert abs(found - true) <= 0.011 * true + 37


async def test_a_zone_without_listings_for_an_hour_keeps_the_events_cover(database: Database) -> None:
    event = await new_event(database)
    low, high = Offer("l", zone="Lower"), Offer("h", zone="Upper", section="301")
    await feed(database, event, (0, (low, high)), (30, (low, high)), (60, (high,)), (90, (high,)))
    await refresh(database)
    row = await database.fetch_one("select * from rollup_days where scope = 'zone' and scope_id = 'Lower'")
    assert row is not None
    assert plain(row, "day")["covered_ms"] == 2 * 3_600_000
    assert row["listing_ms"] == 3_600_000


async def test_rollup_rows_may_not_be_written_by_readers(database: Database) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        async with database.as_role({"role": "anon"}) as conn:
            await conn.execute("delete from rollup_days")


async def test_live_and_clean_views_agree(database: Database) -> None:
    event = await new_event(database)
    await feed(database, event, *((13 * i, crowd(3 + i % 5)) for i in range(20)))
    views: list[list[dict[str, Any]]] = []
    for _ in range(2):
        found: list[dict[str, Any]] = []
        for query in ("aggregated_analytics order by zone, hour", "daily_analytics order by zone, date"):
            found += await database.fetch_all(f"select * from {query}")
        views.append(found)
        await refresh(database)
    assert views[0] == views[1]
