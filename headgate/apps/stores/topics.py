"""The webhook topics of stores: what each is about, which object it names, and which are asked for by the Admin API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Topic → what changed: an entity that the sync keeps, or something of ours.
TOPICS: dict[str, str] = {
    "orders/create": "order",
    "orders/updated": "order",
    "orders/edited": "order",
    "orders/cancelled": "order",
    "orders/delete": "order",
    "refunds/create": "order",
    "order_transactions/create": "order",
    "customers/create": "customer",
    "customers/update": "customer",
    "customers/delete": "customer",
    "customers/merge": "customer",
    "products/create": "product",
    "products/update": "product",
    "products/delete": "product",
    "inventory_levels/update": "inventory",
    "bulk_operations/finish": "bulk",
    "app/uninstalled": "app",
    "app/scopes_update": "app",
    "shop/update": "app",
    "customers/data_request": "privacy",
    "customers/redact": "privacy",
    "shop/redact": "privacy",
}

#: Topics that tell of a deletion.
DELETES = frozenset({"orders/delete", "customers/delete", "products/delete"})
#: The customer that a merge took away, in its payload.
MERGED = "admin_graphql_api_customer_deleted_id"

#: Topics that the app's own settings at Shopify subscribe to; the Admin API knows no such subscriptions.
MANDATORY = frozenset(topic for topic, about in TOPICS.items() if about == "privacy")

#: Topic as a member of GraphQL's WebhookSubscriptionTopic → topic as the header has it.
SUBSCRIBED: dict[str, str] = {
    topic.upper().replace("/", "_"): topic for topic in TOPICS if topic not in MANDATORY
}

#: What a scope lets us subscribe to; a topic whose scope is missing is not asked for.
_SCOPES = {
    "order": ("read_orders", "write_orders"),
    "customer": ("read_customers", "write_customers"),
    "product": ("read_products", "write_products"),
    "inventory": ("read_inventory", "write_inventory"),
}
_ENTITY = {"order": "orders", "customer": "customers", "product": "products", "inventory": "inventory"}
#: Where the number of the object is, unless it is the payload's own `id`.
_PLACE = {
    "customers/merge": "admin_graphql_api_customer_kept_id",
    "inventory_levels/update": "inventory_item_id",
    "refunds/create": "order_id",
    "order_transactions/create": "order_id",
}


def wanted(scopes: list[str]) -> dict[str, str]:
    """The subscriptions that a connection with these scopes should have."""
    granted = set(scopes)
    return {
        member: topic
        for member, topic in SUBSCRIBED.items()
        if TOPICS[topic] not in _SCOPES or granted & set(_SCOPES[TOPICS[topic]])
    }


def subject(topic: str, payload: Mapping[str, Any]) -> tuple[str, int] | None:
    """The entity and number of the object that has to be read again; None where the payload names none."""
    entity = _ENTITY.get(TOPICS.get(topic, ""))
    if entity is None:
        return None
    if topic == "orders/edited":
        edit = payload.get("order_edit")
        found = number(edit.get("order_id") if isinstance(edit, Mapping) else None)
    else:
        found = number(payload.get(_PLACE.get(topic, "id")))
    return None if found is None else (entity, found)


def number(value: Any) -> int | None:
    """The number of a plain or global id."""
    text = str(value).rsplit("/", 1)[-1] if value is not None else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
