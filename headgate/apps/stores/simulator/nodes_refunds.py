"""The fields of refunds, transactions and discounts."""

from __future__ import annotations

from typing import cast

from headgate.apps.stores.simulator.clock import stamp
from headgate.apps.stores.simulator.facts import Agreement, Application, Refund, RefundLine, Transaction
from headgate.apps.stores.simulator.money import ZERO, neg
from headgate.apps.stores.simulator.nodes import Args, Fields, Items, Node, constant
from headgate.apps.stores.simulator.nodes_orders import bag, charge, order_node, order_of, sub_id
from headgate.apps.stores.simulator.options import gid


def refund(n: Node) -> Refund:
    agreement: Agreement = n.up.it.agreements[n.it]
    return cast(Refund, agreement.refund)


def refund_id(n: Node) -> int:
    return n.shop.line_id(n.up.it.index, n.it)


def refund_lines(n: Node, a: Args) -> Items:
    return Items([Node("RefundLineItem", n.shop, i, n) for i in range(len(refund(n).lines))])


def refund_line(n: Node) -> RefundLine:
    found: RefundLine = refund(n.up).lines[n.it]
    return found


def refund_shipping(n: Node, a: Args) -> Items:
    if refund(n).shipping == ZERO:
        return Items([])
    at = next(i for i, c in enumerate(n.up.it.charges) if c.kind == "SHIPPING")
    return Items([Node("RefundShippingLine", n.shop, at, n)])


def adjustments(n: Node, a: Args) -> Items:
    return Items([] if refund(n).adjustment == ZERO else [Node("OrderAdjustment", n.shop, 0, n)])


def refund_duties(n: Node, a: Args) -> list[Node]:
    return [] if refund(n).duties == ZERO else [Node("RefundDuty", n.shop, 0, n)]


def refund_payments(n: Node, a: Args) -> Items:
    at, order = refund(n).at, n.up.it
    found = [i for i, t in enumerate(order.transactions) if t.kind == "REFUND" and t.at == at]
    return Items([Node("OrderTransaction", n.shop, i, n.up) for i in found])


def payment(n: Node) -> Transaction:
    found: Transaction = n.up.it.transactions[n.it]
    return found


def parent_payment(n: Node, a: Args) -> Node | None:
    parent = payment(n).parent
    return None if parent is None else n._replace(it=parent)


def application(n: Node) -> Application:
    found: Application = n.up.it.applications[n.it]
    return found


def value(n: Node, a: Args) -> object:
    found = application(n)
    if found.percent is not None:
        return Node("PricingPercentageValue", n.shop, float(found.percent))
    return bag(n, found.amount)  # narrowed to MoneyV2 below


def money_value(n: Node, a: Args) -> object:
    from headgate.apps.stores.simulator.nodes import Bag, Money

    found = value(n, a)
    return Money(found.amount[1], found.currencies[1]) if isinstance(found, Bag) else found


def line_node(n: Node, index: int) -> Node:
    return Node("LineItem", n.shop, index, order_node(n))


def per_unit(n: Node, a: Args) -> object:
    found = order_of(n).lines[refund_line(n).line]
    return bag(n, found.unit)


def applied(n: Node, a: Args) -> Node:
    order = order_node(n)
    kind = (
        "DiscountCodeApplication" if order.it.applications[n.it[0]].code else "AutomaticDiscountApplication"
    )
    return Node(kind, n.shop, n.it[0], order)


APPLICATION = {
    "index": lambda n, a: n.it,
    "allocationMethod": lambda n, a: "ACROSS" if application(n).percent is None else "EACH",
    "targetSelection": constant("ALL"),
    "targetType": lambda n, a: application(n).target,
    "value": money_value,
    "code": lambda n, a: application(n).code,
    "title": lambda n, a: application(n).title,
}
REFUND_FIELDS: Fields = {
    "Refund": {
        "id": lambda n, a: gid("Refund", refund_id(n)),
        "legacyResourceId": lambda n, a: str(refund_id(n)),
        "createdAt": lambda n, a: stamp(refund(n).at),
        "processedAt": lambda n, a: stamp(refund(n).at),
        "updatedAt": lambda n, a: stamp(refund(n).at),
        "note": lambda n, a: refund(n).note,
        "order": lambda n, a: n.up,
        "totalRefundedSet": lambda n, a: bag(n, refund(n).paid),
        "refundLineItems": refund_lines,
        "refundShippingLines": refund_shipping,
        "orderAdjustments": adjustments,
        "duties": refund_duties,
        "transactions": refund_payments,
    },
    "RefundLineItem": {
        "id": lambda n, a: gid("RefundLineItem", refund_id(n.up) * 16 + n.it),
        "lineItem": lambda n, a: line_node(n, refund_line(n).line),
        "quantity": lambda n, a: refund_line(n).quantity,
        "restockType": lambda n, a: refund_line(n).restock,
        "restocked": lambda n, a: refund_line(n).restock != "NO_RESTOCK",
        "priceSet": per_unit,
        "subtotalSet": lambda n, a: bag(n, refund_line(n).subtotal),
        "totalTaxSet": lambda n, a: bag(n, refund_line(n).tax),
        "location": lambda n, a: Node("Location", n.shop, 0),
    },
    "RefundShippingLine": {
        "id": lambda n, a: gid("RefundShippingLine", refund_id(n.up)),
        "shippingLine": lambda n, a: Node("ShippingLine", n.shop, n.it, order_node(n)),
        "subtotalAmountSet": lambda n, a: bag(n, refund(n.up).shipping),
        "taxAmountSet": lambda n, a: bag(n, refund(n.up).shipping_tax),
    },
    "RefundDuty": {
        "amountSet": lambda n, a: bag(n, refund(n.up).duties),
        "originalDuty": lambda n, a: next(
            (Node("Duty", n.shop, i, n.up.up) for i, c in enumerate(n.up.up.it.charges) if c.kind == "DUTY"),
            None,
        ),
    },
    "OrderAdjustment": {
        "id": lambda n, a: gid("OrderAdjustment", refund_id(n.up)),
        "reason": constant("REFUND_DISCREPANCY"),
        "amountSet": lambda n, a: bag(n, neg(refund(n.up).adjustment)),
        "taxAmountSet": lambda n, a: bag(n, ZERO),
    },
    "OrderTransaction": {
        "id": lambda n, a: sub_id("OrderTransaction", n, n.it),
        "kind": lambda n, a: payment(n).kind,
        "status": lambda n, a: payment(n).status,
        "test": lambda n, a: n.up.it.test,
        "gateway": lambda n, a: payment(n).gateway,
        "formattedGateway": lambda n, a: payment(n).gateway.title(),
        "createdAt": lambda n, a: stamp(payment(n).at),
        "processedAt": lambda n, a: stamp(payment(n).at),
        "amountSet": lambda n, a: bag(n, payment(n).amount),
        "parentTransaction": parent_payment,
        "errorCode": lambda n, a: "CARD_DECLINED" if payment(n).status == "FAILURE" else None,
        "order": lambda n, a: n.up,
    },
    "DiscountCodeApplication": APPLICATION,
    "AutomaticDiscountApplication": APPLICATION,
    "DiscountAllocation": {
        "allocatedAmountSet": lambda n, a: bag(n, n.it[1]),
        "discountApplication": applied,
    },
    "PricingPercentageValue": {"percentage": lambda n, a: n.it},
}
__all__ = ["REFUND_FIELDS", "charge"]
