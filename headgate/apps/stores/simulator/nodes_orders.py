"""The fields of orders and of everything that belongs to one."""

from __future__ import annotations

from typing import Any

from headgate.apps.stores.simulator import totals
from headgate.apps.stores.simulator.clock import iso, stamp
from headgate.apps.stores.simulator.facts import Charge, Line, Movement, Order
from headgate.apps.stores.simulator.history import worth
from headgate.apps.stores.simulator.money import ZERO, Pair, add, neg, sub, times
from headgate.apps.stores.simulator.nodes import Args, Bag, Field, Fields, Items, Node, constant, plain
from headgate.apps.stores.simulator.options import LINE_SLOTS, gid
from headgate.apps.stores.simulator.shop import Lazy

SALES = {
    "PRODUCT": "ProductSale", "GIFT_CARD": "GiftCardSale", "TIP": "TipSale", "SHIPPING": "ShippingLineSale",
    "DUTY": "DutySale", "ADDITIONAL_FEE": "AdditionalFeeSale", "FEE": "FeeSale", "ADJUSTMENT": "AdjustmentSale",
}  # fmt: skip
AGREEMENTS = {
    "ORDER": "OrderAgreement", "ORDER_EDIT": "OrderEditAgreement", "REFUND": "RefundAgreement",
    "RETURN": "ReturnAgreement",
}  # fmt: skip


def bag(n: Node, amount: Pair) -> Bag:
    """An amount of the order that `n` is or belongs to."""
    order = order_of(n)
    return Bag(amount, (order.currency, order.presentment))


def order_of(n: Node) -> Order:
    """The order that a node is or belongs to."""
    while n.kind != "Order":
        n = n.up
    found: Order = n.it
    return found


def order_node(n: Node) -> Node:
    """As `order_of`, the node itself."""
    while n.kind != "Order":
        n = n.up
    return n


def money(of: Any) -> Field:
    """A money field computed from the order."""
    return lambda n, a: Bag(of(n.it), (n.it.currency, n.it.presentment))


def sub_id(kind: str, n: Node, slot: int) -> str:
    """The id of the `slot`-th thing of a kind in an order."""
    return gid(kind, n.shop.line_id(order_of(n).index, slot))


def taxed(n: Node, title: str, rate: int, tax: Pair) -> list[Node]:
    """The tax lines of something: one, or none where nothing is taxed."""
    return [Node("TaxLine", n.shop, (title, rate, tax), n)] if rate else []


# --- order ------------------------------------------------------------
def lines(n: Node, a: Args) -> Items:
    return Items([Node("LineItem", n.shop, i, n) for i in range(len(n.it.lines))])


def shipping(n: Node, a: Args) -> Items:
    found = [i for i, c in enumerate(n.it.charges) if c.kind == "SHIPPING"]
    return Items(
        [
            Node("ShippingLine", n.shop, i, n)
            for i in found
            if a.get("includeRemovals") or not n.it.charges[i].removed
        ]
    )


def agreements(n: Node, a: Args) -> Items:
    return Items([Node(AGREEMENTS[x.reason], n.shop, i, n) for i, x in enumerate(n.it.agreements)])


def refunds(n: Node, a: Args) -> list[Node]:
    found = [Node("Refund", n.shop, i, n) for i, x in enumerate(n.it.agreements) if x.refund is not None]
    return found[: a["first"]] if a.get("first") is not None else found


def transactions(n: Node, a: Args) -> list[Node]:
    found = [Node("OrderTransaction", n.shop, i, n) for i in range(len(n.it.transactions))]
    return found[: a["first"]] if a.get("first") is not None else found


def applications(n: Node, a: Args) -> Items:
    kinds = ("AutomaticDiscountApplication", "DiscountCodeApplication")
    return Items([Node(kinds[x.code is not None], n.shop, i, n) for i, x in enumerate(n.it.applications)])


def customer(n: Node, a: Args) -> Node | None:
    index = n.it.customer
    if index is None or n.it.redacted or not n.shop.customers.has(index):
        return None
    return Node("Customer", n.shop, Lazy(n.shop.customers, index))


def address(n: Node, a: Args) -> Node | None:
    if n.it.redacted or n.it.customer is None:
        return None
    key = n.shop.numbers.make(n.it.index)
    return Node(
        "MailingAddress", n.shop, (key, n.it.country, f"First{n.it.customer % 97}", f"Last{n.it.customer}")
    )


def current_taxes(n: Node, a: Args) -> list[Node]:
    rates = sorted({x.basis_points for x in [*n.it.lines, *n.it.charges] if x.basis_points})
    return [Node("TaxLine", n.shop, ("Tax", rates[0], totals.current_tax(n.it)), n)] if rates else []


