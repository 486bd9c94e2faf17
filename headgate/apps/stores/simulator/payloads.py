"""Webhook bodies: REST's names and shapes, built from the same facts as the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from headgate.apps.stores.simulator import totals
from headgate.apps.stores.simulator.catalogue import Customer, Product
from headgate.apps.stores.simulator.facts import Order, Refund
from headgate.apps.stores.simulator.money import Pair, exponent, fixed, sub
from headgate.apps.stores.simulator.options import VARIANT_SLOTS, gid
from headgate.apps.stores.simulator.shop import Shop


def local(shop: Shop, moment: float | None) -> str | None:
    """A moment as webhooks write it: with the shop's offset."""
    if moment is None:
        return None
    return datetime.fromtimestamp(int(moment), UTC).astimezone(ZoneInfo(shop.options.timezone)).isoformat()


def both(order: Order, amount: Pair) -> dict[str, Any]:
    """An amount in both currencies."""
    return {
        "shop_money": {"amount": fixed(amount[0], exponent(order.currency)), "currency_code": order.currency},
        "presentment_money": {
            "amount": fixed(amount[1], exponent(order.presentment)), "currency_code": order.presentment,
        },
    }  # fmt: skip


def one(order: Order, amount: Pair) -> str:
    """An amount in the shop's currency."""
    return fixed(amount[0], exponent(order.currency))


def line_item(shop: Shop, order: Order, index: int) -> dict[str, Any]:
    """A line of an order."""
    line = order.lines[index]
    product = None if line.variant is None else line.variant // VARIANT_SLOTS
    number = shop.line_id(order.index, index)
    return {
        "id": number, "admin_graphql_api_id": gid("LineItem", number), "title": line.title, "name": line.title,
        "quantity": line.quantity, "current_quantity": line.left, "price": one(order, line.unit),
        "price_set": both(order, line.unit), "total_discount": one(order, line.discount),
        "total_discount_set": both(order, line.discount), "sku": line.sku, "vendor": line.vendor,
        "gift_card": line.kind == "GIFT_CARD", "taxable": line.basis_points > 0,
        "product_id": None if product is None else shop.numbers.make(product),
        "variant_id": None if line.variant is None else shop.variant_id(line.variant),
        "product_exists": product is not None,
        "tax_lines": [{"title": "Tax", "rate": line.basis_points / 10_000, "price": one(order, line.tax),
                       "price_set": both(order, line.tax), "channel_liable": False}] if line.basis_points else [],
        "variant_title": None, "requires_shipping": line.kind == "PRODUCT", "fulfillable_quantity": line.left,
        "properties": [], "discount_allocations": [], "duties": [],
    }  # fmt: skip


def refunded_line(shop: Shop, order: Order, index: int) -> dict[str, Any]:
    """A line as refunds show it: without what is left of it."""
    return {k: v for k, v in line_item(shop, order, index).items() if k != "current_quantity"}


def order_body(shop: Shop, order: Order) -> dict[str, Any]:
    """`orders/create`, `orders/updated`, `orders/cancelled`."""
    number = shop.numbers.make(order.index)
    sets = {
        "current_total_price": totals.current_total(order), "current_subtotal_price": totals.current_subtotal(order),
        "current_total_tax": totals.current_tax(order), "current_total_discounts": totals.current_discounts(order),
        "total_price": totals.total_price(order),
        "subtotal_price": totals.given(order, totals.GOODS, "price"),
        "total_discounts": totals.given(order, (*totals.GOODS, "SHIPPING"), "discount"),
        "total_tax": totals.given(order, totals.TAXED, "tax"),
    }  # fmt: skip
    body: dict[str, Any] = {
        "id": number, "admin_graphql_api_id": gid("Order", number), "name": f"#{1001 + order.index}",
        "number": 1 + order.index, "order_number": 1001 + order.index, "created_at": local(shop, order.created_at),
        "processed_at": local(shop, order.processed_at), "updated_at": local(shop, order.updated_at),
        "cancelled_at": local(shop, order.cancelled_at), "closed_at": local(shop, order.closed_at),
        "cancel_reason": (order.cancel_reason or "").lower() or None, "currency": order.currency,
        "presentment_currency": order.presentment, "test": order.test, "confirmed": True,
        "taxes_included": order.taxes_included, "tags": ", ".join(order.tags), "note": order.note,
        "email": None if order.redacted else order.email, "contact_email": None if order.redacted else order.email,
        "financial_status": totals.financial_status(order).lower(), "fulfillment_status": None,
        "total_outstanding": one(order, totals.outstanding(order)),
        "total_tip_received": one(order, totals.tips(order)),
        "customer": customer_of(shop, order),
        "line_items": [line_item(shop, order, n) for n in range(len(order.lines))],
        "shipping_lines": [
            {"id": shop.line_id(order.index, n), "title": c.title, "price": one(order, c.price),
             "price_set": both(order, c.price), "discounted_price": one(order, sub(c.price, c.discount))}
            for n, c in enumerate(order.charges) if c.kind == "SHIPPING"
        ],
        "refunds": [refund_body(shop, order, n) for n, a in enumerate(order.agreements) if a.refund is not None],
        "discount_codes": [{"code": a.code, "amount": one(order, a.amount)} for a in order.applications if a.code],
    }  # fmt: skip
    for name, amount in sets.items():
        body[name], body[f"{name}_set"] = one(order, amount), both(order, amount)
    return body


