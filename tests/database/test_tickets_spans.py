"""Spans: whatever order polls arrive in, the state is that of the polls in order, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.db import Database, Jsonb, errors
from headgate.testing.database import TestCluster
from tests.database.tickets_oracle import Span, hours, in_order, merge_days, spans, utc_day
from tests.database.tickets_polls import (
    Offer,
    Poll,
    after,
    new_event,
    promote,
    promote_raw,
    refresh,
    stage,
    state,
)

IDS = [f"VB{n}" for n in range(7)]
PLACES = [("Lower", "101", "A"), ("Lower", "101", "B"), ("Upper", "301", "A"), ("", "GA", "")]
GAPS = [1, 5, 10, 10, 10, 20, 31, 45, 70, 180]


@st.composite
def offers(draw: st.DrawFn) -> tuple[Offer, ...]:
    """A small market. Prices and quantities from few values, so that runs, flaps and returns are common."""
    chosen = draw(st.lists(st.sampled_from(IDS), unique=True, max_size=len(IDS)))
    found = []
    for name in sorted(chosen):
        zone, section, row = PLACES[draw(st.sampled_from([int(name[2:]) % 4] * 9 + [0]))]
        found.append(
            Offer(
                name,
                base=draw(st.sampled_from([10_000, 10_000, 10_000, 12_000, 50_000])),
                qty=draw(st.sampled_from([2, 2, 4])),
                zone=zone,
                section=section,
                row=row,
                aip=draw(st.sampled_from([12_500, 12_500, 12_775])),
                splits=draw(st.sampled_from([(2,), (2, 4), (4,)])),
            )
        )
    return tuple(found)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Poll], list[Poll]]:
    """Polls in their order, now and then two at one instant; and the order in which they arrive, some twice."""
    polls: list[Poll] = []
    minute = draw(st.sampled_from([0, 15, 59]))
    for _ in range(draw(st.integers(1, 9))):
        again = polls and draw(st.integers(0, 4)) == 0
        content = draw(st.sampled_from(polls)).offers if again else draw(offers())
        polls.append(Poll(after(minute), content))
        minute += draw(st.sampled_from([*GAPS, 0]))
    arrivals = draw(st.permutations(polls + draw(st.lists(st.sampled_from(polls), max_size=3))))
    return polls, arrivals


async def stored_spans(db: Database, event_id: int) -> list[Span]:
    """The spans of an event as the oracle writes them."""
    rows = await db.fetch_all("select * from public.listing_spans where event_id = %s", [event_id])
    return [
        Span(
            (r["external_id"], r["zone"], r["section"], r["row"]),
            r["base_cents"],
            r["aip_cents"],
            r["qty"],
            r["splits"],
            r["valid_from"],
            r["valid_to"],
        )
        for r in rows
    ]


async def stored_hours(db: Database, event_id: int) -> dict[tuple[str, str, Any], dict[str, Any]]:
    """Hours as the oracle writes them."""
    found: dict[tuple[str, str, Any], dict[str, Any]] = {}
    for scope in ("event", "zone", "section"):
        query = "select * from tickets.hours(%s, '-infinity', 'infinity', %s)"
        for row in await db.fetch_all(query, [event_id, scope]):
            found[row["scope"], row["scope_id"], row["hour"]] = plain(row, "hour")
    return found


def plain(row: dict[str, Any], bucket: str) -> dict[str, Any]:
    """A rollup row without its key, its sketch as pairs."""
    keys, ms = row["sketch_keys"], row["sketch_ms"]
    left = {
        k: v
        for k, v in row.items()
        if k not in ("event_id", "scope", "scope_id", bucket, "sketch_keys", "sketch_ms")
    }
    return left | {"sketch": list(zip(keys, ms, strict=True)) if keys else None}


async def check_against_oracle(db: Database, event_id: int, polls: Sequence[Poll]) -> None:
    """Spans, live hours, clean hours and days all equal the brute-force reckoning."""
    found = await stored_spans(db, event_id)
    assert len(found) == len(set(found))
    assert set(found) == spans(polls)
    expected = hours(polls, freeze=after(40 * 24 * 60))
    assert await stored_hours(db, event_id) == expected, "live"
    await refresh(db)
    assert await stored_hours(db, event_id) == expected, "refreshed"
    days = {
        (r["scope"], r["scope_id"], r["day"]): plain(r, "day")
        for r in await db.fetch_all("select * from rollup_days where event_id = %s", [event_id])
    }
    assert days == merge_days(expected, utc_day)


class Shared:
    """One database for all examples of a property; each example has events of its own."""

    def __init__(self, runner: asyncio.Runner, db: Database) -> None:
        self.runner = runner
        self.db = db
        self.examples = 0


@pytest.fixture(scope="module")
def shared(cluster: TestCluster) -> Iterator[Shared]:
    """The property's database and the loop its connections live in."""
    with asyncio.Runner() as runner:
        context = cluster.database()
        db = runner.run(context.__aenter__())
        yield Shared(runner, db)
        runner.run(context.__aexit__(None, None, None))


