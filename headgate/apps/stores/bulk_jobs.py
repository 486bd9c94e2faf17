"""A bulk operation from wish to result: begin, submit within Shopify's slots, watch. Downloads nothing.

Each step is a job that may die at any point: what it did at Shopify is found there again by the mark in the query.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from headgate.apps.stores import documents, paging
from headgate.apps.stores.client import Denied, Shopify
from headgate.apps.stores.means import ENTITIES, HEAD_START_S, OVERLAP, Means, Q, milestone
from headgate.base.clock import now
from headgate.db import Connection, Jsonb
from headgate.engine.jobs import JobContext, Rejected, Snooze, enqueue
from headgate.engine.manifest import Handler, Services

#: How often an operation is asked for before the sync goes on without it.
ATTEMPTS = 4
RECENT = timedelta(days=3)
#: Partial results may appear some polls after the failure.
LATE_POLLS = 3


def lane(shop: str) -> str:
    """The jobs' key for one shop."""
    return f"stores:{shop}"


def mark(operation: Mapping[str, Any]) -> str:
    """A comment that makes the text of this operation's query its own."""
    return f"# headgate {operation['connection_id']}-{operation['id']}-{operation['attempts']}"


def recent_sync(services: Services) -> Handler:
    """`stores.recent_sync`: begin a full sync: the last three days for the eye, and a moment later bulk operations."""
    means = Means.of(services)

    async def handle(ctx: JobContext) -> None:
        connection = int(ctx.job.args["connection_id"])
        shopify = await means.shopify(connection)
        told = (await shopify.query(documents.SHOP))["shop"]
        async with ctx.transaction() as conn:
            zone = {"connection": connection, "zone": told["ianaTimezone"], "currency": told["currencyCode"]}
            await conn.execute(Q.set_zone, zone)
            await conn.execute(Q.begin, {"connection": connection})
            await take_up(conn, connection, delay_s=HEAD_START_S)
        await _recent(ctx, shopify)
        async with ctx.transaction() as conn:
            await milestone(conn, connection, "recent", "completed")
            await ctx.settle(conn)

    return handle


async def _recent(ctx: JobContext, shopify: Shopify) -> None:
    read_at = paging.reading()
    try:
        async for lines in paging.changed(shopify, "orders", now() - RECENT):
            orders = sum("/Order/" in str(line.get("id")) for line in lines)
            async with ctx.transaction() as conn:
                await paging.apply_in(conn, shopify.id, lines, read_at)
                await conn.execute(Q.count_recent, {"connection": shopify.id, "rows": orders})
            read_at = paging.reading()
    except Denied as error:
        async with ctx.transaction() as conn:
            await milestone(conn, shopify.id, "recent", "error", error=error.message)


def turn(operation: Mapping[str, Any]) -> str:
    """Each asking of an operation has jobs of its own: one that winds down must not keep the next from starting."""
    return f"{operation['id']}:{operation['attempts']}"


async def submit_later(
    conn: Connection, operation: Mapping[str, Any], *, shop: str, delay_s: float = 0.0
) -> None:
    """Enqueue the job that submits an operation."""
    await enqueue(
        conn,
        f"stores.bulk_{operation['entity']}",
        {"operation_id": operation["id"]},
        key=lane(shop),
        unique=turn(operation),
        priority=10,
        run_at=now() + timedelta(seconds=delay_s) if delay_s else None,
    )


def submit(services: Services) -> Handler:
    """`stores.bulk_orders`, `bulk_customers`, `bulk_products`: ask Shopify for the operation, once."""
    means = Means.of(services)

    async def handle(ctx: JobContext) -> None:
        operation = await means.db.fetch_one(Q.operation, {"operation": ctx.job.args["operation_id"]})
        if operation is None or operation["finished_at"] or operation["gid"]:
            return
        shopify = await means.shopify(operation["connection_id"])
        found = None
        if operation["submitting_at"] is not None:  # a process died, or an answer was lost, in between
            found = await _find(shopify, mark(operation))
        if found is None:
            try:
                found = await _submit(ctx, shopify, operation)
            except Denied as error:
                await give_up(ctx, operation, shop=shopify.shop, error=error.message)
                return
        async with ctx.transaction() as conn:
            await conn.execute(
                Q.submitted,
                {
                    "operation": operation["id"],
                    "gid": found["id"],
                    "status": found["status"],
                    "created": found["createdAt"],
                },
            )
            await milestone(
                conn, shopify.id, operation["entity"], "in_progress", detail={"state": "submitted"}
            )
            row = (
                await (await conn.execute(Q.operation, {"operation": operation["id"]})).fetchone()
                or operation
            )
            await poll_later(conn, row, shop=shopify.shop)
            await ctx.settle(conn)

    return handle


