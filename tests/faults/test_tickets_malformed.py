"""Ten thousand malformed answers: each refused with a reason, none crashes, none becomes a price."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.apps.tickets import seatgeek, ticketmaster, vivid
from headgate.apps.tickets.parse import Rejected
from headgate.apps.tickets.simulator import SimClock, World, WorldOptions
from headgate.apps.tickets.simulator.answers import encode, listings_document
from headgate.db import Database
from tests.faults.malformed import SPOILS
from tests.tickets_simulator import marketplace

BODIES = 10_000


def sound_answer() -> tuple[str, bytes]:
    """A sound answer of a dozen listings and the production it is about."""
    world = World(WorldOptions(seed=11, events=1, listings=12, parking=False), SimClock(start=1.8e9, scale=0))
    production = next(iter(world.productions.values()))
    return str(production.id), encode(listings_document(production, world.clock.now()))


def test_ten_thousand_malformed_bodies_are_each_refused_with_a_reason() -> None:
    production, body = sound_answer()
    assert vivid.parse_listings(body, production_id=production).rows
    rng = Random(20261121)
    reasons: Counter[str] = Counter()
    for number in range(BODIES):
        spoil = SPOILS[number % len(SPOILS)]
        spoiled = spoil(body, rng)
        try:
            parsed = vivid.parse_listings(spoiled, production_id=production)
        except Rejected as error:
            reasons[error.reason] += 1
        else:
            pytest.fail(f"body {number} ({spoil.__name__}) was believed: {parsed.totals} {spoiled[:300]!r}")
    assert sum(reasons.values()) == BODIES
    assert len(reasons) >= 12, reasons


@given(st.binary(max_size=300))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_refused_by_every_parser(body: bytes) -> None:
    for read in (
        seatgeek.parse_listings,
        seatgeek.parse_events,
        ticketmaster.parse_events,
        vivid.parse_productions,
    ):
        with pytest.raises(Rejected):
            read(body)  # type: ignore[operator]
    with pytest.raises(Rejected):
        vivid.parse_listings(body, production_id="1")


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_single_flipped_byte_changes_nothing_or_is_refused_or_parses_to_sound_rows(
    data: st.DataObject,
) -> None:
    production, body = sound_answer()
    at = data.draw(st.integers(0, len(body) - 1))
    flipped = body[:at] + bytes([data.draw(st.integers(0, 255))]) + body[at + 1 :]
    try:
        parsed = vivid.parse_listings(flipped, production_id=production)
    except Rejected as error:
        assert error.reason
        return
    assert sum(row["qty"] for row in parsed.rows) == parsed.totals["ticketCount"]
    assert all(row["base_cents"] > 0 and row["aip_cents"] > 0 for row in parsed.rows)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(tickets=JSON, totals=JSON, groups=JSON, i18n=JSON)
@settings(max_examples=300, deadline=None)
def test_any_json_in_the_right_places_is_refused(
    tickets: object, totals: object, groups: object, i18n: object
) -> None:
    import orjson

    try:
        body = orjson.dumps({"global": [totals], "tickets": tickets, "groups": groups, "i18n": i18n})
    except (TypeError, orjson.JSONEncodeError):
        return
    with pytest.raises(Rejected):
        vivid.parse_listings(body, production_id="1")


async def test_no_malformed_answer_reaches_a_price_in_the_database(database: Database) -> None:
    """A sample goes over HTTP and through the whole pipeline: each poll is kept with its reason, none with rows."""
    options = WorldOptions(seed=11, events=1, listings=12, parking=False)
    async with marketplace(database, options, clock=SimClock(start=1.8e9, scale=0.0)) as bench:
        await bench.sweep()
        (event,) = await bench.events()
        await bench.poll(event, observed_at=datetime.fromtimestamp(1.8e9, UTC).isoformat())
        before = await market(database)
        production = bench.world.productions[int(event["external_id"])]
        sound = encode(listings_document(production, 1.8e9))
        rng = Random(7)
        for number in range(len(SPOILS) * 6):
            state = (production.market.version, int(1.8e9 // 86_400), production.name)
            production.cached = (state, SPOILS[number % len(SPOILS)](sound, rng))
            at = datetime.fromtimestamp(1.8e9 + 60 * (number + 1), UTC).isoformat()
            await bench.poll(event, observed_at=at)
            poll = await bench.last_poll(event)
            assert poll["status"] in ("rejected", "failed"), poll
            assert poll["reason"] and not poll["n_listings"]
        assert await market(database) == before
        assert await database.fetch_value("select count(*) from stage.rows") == 0


async def market(db: Database) -> list[object]:
    """Every stored listing, span and current figure."""
    names = ("public.listings", "public.listings_open", "public.listing_spans", "public.event_latest")
    return [await db.fetch_all(f"select * from {name} order by 1, 2") for name in names]
