"""Reading by ordinary paging: changed objects, single ones, what bulk operations cannot nest. Applies each page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from headgate.apps.stores import documents, flatten
from headgate.apps.stores.client import Shopify
from headgate.apps.stores.means import Q
from headgate.base.clock import now
from headgate.db import Connection, Jsonb
from headgate.engine.jobs import JobContext

KINDS = {"orders": "Order", "customers": "Customer", "products": "Product", "inventory": "InventoryItem"}
#: Sizes asked for, so that no query costs more than Shopify's 1,000 points.
_SIZES: dict[str, Any] = {
    "lines": 10,
    "linesAfter": None,
    "agreements": 4,
    "agreementsAfter": None,
    "sales": 8,
}
_PAGE = {"orders": 8, "customers": 100, "products": 3}
_BATCH = {"orders": 6, "customers": 50, "products": 2, "inventory": 10}


async def changed(shopify: Shopify, entity: str, since: datetime) -> AsyncIterator[list[dict[str, Any]]]:
    """Objects whose updatedAt is `since` or later, oldest change first, page by page, whole, as lines."""
    after = None
    while True:
        variables: dict[str, Any] = {
            "first": _PAGE[entity],
            "after": after,
            "query": f"updated_at:>='{since.isoformat()}'",
            **(_SIZES if entity == "orders" else {}),
        }
        connection = (await shopify.query(documents.PAGES[entity], variables))[entity]
        found = []
        for node in connection["nodes"]:
            found += [line async for line in whole(shopify, entity, node)]
        if found:
            yield found
        info = connection["pageInfo"]
        if not info["hasNextPage"]:
            return
        after = info["endCursor"]


async def single(
    shopify: Shopify, entity: str, ids: Sequence[int]
) -> AsyncIterator[tuple[list[int], list[Any]]]:
    """Objects by number: those that are gone, and the lines of the others, batch by batch."""
    size = _BATCH[entity]
    for start in range(0, len(ids), size):
        batch = list(ids[start : start + size])
        variables: dict[str, Any] = {"ids": [f"gid://shopify/{KINDS[entity]}/{one}" for one in batch]}
        variables |= _SIZES if entity == "orders" else {}
        nodes = (await shopify.query(documents.NODES[entity], variables))["nodes"]
        gone = [one for one, node in zip(batch, nodes, strict=True) if not node]
        found: list[Any] = []
        for node in nodes:
            if node:
                found += [line async for line in whole(shopify, entity, node)]
        yield gone, found


async def several(
    shopify: Shopify, ids: Mapping[str, Sequence[int]]
) -> tuple[dict[str, list[int]], list[Any]]:
    """Objects of several entities by number, in one query: those that are gone, and the lines of the others.

    `share` says how much may be asked for at a time.
    """
    variables: dict[str, Any] = {
        entity: [f"gid://shopify/{KINDS[entity]}/{one}" for one in numbers] for entity, numbers in ids.items()
    }
    variables |= _SIZES if "orders" in ids else {}
    told = await shopify.query(documents.several(*sorted(ids)), variables)
    gone: dict[str, list[int]] = {}
    found: list[Any] = []
    for entity, numbers in ids.items():
        for one, node in zip(numbers, told[entity], strict=True):
            if node:
                found += [line async for line in whole(shopify, entity, node)]
            else:
                gone.setdefault(entity, []).append(one)
    return gone, found


def share(entity: str) -> float:
    """The part of what one query may cost that an object takes."""
    return 1 / _BATCH[entity]


async def whole(shopify: Shopify, entity: str, node: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The lines of an object and all its children, however many pages these have."""
    if entity == "inventory":
        async for level in _all_levels(shopify, node):
            yield level
        return
    for line in flatten.lines(node):
        yield line
    if entity == "orders":
        async for line in _rest_of_order(shopify, node):
            yield line
    elif entity == "products":
        async for line in _rest_of_product(shopify, node):
            yield line