async def poll_later(conn: Connection, operation: Mapping[str, Any], *, shop: str) -> None:
    """Enqueue the watch over an operation."""
    await enqueue(
        conn,
        "stores.poll_bulk",
        {"operation_id": operation["id"]},
        key=lane(shop),
        unique=turn(operation),
        priority=10,
    )


async def ingest_later(conn: Connection, operation: Mapping[str, Any], *, shop: str) -> None:
    """Enqueue the fetching of an operation's file."""
    await enqueue(
        conn,
        "stores.ingest",
        {"operation_id": operation["id"]},
        key=lane(shop),
        unique=turn(operation),
        priority=10,
    )


async def take_up(conn: Connection, connection: int | None = None, *, delay_s: float = 0.0) -> int:
    """Enqueue the job that each open operation lacks, at its beginning and when one was lost; how many were added.

    Of one connection, or of all. `delay_s`: for operations that Shopify does not have yet.
    """
    cursor = await conn.execute(Q.take_up, {"connection": connection, "delay_s": delay_s})
    row = await cursor.fetchone()
    return int(row["added"]) if row else 0


async def _submit(ctx: JobContext, shopify: Shopify, operation: Mapping[str, Any]) -> dict[str, Any]:
    """The operation as Shopify took it. Raises Snooze while all slots are taken, here or elsewhere."""
    entity = operation["entity"]
    expected = await paging.count(shopify, entity)
    attempt = {**operation, "attempts": operation["attempts"] + 1}
    query = f"{mark(attempt)}\n{documents.BULK[entity]}"
    async with ctx.transaction() as conn:
        params = {"operation": operation["id"], "query": query, "expected": expected}
        await conn.execute(Q.submitting, params)
    payload = (await shopify.once(documents.RUN_BULK, {"query": query, "group": False}))[
        "bulkOperationRunQuery"
    ]
    errors = payload.get("userErrors") or []
    if not errors:
        found: dict[str, Any] = payload["bulkOperation"]
        return found
    code, message = errors[0].get("code"), str(errors[0].get("message"))
    if code in ("OPERATION_IN_PROGRESS", "LIMIT_REACHED") or "already in progress" in message:
        async with ctx.transaction() as conn:
            await conn.execute(Q.waiting, {"operation": operation["id"]})
            await milestone(conn, shopify.id, entity, "queued", detail={"state": "waiting_slot"})
        raise Snooze(
            random.uniform(0.5, 1.0) * means_poll_s(operation) * 2, "all slots of the shop are taken"
        )
    if code == "INVALID" and "Access denied" not in message:
        raise Rejected(f"Shopify does not take the query of {entity}: {message}")
    raise Denied(f"{shopify.shop}: {message}")


def means_poll_s(operation: Mapping[str, Any]) -> float:
    """Seconds between two looks at an operation: quick at first, then a tenth of its age, at most ten."""
    age = (now() - operation["created_at"]).total_seconds()
    return float(min(max(0.25, age / 10), 10.0))


async def _find(shopify: Shopify, marker: str) -> dict[str, Any] | None:
    """The operation with our mark, if Shopify has it."""
    if shopify.served < "2026-01":
        current = (await shopify.query(documents.BULK_CURRENT))["currentBulkOperation"]
        listed = [current] if current else []
    else:
        listed = (await shopify.query(documents.BULK_LIST))["bulkOperations"]["nodes"]
    lines = (one for one in listed if marker in str(one["query"]).splitlines())
    return next(lines, None)


def poll(services: Services) -> Handler:
    """`stores.poll_bulk`: look how the operation is; once it is over, have its file fetched or ask for it anew."""
    means = Means.of(services)

    async def handle(ctx: JobContext) -> None:
        operation = await means.db.fetch_one(Q.operation, {"operation": ctx.job.args["operation_id"]})
        if operation is None or operation["finished_at"] or not operation["gid"]:
            return
        shopify = await means.shopify(operation["connection_id"])
        node = (await shopify.query(documents.BULK_NODE, {"id": operation["gid"]}))["node"]
        if node is None:
            await retry_or_give_up(
                ctx, operation, shop=shopify.shop, error="Shopify does not know the operation."
            )
            return
        status = node["status"]
        over = status not in ("CREATED", "RUNNING", "CANCELING")
        url = node["url"] or node["partialDataUrl"]
        async with ctx.transaction() as conn:
            await conn.execute(
                Q.polled, _told(operation, node, "downloading" if over and url else "running_remote")
            )
            if over and url:
                total = int(node["objectCount"] or 0)
                await milestone(
                    conn,
                    shopify.id,
                    operation["entity"],
                    "in_progress",
                    detail={"state": "downloading"},
                    total=total,
                )
                await ingest_later(conn, operation, shop=shopify.shop)
                await ctx.settle(conn)
                return
        if not over:
            raise Snooze(means_poll_s(operation), f"the operation is {status.lower()}")
        if status == "COMPLETED" and not operation["expected_roots"]:
            await empty(ctx, means, operation, shop=shopify.shop)
            return
        if status == "FAILED" and node["errorCode"] == "ACCESS_DENIED":
            await give_up(
                ctx, operation, shop=shopify.shop, error="A scope for this is missing (ACCESS_DENIED)."
            )
            return
        if status == "FAILED" and operation["late_polls"] < LATE_POLLS:
            raise Snooze(means_poll_s(operation), "waiting for what the failed operation may still deliver")
        why = f"The operation ended as {status} {node['errorCode'] or ''} without a file.".replace("  ", " ")
        await retry_or_give_up(ctx, operation, shop=shopify.shop, error=why)

    return handle


