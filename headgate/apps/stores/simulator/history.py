"""What may happen to an order after it was placed: edits, refunds, returns, exchanges, cancellation.

Each function changes the order and writes the agreement that Shopify would write. What is taken back is a share of
what is left, so that the last unit returned takes exactly the rest and no rounding can leak.
"""

from __future__ import annotations

from random import Random

from headgate.apps.stores.simulator.facts import (
    Agreement,
    Charge,
    Line,
    Movement,
    Order,
    Refund,
    RefundLine,
    Transaction,
)
from headgate.apps.stores.simulator.money import ZERO, Pair, add, from_cents, neg, part, percent, sub, times


def take_units(line: Line, index: int, units: int, *, action: str) -> Movement:
    """Take `units` of what is left of a line; the movement is below zero."""
    discount = part(line.left_discount, units, line.left)
    tax = part(line.left_tax, units, line.left)
    discount_tax = part(line.left_discount_tax, units, line.left)
    line.left -= units
    line.left_discount = sub(line.left_discount, discount)
    line.left_tax = sub(line.left_tax, tax)
    line.left_discount_tax = sub(line.left_discount_tax, discount_tax)
    return Movement(
        action,
        line.kind,
        index,
        -units,
        neg(times(line.unit, units)),
        neg(discount),
        neg(tax),
        neg(discount_tax),
    )


def take_charge(charge: Charge, index: int) -> Movement:
    """Take back all that is left of a shipping line or a duty."""
    moved = Movement(
        "RETURN", charge.kind, index, -1 if charge.kind == "DUTY" else None,
        neg(charge.left_price), neg(charge.left_discount), neg(charge.left_tax), neg(charge.left_discount_tax),
    )  # fmt: skip
    charge.left_price = charge.left_discount = charge.left_tax = charge.left_discount_tax = ZERO
    return moved


def worth(order: Order, moved: Movement) -> Pair:
    """What a movement is worth to the buyer: after discounts, with tax. Has the movement's sign."""
    price = sub(moved.listed, moved.discount)
    return price if order.taxes_included else add(price, moved.tax)


def adjust(order: Order, amount: Pair) -> Movement:
    """A refund beyond (above zero) or below what was given back."""
    order.adjusted = sub(order.adjusted, amount)
    return Movement("RETURN", "ADJUSTMENT", None, None, neg(amount))


def convert(order: Order, cents: int) -> Pair:
    """US cents in the order's two currencies."""
    return (from_cents(cents, order.currency), from_cents(cents, order.presentment))


def refund(
    order: Order, at: int, taken: dict[int, int], *, charges: bool = False, over: Pair = ZERO,
    reason: str = "REFUND", restock: str = "RETURN", note: str | None = None,
) -> Refund:  # fmt: skip
    """Give back `taken` units by line, all charges too if asked, and `over` more (or less, below zero)."""
    movements, lines, paid = [], [], over
    for index, units in taken.items():
        moved = take_units(order.lines[index], index, units, action="RETURN")
        movements.append(moved)
        paid = sub(paid, worth(order, moved))
        lines.append(RefundLine(index, units, sub(moved.discount, moved.listed), neg(moved.tax), restock))
    shipping, shipping_tax, duties = ZERO, ZERO, ZERO
    if charges:
        for index, charge in enumerate(order.charges):
            if charge.kind == "ADDITIONAL_FEE" or charge.left_price == ZERO:
                continue
            moved = take_charge(charge, index)
            movements.append(moved)
            paid = sub(paid, worth(order, moved))
            if charge.kind == "SHIPPING":
                shipping = add(shipping, sub(moved.discount, moved.listed))
                shipping_tax = sub(shipping_tax, moved.tax)
            else:
                duties = add(duties, neg(moved.listed))
    if over != ZERO:
        movements.append(adjust(order, over))
    made = Refund(at, note, lines, shipping, shipping_tax, over, paid, duties)
    order.agreements.append(Agreement(at, reason, movements, made))
    pay_back(order, at, paid)
    order.updated_at = max(order.updated_at, at)
    return made


def pay_back(order: Order, at: int, amount: Pair) -> None:
    """The refund's transaction, where anything had been paid."""
    parent = next((n for n, t in enumerate(order.transactions) if t.kind in ("SALE", "CAPTURE")), None)
    if parent is not None and amount[0] > 0:
        order.transactions.append(Transaction(at, "REFUND", "SUCCESS", amount, "bogus", parent))


def returnable(order: Order) -> dict[int, int]:
    """Lines with units left that may be returned (tips and gift cards are not)."""
    return {n: line.left for n, line in enumerate(order.lines) if line.left and line.kind == "PRODUCT"}


def partial_refund(order: Order, at: int, rng: Random) -> None:
    """Some units of one line."""
    open_ = returnable(order)
    if not open_:
        return goodwill(order, at, rng)
    index = rng.choice(sorted(open_))
    restock = rng.choice(("RETURN", "NO_RESTOCK"))
    refund(order, at, {index: rng.randint(1, open_[index])}, restock=restock)
    return None


