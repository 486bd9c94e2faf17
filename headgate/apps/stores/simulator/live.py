"""What goes on in a shop after the seeded history: new orders, changes, deletions, each told to who listens."""

from __future__ import annotations

import copy
from dataclasses import replace
from random import Random
from typing import Any

from headgate.apps.stores.simulator import payloads
from headgate.apps.stores.simulator.catalogue import restocked
from headgate.apps.stores.simulator.facts import Order
from headgate.apps.stores.simulator.history import HAPPENINGS
from headgate.apps.stores.simulator.money import add, from_cents
from headgate.apps.stores.simulator.options import gid
from headgate.apps.stores.simulator.shop import Shop

#: How often (weights) what happens in a busy shop.
ACTIONS = {
    "place_order": 30, "change_order": 30, "delete_order": 2, "create_customer": 6, "update_customer": 8,
    "delete_customer": 2, "merge_customers": 1, "update_product": 8, "create_product": 3, "delete_product": 1,
    "set_inventory": 12,
}  # fmt: skip
ORDER_ACTIONS = ("place_order", "change_order", "delete_order")
CHANGES = ("edit", "partial_refund", "full_refund", "goodwill", "over_refund", "exchange", "cancel", "touch",
           "returned_with_fee")  # fmt: skip


class Live:
    """Changes a shop. The same calls at the same simulated times give the same changes."""

    def __init__(self, shop: Shop, *, seed: int) -> None:
        self.shop = shop
        self.dice = Random(f"live {seed}")
        self.done: dict[str, int] = {}

    def run(self, count: int, *, orders_only: bool = False) -> dict[str, int]:
        """Let `count` things happen; returns how many of each have happened so far."""
        names = list(ORDER_ACTIONS if orders_only else ACTIONS)
        weights = [ACTIONS[n] for n in names]
        for _ in range(count):
            self.act(self.dice.choices(names, weights)[0])
        return self.done

    def act(self, name: str, **given: Any) -> Any:
        """One action by name; raises ValueError for an unknown one."""
        if name not in ACTIONS and name not in ("redact_customer", "untie", "data_request", "update_shop"):
            raise ValueError(f"no action is called {name}; there are {', '.join(ACTIONS)}")
        self.done[name] = self.done.get(name, 0) + 1
        return getattr(self, name)(**given)

    # --- orders ------------------------------------------------------------
    def place_order(self, *, presentment: str | None = None, at: int | None = None) -> int:
        """A new order; its number."""
        shop = self.shop
        index = shop.orders.next
        order = shop.book.place(index, at or shop.now(), self.dice, presentment=presentment)
        shop.placed(order)
        shop.tell("orders/create", payloads.order_body(shop, order))
        for n, _ in enumerate(order.transactions):
            shop.tell("order_transactions/create", payloads.transaction_body(shop, order, n))
        return index

    def pick_order(self) -> int | None:
        """Some order that is there; often a late one."""
        table = self.shop.orders
        for _ in range(20):
            span = table.next if self.dice.random() < 0.5 else min(table.next, 50)
            index = table.next - 1 - self.dice.randrange(span) if span else -1
            if index >= 0 and index not in table.deleted:
                return index
        return None

    def change_order(self, *, order: int | None = None, kind: str | None = None) -> int | None:
        """Something happens to an order: an edit, a refund, an exchange, a cancellation."""
        index = order if order is not None else self.pick_order()
        found = None if index is None else self.own(index)
        if index is None or found is None:
            return None
        kind = kind or self.dice.choice(CHANGES)
        if len(found.agreements) >= 14 or len(found.lines) >= 28:
            kind = "touch"  # an order has ids for sixteen agreements and thirty-two lines
        if kind == "cancel" and found.cancelled_at is not None:
            kind = "touch"
        agreements, payments = len(found.agreements), len(found.transactions)
        at = max(self.shop.now(), found.updated_at + 1)
        HAPPENINGS[kind](found, at, self.dice)
        found.updated_at = at
        self.shop.orders.put(index, found)
        self._tell_order(found, kind, agreements, payments)
        return index

    def own(self, index: int) -> Order | None:
        """A copy of an order that may be changed."""
        found = self.shop.orders.get(index)
        return copy.deepcopy(found) if index in self.shop.orders.changed else found

    def _tell_order(self, order: Order, kind: str, agreements: int, payments: int) -> None:
        shop = self.shop
        for n in range(agreements, len(order.agreements)):
            if order.agreements[n].refund is not None:
                shop.tell("refunds/create", payloads.refund_body(shop, order, n))
            if order.agreements[n].reason == "ORDER_EDIT":
                shop.tell("orders/edited", payloads.edit_body(shop, order, n))
        for n in range(payments, len(order.transactions)):
            shop.tell("order_transactions/create", payloads.transaction_body(shop, order, n))
        body = payloads.order_body(shop, order)
        if kind == "cancel":
            shop.tell("orders/cancelled", body)
        shop.tell("orders/updated", body)

    def delete_order(self, *, order: int | None = None) -> int | None:
        """An order is deleted; its sales are gone from every figure."""
        index = order if order is not None else self.pick_order()
        if index is None or self.shop.orders.get(index) is None:
            return None
        self.shop.orders.delete(index, self.shop.now())
        self.shop.tell("orders/delete", {"id": self.shop.numbers.make(index)})
        return index

    def story(self) -> int:
        """One order to which an exchange, a partial refund, an edit and an over-refund happen (fault 29)."""
        index = self.place_order()
        for kind in ("edit", "exchange", "partial_refund", "over_refund"):
            self.change_order(order=index, kind=kind)
        return index

    def untie(self, *, order: int | None = None, cents: int = 137) -> int | None:
        """Make one order's ledger miss its current total price, by `cents` US cents."""
        index = order if order is not None else self.pick_order()
        found = None if index is None else self.own(index)
        if index is None or found is None:
            return None
        off = (from_cents(cents, found.currency), from_cents(cents, found.presentment))
        found.untied = add(found.untied, off)
        found.updated_at = max(self.shop.now(), found.updated_at + 1)
        self.shop.orders.put(index, found)
        self._tell_order(found, "touch", len(found.agreements), len(found.transactions))
        return index

    # --- customers ------------------------------------------------------------
    def _pick(self, table: Any) -> int | None:
        for _ in range(20):
            index = self.dice.randrange(table.next) if table.next else -1
            if index >= 0 and index not in table.deleted:
                return index
        return None

    def create_customer(self) -> int:
        """A new customer."""
        shop = self.shop
        index = shop.customers.next
        made = shop.catalogue.customer(index, created_at=shop.now())
        shop.customers.put(index, made)
        shop.tell("customers/create", payloads.customer_body(shop, made))
        return index

    def update_customer(self, *, customer: int | None = None) -> int | None:
        """A customer changes a tag."""
        shop, index = self.shop, customer if customer is not None else self._pick(self.shop.customers)
        found = None if index is None else shop.customers.get(index)
        if index is None or found is None:
            return None
        at = max(shop.now(), found.updated_at + 1)
        made = replace(found, tags=("vip", f"t{self.dice.randrange(100)}"), updated_at=at)
        shop.customers.put(index, made)
        shop.tell("customers/update", payloads.customer_body(shop, made))
        return index

    def delete_customer(self, *, customer: int | None = None) -> int | None:
        """A customer is deleted."""
        shop, index = self.shop, customer if customer is not None else self._pick(self.shop.customers)
        if index is None or shop.customers.get(index) is None:
            return None
        shop.customers.delete(index, shop.now())
        number = shop.numbers.make(index)
        body = {"id": number, "tax_exemptions": [], "admin_graphql_api_id": gid("Customer", number)}
        shop.tell("customers/delete", body)
        return index

    def merge_customers(self) -> tuple[int, int] | None:
        """Two customers become one."""
        shop = self.shop
        kept, gone = self._pick(shop.customers), self._pick(shop.customers)
        if kept is None or gone is None or kept == gone:
            return None
        shop.customers.delete(gone, shop.now())
        shop.tell(
            "customers/merge",
            {
                "admin_graphql_api_customer_kept_id": gid("Customer", shop.numbers.make(kept)),
                "admin_graphql_api_customer_deleted_id": gid("Customer", shop.numbers.make(gone)),
                "admin_graphql_api_job_id": None, "status": "completed", "errors": [],
            },
        )  # fmt: skip
        self.update_customer(customer=kept)
        return kept, gone

    def _orders_of(self, customer: int) -> list[int]:
        return [self.shop.numbers.make(order.index) for order in self.shop.orders_of(customer)]

    def _person(self, index: int) -> dict[str, Any]:
        found = self.shop.customers.get(index)
        number = self.shop.numbers.make(index)
        email, phone = (found.email, found.phone) if found else (None, None)
        return {"shop_id": self.shop.numbers.base, "shop_domain": self.shop.domain,
                "customer": {"id": number, "email": email, "phone": phone}}  # fmt: skip

    def data_request(self, *, customer: int | None = None) -> int | None:
        """A customer asks what is known: customers/data_request."""
        index = customer if customer is not None else self._pick(self.shop.customers)
        if index is None:
            return None
        body = {**self._person(index), "orders_requested": self._orders_of(index)}
        self.shop.tell(
            "customers/data_request", {**body, "data_request": {"id": self.done.get("data_request", 0)}}
        )
        return index

    def redact_customer(self, *, customer: int | None = None) -> int | None:
        """A customer wants to be forgotten: customers/redact, and Shopify's own copy is emptied too."""
        shop, index = self.shop, customer if customer is not None else self._pick(self.shop.customers)
        if index is None:
            return None
        body = {**self._person(index), "orders_to_redact": self._orders_of(index)}
        for number in body["orders_to_redact"]:
            at = shop.numbers.index(number)
            order = self.own(at)
            if order is not None:
                order.redacted, order.email = True, None
                order.updated_at = max(shop.now(), order.updated_at + 1)
                shop.orders.put(at, order)
        shop.customers.delete(index, shop.now())
        shop.tell("customers/redact", body)
        return index

    # --- products ------------------------------------------------------------
    def create_product(self) -> int:
        """A new product."""
        shop = self.shop
        index = shop.products.next
        made = shop.catalogue.product(index, created_at=shop.now())
        shop.products.put(index, made)
        shop.tell("products/create", payloads.product_body(shop, made))
        return index

    def update_product(self, *, product: int | None = None) -> int | None:
        """A product gets another title."""
        shop, index = self.shop, product if product is not None else self._pick(self.shop.products)
        found = None if index is None else shop.products.get(index)
        if index is None or found is None:
            return None
        at = max(shop.now(), found.updated_at + 1)
        made = replace(
            found, title=f"{found.title.partition(' (')[0]} ({self.dice.randrange(1000)})", updated_at=at
        )
        shop.products.put(index, made)
        shop.tell("products/update", payloads.product_body(shop, made))
        return index

    def remove_variant(self, *, product: int) -> int:
        """A product's last variant is taken away; its number. No webhook tells of it but the product's own."""
        shop, found = self.shop, self.shop.products.get(product)
        if found is None or len(found.variants) < 2:
            raise ValueError("there is no such product, or it has one variant only")
        gone, at = found.variants[-1], max(shop.now(), found.updated_at + 1)
        made = replace(found, variants=found.variants[:-1], updated_at=at)
        shop.products.put(product, made)
        shop.tell("products/update", payloads.product_body(shop, made))
        return shop.variant_id(gone.key)

    def delete_product(self) -> int | None:
        """A product is deleted; orders keep their lines."""
        shop, index = self.shop, self._pick(self.shop.products)
        if index is None or index == 0:
            return None
        shop.products.delete(index, shop.now())
        shop.tell("products/delete", {"id": shop.numbers.make(index)})
        return index

    def set_inventory(self) -> int | None:
        """One variant's stock changes at one location."""
        shop, index = self.shop, self._pick(self.shop.products)
        found = None if index is None else shop.products.get(index)
        if index is None or found is None:
            return None
        slot, place = self.dice.randrange(len(found.variants)), self.dice.randrange(shop.options.locations)
        at = max(shop.now(), found.updated_at + 1)
        made = restocked(found, slot=slot, location=place, quantity=self.dice.randrange(-2, 200), at=at)
        shop.products.put(index, made)
        shop.tell("inventory_levels/update", payloads.level_body(shop, made, slot, place))
        return index

    # --- shop and app ------------------------------------------------------------
    def update_shop(self) -> None:
        """Some setting of the shop changes."""
        self.shop.updated_at = self.shop.now()
        self.shop.tell("shop/update", payloads.shop_body(self.shop))

    def tell_uninstalled(self) -> None:
        """app/uninstalled."""
        self.shop.tell("app/uninstalled", payloads.shop_body(self.shop))

    def tell_scopes(self, before: list[str], after: list[str]) -> None:
        """app/scopes_update."""
        body = {"id": 1, "shop_id": gid("Shop", self.shop.numbers.base), "previous": before, "current": after}
        self.shop.tell(
            "app/scopes_update", {**body, "updated_at": payloads.local(self.shop, self.shop.now())}
        )

    def tell_shop_redact(self) -> None:
        """shop/redact."""
        self.shop.tell("shop/redact", {"shop_id": self.shop.numbers.base, "shop_domain": self.shop.domain})