def _told(operation: Mapping[str, Any], node: Mapping[str, Any], state: str) -> dict[str, Any]:
    return {
        "operation": operation["id"],
        "state": state,
        "status": node["status"],
        "error_code": node["errorCode"],
        "created": node["createdAt"],
        "objects": node["objectCount"],
        "roots": node["rootObjectCount"],
        "size": node["fileSize"],
        "url": node["url"] or node["partialDataUrl"],
        "partial": node["url"] is None and node["partialDataUrl"] is not None,
    }


async def empty(ctx: JobContext, means: Means, operation: Mapping[str, Any], *, shop: str) -> None:
    """Nothing was there, and Shopify's own count had said so."""
    async with ctx.transaction() as conn:
        to = operation["remote_created_at"] - OVERLAP
        params = {"connection": operation["connection_id"], "entity": operation["entity"], "to": to}
        await conn.execute(Q.move_position, params)
        await end(conn, operation, shop=shop, state="completed", missing=[], after=0)
        await ctx.settle(conn)


async def retry_or_give_up(ctx: JobContext, operation: Mapping[str, Any], *, shop: str, error: str) -> None:
    """Ask for the operation anew, or end it as partial after `ATTEMPTS`."""
    if operation["attempts"] >= ATTEMPTS:
        await give_up(ctx, operation, shop=shop, error=error)
        return
    async with ctx.transaction() as conn:
        await conn.execute(Q.again, {"operation": operation["id"], "error": error})
        await milestone(
            conn,
            operation["connection_id"],
            operation["entity"],
            "in_progress",
            detail={"state": "retrying", "why": error},
        )
        delay_s = 0.0 if operation["attempts"] <= 1 else float(2 ** operation["attempts"])
        await submit_later(conn, operation, shop=shop, delay_s=delay_s)
        await ctx.settle(conn)


async def give_up(
    ctx: JobContext, operation: Mapping[str, Any], *, shop: str, error: str, missing: list[Any] | None = None
) -> None:
    """End the operation as partial: what it brought is there, and the milestone says what is not."""
    what = missing or [{"what": operation["entity"], "why": error}]
    async with ctx.transaction() as conn:
        await end(conn, operation, shop=shop, state="partial", missing=what, error=error)
        await ctx.settle(conn)


async def end(
    conn: Connection,
    operation: Mapping[str, Any],
    *,
    shop: str,
    state: str,
    missing: list[Any],
    error: str | None = None,
    after: int | None = None,
) -> None:
    """End an operation; with the last one of its run, refunds and reconciliation follow."""
    connection = operation["connection_id"]
    params = {
        "operation": operation["id"],
        "state": state,
        "missing": Jsonb(missing),
        "error": error,
        "after": after,
    }
    await conn.execute(Q.finish, params)
    await conn.execute(Q.forget_parents, {"operation": operation["id"]})
    await milestone(
        conn, connection, operation["entity"], state, detail={"state": state, "missing": missing}, error=error
    )
    await conn.execute(Q.end_alone, {"run": operation["run_id"]})
    row = await (await conn.execute(Q.open_operations, {"run": operation["run_id"]})).fetchone()
    if row is not None and row["open"] == 0:
        await conclude_later(conn, connection, operation["run_id"], shop=shop)


async def conclude_later(conn: Connection, connection: int, run: int | None, *, shop: str) -> None:
    """Enqueue what follows the last operation of a run: refunds, then reconciliation, which ends it."""
    await milestone(conn, connection, "reconciled", "in_progress")
    args, unique = {"connection_id": connection, "run_id": run}, str(connection)
    await enqueue(conn, "stores.refund_details", args, key=lane(shop), unique=unique, priority=5)


JOBS = {
    "stores.recent_sync": recent_sync,
    **{f"stores.bulk_{entity}": submit for entity in ENTITIES},
    "stores.poll_bulk": poll,
}
