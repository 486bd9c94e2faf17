"""The 23 faults a ticket market deals out, each by its number, against the simulated marketplace and a real database.

1 challenge page with 200 · 2 storms of 403 and 404 · 3 capped or missing page · 4 no tickets where some are stated ·
5 truncated JSON · 6 currency switch · 7 repeated ids · 8 ids rotate · 9 prices flap between fees · 10 absurd price ·
11 sections renamed, zones remapped · 12 rescheduled, cancelled · 13 late and repeated polls · 14 worker killed ·
15 two schedulers, expired lease · 16 clock skew · 17 missing future partition · 18 refresher down six hours ·
19 a day of 23 hours · 20 retention races with refresh · 21 disk full · 22 one slow host · 23 all gone after doors.
Numbers 14, 19 and 20 are in test_tickets_storms; killing a worker at every statement of promote in test_promote_kill.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headgate.apps.tickets.app import app
from headgate.apps.tickets.jobs import plan_once
from headgate.apps.tickets.simulator import SimClock, WorldOptions
from headgate.base.errors import Fenced
from headgate.db import Database, errors
from headgate.engine.fetch import BreakerOpen, RateLimited
from headgate.engine.jobs import JobContext, enqueue, set_lane
from headgate.engine.manifest import Services
from headgate.engine.worker import Worker
from tests.tickets_simulator import Bench, marketplace

START = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MARKET = "select * from public.listings_open where event_id = %s order by listing"
HOURS = "select * from tickets.hours(%s, '-infinity', 'infinity', 'event', '') order by hour"


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    """A marketplace that stands still in March 2026, its catalogue swept, nothing polled yet."""
    options = WorldOptions(seed=5, events=3, listings=60, parking=False)
    clock = SimClock(start=START.timestamp(), scale=0.0)
    async with marketplace(database, options, clock=clock) as made:
        await made.sweep()
        yield made


@pytest.fixture
async def live(database: Database) -> AsyncIterator[Bench]:
    """The same marketplace at today's date, for what the plan decides by the database's clock."""
    async with marketplace(database, WorldOptions(seed=5, events=3, listings=60, parking=False)) as made:
        await made.sweep()
        yield made


async def step(bench: Bench, minutes: float) -> str:
    """Let simulated time pass; the new time, as a poll states it."""
    bench.world.clock.advance(minutes * 60)
    return datetime.fromtimestamp(bench.world.clock.now(), UTC).isoformat()


async def look(bench: Bench, event: dict[str, Any], minutes: float = 10.0) -> dict[str, Any]:
    """Poll after a while; the poll's row."""
    await bench.poll(event, observed_at=await step(bench, minutes))
    return await bench.last_poll(event)


async def only(bench: Bench) -> dict[str, Any]:
    """The first event, polled once."""
    event = (await bench.events())[0]
    assert (await look(bench, event))["status"] == "accepted"
    return event


async def refused(bench: Bench, kind: str, status: str, reason: str, **options: Any) -> None:
    """A poll with this fault changes no price, is recorded with its reason, and the next one is fine again."""
    event = await only(bench)
    before = await bench.db.fetch_all(MARKET, [event["id"]])
    latest = await bench.db.fetch_one("select * from public.event_latest where event_id = %s", [event["id"]])
    bench.order(kind, count=1, **options)
    poll = await look(bench, event)
    assert (poll["status"], poll["reason"]) == (status, reason)
    assert await bench.db.fetch_all(MARKET, [event["id"]]) == before
    assert latest == await bench.db.fetch_one(
        "select * from public.event_latest where event_id = %s", [event["id"]]
    )
    after = (await bench.events())[0]
    assert after["last_scraped"] < poll["observed_at"]
    assert (await look(bench, event))["status"] == "accepted"


async def test_fault_01_a_challenge_page_with_status_200_is_no_market(bench: Bench) -> None:
    await refused(bench, "challenge", "rejected", "html")
    host = await bench.db.fetch_one(
        "select challenges from control.hosts where host = %s", [bench.settings.host]
    )
    assert host == {"challenges": 1}


