"""The oracle: what a shop sold, by its own days, in exact decimals, from what happened and from nothing else.

It reads the facts of the simulated orders and shares no code with whatever is being tested. The definitions, for each
movement of an agreement, on the day (in the shop's time zone) on which the agreement happened:

- product movements that add: gross is the price before discounts and without tax; discounts is what was taken off it,
  without tax. Those that take back (a return, units removed by an edit) count as reversals, at their value after
  discounts and without tax. Refunds beyond or below the goods' worth (adjustments) are reversals too.
- net = gross - discounts - reversals; total = net + shipping + taxes + duties + fees.
- gift cards sold and tips stand apart and are in none of the others.
- orders: the orders placed that day, cancelled, unpaid and pending ones too. Test and deleted orders count nowhere.
- aov = (gross - discounts) / orders, rounded to the currency's digits, half away from zero; none without orders.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from headgate.apps.stores.simulator.facts import Movement, Order

_MINOR = {"JPY": 0, "KRW": 0, "CLP": 0, "VND": 0, "KWD": 3, "BHD": 3, "TND": 3, "OMR": 3, "JOD": 3}
SHOP, PRESENTMENT = 0, 1


@dataclass
class Day:
    """The figures of one day in one currency."""

    gross: Decimal = Decimal(0)
    discounts: Decimal = Decimal(0)
    reversals: Decimal = Decimal(0)
    shipping: Decimal = Decimal(0)
    taxes: Decimal = Decimal(0)
    duties: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    tips: Decimal = Decimal(0)
    gift_cards: Decimal = Decimal(0)
    orders: int = 0

    @property
    def net(self) -> Decimal:
        """Gross without discounts and reversals."""
        return self.gross - self.discounts - self.reversals

    @property
    def total(self) -> Decimal:
        """Net with shipping, taxes, duties and fees."""
        return self.net + self.shipping + self.taxes + self.duties + self.fees

    def aov(self, currency: str) -> Decimal | None:
        """The average order's value before anything came back."""
        if not self.orders:
            return None
        step = Decimal(1).scaleb(-_MINOR.get(currency, 2))
        return ((self.gross - self.discounts) / self.orders).quantize(step, ROUND_HALF_UP)

    def as_dict(self, currency: str) -> dict[str, Any]:
        """All figures, money as text."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        average = self.aov(currency)
        texts = {k: v if isinstance(v, int) else format(v, "f") for k, v in plain.items()}
        return {
            **texts, "net": format(self.net, "f"), "total": format(self.total, "f"),
            "aov": None if average is None else format(average, "f"),
        }  # fmt: skip


Daily = dict[tuple[date, str], Day]


def day_of(moment: int, timezone: str) -> date:
    """The calendar day of a moment where the shop is."""
    return datetime.fromtimestamp(moment, UTC).astimezone(ZoneInfo(timezone)).date()


def daily(orders: Iterable[Order], timezone: str, *, money: int = SHOP) -> Daily:
    """Every day's figures by currency; `money` says which side of each amount (SHOP or PRESENTMENT) is counted."""
    found: Daily = {}
    for order in orders:
        if order.test:
            continue
        currency = (order.currency, order.presentment)[money]
        for agreement in order.agreements:
            day = found.setdefault((day_of(agreement.at, timezone), currency), Day())
            day.orders += agreement.reason == "ORDER"
            for moved in agreement.movements:
                count(day, moved, order.taxes_included, currency=currency, money=money)
    return found


def count(day: Day, moved: Movement, included: bool, *, currency: str, money: int) -> None:
    """Add one movement to its day."""
    listed, off, tax, saved = _amounts(moved, currency, money)
    if included:  # the shelf price has the tax in it; figures are without
        listed, off = listed - tax - saved, off - saved
    if moved.kind == "PRODUCT":
        if moved.action == "RETURN" or (moved.quantity or 0) < 0:
            day.reversals -= listed - off
        else:
            day.gross += listed
            day.discounts += off
        day.taxes += tax
    elif moved.kind == "ADJUSTMENT":
        day.reversals -= listed
        day.taxes += tax
    elif moved.kind == "TIP":
        day.tips += listed
    elif moved.kind == "GIFT_CARD":
        day.gift_cards += listed - off
    else:
        name = {"SHIPPING": "shipping", "DUTY": "duties", "ADDITIONAL_FEE": "fees", "FEE": "fees"}[moved.kind]
        setattr(day, name, getattr(day, name) + listed - off)
        day.taxes += tax


def order_total(order: Order, *, money: int = SHOP) -> Decimal:
    """What the order's ledger adds up to: must equal its current total price."""
    currency = (order.currency, order.presentment)[money]
    total = Decimal(0)
    for agreement in order.agreements:
        for moved in agreement.movements:
            listed, off, tax, _ = _amounts(moved, currency, money)
            total += listed - off + (0 if order.taxes_included else tax)
    return total


def _amounts(moved: Movement, currency: str, money: int) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    power = -_MINOR.get(currency, 2)
    sides = (moved.listed[money], moved.discount[money], moved.tax[money], moved.discount_tax[money])
    listed, off, tax, saved = (Decimal(x).scaleb(power) for x in sides)
    return listed, off, tax, saved


def as_rows(found: Daily) -> list[dict[str, Any]]:
    """The days in order, ready for JSON."""
    return [{"day": k[0].isoformat(), "currency": k[1], **found[k].as_dict(k[1])} for k in sorted(found)]
