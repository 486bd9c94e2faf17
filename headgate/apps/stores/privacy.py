"""Privacy topics, done for real: data collected for the merchant, people and shops erased, each with its audit.

What law asks of the app: https://shopify.dev/docs/apps/build/compliance/privacy-law-compliance. A request is recorded
when its webhook is applied and carried out by a job of its own, which is tried again until it is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from headgate.apps.stores import staged
from headgate.apps.stores.webhook_jobs import Means, Outcome, let_go, still_in
from headgate.base import log
from headgate.db import Jsonb
from headgate.db.queries import load
from headgate.engine.jobs import JobContext, enqueue
from headgate.engine.manifest import Handler, Services

Q = load("headgate.apps.stores", "privacy.sql")
KIND = "stores.gdpr"
_log = log.get(__name__)


async def receive(ctx: JobContext, row: Mapping[str, Any]) -> Outcome:
    """Record a request for every connection that holds data of the shop, and have each carried out."""
    payload = row["payload"]
    if not _is_of(row["topic"], row["shop_domain"], payload):
        _log.warning("privacy webhook with the body of another", shop=row["shop_domain"], topic=row["topic"])
        return Outcome(
            state="ignored", note="the body is not what Shopify sends to this shop under this topic"
        )
    customer = _number((payload.get("customer") or {}).get("id"))
    named = payload.get("orders_to_redact") or payload.get("orders_requested") or []
    orders = [number for one in named if (number := _number(one)) is not None]
    async with ctx.db.transaction() as conn:
        found = await (await conn.execute(Q.webhook_of, {"inbox": row["id"]})).fetchone()
        kept = await (await conn.execute(Q.connections, {"ids": row["connection_ids"]})).fetchall()
        for one in kept:
            params = {
                "connection": one["id"],
                "topic": row["topic"],
                "webhook": found["webhook_id"] if found else str(row["id"]),
                "customer": customer,
                "orders": orders,
            }
            made = await (await conn.execute(Q.receive, params)).fetchone()
            if made and made["state"] != "done":
                await enqueue(conn, KIND, {"request_id": made["id"]}, unique=str(made["id"]), max_attempts=50)
    return Outcome(note=f"recorded for {len(kept)} connections" if len(kept) != 1 else "recorded")


def _is_of(topic: str, shop: str, payload: Mapping[str, Any]) -> bool:
    """Whether the body belongs to the headers, which are not signed: a replayed one of another topic erases nothing."""
    asked = payload.keys() & {"data_request", "orders_requested"}
    return str(payload.get("shop_domain")).lower() == shop and not (topic == "customers/redact" and asked)


def _number(value: Any) -> int | None:
    text = str(value) if value is not None else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def gdpr(services: Services) -> Handler:
    """The job `stores.gdpr`: carry out one request, in one transaction with its audit."""
    means = Means.of(services)

    async def handler(ctx: JobContext) -> None:
        request = int(ctx.job.args["request_id"])
        await _see_whether_it_left(means, request)
        async with ctx.transaction() as conn:
            asked = await (await conn.execute(Q.lock, {"request": request})).fetchone()
            if asked is None or asked["state"] == "done":
                await ctx.settle(conn)
                return
            of = {
                "connection": asked["connection_id"],
                "customer": asked["customer_id"],
                "orders": asked["order_ids"],
            }
            shop = await (await conn.execute(Q.connection, of)).fetchone()
            counts: dict[str, Any] = {}
            collected = None
            note = None
            if shop is None:
                note = "the connection is gone"
            elif asked["topic"] == "customers/data_request":
                row = await (await conn.execute(Q.collect, of)).fetchone()
                collected = row["found"] if row else {}
                counts = {name: len(rows) for name, rows in collected.items()}
            elif asked["topic"] == "customers/redact":
                row = await (await conn.execute(Q.redact_customer, of)).fetchone()
                counts = dict(row["counts"]) if row else {}
                counts["files"] = await asyncio.to_thread(
                    staged.erase, services.settings, asked["connection_id"]
                )
            elif shop["state"] in ("connected", "error"):
                note = "the shop was connected again; nothing is erased"
            else:
                counts["files"] = await asyncio.to_thread(
                    staged.erase, services.settings, asked["connection_id"]
                )
                row = await (await conn.execute(Q.redact_shop, of)).fetchone()
                counts |= dict(row["counts"]) if row else {}
            done = {
                "request": request,
                "state": "done",
                "counts": Jsonb(counts),
                "collected": Jsonb(collected) if collected is not None else None,
                "error": note,
            }
            await conn.execute(Q.done, done)
            await ctx.settle(conn)
        _log.info("privacy request done", request=request, topic=asked["topic"])

    return handler


async def _see_whether_it_left(means: Means, request: int) -> None:
    """Shopify asks for a shop's erasure 48 hours after the app was removed; word of that may never have come."""
    row = await means.services.db.fetch_one(Q.left_by, {"request": request})
    if row is not None and not await still_in(means, row["shop_domain"]):
        await let_go(means, row["shop_domain"], row["received_at"])
