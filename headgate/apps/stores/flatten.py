"""Answers of the Admin API as the lines that a bulk file would have: parents before children, `__parentId` in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Connections that become lines of their own.
CONNECTIONS = ("lineItems", "shippingLines", "agreements", "sales", "variants", "refundLineItems")


def lines(node: Mapping[str, Any], parent: str | None = None) -> Iterator[dict[str, Any]]:
    """The node and everything below it."""
    plain = {name: value for name, value in node.items() if name not in CONNECTIONS}
    item = node.get("inventoryItem")
    levels: list[Mapping[str, Any]] = []
    if isinstance(item, Mapping) and "inventoryLevels" in item:
        levels = list(_nodes(item["inventoryLevels"]))
        plain["inventoryItem"] = {k: v for k, v in item.items() if k != "inventoryLevels"}
    if parent is not None:
        plain["__parentId"] = parent
    yield plain
    for name in CONNECTIONS:
        for child in _nodes(node.get(name)):
            yield from lines(child, node.get("id"))
    for level in levels:
        yield {**level, "__parentId": node.get("id")}


def _nodes(connection: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(connection, Mapping):
        yield from (one for one in connection.get("nodes") or () if one)


def more(node: Mapping[str, Any], name: str) -> str | None:
    """The cursor after which `name` of the node goes on, or None."""
    info = (node.get(name) or {}).get("pageInfo") or {}
    return str(info["endCursor"]) if info.get("hasNextPage") else None