@settings(
    max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)
@given(histories())
def test_any_arrival_order_ends_in_the_state_of_the_polls_in_order(
    shared: Shared, history: tuple[list[Poll], list[Poll]]
) -> None:
    """200 random arrival orders with late and duplicate polls: incremental, rebuilt and brute-force state agree."""
    shared.examples += 1
    shared.runner.run(_arrive(shared.db, shared.examples, history))


async def _arrive(db: Database, n: int, history: tuple[list[Poll], list[Poll]]) -> None:
    polls, arrivals = history
    incremental = await new_event(db, f"a{n}")
    for i, poll in enumerate(arrivals):
        await promote(db, incremental, poll)
        if i % 3 == 2:
            await db.fetch_value("select tickets.refresh_rollups(3)")
    await check_against_oracle(db, incremental, polls)
    lines = await state(db, incremental)
    ordered = await new_event(db, f"b{n}")
    counted = in_order(polls)
    for poll in counted + [p for p in polls if p not in counted]:
        await promote(db, ordered, poll)
    await refresh(db)
    assert lines == await state(db, ordered)
    await db.execute("select tickets.rebuild_event(%s)", [incremental])
    await refresh(db)
    assert lines == await state(db, incremental)


def crowd(n: int, base: int = 10_000, prefix: str = "VB") -> tuple[Offer, ...]:
    """`n` listings, each in a row of its own."""
    return tuple(Offer(f"{prefix}{i}", base, row=str(i)) for i in range(n))


async def test_an_unchanged_answer_without_a_body_covers_like_one_with(database: Database) -> None:
    full, short = await new_event(database, "full"), await new_event(database, "short")
    polls = [Poll(after(10 * i), crowd(3)) for i in range(4)]
    for poll in polls:
        await promote(database, full, poll)
    await promote(database, short, polls[0])
    for poll in polls[1:]:
        meta = poll.meta(short) | {"status": "unchanged", "global": {}}
        assert (await promote_raw(database, [], meta))["status"] == "unchanged"
    assert await state(database, full) == await state(database, short)


async def test_an_unchanged_answer_to_an_unknown_body_is_a_failure(database: Database) -> None:
    event = await new_event(database)
    meta = Poll(after(0), crowd(3)).meta(event) | {"status": "unchanged"}
    report = await promote_raw(database, [], meta)
    assert (report["status"], report["reason"]) == ("failed", "unchanged_from_unknown")


async def test_a_duplicate_poll_changes_nothing(database: Database) -> None:
    event = await new_event(database)
    poll = Poll(after(0), crowd(5))
    await promote(database, event, poll)
    before = await state(database, event)
    assert (await promote(database, event, poll))["duplicate"] is True
    assert await state(database, event) == before


async def test_spans_of_a_listing_never_overlap(database: Database) -> None:
    event = await new_event(database)
    for minute, base in ((0, 1), (30, 2), (10, 3), (20, 1), (5, 2), (40, 2)):
        await promote(database, event, Poll(after(minute), crowd(4, base * 1000)))
    overlaps = await database.fetch_value(
        "select count(*) from listing_spans a join listing_spans b using (event_id, listing) "
        "where a.valid_from < b.valid_from and coalesce(a.valid_to, 'infinity') > b.valid_from"
    )
    assert overlaps == 0


BAD: list[tuple[str, dict[str, Any], Callable[[dict[str, Any]], dict[str, Any]]]] = [
    ("empty_answer", {"global": {"listingCount": 5}}, lambda doc: {}),
    ("empty_unstated", {"global": {}}, lambda doc: {}),
    ("capped_page", {"global": {"listingCount": 6}}, lambda doc: doc),
    ("listing_count_mismatch", {"global": {"listingCount": 4}}, lambda doc: doc),
    ("ticket_count_mismatch", {"global": {"ticketCount": 11}}, lambda doc: doc),
    ("currency_switch", {"currency": "EUR"}, lambda doc: doc),
    ("duplicate_ids", {"global": {}}, lambda doc: doc | {"id": "VB0"}),
    ("absurd_price", {}, lambda doc: doc | {"base_cents": 25_000_001}),
    ("absurd_price", {}, lambda doc: doc | {"aip_cents": 0}),
    ("malformed_listing", {}, lambda doc: doc | {"base_cents": "12.50"}),
    ("malformed_listing", {}, lambda doc: doc | {"base_cents": 99_999_999_999}),
    ("malformed_listing", {}, lambda doc: doc | {"aip_cents": None}),
    ("source_mismatch", {"source": "seatgeek"}, lambda doc: doc),
    ("clock_skew", {"received_at": after(-60).isoformat()}, lambda doc: doc),
]


