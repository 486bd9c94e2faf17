"""The simulated shop's books: what the API shows, what the ledger adds up to and what happened agree to the cent."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from headgate.apps.stores.simulator import ShopOptions, ledger, totals
from headgate.apps.stores.simulator.live import Live
from headgate.apps.stores.simulator.money import decimal
from headgate.apps.stores.simulator.shop import Shop

OPENED = 1_790_000_000


def shop(**given: object) -> Shop:
    return Shop(ShopOptions(**{"seed": 7, "orders": 1200, "opened_at": OPENED, **given}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("currency", "included"), [("USD", False), ("USD", True), ("JPY", False), ("KWD", True)]
)
def test_every_orders_ledger_equals_its_current_total_in_both_currencies(
    currency: str, included: bool
) -> None:
    made = shop(currency=currency, taxes_included=included)
    live = Live(made, seed=1)
    live.run(600, orders_only=True)
    moved = 0
    for order in made.orders:
        for money, code in ((0, order.currency), (1, order.presentment)):
            expected = decimal(totals.current_total(order)[money], code)
            assert ledger.order_total(order, money=money) == expected, order.index
        moved += len(order.agreements) > 1
    assert moved > 300


def test_the_seeded_history_has_every_kind_of_event_and_money() -> None:
    made = shop(orders=4000)
    reasons: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    currencies: Counter[str] = Counter()
    for order in made.orders:
        currencies[order.presentment] += 1
        for agreement in order.agreements:
            reasons[agreement.reason] += 1
            kinds.update(f"{m.action} {m.kind}" for m in agreement.movements)
    assert set(reasons) == {"ORDER", "ORDER_EDIT", "REFUND", "RETURN"}
    assert {"USD", "JPY", "KWD", "EUR"} <= set(currencies)
    wanted = {
        "ORDER PRODUCT",
        "ORDER GIFT_CARD",
        "ORDER TIP",
        "ORDER SHIPPING",
        "ORDER DUTY",
        "RETURN SHIPPING",
    }
    wanted |= {"ORDER ADDITIONAL_FEE", "RETURN PRODUCT", "UPDATE PRODUCT", "UPDATE FEE", "RETURN ADJUSTMENT"}
    assert wanted <= set(kinds)
    assert any(o.test for o in made.orders)
    assert any(o.cancelled_at for o in made.orders)
    assert any(not o.transactions for o in made.orders)


def test_days_add_up_to_the_orders_and_leave_out_test_orders() -> None:
    made = shop()
    found = ledger.daily(made.orders, "America/New_York")
    whole = sum((d.total + d.tips + d.gift_cards for d in found.values()), Decimal(0))
    real = [o for o in made.orders if not o.test]
    assert whole == sum((ledger.order_total(o) for o in real), Decimal(0))
    assert sum(d.orders for d in found.values()) == len(real) < len(made.orders)


def test_a_return_counts_on_its_own_day_where_the_shop_is() -> None:
    made = shop(orders=1)
    live = Live(made, seed=1)
    index = live.place_order(presentment="USD")
    placed = made.orders.get(index)
    assert placed is not None
    made.clock.advance(3 * 86_400)
    live.change_order(order=index, kind="full_refund")
    order = made.orders.get(index)
    assert order is not None
    order.test = False
    found = ledger.daily([order], "Asia/Tokyo")
    first, second = sorted(found)
    assert (second[0] - first[0]).days == 3
    assert found[first].reversals == 0
    assert found[second].gross == 0
    assert found[second].reversals > 0
    assert (
        ledger.day_of(1_793_515_800, "America/New_York").isoformat() == "2026-11-01"
    )  # the clock change's day


def test_the_same_options_give_the_same_shop_and_another_seed_another() -> None:
    one, two = shop(orders=60), shop(orders=60)
    assert [one.orders.get(n) for n in range(60)] == [two.orders.get(n) for n in reversed(range(60))][::-1]
    assert one.orders.get(3) != shop(orders=60, seed=8).orders.get(3)


def test_an_order_built_alone_has_the_times_that_the_index_says() -> None:
    made = shop(orders=500)
    for n in range(500):
        order = made.orders.get(n)
        assert order is not None
        assert made.orders.times(n) == (order.created_at, order.updated_at, order.processed_at)


def test_an_untied_order_is_the_only_one_that_does_not_tie() -> None:
    made = shop(orders=50)
    index = Live(made, seed=1).untie(order=20)
    off = [
        o.index for o in made.orders if ledger.order_total(o) != decimal(totals.current_total(o)[0], "USD")
    ]
    assert off == [index]