async def test_fault_02_a_storm_of_403_opens_the_breaker_and_spares_the_host(bench: Bench) -> None:
    event = await only(bench)
    bench.order("http_403")
    asked = bench.simulator.counts.get("403", 0)
    opened = 0
    for _ in range(40):
        try:
            await look(bench, event, 1)
        except BreakerOpen:
            opened += 1
    assert opened > 20
    assert bench.simulator.counts["403"] - asked < 20
    market = await bench.db.fetch_all(MARKET, [event["id"]])
    assert len(market) > 10


async def test_fault_02_a_404_quarantines_its_event_and_no_other(live: Bench) -> None:
    gone, other, _ = await live.events()
    await plan_once(live.db, live.settings)
    live.order("http_404", production=int(gone["external_id"]))
    for _ in range(3):
        poll = await look(live, gone)
        assert (poll["status"], poll["http_status"]) == ("failed", 404)
    assert (await look(live, other))["status"] == "accepted"
    state = await live.db.fetch_one("select * from tickets.poll_state where event_id = %s", [gone["id"]])
    assert state is not None and state["not_found"] == 3
    now = await live.db.fetch_value("select clock_timestamp()")
    assert state["quarantined_until"] > now + timedelta(minutes=30)


async def test_fault_03_a_capped_page_is_not_a_crash_of_the_market(bench: Bench) -> None:
    await refused(bench, "capped", "rejected", "capped")


async def test_fault_03_a_missing_catalogue_page_makes_nobody_missing(database: Database) -> None:
    options = WorldOptions(seed=5, events=70, listings=3, parking=False)
    async with marketplace(database, options) as bench:
        await bench.sweep()
        bench.simulator.faults.orders.clear()
        bench.order("truncated", production=0, count=1)
        for _ in range(4):
            try:
                await bench.sweep()
            except Exception as error:
                assert "unusable" in str(error)
        rows = await database.fetch_all("select max(missed_sweeps) as most from tickets.poll_state")
        assert rows == [{"most": 0}]
        assert len(await bench.events()) == 70


async def test_fault_04_no_tickets_where_some_are_stated(bench: Bench) -> None:
    await refused(bench, "empty", "rejected", "empty_tickets")


async def test_fault_05_truncated_json(bench: Bench) -> None:
    await refused(bench, "truncated", "rejected", "truncated_json")


async def test_fault_06_a_switch_of_currency(bench: Bench) -> None:
    await refused(bench, "currency", "rejected", "currency")


async def test_fault_07_repeated_ids_count_once(bench: Bench) -> None:
    event = await only(bench)
    bench.order("duplicates", count=1)
    poll = await look(bench, event)
    assert poll["status"] in ("accepted", "unchanged")
    production = bench.world.productions[int(event["external_id"])]
    assert poll["n_listings"] == len(production.market.listings)
    assert len(await bench.db.fetch_all(MARKET, [event["id"]])) == poll["n_listings"]


async def test_fault_08_rotated_ids_are_relists_and_no_sales(bench: Bench) -> None:
    event = await only(bench)
    await look(bench, event)
    production = bench.world.productions[int(event["external_id"])]
    listings = len(production.market.listings)
    bench.world.act(production, "rotate", {"share": 0.25})
    rotated = sum(f.kind == "relist" for f in production.market.facts[-listings:])
    for _ in range(3):
        await look(bench, event)
    total = await sums(bench, event)
    sales = sum(f.kind == "sale" for f in production.market.facts)
    assert total["exited"] >= rotated > 5
    assert total["sold_lo"] <= sales + 1


async def sums(bench: Bench, event: dict[str, Any]) -> dict[str, int]:
    """An event's counters over all its hours."""
    rows = await bench.db.fetch_all(HOURS, [event["id"]])
    names = ("entered", "exited", "frozen", "sold_lo", "sold_hi", "price_up", "price_down")
    return {name: sum(row[name] for row in rows) for name in names}


