"""Variants that are not at Shopify any more, or not here yet. A product tells which it has; no webhook tells the rest.

A variant that a reading did not show is asked for by its number before it is deleted: a deletion is for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headgate.apps.stores import documents
from headgate.apps.stores.client import Shopify
from headgate.apps.stores.means import Q, number
from headgate.db import Connection
from headgate.engine.jobs import JobContext

#: Variants that are asked for at a time.
BATCH = 250


async def lost(
    ctx: JobContext, shopify: Shopify, connections: Sequence[int], lines: Iterable[Mapping[str, Any]]
) -> list[tuple[int, int]]:
    """Variants here, with their connection, of products whose lines, read whole, do not have them."""
    ids = [str(line.get("id")) for line in lines]
    products = [number(one) for one in ids if "/Product/" in one]
    if not products:
        return []
    listed = [number(one) for one in ids if "/ProductVariant/" in one]
    given = {"connections": list(connections), "products": products, "variants": listed}
    rows = await ctx.db.fetch_all(Q.other_variants, given)
    gone = await missing(shopify, sorted({row["shopify_id"] for row in rows}))
    return [(row["connection_id"], row["shopify_id"]) for row in rows if row["shopify_id"] in gone]


async def drop(conn: Connection, found: Iterable[tuple[int, int]]) -> None:
    """Delete variants for good."""
    for connection, variant in found:
        await conn.execute(Q.apply_delete, {"connection": connection, "kind": "variant", "id": variant})


async def missing(shopify: Shopify, variants: Sequence[int]) -> set[int]:
    """Those that Shopify does not have."""
    return {one for one, node in await _nodes(shopify, variants) if not node}


async def products_of(shopify: Shopify, variants: Sequence[int]) -> list[int]:
    """The products that have these variants, in order."""
    found = await _nodes(shopify, variants)
    return sorted({number(node["product"]["id"]) for _, node in found if node and node["product"]})


async def _nodes(shopify: Shopify, variants: Sequence[int]) -> list[tuple[int, Any]]:
    found: list[tuple[int, Any]] = []
    for start in range(0, len(variants), BATCH):
        batch = variants[start : start + BATCH]
        ids = [f"gid://shopify/ProductVariant/{one}" for one in batch]
        nodes = (await shopify.query(documents.VARIANTS, {"ids": ids}))["nodes"]
        found += zip(batch, nodes, strict=True)
    return found
