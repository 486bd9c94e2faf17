"""The oracle's sets: what must be there, object by object, as Python values ready for comparison."""

from __future__ import annotations

from typing import Any

from headgate.apps.stores.simulator import ledger, totals
from headgate.apps.stores.simulator.money import decimal
from headgate.apps.stores.simulator.options import gid
from headgate.apps.stores.simulator.shop import Shop


def orders_table(shop: Shop, *, money: int = ledger.SHOP) -> dict[str, dict[str, Any]]:
    """By order id: the current total price, what the ledger adds up to, when it changed, test, cancelled."""
    found = {}
    for order in shop.orders:
        currency = (order.currency, order.presentment)[money]
        found[gid("Order", shop.numbers.make(order.index))] = {
            "currency": currency,
            "current_total": format(decimal(totals.current_total(order)[money], currency), "f"),
            "ledger_total": format(ledger.order_total(order, money=money), "f"),
            "updated_at": order.updated_at,
            "test": order.test,
            "cancelled": order.cancelled_at is not None,
            "lines": len(order.lines),
        }
    return found


def ids(shop: Shop) -> dict[str, list[str]]:
    """The exact ids of all objects that are there now, by kind, sorted."""
    found: dict[str, list[str]] = {k: [] for k in (
        "orders", "line_items", "shipping_lines", "agreements", "sales", "refunds", "refund_lines", "transactions",
        "customers", "products", "variants", "inventory_levels",
    )}  # fmt: skip
    for order in shop.orders:
        n = order.index
        found["orders"].append(gid("Order", shop.numbers.make(n)))
        found["line_items"] += [gid("LineItem", shop.line_id(n, i)) for i in range(len(order.lines))]
        shipping = [i for i, c in enumerate(order.charges) if c.kind == "SHIPPING"]
        found["shipping_lines"] += [gid("ShippingLine", shop.line_id(n, i)) for i in shipping]
        found["transactions"] += [
            gid("OrderTransaction", shop.line_id(n, i)) for i in range(len(order.transactions))
        ]
        for a, agreement in enumerate(order.agreements):
            found["agreements"].append(gid("SalesAgreement", shop.line_id(n, a)))
            found["sales"] += [gid("Sale", shop.sale_id(n, a, m)) for m in range(len(agreement.movements))]
            if agreement.refund is not None:
                number = shop.line_id(n, a)
                found["refunds"].append(gid("Refund", number))
                lines = range(len(agreement.refund.lines))
                found["refund_lines"] += [gid("RefundLineItem", number * 16 + i) for i in lines]
    found["customers"] = [gid("Customer", shop.numbers.make(c.index)) for c in shop.customers]
    for product in shop.products:
        found["products"].append(gid("Product", shop.numbers.make(product.index)))
        for variant in product.variants:
            number = shop.variant_id(variant.key)
            found["variants"].append(gid("ProductVariant", number))
            found["inventory_levels"] += [
                f"{gid('InventoryLevel', shop.location_id(place))}?inventory_item_id={number}"
                for place in range(shop.options.locations)
            ]
    return {kind: sorted(values) for kind, values in found.items()}


def changed(shop: Shop) -> dict[str, dict[int, int]]:
    """When each object last changed, in seconds since 1970: kind → number → updatedAt."""
    variants = {
        shop.variant_id(variant.key): variant.updated_at
        for product in shop.products
        for variant in product.variants
    }
    return {
        "orders": {shop.numbers.make(order.index): order.updated_at for order in shop.orders},
        "customers": {shop.numbers.make(c.index): c.updated_at for c in shop.customers},
        "products": {shop.numbers.make(p.index): p.updated_at for p in shop.products},
        "variants": variants,
    }


def stock(shop: Shop) -> dict[tuple[int, int], int]:
    """What is available: (number of the inventory item, number of the location) → pieces."""
    return {
        (shop.variant_id(variant.key), shop.location_id(place)): pieces
        for product in shop.products
        for variant in product.variants
        for place, pieces in enumerate(variant.stock)
    }