async def test_fault_09_flapping_fees_are_no_price_changes(bench: Bench) -> None:
    event = await only(bench)
    production = bench.world.productions[int(event["external_id"])]
    getins = set()
    for _ in range(6):
        bench.world.act(production, "flap", {})
        poll = await look(bench, event, 0)
        getins.add(poll["get_in"])
        bench.world.clock.advance(1)
    assert len(getins) == 2
    total = await sums(bench, event)
    assert (total["price_up"], total["price_down"]) == (0, 0)


async def test_fault_10_an_absurd_price_is_left_out_and_overflows_nothing(bench: Bench) -> None:
    event = await only(bench)
    bench.order("absurd_price", count=1)
    poll = await look(bench, event)
    assert poll["status"] == "accepted", poll["reason"]
    production = bench.world.productions[int(event["external_id"])]
    assert poll["n_listings"] == len(production.market.listings) - 1
    top = await bench.db.fetch_value(
        "select max(aip_cents) from public.listings_open where event_id = %s", [event["id"]]
    )
    assert top < 25_000_000
    why = await bench.db.fetch_value(
        "select meta -> 'excluded' from control.run_steps order by id desc limit 1"
    )
    assert why["absurd_price"]["listings"] == 1


@pytest.mark.parametrize("action", ["rename_sections", "remap_zones"])
async def test_fault_11_new_names_for_sections_and_zones_are_neither_exits_nor_arrivals(
    bench: Bench, action: str
) -> None:
    event = await only(bench)
    production = bench.world.productions[int(event["external_id"])]
    bench.world.act(production, action, {})
    poll = await look(bench, event, 0.01)
    assert poll["status"] == "accepted"
    total = await sums(bench, event)
    assert (total["entered"], total["exited"], total["sold_hi"]) == (0, 0, 0)


async def test_fault_12_a_new_date_moves_the_promise_and_a_cancellation_ends_it(live: Bench) -> None:
    moved, cancelled, _ = await live.events()
    for event in (moved, cancelled):
        await look(live, event)
    await plan_once(live.db, live.settings)
    world = live.world
    world.act(world.productions[int(moved["external_id"])], "reschedule", {"days": 60})
    world.productions[int(cancelled["external_id"])].name += " - CANCELLED"
    await live.sweep()
    rows = {r["id"]: r for r in await live.db.fetch_all("select * from public.events")}
    assert rows[moved["id"]]["status"] == "rescheduled"
    assert rows[moved["id"]]["starts_at"] == moved["starts_at"] + timedelta(days=60)
    assert (rows[cancelled["id"]]["status"], rows[cancelled["id"]]["active"]) == ("cancelled", False)
    assert rows[cancelled["id"]]["cancelled_at"] is not None


async def test_fault_12_an_event_that_vanished_is_gone_only_after_three_whole_sweeps_and_a_404(
    bench: Bench,
) -> None:
    event = (await bench.events())[0]
    world = bench.world
    world.act(world.productions[int(event["external_id"])], "cancel", {})
    await look(bench, event)
    for sweeps in range(1, 5):
        await asyncio.sleep(0.01)
        await bench.sweep()
        row = await bench.db.fetch_one(
            "select status, active from public.events where id = %s", [event["id"]]
        )
        assert row == (
            {"status": "gone", "active": False} if sweeps >= 3 else {"status": "scheduled", "active": True}
        )


