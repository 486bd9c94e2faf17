"""After the bulk: lines of refunds, changes since, deletions without a word, and whether every order ties."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from headgate.apps.stores import documents, paging, variants
from headgate.apps.stores.bulk_jobs import lane, take_up
from headgate.apps.stores.client import Denied, Shopify
from headgate.apps.stores.connect import sync_later
from headgate.apps.stores.means import ENTITIES, OVERLAP, Means, Q, milestone
from headgate.base.clock import now
from headgate.db import Jsonb
from headgate.engine.jobs import JobContext, Snooze, enqueue
from headgate.engine.manifest import Handler, Services

_ONE = {"orders": "order", "customers": "customer", "products": "product", "inventory": "inventory_item"}
#: Untied orders that are read again before they are reported.
AGAIN = 200
WINDOW = timedelta(days=60)


def refund_details(services: Services) -> Handler:
    """`stores.refund_details`: lines of refunds, which bulk operations cannot nest; then reconcile."""
    means = Means.of(services)

    async def handle(ctx: JobContext) -> None:
        connection = int(ctx.job.args["connection_id"])
        shopify = await means.shopify(connection)
        await read_refunds(ctx, shopify)
        async with ctx.transaction() as conn:
            await enqueue(
                conn,
                "stores.reconcile",
                dict(ctx.job.args),
                key=lane(shopify.shop),
                unique=str(connection),
                priority=5,
            )
            await ctx.settle(conn)

    return handle


async def read_refunds(ctx: JobContext, shopify: Shopify, *, batch: int = 100) -> None:
    """Read the lines of every refund that has none read; a refund that is gone has none."""
    while True:
        params = {"connection": shopify.id, "limit": batch}
        rows = await ctx.db.fetch_all(Q.unread_refunds, params)
        if not rows:
            return
        async for numbers, lines in paging.refund_lines(shopify, [row["shopify_id"] for row in rows]):
            async with ctx.transaction() as conn:
                given = {"connection": shopify.id, "refunds": numbers, "lines": Jsonb(lines)}
                await conn.execute(Q.apply_refund_lines, given)


def incremental(services: Services) -> Handler:
    """`stores.incremental`: what changed since the last look, for one connection, or a job for each live one."""
    means = Means.of(services)

    async def handle(ctx: JobContext) -> None:
        connection = ctx.job.args.get("connection_id")
        if connection is None:
            await revive(ctx)
            await _for_each(ctx, means, "stores.incremental")
            return
        shopify = await means.shopify(int(connection))
        for entity in ENTITIES:
            await catch_up(ctx, shopify, entity)
        # the job of what waits to be read may have been cancelled, as when the shop left for a while
        await ctx.db.execute(Q.read_waiting, {"shop": shopify.shop})
        await read_refunds(ctx, shopify)

    return handle


async def revive(ctx: JobContext, *, older_s: float = 120.0) -> int:
    """Jobs for what nobody looks after, as when a job failed for good: bulk operations, runs whose operations have all
    ended, shops that connected `older_s` ago and whose first sync has not begun; how many."""
    async with ctx.transaction() as conn:
        added = await take_up(conn)
        unbegun = await (await conn.execute(Q.unbegun, {"older_s": older_s})).fetchall()
        for row in unbegun:
            await sync_later(conn, row["id"], row["shop_domain"])
    return added + len(unbegun)


async def _for_each(ctx: JobContext, means: Means, kind: str) -> None:
    async with ctx.transaction() as conn:
        for row in await (await conn.execute(Q.live)).fetchall():
            await enqueue(conn, kind, {"connection_id": row["id"]}, unique=str(row["id"]))
        await ctx.settle(conn)


async def catch_up(ctx: JobContext, shopify: Shopify, entity: str) -> int:
    """Read what changed since the entity's position, with an overlap; how many rows were written.

    Without a position (its bulk operation has not completed) there is nothing to catch up from.
    """
    params = {"connection": shopify.id, "entity": entity}
    position = await ctx.db.fetch_value(Q.position, params)
    if position is None:
        return 0
    written = 0
    read_at = paging.reading()
    try:
        async for lines in paging.changed(shopify, entity, position - OVERLAP):
            newest = max((one for one in map(_updated, lines) if one is not None), default=position)
            gone = await variants.lost(ctx, shopify, [shopify.id], lines)
            async with ctx.transaction() as conn:
                written += await paging.apply_in(conn, shopify.id, lines, read_at)
                await variants.drop(conn, gone)
                await conn.execute(Q.move_position, {**params, "to": newest})
            read_at = paging.reading()
    except Denied as error:
        async with ctx.transaction() as conn:
            await milestone(conn, shopify.id, entity, "error", error=error.message)
    else:
        await ctx.db.execute(Q.mend_milestone, {"connection": shopify.id, "label": entity})
    return written


def _updated(line: Mapping[str, Any]) -> datetime | None:
    text = line.get("updatedAt") if "__parentId" not in line else None
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def reconcile(services: Services) -> Handler:
    """`stores.reconcile`: catch up, compare counts, tie every order; ends the sync that runs, if one does."""
    means = Means.of(services)

    async def handle(ctx: JobContext) -> None:
        connection = ctx.job.args.get("connection_id")
        if connection is None:
            await _for_each(ctx, means, "stores.reconcile")
            return
        shopify = await means.shopify(int(connection))
        run = await ctx.db.fetch_value(Q.running_run, {"connection": shopify.id})
        if run is not None:
            busy = await ctx.db.fetch_value(Q.open_operations, {"run": run})
            if busy:
                async with ctx.transaction() as conn:
                    await take_up(conn, shopify.id)
                raise Snooze(5.0, "the sync is under way")
        operations = await ctx.db.fetch_all(Q.operations_of, {"run": run}) if run is not None else []
        findings: list[dict[str, Any]] = []
        for entity in ENTITIES:
            await catch_up(ctx, shopify, entity)
            moved = any(_moved(one) for one in operations if one["entity"] == entity)
            findings += await compare(ctx, shopify, entity, whole=moved)
        findings += await compare_variants(ctx, shopify)
        untied = await ctx.db.fetch_all(Q.untied, {"connection": shopify.id, "limit": AGAIN})
        await read_again(ctx, shopify, "orders", [row["id"] for row in untied])
        await read_refunds(ctx, shopify)
        await ctx.db.execute(Q.drop_stray_stock, {"connection": shopify.id})
        await _conclude(ctx, shopify, run, findings)

    return handle


def _moved(operation: Mapping[str, Any]) -> bool:
    """Whether Shopify's counts moved while the bulk operation ran: what was hidden then and what is gone now may
    be equally many, so that the counts agree and the objects do not."""
    counts = (operation["expected_roots"], operation["root_object_count"], operation["expected_after"])
    return len(set(counts)) > 1


async def compare(
    ctx: JobContext, shopify: Shopify, entity: str, *, whole: bool = False
) -> list[dict[str, Any]]:
    """Shopify's count against ours. Where they differ, or `whole` is asked for, every number is compared and the
    difference mended."""
    row = await ctx.db.fetch_one(Q.connection, {"connection": shopify.id})
    windowed = entity == "orders" and "read_all_orders" not in (row or {}).get("scopes", ())
    since = now() - WINDOW if windowed else None
    params = {"connection": shopify.id, "entity": entity, "since": since}
    try:
        told = await paging.count(shopify, entity)
        if not whole and told == await ctx.db.fetch_value(Q.local_count, params):
            return []
        theirs = await paging.all_ids(shopify, entity)
        ours = {r["shopify_id"] for r in await ctx.db.fetch_all(Q.local_ids, {**params, "since": None})}
        if windowed:  # what left the window is not deleted, so only what is newer may be looked for
            recent = {**params, "since": now() - WINDOW + timedelta(days=1)}
            extra = {r["shopify_id"] for r in await ctx.db.fetch_all(Q.local_ids, recent)} - theirs
        else:
            extra = ours - theirs
        await read_again(ctx, shopify, entity, sorted((theirs - ours) | extra))
        left = await ctx.db.fetch_value(Q.local_count, params)
        told = await paging.count(shopify, entity)
    except Denied as error:
        return [{"what": entity, "why": error.message}]
    if windowed or told == left:
        return []
    return [{"what": entity, "why": f"Shopify counts {told}, {left} are here"}]


async def compare_variants(ctx: JobContext, shopify: Shopify) -> list[dict[str, Any]]:
    """The same for variants, which come and go with their products; a bulk file cannot take one away."""
    params = {"connection": shopify.id, "entity": "variants", "since": None}
    try:
        if await paging.count(shopify, "variants") == await ctx.db.fetch_value(Q.local_count, params):
            return []
        theirs = await paging.all_ids(shopify, "variants")
        ours = {row["shopify_id"] for row in await ctx.db.fetch_all(Q.local_ids, params)}
        gone = await variants.missing(shopify, sorted(ours - theirs))
        async with ctx.transaction() as conn:
            await variants.drop(conn, [(shopify.id, one) for one in sorted(gone)])
        await read_again(ctx, shopify, "products", await variants.products_of(shopify, sorted(theirs - ours)))
    except Denied:
        return []  # the comparison of products says so
    still = theirs - {row["shopify_id"] for row in await ctx.db.fetch_all(Q.local_ids, params)}
    left = len(still) - len(await variants.missing(shopify, sorted(still)))
    return [{"what": "variants", "why": f"{left} of {len(theirs)} are not here"}] if left else []


async def read_again(ctx: JobContext, shopify: Shopify, entity: str, ids: list[int]) -> None:
    """Read objects by number; those that are gone are deleted here too."""
    read_at = paging.reading()
    async for gone, lines in paging.single(shopify, entity, ids):
        lost = await truly_gone(ctx, shopify, entity, gone)
        without = await variants.lost(ctx, shopify, [shopify.id], lines)
        async with ctx.transaction() as conn:
            if lines:
                await paging.apply_in(conn, shopify.id, lines, read_at)
            await variants.drop(conn, without)
            for one in lost:
                params = {"connection": shopify.id, "kind": _ONE[entity], "id": one}
                await conn.execute(Q.apply_delete, params)
        read_at = paging.reading()


async def truly_gone(ctx: JobContext, shopify: Shopify, entity: str, ids: list[int]) -> list[int]:
    """Of objects that Shopify does not show, those that are deleted.

    Without `read_all_orders` it hides orders older than 60 days. A deletion is for good, so the scopes are asked for
    after the reading: the stored ones may be older than a webhook that is still under way.
    """
    if entity not in _ONE or not ids:
        return []
    if entity != "orders":
        return ids
    told = (await shopify.query(documents.SCOPES))["currentAppInstallation"]["accessScopes"]
    if "read_all_orders" in {one["handle"] for one in told}:
        return ids
    since = now() - WINDOW + timedelta(days=1)
    params = {"connection": shopify.id, "entity": entity, "since": since}
    recent = {row["shopify_id"] for row in await ctx.db.fetch_all(Q.local_ids, params)}
    return [one for one in ids if one in recent]


async def _conclude(
    ctx: JobContext, shopify: Shopify, run: int | None, findings: list[dict[str, Any]]
) -> None:
    """Write the report, move the milestone and end the run."""
    missing = list(findings)
    if run is not None:
        rows = await ctx.db.fetch_all(Q.operations_of, {"run": run})
        missing += [one for row in rows for one in row["missing"]]
    async with ctx.transaction() as conn:
        params = {"connection": shopify.id, "run": run, "findings": Jsonb(findings)}
        made = await (await conn.execute(Q.reconcile, params)).fetchone()
        number = made["id"] if made else None
        report = await (await conn.execute(Q.reconciliation, {"id": number})).fetchone() or {}
        detail = {"orders": report["orders"], "tied": report["tied"], "findings": findings}
        whole = report["state"] == "tied" and not missing
        error = None if whole else _sentence(report, missing)
        await milestone(
            conn, shopify.id, "reconciled", "completed" if whole else "partial", detail=detail, error=error
        )
        if run is not None:
            state = "completed" if whole else "partial"
            await conn.execute(Q.end_run, {"run": run, "state": state, "missing": Jsonb(missing)})
        await conn.execute(Q.end_recent, {"connection": shopify.id})
        await ctx.settle(conn)
        await take_up(
            conn, shopify.id
        )  # a sync that began and ended its operations meanwhile found this job in its way


def _sentence(report: Mapping[str, Any], missing: list[dict[str, Any]]) -> str:
    untied = report["orders"] - report["tied"]
    parts = [f"{untied} of {report['orders']} orders do not tie"] if untied else []
    return "; ".join([*parts, *(f"{one['what']}: {one['why']}" for one in missing)])[:1000]


JOBS = {
    "stores.refund_details": refund_details,
    "stores.incremental": incremental,
    "stores.reconcile": reconcile,
}
