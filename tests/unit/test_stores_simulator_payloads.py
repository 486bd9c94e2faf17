"""Webhook bodies have Shopify's names: no field that Shopify does not send, and all of the small ones'."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headgate.apps.stores.simulator import ShopOptions
from headgate.apps.stores.simulator.live import Live
from headgate.apps.stores.simulator.shop import Change, Shop
from tests.shared_data import shared

#: Bodies that are sent whole; the others have the fields that an application of this kind may need.
WHOLE = {
    "bulk_operations/finish", "customers/create", "customers/merge", "inventory_levels/update", "orders/edited",
    "orders/delete", "products/delete", "customers/delete", "app/scopes_update",
}  # fmt: skip


def told() -> dict[str, dict[str, Any]]:
    """A body of every topic that a busy shop tells of."""
    shop = Shop(ShopOptions(seed=4, orders=80, opened_at=1_790_000_000))
    found: dict[str, dict[str, Any]] = {}

    def hear(change: Change) -> None:
        found[change.topic] = json.loads(json.dumps(change.payload))

    shop.listeners.append(hear)
    live = Live(shop, seed=1)
    live.run(120)
    for action in ("delete_order", "merge_customers", "delete_customer", "delete_product", "update_shop"):
        live.act(action)
    for kind in ("edit", "cancel", "over_refund"):
        live.change_order(order=live.place_order(), kind=kind)
    live.tell_scopes(["read_orders"], [])
    live.tell_uninstalled()
    return found


def strange(given: Any, schema: Any, path: str) -> list[str]:
    """Fields that the schema does not know."""
    if not isinstance(schema, dict):
        return []
    if isinstance(given, list):
        return [x for item in given[:3] for x in strange(item, schema.get("items", {}), f"{path}[]")]
    known = schema.get("properties")
    if not isinstance(given, dict) or known is None:
        return []
    found = [f"{path}.{key}" for key in given if key not in known]
    return found + [
        x for key, value in given.items() if key in known for x in strange(value, known[key], f"{path}.{key}")
    ]


@pytest.mark.parametrize("version", ["2025-10", "2026-01", "2026-07"])
def test_bodies_have_the_names_of_shopifys_schemas(version: str) -> None:
    root = shared(f"stores/webhooks/schemas/{version}")
    checked = 0
    for topic, body in told().items():
        path = root / f"{topic}.json"
        if not path.exists():
            continue
        schema = json.loads(path.read_text(encoding="utf-8"))
        assert strange(body, schema, topic) == []
        if topic in WHOLE:
            assert set(schema.get("required", [])) <= set(body), topic
        checked += 1
    assert checked >= 14