async def test_fault_13_late_and_repeated_polls_make_the_same_history(bench: Bench) -> None:
    event = (await bench.events())[0]
    at = ""
    for _ in range(5):
        at = await step(bench, 10)
        await bench.poll(event, observed_at=at)
    in_order = await bench.db.fetch_all(HOURS, [event["id"]])
    polls = await bench.db.fetch_value("select count(*) from public.polls where event_id = %s", [event["id"]])
    report = await bench.poll(event, observed_at=at)  # the same answer at the same moment, again
    assert (report.upserted, report.state) == (0, "succeeded")
    assert (
        await bench.db.fetch_value("select count(*) from public.polls where event_id = %s", [event["id"]])
        == polls
    )
    assert await bench.db.fetch_all(HOURS, [event["id"]]) == in_order


async def test_fault_15_a_poll_that_was_overtaken_writes_nothing(bench: Bench) -> None:
    event = await only(bench)
    before = await bench.db.fetch_value("select count(*) from public.polls")
    bench.order("slow", count=1, seconds=1.5)
    slow = asyncio.create_task(bench.poll(event, observed_at=await step(bench, 5)))
    await asyncio.sleep(0.5)
    await bench.poll(event, observed_at=await step(bench, 5))
    with pytest.raises(Fenced):
        await slow
    assert await bench.db.fetch_value("select count(*) from public.polls") == before + 1


async def test_fault_15_two_schedulers_enqueue_each_event_once(live: Bench) -> None:
    await asyncio.gather(*(plan_once(live.db, live.settings) for _ in range(6)))
    rows = await live.db.fetch_all(
        "select unique_key, count(*) as n from control.jobs where kind = 'tickets.poll' group by 1"
    )
    assert sorted(r["n"] for r in rows) == [1, 1, 1]