def customer_of(shop: Shop, order: Order) -> dict[str, Any] | None:
    """The customer within an order's body."""
    found = None if order.customer is None or order.redacted else shop.customers.get(order.customer)
    if found is None:
        return None
    return {k: v for k, v in customer_body(shop, found).items() if k != "addresses"}


def refund_body(shop: Shop, order: Order, at: int) -> dict[str, Any]:
    """`refunds/create`; `at`: which agreement of the order."""
    refund = cast(Refund, order.agreements[at].refund)
    number = shop.line_id(order.index, at)
    return {
        "id": number, "admin_graphql_api_id": gid("Refund", number), "order_id": shop.numbers.make(order.index),
        "created_at": local(shop, refund.at), "processed_at": local(shop, refund.at), "note": refund.note,
        "restock": any(x.restock != "NO_RESTOCK" for x in refund.lines), "user_id": None, "return": None, "duties": [],
        "total_duties_set": both(order, refund.duties), "refund_shipping_lines": [],
        "order_adjustments": [] if refund.adjustment == (0, 0) else [
            {"id": number, "amount": one(order, (-refund.adjustment[0], 0)), "kind": "refund_discrepancy",
             "reason": "Refund discrepancy", "tax_amount": one(order, (0, 0))}
        ],
        "refund_line_items": [
            {"id": number * 16 + n, "line_item_id": shop.line_id(order.index, x.line), "quantity": x.quantity,
             "restock_type": x.restock.lower(), "subtotal_set": both(order, x.subtotal),
             "total_tax_set": both(order, x.tax), "line_item": refunded_line(shop, order, x.line)}
            for n, x in enumerate(refund.lines)
        ],
        "transactions": [
            transaction_body(shop, order, n) for n, t in enumerate(order.transactions)
            if t.kind == "REFUND" and t.at == refund.at
        ],
    }  # fmt: skip


def transaction_body(shop: Shop, order: Order, index: int) -> dict[str, Any]:
    """`order_transactions/create`."""
    found = order.transactions[index]
    number = shop.line_id(order.index, index)
    return {
        "id": number, "admin_graphql_api_id": gid("OrderTransaction", number), "kind": found.kind.lower(),
        "order_id": shop.numbers.make(order.index), "status": found.status.lower(), "gateway": found.gateway,
        "amount": fixed(found.amount[1], exponent(order.presentment)), "currency": order.presentment,
        "created_at": local(shop, found.at), "processed_at": local(shop, found.at), "test": order.test,
        "parent_id": None if found.parent is None else shop.line_id(order.index, found.parent), "message": None,
    }  # fmt: skip