def first_taxes(n: Node, a: Args) -> list[Node]:
    found = current_taxes(n, a)
    return [x._replace(it=("Tax", x.it[1], totals.given(n.it, totals.TAXED, "tax"))) for x in found]


def fulfilment(n: Node, a: Args) -> str:
    return "UNFULFILLED" if n.it.index % 3 == 0 or n.it.cancelled_at else "FULFILLED"


def charge_or_none(kind: str, *, original: bool = False) -> Field:
    def read(n: Node, a: Args) -> Bag | None:
        found = [c for c in n.it.charges if c.kind == kind]
        if not found:
            return None
        if original:
            return bag(n, totals.total(sub(c.price, c.discount) for c in found))
        return bag(n, totals.current_charges(n.it, kind))

    return read


def codes(n: Node) -> list[str]:
    return [x.code for x in n.it.applications if x.code]


ORDER: dict[str, Field] = {
    "id": lambda n, a: gid("Order", n.shop.numbers.make(n.it.index)),
    "legacyResourceId": lambda n, a: str(n.shop.numbers.make(n.it.index)),
    "name": lambda n, a: f"#{1001 + n.it.index}",
    "number": lambda n, a: 1001 + n.it.index,
    "confirmationNumber": lambda n, a: f"C{n.it.index:08X}",
    "createdAt": lambda n, a: stamp(n.it.created_at),
    "processedAt": lambda n, a: stamp(n.it.processed_at),
    "updatedAt": lambda n, a: stamp(n.it.updated_at),
    "cancelledAt": lambda n, a: iso(n.it.cancelled_at),
    "cancelReason": plain("cancel_reason"),
    "closedAt": lambda n, a: iso(n.it.closed_at),
    "closed": lambda n, a: n.it.closed_at is not None,
    "confirmed": constant(True),
    "test": plain("test"),
    "edited": lambda n, a: any(x.reason == "ORDER_EDIT" for x in n.it.agreements),
    "tags": lambda n, a: list(n.it.tags),
    "note": plain("note"),
    "email": lambda n, a: None if n.it.redacted else n.it.email,
    "phone": constant(None),
    "poNumber": constant(None),
    "sourceName": constant("web"),
    "customerLocale": constant("en"),
    "currencyCode": plain("currency"),
    "presentmentCurrencyCode": plain("presentment"),
    "taxesIncluded": plain("taxes_included"),
    "taxExempt": constant(False),
    "dutiesIncluded": constant(False),
    "estimatedTaxes": constant(False),
    "displayFinancialStatus": lambda n, a: totals.financial_status(n.it),
    "displayFulfillmentStatus": fulfilment,
    "returnStatus": lambda n, a: (
        "RETURNED" if any(x.reason == "RETURN" for x in n.it.agreements) else "NO_RETURN"
    ),
    "fullyPaid": lambda n, a: totals.received(n.it) != ZERO and totals.outstanding(n.it)[0] == 0,
    "unpaid": lambda n, a: totals.received(n.it) == ZERO,
    "paymentGatewayNames": lambda n, a: sorted({t.gateway for t in n.it.transactions}),
    "discountCode": lambda n, a: next(iter(codes(n)), None),
    "discountCodes": lambda n, a: codes(n),
    "customer": customer,
    "shippingAddress": address,
    "billingAddress": address,
    "lineItems": lines,
    "shippingLine": lambda n, a: next(iter(shipping(n, {}).nodes), None),
    "shippingLines": shipping,
    "agreements": agreements,
    "refunds": refunds,
    "transactions": transactions,
    "discountApplications": applications,
    "taxLines": first_taxes,
    "currentTaxLines": current_taxes,
    "currentSubtotalLineItemsQuantity": lambda n, a: sum(x.left for x in n.it.lines),
    "subtotalLineItemsQuantity": lambda n, a: sum(x.quantity for x in n.it.lines),
    "currentCartDiscountAmountSet": money(totals.current_discounts),
    "currentShippingPriceSet": money(lambda o: totals.current_charges(o, "SHIPPING")),
    "currentSubtotalPriceSet": money(totals.current_subtotal),
    "currentTotalAdditionalFeesSet": charge_or_none("ADDITIONAL_FEE"),
    "currentTotalDiscountsSet": money(totals.current_discounts),
    "currentTotalDutiesSet": charge_or_none("DUTY"),
    "currentTotalPriceSet": money(totals.current_total),
    "currentTotalTaxSet": money(totals.current_tax),
    "netPaymentSet": money(lambda o: sub(totals.received(o), totals.refunded(o))),
    "originalTotalAdditionalFeesSet": charge_or_none("ADDITIONAL_FEE", original=True),
    "originalTotalDutiesSet": charge_or_none("DUTY", original=True),
    "originalTotalPriceSet": money(totals.original_total),
    "refundDiscrepancySet": money(lambda o: neg(o.adjusted)),
    "subtotalPriceSet": money(lambda o: totals.given(o, totals.GOODS, "price")),
    "totalDiscountsSet": money(lambda o: totals.given(o, (*totals.GOODS, "SHIPPING"), "discount")),
    "totalOutstandingSet": money(totals.outstanding),
    "totalPriceSet": money(totals.total_price),
    "totalReceivedSet": money(totals.received),
    "totalRefundedSet": money(totals.refunded),
    "totalRefundedShippingSet": money(totals.refunded_shipping),
    "totalShippingPriceSet": money(lambda o: totals.given(o, ("SHIPPING",), "price")),
    "totalTaxSet": money(lambda o: totals.given(o, totals.TAXED, "tax")),
    "totalTipReceivedSet": money(totals.tips),
}