async def test_fault_16_wrong_clocks_upstream_and_here_do_not_reach_the_data(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = (await bench.events())[0]
    bench.order("skewed_date", skew_s=90_000)
    wrong = datetime.now(UTC) + timedelta(days=3)
    monkeypatch.setattr("headgate.engine.fetch.now", lambda: wrong)
    before = await bench.db.fetch_value("select clock_timestamp()")
    await bench.poll(event)
    after = await bench.db.fetch_value("select clock_timestamp()")
    poll = await bench.last_poll(event)
    assert before - timedelta(milliseconds=1) <= poll["observed_at"] <= after


async def test_fault_16_a_poll_from_the_future_is_refused(bench: Bench) -> None:
    event = (await bench.events())[0]
    report = await bench.db.fetch_one(
        "select tickets.promote_poll(0, 0, jsonb_build_object('event_id', %s::bigint, 'source', 'vivid', 'currency',"
        " 'USD', 'observed_at', now() + interval '1 hour', 'received_at', now(), 'status', 'accepted')) as r",
        [event["id"]],
    )
    assert report is not None and report["r"]["status"] == "rejected"
    assert report["r"]["reason"] == "clock_skew"


async def test_fault_17_a_poll_in_a_month_without_a_partition_is_taken(database: Database) -> None:
    far = datetime(2031, 7, 1, 12, 0, tzinfo=UTC)
    options = WorldOptions(seed=5, events=1, listings=20, parking=False)
    async with marketplace(database, options, clock=SimClock(start=far.timestamp(), scale=0.0)) as bench:
        await bench.sweep()
        event = await only(bench)
        assert (await look(bench, event))["status"] in ("accepted", "unchanged")


async def test_fault_18_six_hours_without_a_refresher_lose_nothing_and_reads_stay_right(bench: Bench) -> None:
    event = (await bench.events())[0]
    for _ in range(12):
        await look(bench, event, 30)
    live = await bench.db.fetch_all(HOURS, [event["id"]])
    assert await bench.db.fetch_value("select count(*) from public.rollup_hours") == 0
    assert (
        await bench.db.fetch_value(
            "select count(*) from public.rollup_dirty where event_id = %s", [event["id"]]
        )
        >= 6
    )
    await bench.db.execute("select tickets.refresh_rollups(10000)")
    assert await bench.db.fetch_value("select count(*) from public.rollup_dirty") == 0
    assert await bench.db.fetch_all(HOURS, [event["id"]]) == live


async def test_fault_21_a_full_disk_fails_the_poll_whole_and_the_next_one_works(bench: Bench) -> None:
    event = await only(bench)
    before = await bench.db.fetch_all(MARKET, [event["id"]])
    await bench.db.execute(
        "create function tickets.no_room() returns trigger language plpgsql as $$ begin"
        " raise exception 'could not extend file: No space left on device' using errcode = 'disk_full'; end $$"
    )
    await bench.db.execute(
        "create trigger no_room before insert on public.polls for each row execute function tickets.no_room()"
    )
    production = bench.world.productions[int(event["external_id"])]
    bench.world.act(production, "rotate", {})
    with pytest.raises(errors.DiskFull):
        await bench.poll(event, observed_at=await step(bench, 10))
    assert await bench.db.fetch_all(MARKET, [event["id"]]) == before
    assert await bench.db.fetch_value("select count(*) from stage.rows") == 0
    await bench.db.execute("drop trigger no_room on public.polls")
    assert (await look(bench, event))["status"] == "accepted"
    assert await bench.db.fetch_all(MARKET, [event["id"]]) != before


async def test_fault_22_a_slow_host_does_not_starve_the_others(bench: Bench) -> None:
    event = (await bench.events())[0]
    bench.order("slow", seconds=3.0)
    quick: list[float] = []
    loop = asyncio.get_running_loop()

    async def other(ctx: JobContext) -> None:
        quick.append(loop.time())

    values = {name: getattr(bench.settings, name) for name in type(bench.settings).model_fields}
    services = Services(db=bench.db, fetcher=bench.fetcher, app=app, settings=values)
    args = {"event_id": event["id"], "external_id": event["external_id"]}
    async with bench.db.transaction() as conn:
        await set_lane(conn, bench.settings.host, max_running=2)
        for _ in range(10):
            await enqueue(conn, "tickets.poll", args, key=bench.settings.host)
        for _ in range(20):
            await enqueue(conn, "tests.other", {}, key="other.example")
    handlers = {"tickets.poll": app.jobs["tickets.poll"](services), "tests.other": other}
    stop = asyncio.Event()
    begun = loop.time()
    worker = asyncio.create_task(Worker(bench.db, handlers, concurrency=4).run(stop))
    while len(quick) < 20 and loop.time() - begun < 20:  # noqa: ASYNC110 - two things may end it
        await asyncio.sleep(0.05)
    stop.set()
    await worker
    assert len(quick) == 20
    assert quick[-1] - begun < 3.0


async def test_fault_23_when_the_doors_open_nothing_counts_as_sold(database: Database) -> None:
    options = WorldOptions(seed=5, events=1, listings=60, days_ahead=0.3, parking=False)
    clock = SimClock(start=START.timestamp(), scale=0.0)
    async with marketplace(database, options, clock=clock) as bench:
        await bench.sweep()
        event = (await bench.events())[0]
        production = bench.world.productions[int(event["external_id"])]
        bench.world.clock.set_now(production.starts_at - 25 * 60)
        for _ in range(6):
            poll = await look(bench, event)
        assert (poll["n_listings"], poll["status"]) == (0, "unchanged")
        closed = sum(f.kind == "closed" for f in production.market.facts)
        assert closed > 20
        total = await sums(bench, event)
        assert total["frozen"] >= closed
        before = sum(f.kind != "closed" for f in production.market.facts)
        assert total["sold_hi"] <= before


async def test_a_429_is_obeyed_in_both_forms(bench: Bench) -> None:
    event = await only(bench)
    for form in ("seconds", "date"):
        bench.order("rate_limited", count=1, form=form, seconds=2)
        poll = await look(bench, event)
        assert (poll["status"], poll["http_status"]) == ("failed", 429)
        with pytest.raises(RateLimited):
            await bench.poll(event, observed_at=await step(bench, 1), wait_s=0.0)
        await asyncio.sleep(2.2)
    assert (await look(bench, event))["status"] == "accepted"
