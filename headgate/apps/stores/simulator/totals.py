"""The amounts that Shopify shows on an order, read from what is left of its lines and charges (not from the ledger)."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.apps.stores.simulator.facts import Order
from headgate.apps.stores.simulator.history import worth
from headgate.apps.stores.simulator.money import ZERO, Pair, add, sub, times


def total(amounts: Iterable[Pair]) -> Pair:
    """The sum in each currency."""
    shop = shown = 0
    for a, b in amounts:
        shop += a
        shown += b
    return (shop, shown)


def current_subtotal(order: Order) -> Pair:
    """What the kept goods cost after discounts."""
    return total(sub(times(x.unit, x.left), x.left_discount) for x in order.lines if x.kind != "TIP")


def current_tax(order: Order) -> Pair:
    """The tax on what is kept."""
    return add(total(x.left_tax for x in order.lines), total(c.left_tax for c in order.charges))


def current_charges(order: Order, kind: str) -> Pair:
    """What is left of shipping, duties or additional fees, after discounts."""
    return total(sub(c.left_price, c.left_discount) for c in order.charges if c.kind == kind)


def current_discounts(order: Order) -> Pair:
    """Discounts on what is kept."""
    return add(total(x.left_discount for x in order.lines), total(c.left_discount for c in order.charges))


def tips(order: Order) -> Pair:
    """Tips received."""
    return total(times(x.unit, x.left) for x in order.lines if x.kind == "TIP")


def current_total(order: Order) -> Pair:
    """The order's price as it stands now. `untied`: a fault that makes the ledger miss it on purpose."""
    found = add(current_subtotal(order), tips(order))
    for kind in ("SHIPPING", "DUTY", "ADDITIONAL_FEE"):
        found = add(found, current_charges(order, kind))
    if not order.taxes_included:
        found = add(found, current_tax(order))
    return add(add(add(found, order.fees), order.adjusted), order.untied)


def total_price(order: Order) -> Pair:
    """The price before anything came back: the order and what edits and exchanges added or removed."""
    return total(worth(order, m) for a in order.agreements for m in a.movements if m.action != "RETURN")


def original_total(order: Order) -> Pair:
    """The price when the order was placed."""
    return total(worth(order, m) for m in order.agreements[0].movements)


def given(order: Order, kinds: tuple[str, ...], what: str) -> Pair:
    """Sum of one amount (`discount`, `tax`, `price` after discount) over movements that are not returns."""
    moves = (m for a in order.agreements for m in a.movements if m.action != "RETURN" and m.kind in kinds)
    if what == "discount":
        return total(m.discount for m in moves)
    return total(m.tax for m in moves) if what == "tax" else total(sub(m.listed, m.discount) for m in moves)


GOODS = ("PRODUCT", "GIFT_CARD")
TAXED = ("PRODUCT", "SHIPPING", "DUTY", "ADDITIONAL_FEE")


def received(order: Order) -> Pair:
    """Money that came in."""
    return total(
        t.amount for t in order.transactions if t.kind in ("SALE", "CAPTURE") and t.status == "SUCCESS"
    )


def refunded(order: Order) -> Pair:
    """Money that went back."""
    return total(t.amount for t in order.transactions if t.kind == "REFUND")


def refunded_shipping(order: Order) -> Pair:
    """Shipping that went back."""
    return total(r.shipping for r in order.refunds())


def outstanding(order: Order) -> Pair:
    """What the buyer still owes; never below zero."""
    owed = sub(current_total(order), sub(received(order), refunded(order)))
    return (max(owed[0], 0), max(owed[1], 0))


def financial_status(order: Order) -> str:
    """As the admin shows it."""
    paid, back = received(order), refunded(order)
    if paid == ZERO:
        return "VOIDED" if order.cancelled_at else "PENDING"
    if back[0] >= paid[0]:
        return "REFUNDED"
    if back != ZERO:
        return "PARTIALLY_REFUNDED"
    return "PARTIALLY_PAID" if outstanding(order)[0] > 0 else "PAID"