def full_refund(order: Order, at: int, rng: Random) -> None:
    """Everything that is left, shipping and duties included."""
    refund(order, at, returnable(order), charges=True, note=rng.choice((None, "changed my mind")))


def goodwill(order: Order, at: int, rng: Random) -> None:
    """An amount without any goods."""
    refund(order, at, {}, over=convert(order, rng.randrange(100, 1500)), note="goodwill")


def over_refund(order: Order, at: int, rng: Random) -> None:
    """Goods back, and more money than they were worth."""
    open_ = returnable(order)
    first = dict.fromkeys(sorted(open_)[:1], 1)
    refund(order, at, first, over=convert(order, rng.randrange(50, 900)))


def returned_with_fee(order: Order, at: int, rng: Random) -> None:
    """A return from which a fee is kept."""
    open_ = returnable(order)
    if not open_:
        return
    index = rng.choice(sorted(open_))
    made = refund(order, at, {index: 1}, reason="RETURN")
    fee = convert(order, 350)
    fee = (min(fee[0], max(made.paid[0], 0)), min(fee[1], max(made.paid[1], 0)))
    order.agreements[-1].movements.append(Movement("UPDATE", "FEE", None, None, fee))
    order.fees = add(order.fees, fee)


def exchange(order: Order, at: int, rng: Random) -> None:
    """One unit comes back and another thing goes out, in one agreement."""
    open_ = returnable(order)
    if not open_:
        return
    index = rng.choice(sorted(open_))
    refund(order, at, {index: 1}, reason="RETURN")
    old = order.lines[index]
    order.agreements[-1].movements.append(add_line(order, old, quantity=1, title=f"{old.title} (exchange)"))


def add_line(order: Order, like: Line, *, quantity: int, title: str) -> Movement:
    """A new line at the same price as another, without its discount."""
    listed = times(like.unit, quantity)
    bp = like.basis_points
    tax = percent(listed, bp, over=10_000 + bp if order.taxes_included else 10_000)
    line = Line(
        like.kind, like.variant, title, like.sku, like.vendor, like.unit, quantity, ZERO, tax, ZERO, bp
    ).settle()
    order.lines.append(line)
    return Movement("UPDATE", line.kind, len(order.lines) - 1, quantity, listed, ZERO, tax)


def edit(order: Order, at: int, rng: Random) -> None:
    """An order edit: a line added, units removed, or a discount given afterwards."""
    open_ = returnable(order)
    if not open_:
        return
    index = rng.choice(sorted(open_))
    line = order.lines[index]
    what = rng.choice(("add", "add", "remove", "discount"))
    if what == "add":
        moved = add_line(order, line, quantity=rng.randint(1, 2), title=f"{line.title} (added)")
    elif what == "remove":
        moved = take_units(line, index, rng.randint(1, open_[index]), action="UPDATE")
    else:
        moved = discount_later(order, line, index, basis_points=rng.choice((500, 1000)))
    order.agreements.append(Agreement(at, "ORDER_EDIT", [moved]))
    order.updated_at = max(order.updated_at, at)


def discount_later(order: Order, line: Line, index: int, *, basis_points: int) -> Movement:
    """A percentage off what is left of a line; the tax falls with it."""
    price = sub(times(line.unit, line.left), line.left_discount)
    discount = percent(price, basis_points)
    over = 10_000 + line.basis_points if order.taxes_included else 10_000
    saved = percent(discount, line.basis_points, over=over)
    saved = (min(saved[0], line.left_tax[0]), min(saved[1], line.left_tax[1]))
    line.left_discount = add(line.left_discount, discount)
    line.left_tax = sub(line.left_tax, saved)
    line.left_discount_tax = add(line.left_discount_tax, saved)
    line.discount, line.tax = add(line.discount, discount), sub(line.tax, saved)
    line.discount_tax = add(line.discount_tax, saved)
    return Movement("UPDATE", line.kind, index, 0, ZERO, discount, neg(saved), saved)


def cancel(order: Order, at: int, rng: Random) -> None:
    """Cancelled; three times out of four everything is given back at once."""
    order.cancelled_at = at
    order.cancel_reason = rng.choice(("CUSTOMER", "INVENTORY", "FRAUD", "OTHER"))
    if rng.random() < 0.75:
        refund(order, at, returnable(order), charges=True, restock="CANCEL")
    order.updated_at = max(order.updated_at, at)


def touch(order: Order, at: int, rng: Random) -> None:
    """A change without money: a tag, a closed order."""
    order.tags = tuple(sorted({*order.tags, rng.choice(("packed", "gift", "call"))}))
    order.closed_at = at
    order.updated_at = max(order.updated_at, at)


HAPPENINGS = {
    "edit": edit, "partial_refund": partial_refund, "full_refund": full_refund, "goodwill": goodwill,
    "over_refund": over_refund, "returned_with_fee": returned_with_fee, "exchange": exchange, "cancel": cancel,
    "touch": touch,
}  # fmt: skip
