"""Reading upstream answers: exact money, sellable quantities, totals that must add up, and real shapes."""

from __future__ import annotations

import orjson
import pytest

from headgate.apps.tickets import parse, seatgeek, ticketmaster, vivid
from headgate.apps.tickets.parse import Rejected
from headgate.apps.tickets.simulator import SimClock, World, WorldOptions
from headgate.apps.tickets.simulator.answers import encode, listings_document, production_item
from tests.shared_data import shared


@pytest.mark.parametrize(
    ("given", "cents"),
    [
        ("212.55", 21255),
        ("0.07", 7),
        (212.55, 21255),
        (1.1, 110),
        (12, 1200),
        ("1475.230", 147523),
        ("0.00", 0),
    ],
)
def test_money_is_exact(given: object, cents: int) -> None:
    assert parse.cents(given, "price") == cents


@pytest.mark.parametrize(
    "given", ["1.005", "-1", "1,000", "", "1e3", None, True, float("nan"), float("inf"), "١٢", [1]]
)
def test_money_that_is_not_exact_and_finite_is_refused(given: object) -> None:
    with pytest.raises(Rejected, match="bad_price"):
        parse.cents(given, "price")


def test_splits_are_what_can_really_be_bought() -> None:
    assert parse.splits("2,4", 4, "m") == [2, 4]
    assert parse.splits("1", 1, "m") == [1]
    with pytest.raises(Rejected, match="bad_splits"):
        parse.splits("2,6", 4, "m")


def test_seats_that_the_upstream_does_not_tell_stay_unknown() -> None:
    assert parse.seats("9", "10") == "9-10"
    assert [parse.seats(*pair) for pair in (("", ""), ("N/A", "N/A"), ("0", "0"), (None, "7"))] == [None] * 4


def excerpt() -> dict[str, object]:
    document: dict[str, object] = orjson.loads(
        shared("tickets/vivid_sample/vivid_hermes_listings_excerpt.json").read_bytes()
    )
    return document


def test_a_real_answer_cut_to_18_of_833_listings_is_seen_as_capped() -> None:
    with pytest.raises(Rejected, match="18 of 833"):
        vivid.parse_listings(orjson.dumps(excerpt()), production_id="5990417")


def test_a_real_answer_parses_field_by_field() -> None:
    document = excerpt()
    totals, tickets = document["global"], document["tickets"]
    assert isinstance(totals, list) and isinstance(tickets, list)
    totals[0] |= {"listingCount": str(len(tickets)), "ticketCount": str(sum(int(t["q"]) for t in tickets))}
    parsed = vivid.parse_listings(orjson.dumps(document), production_id="5990417")
    first = parsed.rows[0]
    assert (first["id"], first["zone"], first["section"], first["row"]) == (
        "VF2191575",
        "Promenade",
        "Promenade 316",
        "Z",
    )
    assert (first["qty"], first["splits"], first["base_cents"], first["aip_cents"]) == (1, [1], 20000, 24000)
    assert first["face_cents"] is None
    assert parsed.rows[1]["splits"] == [1, 3]
    assert parsed.tz == "America/New_York"


def test_real_catalogues_parse_without_a_bad_item() -> None:
    events, total, bad = seatgeek.parse_events(
        shared("tickets/catalogues/seatgeek_events_10.json").read_bytes()
    )
    assert (len(events), total, bad) == (10, 134845, [])
    path = shared("tickets/catalogues/ticketmaster_discovery_events_20.json")
    found, pages, bad = ticketmaster.parse_events(path.read_bytes())
    assert (len(found), pages, bad) == (20, 5501, [])
    assert found[0].local_date.isoformat() == "2020-03-08"


def simulated() -> tuple[str, dict[str, object]]:
    world = World(WorldOptions(seed=4, events=1, listings=30, parking=False), SimClock(start=1.8e9, scale=0))
    production = next(iter(world.productions.values()))
    document: dict[str, object] = orjson.loads(encode(listings_document(production, 1.8e9)))
    return str(production.id), document


def test_an_exact_repeat_counts_once_and_a_contradiction_is_refused() -> None:
    production, document = simulated()
    tickets = document["tickets"]
    assert isinstance(tickets, list)
    whole = vivid.parse_listings(orjson.dumps(document), production_id=production)
    tickets.append(dict(tickets[3]))
    again = vivid.parse_listings(orjson.dumps(document), production_id=production)
    assert again.rows == whole.rows
    tickets[-1]["p"] = "3.00"
    with pytest.raises(Rejected, match="contradiction"):
        vivid.parse_listings(orjson.dumps(document), production_id=production)


def test_an_absurd_price_and_parking_are_left_out_and_counted() -> None:
    production, document = simulated()
    tickets = document["tickets"]
    assert isinstance(tickets, list)
    tickets[0] |= {"p": "99999999999.00", "aip": "99999999999.00", "allInPricePerTicket": "99999999999.00"}
    tickets[1] |= {"s": "Parking Lot B", "l": "Parking Lot B", "sectionName": "Parking Lot B"}
    parsed = vivid.parse_listings(orjson.dumps(document), production_id=production)
    assert {why: pair[0] for why, pair in parsed.excluded.items()} == {"absurd_price": 1, "parking": 1}
    assert parsed.totals == {
        "listingCount": len(parsed.rows),
        "ticketCount": sum(r["qty"] for r in parsed.rows),
    }


def test_productions_carry_a_fingerprint_that_moves_with_the_market() -> None:
    world = World(WorldOptions(seed=4, events=2, listings=30), SimClock(start=1.8e9, scale=0))
    items = [production_item(p, 1.8e9) for p in world.productions.values()]
    page = vivid.parse_productions(orjson.dumps({"items": items, "numberOfPages": 1, "total": len(items)}))
    assert [p.parking for p in page.productions].count(True) == 1
    assert not page.bad
    items[0]["listingCount"] += 1
    moved = vivid.parse_productions(orjson.dumps({"items": items, "numberOfPages": 1, "total": len(items)}))
    differ = [
        a.fingerprint != b.fingerprint for a, b in zip(page.productions, moved.productions, strict=True)
    ]
    assert differ == [True] + [False] * (len(items) - 1)


def test_seatgeek_prices_must_add_up() -> None:
    listing = {"id": "a1", "s": "Loge 102", "r": "C", "q": 2, "sp": [2], "p": 100, "f": 23.5, "pf": 123.5}
    parsed = seatgeek.parse_listings(orjson.dumps({"listings": [listing]}))
    assert (parsed.rows[0]["base_cents"], parsed.rows[0]["aip_cents"]) == (10000, 12350)
    with pytest.raises(Rejected, match="add up"):
        seatgeek.parse_listings(orjson.dumps({"listings": [{**listing, "pf": 124}]}))
    with pytest.raises(Rejected, match="capped"):
        seatgeek.parse_listings(orjson.dumps({"listings": [listing]}), stated=9)