# --- lines ------------------------------------------------------------
def line(n: Node) -> Line:
    found: Line = n.up.it.lines[n.it]
    return found


def charge(n: Node) -> Charge:
    found: Charge = n.up.it.charges[n.it]
    return found


def line_money(of: Any) -> Field:
    return lambda n, a: bag(n, of(line(n)))


def variant_of(n: Node, a: Args) -> Node | None:
    key = line(n).variant
    if key is None:
        return None
    index, slot = divmod(key, 8)
    product = n.shop.products.get(index)
    return (
        None
        if product is None or slot >= len(product.variants)
        else Node("ProductVariant", n.shop, product, slot)
    )


def product_of(n: Node, a: Args) -> Node | None:
    key = line(n).variant
    found = None if key is None else n.shop.products.get(key // 8)
    return None if found is None else Node("Product", n.shop, found)


def allocations(n: Node, a: Args) -> list[Node]:
    target, amount = "LINE_ITEM", ZERO
    if n.kind == "ShippingLine":
        target, amount = "SHIPPING_LINE", charge(n).discount
    else:
        amount = line(n).discount
    at = next((i for i, x in enumerate(n.up.it.applications) if x.target == target), None)
    return [] if at is None or amount == ZERO else [Node("DiscountAllocation", n.shop, (at, amount), n)]


def duties(n: Node, a: Args) -> list[Node]:
    found = [i for i, c in enumerate(n.up.it.charges) if c.kind == "DUTY"]
    return [Node("Duty", n.shop, i, n.up) for i in found] if n.it == 0 else []


def unit_after(x: Line) -> Pair:
    return (x.unit[0] - x.discount[0] // x.quantity, x.unit[1] - x.discount[1] // x.quantity)


LINE: dict[str, Field] = {
    "id": lambda n, a: sub_id("LineItem", n, n.it),
    "name": lambda n, a: line(n).title,
    "title": lambda n, a: line(n).title,
    "variantTitle": constant(None),
    "sku": lambda n, a: line(n).sku,
    "vendor": lambda n, a: line(n).vendor,
    "quantity": lambda n, a: line(n).quantity,
    "currentQuantity": lambda n, a: line(n).left,
    "refundableQuantity": lambda n, a: line(n).left,
    "unfulfilledQuantity": constant(0),
    "nonFulfillableQuantity": constant(0),
    "isGiftCard": lambda n, a: line(n).kind == "GIFT_CARD",
    "requiresShipping": lambda n, a: line(n).kind == "PRODUCT",
    "taxable": lambda n, a: line(n).basis_points > 0,
    "product": product_of,
    "variant": variant_of,
    "originalUnitPriceSet": line_money(lambda x: x.unit),
    "originalTotalSet": line_money(lambda x: times(x.unit, x.quantity)),
    "discountedUnitPriceSet": line_money(unit_after),
    "discountedUnitPriceAfterAllDiscountsSet": line_money(unit_after),
    "discountedTotalSet": line_money(lambda x: sub(times(x.unit, x.quantity), x.discount)),
    "totalDiscountSet": line_money(lambda x: x.discount),
    "taxLines": lambda n, a: taxed(n, "Tax", line(n).basis_points, line(n).tax),
    "discountAllocations": allocations,
    "duties": duties,
}
SHIPPING: dict[str, Field] = {
    "id": lambda n, a: sub_id("ShippingLine", n, n.it),
    "title": lambda n, a: charge(n).title,
    "code": lambda n, a: charge(n).title,
    "source": constant("shopify"),
    "custom": constant(False),
    "isRemoved": lambda n, a: charge(n).removed,
    "carrierIdentifier": constant(None),
    "deliveryCategory": constant(None),
    "originalPriceSet": lambda n, a: bag(n, charge(n).price),
    "discountedPriceSet": lambda n, a: bag(n, sub(charge(n).price, charge(n).discount)),
    "currentDiscountedPriceSet": lambda n, a: bag(n, sub(charge(n).left_price, charge(n).left_discount)),
    "taxLines": lambda n, a: taxed(n, "Tax", charge(n).basis_points, charge(n).tax),
    "discountAllocations": allocations,
}


# --- ledger ------------------------------------------------------------
def sales(n: Node, a: Args) -> Items:
    moved = n.up.it.agreements[n.it].movements
    return Items([Node(SALES[m.kind], n.shop, i, n) for i, m in enumerate(moved)])


def sale(n: Node) -> Movement:
    found: Movement = n.up.up.it.agreements[n.up.it].movements[n.it]
    return found


def sale_id(n: Node) -> int:
    return n.shop.sale_id(n.up.up.it.index, n.up.it, n.it)


def before_taxes(n: Node, a: Args) -> Bag:
    m = sale(n)
    return bag(n, sub(m.discount, m.discount_tax) if n.up.up.it.taxes_included else m.discount)


def after_taxes(n: Node, a: Args) -> Bag:
    m = sale(n)
    return bag(n, m.discount if n.up.up.it.taxes_included else add(m.discount, m.discount_tax))


def sale_taxes(n: Node, a: Args) -> list[Node]:
    return [Node("SaleTax", n.shop, sale(n).tax, n)] if sale(n).tax != ZERO else []


AGREEMENT: dict[str, Field] = {
    "id": lambda n, a: sub_id("SalesAgreement", n, n.it),
    "happenedAt": lambda n, a: stamp(n.up.it.agreements[n.it].at),
    "reason": lambda n, a: n.up.it.agreements[n.it].reason,
    "sales": sales,
    "order": lambda n, a: n.up,
    "refund": lambda n, a: Node("Refund", n.shop, n.it, n.up),
}
SALE: dict[str, Field] = {
    "id": lambda n, a: gid("Sale", sale_id(n)),
    "actionType": lambda n, a: sale(n).action,
    "lineType": lambda n, a: sale(n).kind,
    "quantity": lambda n, a: sale(n).quantity,
    "taxes": sale_taxes,
    "totalAmount": lambda n, a: bag(n, worth(n.up.up.it, sale(n))),
    "totalDiscountAmountBeforeTaxes": before_taxes,
    "totalDiscountAmountAfterTaxes": after_taxes,
    "totalTaxAmount": lambda n, a: bag(n, sale(n).tax),
    "lineItem": lambda n, a: Node("LineItem", n.shop, sale(n).subject, n.up.up),
    "shippingLine": lambda n, a: Node("ShippingLine", n.shop, sale(n).subject, n.up.up),
    "duty": lambda n, a: Node("Duty", n.shop, sale(n).subject, n.up.up),
    "additionalFee": lambda n, a: Node("SaleAdditionalFee", n.shop, sale(n).subject, n.up.up),
}
ORDER_FIELDS: Fields = {
    "Order": ORDER,
    "LineItem": LINE,
    "ShippingLine": SHIPPING,
    **dict.fromkeys(AGREEMENTS.values(), AGREEMENT),
    **dict.fromkeys(SALES.values(), SALE),
    "SaleTax": {
        "id": lambda n, a: gid("SaleTax", sale_id(n.up)),
        "amount": lambda n, a: bag(n, n.it),
        "taxLine": lambda n, a: Node("TaxLine", n.shop, ("Tax", 0, n.it), n),
    },
    "SaleAdditionalFee": {
        "id": lambda n, a: sub_id("AdditionalFee", n, n.it),
        "name": lambda n, a: charge(n).title,
        "price": lambda n, a: bag(n, charge(n).price),
    },
    "Duty": {
        "id": lambda n, a: sub_id("Duty", n, n.it),
        "price": lambda n, a: bag(n, charge(n).price),
        "harmonizedSystemCode": constant(None),
        "countryCodeOfOrigin": constant(None),
        "taxLines": constant([]),
    },
    "TaxLine": {
        "title": lambda n, a: n.it[0],
        "rate": lambda n, a: n.it[1] / 10_000,
        "ratePercentage": lambda n, a: n.it[1] / 100,
        "priceSet": lambda n, a: bag(n, n.it[2]),
        "source": constant("Simulator"),
        "channelLiable": constant(False),
    },
}

SLOTS = LINE_SLOTS
