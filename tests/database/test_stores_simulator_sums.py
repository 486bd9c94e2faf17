"""What a client adds up from a bulk file is what the oracle says, day by day, and ties to each order's total."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from headgate.apps.stores import documents
from headgate.apps.stores.simulator import ShopOptions, ledger
from tests.stores_simulator import OPENED, shopify

SIDES = {
    "shopMoney": (ledger.SHOP, "currencyCode"),
    "presentmentMoney": (ledger.PRESENTMENT, "presentmentCurrencyCode"),
}


def added_up(lines: list[dict[str, Any]], zone: str, side: str) -> dict[tuple[str, str], dict[str, Decimal]]:
    """Daily figures from the lines of a file: each order's sales by the day of their agreement."""
    code = SIDES[side][1]
    orders = {x["id"]: x for x in lines if "/Order/" in x["id"]}
    agreements = {x["id"]: x for x in lines if "/SalesAgreement/" in x["id"]}
    found: dict[tuple[str, str], dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for agreement in agreements.values():
        order = orders[agreement["__parentId"]]
        if agreement["reason"] == "ORDER" and not order["test"]:
            found[day(agreement, zone), order[code]]["orders"] += 1
    for sale in (x for x in lines if "/Sale/" in x["id"]):
        agreement = agreements[sale["__parentId"]]
        order = orders[agreement["__parentId"]]
        total, tax, off = (
            Decimal(sale[name][side]["amount"])
            for name in ("totalAmount", "totalTaxAmount", "totalDiscountAmountBeforeTaxes")
        )
        totals[order["id"]] += total
        if order["test"]:
            continue
        figures = found[day(agreement, zone), order[code]]
        back = sale["actionType"] == "RETURN" or (sale["quantity"] or 0) < 0
        kind = sale["lineType"]
        if kind in ("TIP", "GIFT_CARD"):
            figures["tips" if kind == "TIP" else "gift_cards"] += total
            continue
        figures["taxes"] += tax
        figures["total"] += total
        if kind == "ADJUSTMENT" or (kind == "PRODUCT" and back):
            figures["reversals"] -= total - tax
        elif kind == "PRODUCT":
            figures["gross"] += total - tax + off
            figures["discounts"] += off
        else:
            name = {"SHIPPING": "shipping", "DUTY": "duties", "ADDITIONAL_FEE": "fees", "FEE": "fees"}[kind]
            figures[name] += total - tax
    for number, order in orders.items():
        assert totals[number] == Decimal(order["currentTotalPriceSet"][side]["amount"]), number
    return found


def day(agreement: dict[str, Any], zone: str) -> str:
    return datetime.fromisoformat(agreement["happenedAt"]).astimezone(ZoneInfo(zone)).date().isoformat()


@pytest.mark.parametrize(
    ("currency", "included", "zone"),
    [("USD", False, "America/New_York"), ("JPY", True, "Asia/Tokyo"), ("KWD", False, "Australia/Lord_Howe")],
)
async def test_a_clients_sums_equal_the_oracle(currency: str, included: bool, zone: str) -> None:
    options = ShopOptions(
        seed=11, orders=400, opened_at=OPENED, currency=currency, taxes_included=included, timezone=zone
    )
    async with shopify(options) as desk:
        desk.outlet.live.run(150)
        desk.order("awkward_money")
        desk.order("exchange_story")
        lines = await desk.lines((await desk.bulk(documents.BULK["orders"]))["url"])
        for side, (money, _) in SIDES.items():
            mine = added_up(lines, zone, side)
            rows = ledger.as_rows(ledger.daily(desk.outlet.shop.orders, zone, money=money))
            assert {(r["day"], r["currency"]) for r in rows} == set(mine)
            for row in rows:
                figures = mine[row["day"], row["currency"]]
                for name in ("gross", "discounts", "reversals", "shipping", "taxes", "duties", "fees", "total",
                             "tips", "gift_cards", "orders"):  # fmt: skip
                    assert figures[name] == Decimal(row[name]), (row["day"], name)