async def _rest_of_order(shopify: Shopify, node: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    after = flatten.more(node, "lineItems")
    while after:
        sizes = {**_SIZES, "lines": 100, "linesAfter": after, "agreements": 1, "sales": 1}
        (again,) = (await shopify.query(documents.NODES["orders"], {"ids": [node["id"]], **sizes}))["nodes"]
        if not again:
            return
        for line in again["lineItems"]["nodes"]:
            yield {**line, "__parentId": node["id"]}
        after = flatten.more(again, "lineItems")
    after = flatten.more(node, "shippingLines")
    while after:
        found = (await shopify.query(documents.SHIPPING, {"id": node["id"], "after": after}))["order"]
        if not found:
            return
        for line in found["shippingLines"]["nodes"]:
            yield {**line, "__parentId": node["id"]}
        after = flatten.more(found, "shippingLines")
    unread = any(flatten.more(one, "sales") for one in (node.get("agreements") or {}).get("nodes", ()))
    if unread or flatten.more(node, "agreements"):
        async for line in _ledger(shopify, node["id"]):
            yield line


async def _ledger(shopify: Shopify, order: str) -> AsyncIterator[dict[str, Any]]:
    """All agreements of an order, one by one, each with all its sales."""
    after: str | None = None
    while True:
        sales_after: str | None = None
        info: Mapping[str, Any] = {}
        while True:
            variables = {"id": order, "agreementsAfter": after, "salesAfter": sales_after}
            found = (await shopify.query(documents.SALES, variables))["order"]
            if not found or not found["agreements"]["nodes"]:
                return
            info = found["agreements"]["pageInfo"]
            (agreement,) = found["agreements"]["nodes"]
            for line in flatten.lines(agreement, order):
                yield line
            sales_after = flatten.more(agreement, "sales")
            if not sales_after:
                break
        if not info.get("hasNextPage"):
            return
        after = info["endCursor"]


async def _rest_of_product(shopify: Shopify, node: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    async for line in _levels(shopify, node):
        yield line
    after = flatten.more(node, "variants")
    while after:
        (again,) = (await shopify.query(documents.NODES["products"], {"ids": [node["id"]], "after": after}))[
            "nodes"
        ]
        if not again:
            return
        for line in list(flatten.lines(again))[1:]:
            yield line
        async for line in _levels(shopify, again):
            yield line
        after = flatten.more(again, "variants")


async def _levels(shopify: Shopify, product: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Stock at all locations, for variants that are at more than one page of them."""
    items = [one.get("inventoryItem") or {} for one in (product.get("variants") or {}).get("nodes", ())]
    wide = [item["id"] for item in items if flatten.more(item, "inventoryLevels")]
    for item in wide:
        (found,) = (await shopify.query(documents.NODES["inventory"], {"ids": [item], "after": None}))[
            "nodes"
        ]
        if found:
            async for level in _all_levels(shopify, found):
                yield level


async def _all_levels(shopify: Shopify, item: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Stock of one item at all locations, from the first page of them on."""
    while True:
        for level in item["inventoryLevels"]["nodes"]:
            yield dict(level)
        after = flatten.more(item, "inventoryLevels")
        if not after:
            return
        (again,) = (await shopify.query(documents.NODES["inventory"], {"ids": [item["id"]], "after": after}))[
            "nodes"
        ]
        if not again:
            return
        item = again


async def refund_lines(
    shopify: Shopify, ids: Sequence[int]
) -> AsyncIterator[tuple[list[int], list[dict[str, Any]]]]:
    """The lines of refunds, each refund's whole, some refunds at a time; a refund that is gone has none."""
    for start in range(0, len(ids), 10):
        batch = list(ids[start : start + 10])
        gids = [f"gid://shopify/Refund/{one}" for one in batch]
        nodes = (await shopify.query(documents.REFUNDS, {"ids": gids, "after": None}))["nodes"]
        found: list[dict[str, Any]] = []
        for gid, first in zip(gids, nodes, strict=True):
            node = first
            while node:
                found += [{**line, "__parentId": gid} for line in node["refundLineItems"]["nodes"]]
                after = flatten.more(node, "refundLineItems")
                if not after:
                    break
                (node,) = (await shopify.query(documents.REFUNDS, {"ids": [gid], "after": after}))["nodes"]
        yield batch, found


async def all_ids(shopify: Shopify, entity: str) -> set[int]:
    """The numbers of all objects that Shopify shows us."""
    found: set[int] = set()
    after = None
    while True:
        connection = (await shopify.query(documents.IDS[entity], {"after": after}))[entity]
        found.update(int(node["id"].rsplit("/", 1)[-1]) for node in connection["nodes"])
        if not connection["pageInfo"]["hasNextPage"]:
            return found
        after = connection["pageInfo"]["endCursor"]


async def count(shopify: Shopify, entity: str) -> int:
    """How many objects Shopify says there are, exactly."""
    found = await shopify.query(documents.COUNTS[entity], {"query": None})
    (told,) = found.values()
    return int(told["count"])


async def apply(
    ctx: JobContext, connection_id: int, lines: Iterable[Mapping[str, Any]], read_at: datetime
) -> int:
    """Put lines into the tables under the job's fence; how many rows were written."""
    async with ctx.transaction() as conn:
        return await apply_in(conn, connection_id, lines, read_at)


async def apply_in(
    conn: Connection, connection_id: int, lines: Iterable[Mapping[str, Any]], read_at: datetime
) -> int:
    """The same in a transaction of the caller's."""
    params = {"connection": connection_id, "lines": Jsonb(list(lines)), "read_at": read_at}
    row = await (await conn.execute(Q.apply, params)).fetchone()
    return int(row["counts"]["written"]) if row else 0


def reading() -> datetime:
    """A moment not after the reading that follows; taken before the request is sent."""
    return now()