@pytest.mark.parametrize(("reason", "meta", "spoil"), BAD)
async def test_a_poll_that_must_not_be_believed_is_recorded_and_changes_no_price(
    database: Database, reason: str, meta: dict[str, Any], spoil: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    event = await new_event(database)
    await promote(database, event, Poll(after(0), crowd(5)))
    before = [line for line in await state(database, event) if not line.startswith("poll ")]
    bad = Poll(after(10), crowd(5, 9_000))
    docs = [doc for doc in (spoil(o.doc()) for o in bad.offers) if doc]
    report = await promote_raw(database, docs, bad.meta(event) | meta)
    assert (report["status"], report["reason"], report["rejected"]) == ("rejected", reason, len(docs))
    assert [line for line in await state(database, event) if not line.startswith("poll ")] == before
    row = await database.fetch_one("select status, reason from polls where observed_at = %s", [after(10)])
    assert row == {"status": "rejected", "reason": reason}


async def test_listings_left_out_on_purpose_count_against_the_stated_totals(database: Database) -> None:
    event = await new_event(database)
    poll = Poll(after(0), crowd(5), {"excluded": {"parking": {"listings": 2, "tickets": 3}}})
    meta = poll.meta(event) | {"global": {"listingCount": 7, "ticketCount": 13}}
    assert (await promote_raw(database, [o.doc() for o in poll.offers], meta))["status"] == "accepted"


async def test_a_failed_poll_changes_nothing_but_is_recorded(database: Database) -> None:
    event = await new_event(database)
    await promote(database, event, Poll(after(0), crowd(5)))
    before = [line for line in await state(database, event) if not line.startswith("poll ")]
    meta = Poll(after(10), ()).meta(event) | {
        "status": "failed",
        "reason": "no answer",
        "word": "http_403",
        "body_hash": None,
    }
    assert (await promote_raw(database, [], meta))["status"] == "failed"
    assert [line for line in await state(database, event) if not line.startswith("poll ")] == before
    assert await database.fetch_value("select reason from polls where status = 'failed'") == "http_403"


async def test_an_unknown_event_raises(database: Database) -> None:
    with pytest.raises(errors.NoDataFound, match="4711"):
        await promote(database, 4711, Poll(after(0), crowd(1)))


async def test_a_transaction_that_dies_leaves_nothing(database: Database) -> None:
    event = await new_event(database)
    poll = Poll(after(0), crowd(5))
    with contextlib.suppress(errors.DivisionByZero):
        async with database.transaction() as conn:
            await stage(conn, 1, [o.doc() for o in poll.offers])
            await conn.execute("select tickets.promote_poll(1, 1, %s)", [Jsonb(poll.meta(event))])
            await conn.execute("select 1 / 0")
    assert await state(database, event) == []


async def test_the_sum_of_listings_at_each_poll_is_what_the_poll_says(database: Database) -> None:
    event = await new_event(database)
    for i, n in enumerate((5, 7, 3, 0, 4)):
        await promote(database, event, Poll(after(10 * i), crowd(n)))
    rows = await database.fetch_all(
        "select p.n_listings, (select count(*) from listing_spans s where s.event_id = p.event_id "
        "and s.valid_from <= p.observed_at and coalesce(s.valid_to, 'infinity') > p.observed_at) as found "
        "from polls p order by p.observed_at"
    )
    assert [(r["n_listings"], r["found"]) for r in rows] == [(n, n) for n in (5, 7, 3, 0, 4)]


async def test_everybody_reads_and_only_the_service_writes(database: Database) -> None:
    event = await new_event(database)
    poll = Poll(after(0), crowd(2))
    await promote(database, event, poll)
    for role in ("anon", "authenticated"):
        async with database.as_role({"role": role}) as conn:
            row = await (await conn.execute("select count(*) as n from aggregated_analytics")).fetchone()
            assert row == {"n": 2}
            row = await (await conn.execute("select count(*) as n from listing_spans")).fetchone()
            assert row == {"n": 2}
        with pytest.raises(errors.InsufficientPrivilege):
            async with database.as_role({"role": role}) as conn:
                await conn.execute("select tickets.promote_poll(1, 1, '{}')")
        with pytest.raises(errors.InsufficientPrivilege):
            async with database.as_role({"role": role}) as conn:
                await conn.execute("update listings_open set base_cents = 1")
    async with database.as_role({"role": "service_role"}) as conn:
        await conn.execute("select tickets.refresh_rollups(10)")
