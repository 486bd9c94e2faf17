"""What the schema's root fields give: lists over the shop's tables, single objects, counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headgate.apps.stores.simulator.facts import Order
from headgate.apps.stores.simulator.nodes import Node
from headgate.apps.stores.simulator.options import DAY, split_gid
from headgate.apps.stores.simulator.projection import Projection
from headgate.apps.stores.simulator.selection import BadSearch, Search, Selector, read_search
from headgate.apps.stores.simulator.shop import Shop
from headgate.apps.stores.simulator.totals import financial_status

#: Without read_all_orders only orders of the last so many days are there.
WINDOW_DAYS = 60
KINDS = {"orders": "Order", "customers": "Customer", "products": "Product"}
OF_PRODUCTS = {"productVariants": "ProductVariant", "inventoryItems": "InventoryItem"}


def order_flag(order: Order, key: str, value: str) -> bool:
    """Whether an order satisfies a search by something other than a time or an id."""
    if key == "test":
        return order.test == (value == "true")
    if key == "status":
        states = {
            "any": True,
            "cancelled": order.cancelled_at is not None,
            "closed": order.closed_at is not None,
        }
        return states.get(value, order.cancelled_at is None and order.closed_at is None)
    if key == "financial_status":
        return financial_status(order).lower() == value
    if key == "name":
        return f"#{1001 + order.index}" == value or str(1001 + order.index) == value
    return (order.email or "").lower() == value


def product_flag(product: Any, key: str, value: str) -> bool:
    """The same for products."""
    if key == "status":
        return str(product.status).lower() == value
    raise BadSearch(f"the simulator does not search products by {key}")


def customer_flag(customer: Any, key: str, value: str) -> bool:
    """The same for customers."""
    if key == "email":
        return (customer.email or "").lower() == value
    raise BadSearch(f"the simulator does not search customers by {key}")


def selectors(shop: Shop) -> dict[str, Selector]:
    """The shop's selectors, made once."""
    found = getattr(shop, "_selectors", None)
    if found is None:
        found = {
            "orders": Selector(shop, shop.orders, order_flag),
            "customers": Selector(shop, shop.customers, customer_flag),
            "products": Selector(shop, shop.products, product_flag),
        }
        shop.__dict__["_selectors"] = found
    return found


def window(shop: Shop, table: str, scopes: frozenset[str]) -> int | None:
    """From when on orders may be seen; None for no bound."""
    if table != "orders" or "read_all_orders" in scopes:
        return None
    return shop.now() - WINDOW_DAYS * DAY


def table_of(name: str) -> str:
    """The table that a list field goes over."""
    return "products" if name in OF_PRODUCTS else name


def expand(shop: Shop, name: str, index: int) -> list[Node]:
    """The nodes of a list field that come from one row of its table."""
    table = table_of(name)
    row: Any = selectors(shop)[table].table.get(index)
    if row is None:
        return []
    if name in OF_PRODUCTS:
        return [Node(OF_PRODUCTS[name], shop, row, slot) for slot in range(len(row.variants))]
    return [Node(KINDS[name], shop, row)]


def check_root(projection: Projection) -> None:
    """Raises BadSearch where a bulk query asks for a list or a search that the simulator does not have."""
    if projection.root != "locations" and table_of(projection.root) not in KINDS:
        raise BadSearch(f"the simulator has no bulk data for {projection.root}")
    read_search(projection.args.get("query"))


def root_nodes(shop: Shop, projection: Projection, scopes: frozenset[str]) -> Iterator[Node]:
    """All objects of a bulk query's root, one after the other, as they are when reached."""
    name = projection.root
    if name == "locations":
        yield from (Node("Location", shop, slot) for slot in range(shop.options.locations))
        return
    table = table_of(name)
    search = read_search(projection.args.get("query"))
    for index in selectors(shop)[table].walk(search, since=window(shop, table, scopes)):
        yield from expand(shop, name, index)


def count(shop: Shop, table: str, args: dict[str, Any], scopes: frozenset[str]) -> tuple[int, str]:
    """A count and its precision: at most `limit`, exact with `limit: null`."""
    search = read_search(args.get("query"))
    walk = selectors(shop)[table].walk(search, since=window(shop, table, scopes))
    limit = args.get("limit")
    found = 0
    for _ in walk:
        found += 1
        if limit is not None and found > limit:
            return limit, "AT_LEAST"
    return found, "EXACT"


def by_id(shop: Shop, text: str, scopes: frozenset[str]) -> Node | None:
    """The object with this global id, or None. Raises ValueError for a malformed id."""
    kind, number = split_gid(text)
    numbers = shop.numbers
    if kind in ("ProductVariant", "InventoryItem"):
        index, slot = shop.variant_key(number)
        product = shop.products.get(index)
        found = product is not None and slot < len(product.variants)
        return Node(kind, shop, product, slot) if found else None
    if kind == "Location":
        slot = number - numbers.base - 1
        return Node(kind, shop, slot) if 0 <= slot < shop.options.locations else None
    if kind == "Refund":
        index, at = divmod(number - numbers.base, 64)
        parent = shop.orders.get(index)
        if parent is None or at >= len(parent.agreements) or parent.agreements[at].refund is None:
            return None
        return Node(kind, shop, at, Node("Order", shop, parent))
    table = next((t for t, k in KINDS.items() if k == kind), None)
    if table is None:
        return None
    index = numbers.index(number)
    since = window(shop, table, scopes)
    nodes = expand(shop, table, index)
    if nodes and since is not None and nodes[0].it.created_at < since:
        return None
    return nodes[0] if nodes else None


__all__ = ["Search", "by_id", "count", "expand", "root_nodes", "selectors", "window"]