def edit_body(shop: Shop, order: Order, at: int) -> dict[str, Any]:
    """`orders/edited`."""
    moved = order.agreements[at].movements
    changes: dict[str, list[dict[str, int]]] = {"additions": [], "removals": []}
    for movement in moved:
        if movement.subject is not None and movement.quantity:
            side = "additions" if movement.quantity > 0 else "removals"
            line = shop.line_id(order.index, movement.subject)
            changes[side].append({"id": line, "delta": abs(movement.quantity)})
    when = local(shop, order.agreements[at].at)
    return {
        "order_edit": {
            "id": shop.line_id(order.index, at), "app_id": None, "created_at": when, "committed_at": when,
            "notify_customer": False, "order_id": shop.numbers.make(order.index), "staff_note": "", "user_id": None,
            "line_items": changes, "discounts": {"line_item": {"additions": [], "removals": []}},
            "shipping_lines": {"additions": [], "removals": []},
        }
    }  # fmt: skip


def customer_body(shop: Shop, customer: Customer) -> dict[str, Any]:
    """`customers/create`, `customers/update`."""
    number = shop.numbers.make(customer.index)
    return {
        "id": number, "admin_graphql_api_id": gid("Customer", number), "email": customer.email,
        "first_name": customer.first_name, "last_name": customer.last_name, "phone": customer.phone,
        "created_at": local(shop, customer.created_at), "updated_at": local(shop, customer.updated_at),
        "state": customer.state.lower(), "note": customer.note, "verified_email": customer.email is not None,
        "tax_exempt": False, "tax_exemptions": [], "currency": shop.options.currency, "multipass_identifier": None,
        "addresses": [], "default_address": None,
    }  # fmt: skip


def product_body(shop: Shop, product: Product) -> dict[str, Any]:
    """`products/create`, `products/update`."""
    number = shop.numbers.make(product.index)
    return {
        "id": number, "admin_graphql_api_id": gid("Product", number), "title": product.title, "vendor": product.vendor,
        "product_type": product.kind, "status": product.status.lower(), "tags": ", ".join(product.tags),
        "handle": product.title.lower().replace(" ", "-"), "body_html": f"<p>About {product.title}</p>",
        "created_at": local(shop, product.created_at), "updated_at": local(shop, product.updated_at),
        "published_at": local(shop, product.created_at), "template_suffix": None, "published_scope": "global",
        "variants": [
            {"id": shop.variant_id(v.key), "admin_graphql_api_id": gid("ProductVariant", shop.variant_id(v.key)),
             "product_id": number, "title": v.title, "price": fixed(v.price, exponent(shop.options.currency)),
             "sku": v.sku, "barcode": None, "position": v.slot + 1, "taxable": v.taxable, "inventory_policy": "deny",
             "inventory_item_id": shop.variant_id(v.key), "inventory_quantity": sum(v.stock),
             "old_inventory_quantity": sum(v.stock), "compare_at_price": None, "image_id": None, "option1": v.title,
             "option2": None, "option3": None, "created_at": local(shop, product.created_at),
             "updated_at": local(shop, v.updated_at)}
            for v in product.variants
        ],
        "variant_gids": [
            {"admin_graphql_api_id": gid("ProductVariant", shop.variant_id(v.key)),
             "updated_at": local(shop, v.updated_at)}
            for v in product.variants
        ],
        "options": [], "images": [], "image": None, "media": [], "category": None,
        "has_variants_that_requires_components": False,
    }  # fmt: skip


def level_body(shop: Shop, product: Product, slot: int, location: int) -> dict[str, Any]:
    """`inventory_levels/update`."""
    item, place = shop.variant_id(product.variants[slot].key), shop.location_id(location)
    return {
        "inventory_item_id": item, "location_id": place, "available": product.variants[slot].stock[location],
        "updated_at": local(shop, product.variants[slot].updated_at),
        "admin_graphql_api_id": f"gid://shopify/InventoryLevel/{place}?inventory_item_id={item}",
    }  # fmt: skip


def shop_body(shop: Shop) -> dict[str, Any]:
    """`shop/update` and `app/uninstalled`."""
    return {
        "id": shop.numbers.base, "name": shop.name, "domain": shop.domain, "myshopify_domain": shop.domain,
        "email": "owner@example.com", "currency": shop.options.currency, "iana_timezone": shop.options.timezone,
        "taxes_included": shop.options.taxes_included, "updated_at": local(shop, shop.updated_at),
        "enabled_presentment_currencies": sorted({shop.options.currency, *shop.options.presentment}),
    }  # fmt: skip
