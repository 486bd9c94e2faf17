"""The simulated marketplace: deterministic, truthful about what sold, faults on order."""

from __future__ import annotations

from headgate.apps.tickets import vivid
from headgate.apps.tickets.simulator import SimClock, World, WorldOptions
from headgate.apps.tickets.simulator.answers import encode, listings_document


def world(listings: int = 60) -> World:
    return World(WorldOptions(seed=9, events=3, listings=listings), SimClock(start=1.8e9, scale=0))


def bodies(steps: list[float]) -> list[bytes]:
    made = world()
    for step in steps:
        made.clock.advance(step)
        for id_ in made.productions:
            made.get(id_)
    return [encode(listings_document(p, 0)) for p in made.productions.values()]


def test_a_market_depends_on_its_seed_and_never_on_who_asked_when() -> None:
    assert bodies([3600.0] * 6) == bodies([90.0] * 240)


def test_stock_is_opening_plus_arrivals_less_what_the_truth_says_left() -> None:
    made = world(200)
    for _ in range(144):
        before = {i: set(p.market.listings) for i, p in made.productions.items()}
        made.clock.advance(600)
        for id_, production in made.productions.items():
            facts = len(production.market.facts)
            made.get(id_)
            gone = before[id_] - set(production.market.listings)
            told = {f.listing for f in production.market.facts[facts:] if f.left == 0}
            assert gone <= told


def test_about_half_of_what_vanishes_comes_back_under_a_new_id() -> None:
    made = world(400)
    made.clock.advance(86_400)
    facts = []
    for id_ in made.productions:
        production = made.get(id_)
        assert production is not None
        facts += [f for f in production.market.facts if f.left == 0 and f.kind != "closed"]
    relisted = sum(f.kind == "relist" for f in facts) / len(facts)
    assert 0.4 <= relisted <= 0.6, relisted


def test_when_doors_open_everything_goes_and_nothing_is_sold() -> None:
    made = world()
    production = next(iter(made.productions.values()))
    made.clock.set_now(production.starts_at + 1)
    made.get(production.id)
    assert not production.market.listings
    assert {f.kind for f in production.market.facts if f.at >= production.starts_at} <= {"closed"}


def test_every_answer_parses_and_adds_up_after_a_day_of_trading() -> None:
    made = world(150)
    for _ in range(24):
        made.clock.advance(3600)
        for id_ in made.productions:
            production = made.get(id_)
            assert production is not None
            body = encode(listings_document(production, made.clock.now()))
            parsed = vivid.parse_listings(body, production_id=str(id_))
            assert len(parsed.rows) == len(production.market.listings)
            assert {r["id"]: r["splits"] for r in parsed.rows} == {
                i: x.splits for i, x in production.market.listings.items()
            }
