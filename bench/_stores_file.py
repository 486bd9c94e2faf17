"""A seeded shop's bulk file of orders, made in a process of its own. Arguments: folder, least number of lines.

Writes `orders.jsonl` and `about.json`: how many lines it has, the shop's domain, zone and currency, when it was read,
the ledger's figures by day, and for each table how many rows and the sum of their numbers. The last two are the oracle.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headgate.apps.stores import documents
from headgate.apps.stores.simulator import ledger
from headgate.apps.stores.simulator.options import ShopOptions
from headgate.apps.stores.simulator.projection import Compiler, dump
from headgate.apps.stores.simulator.roots import root_nodes
from headgate.apps.stores.simulator.schema import schema_for
from headgate.apps.stores.simulator.shop import Shop

#: How many lines an order has on average, children included.
PER_ORDER = 8.9
SCOPES = frozenset({"read_orders", "read_all_orders", "read_products", "read_customers", "read_inventory"})
#: The table of each kind of object.
TABLES = {
    "Order": "orders",
    "LineItem": "line_items",
    "ShippingLine": "shipping_lines",
    "SalesAgreement": "sales_agreements",
    "Sale": "sales",
    "Refund": "refunds",
    "OrderTransaction": "transactions",
}
FIGURES = (
    "gross", "discounts", "reversals", "net", "shipping", "taxes", "duties", "fees", "total", "tips", "gift_cards",
    "orders",
)  # fmt: skip


def keys(values: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Table and number of a line, and of the refunds and payments inside of an order."""
    for one in (values, *values.get("refunds", ()), *values.get("transactions", ())):
        kind, number = str(one.get("id") or "//").split("/")[-2:]
        if kind in TABLES:
            yield TABLES[kind], int(number.split("?")[0])
        elif kind.endswith("Sale"):
            yield "sales", int(number.split("?")[0])
        elif kind.endswith("Agreement"):
            yield "sales_agreements", int(number.split("?")[0])


def write(folder: Path, least: int) -> None:
    """The file and what is known of it."""
    shop = Shop(ShopOptions(seed=11, orders=max(50, round(least / PER_ORDER))))
    projection = Compiler(schema_for("2026-07"), documents.BULK["orders"]).compile()
    lines = 0
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    with (folder / "orders.jsonl").open("wb") as file:
        for node in root_nodes(shop, projection, SCOPES):
            for line in projection.lines(node):
                file.write(dump(line.values))
                lines += 1
                for table, number in keys(line.values):
                    rows[table][0] += 1
                    rows[table][1] += number
    days = [
        {"day": told["day"], **{name: str(told[name]) for name in FIGURES if name in told}}
        for told in ledger.as_rows(ledger.daily(shop.orders, shop.options.timezone))
    ]
    about = {
        "lines": lines,
        "domain": shop.domain,
        "zone": shop.options.timezone,
        "currency": shop.options.currency,
        "read_at": shop.options.opened_at + 120,
        "rows": rows,
        "days": days,
    }
    (folder / "about.json").write_text(json.dumps(about))


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
