"""The webhook topics of stores: what each is about, and which are asked for through the Admin API."""

from __future__ import annotations

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


def wanted(scopes: list[str]) -> dict[str, str]:
    """The subscriptions that a connection with these scopes should have."""
    granted = set(scopes)
    return {
        member: topic
        for member, topic in SUBSCRIBED.items()
        if TOPICS[topic] not in _SCOPES or granted & set(_SCOPES[TOPICS[topic]])
    }
