"""A bulk operation's file: fetched in pieces that survive a kill, ingested in chunks, counted against Shopify's word.

The file on disk is the checkpoint: what is there is not fetched again. The position in it commits with its rows.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headgate.apps.stores import paging
from headgate.apps.stores.bulk_jobs import end, poll_later, retry_or_give_up
from headgate.apps.stores.client import Shopify
from headgate.apps.stores.means import OVERLAP, Means, Q, milestone
from headgate.apps.stores.tokens import ShopRefused
from headgate.engine.bulk import ingest_file
from headgate.engine.cursor import read as read_position
from headgate.engine.jobs import JobContext
from headgate.engine.manifest import Handler, Services

PIECE = 4 << 20


class Expired(Exception):
    """The file's address is no longer good."""


def ingest(services: Services) -> Handler:
    """`stores.ingest`: fetch the file, promote it, verify it."""
    means = Means.of(services)

    async def handle(ctx: JobContext) -> None:
        operation = await means.db.fetch_one(Q.operation, {"operation": ctx.job.args["operation_id"]})
        if operation is None or operation["finished_at"] or not operation["url"]:
            return
        shopify = await means.shopify(operation["connection_id"])
        path = means.folder(shopify.id) / f"{operation['id']}-{operation['attempts']}.jsonl"
        try:
            await download(ctx, shopify, operation, path)
        except Expired:
            async with ctx.transaction() as conn:
                await conn.execute(Q.state, {"operation": operation["id"], "state": "retrying"})
            await _discard(path)
            await retry_or_give_up(ctx, operation, shop=shopify.shop, error="The file's url had expired.")
            return
        async with ctx.transaction() as conn:
            await conn.execute(Q.state, {"operation": operation["id"], "state": "staged"})
            await milestone(conn, shopify.id, operation["entity"], "in_progress", detail={"state": "staged"})
        await promote_file(means, operation, path)
        await verify(ctx, means, shopify, operation["id"], path)

    return handle


async def download(ctx: JobContext, shopify: Shopify, operation: Mapping[str, Any], path: Path) -> None:
    """Fetch what of the file is not here yet, piece by piece; each is on disk before it is recorded."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    have = await asyncio.to_thread(_cut_to, path, int(operation["bytes"]))
    size = operation["file_size"]
    while size is None or have < size:
        last = have + PIECE - 1 if size is None else min(have + PIECE, size) - 1
        answer = await shopify.fetch(operation["url"], have, last)
        if answer.status in {400, 401, 403, 404, 410}:
            raise Expired
        if answer.status == 416:  # there is nothing beyond what we have
            break
        if answer.status not in {200, 206} or (answer.status == 200 and have):
            raise ShopRefused(
                f"The file came with status {answer.status}.", details={"status": answer.status}
            )
        if not answer.body:
            break
        have = await asyncio.to_thread(_append, path, answer.body)
        async with ctx.transaction() as conn:
            await conn.execute(Q.downloaded, {"operation": operation["id"], "bytes": have})
        if answer.status == 200:  # whoever ignores the range sends all of it
            break


def _cut_to(path: Path, size: int) -> int:
    """What is surely on disk: the recorded size, or less where the file is shorter."""
    if not path.exists():
        path.touch(mode=0o600)
        return 0
    have = path.stat().st_size
    if have > size:
        os.truncate(path, size)
    return min(have, size)


def _append(path: Path, data: bytes) -> int:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


async def promote_file(means: Means, operation: Mapping[str, Any], path: Path) -> None:
    """Ingest the file from where an earlier process stopped, or from its start when the stage was lost."""
    key = f"{operation['connection_id']}/{operation['id']}"
    there = await means.db.fetch_value(Q.parents_there, {"operation": operation["id"]})
    position = await read_position(means.db, "stores.bulk", key)
    found = await asyncio.to_thread(path.stat)
    same = isinstance(position, dict) and (
        position.get("file"),
        position.get("size"),
        position.get("changed"),
    ) == (
        path.name,
        found.st_size,
        found.st_mtime_ns,
    )
    resume = bool(same and (there or operation["entity"] != "orders"))
    if not resume:
        async with means.db.transaction() as conn:
            await conn.execute(Q.forget_parents, {"operation": operation["id"]})
            await conn.execute(Q.restart_counts, {"operation": operation["id"]})
    await ingest_file(
        means.db,
        means.app,
        "bulk",
        path,
        key=key,
        args={"operation_id": operation["id"], "entity": operation["entity"]},
        resume=resume,
        meta={
            "connection_id": operation["connection_id"],
            "operation_id": operation["id"],
            "read_at": operation["remote_created_at"].isoformat(),
        },
    )


async def verify(ctx: JobContext, means: Means, shopify: Shopify, operation_id: int, path: Path) -> None:
    """Count lines, objects, bytes and roots against what Shopify said; complete, ask again, or say what is missing."""
    operation = await means.db.fetch_one(Q.operation, {"operation": operation_id})
    if operation is None:
        return
    after = await paging.count(shopify, operation["entity"])
    waiting = await means.db.fetch_value(Q.waiting_orphans, {"operation": operation_id})
    duplicates = 0
    if operation["lines"] + operation["rejected"] > (operation["object_count"] or 0):
        duplicates = await asyncio.to_thread(repeated, path)
    size = (await asyncio.to_thread(path.stat)).st_size
    missing = judge(operation, size=size, after=after, orphans=int(waiting), duplicates=duplicates)
    if operation["is_partial"]:
        missing.append({"what": "partial", "why": "Shopify delivered part of the result only"})
    if missing and operation["attempts"] < 4:
        await _discard(path)
        why = "; ".join(f"{one['what']}: {one['why']}" for one in missing)
        await retry_or_give_up(ctx, operation, shop=shopify.shop, error=why)
        return
    async with ctx.transaction() as conn:
        state = "partial" if missing else "completed"
        if not missing:
            to = operation["remote_created_at"] - OVERLAP
            params = {"connection": shopify.id, "entity": operation["entity"], "to": to}
            await conn.execute(Q.move_position, params)
        error = "; ".join(f"{one['what']}: {one['why']}" for one in missing) or None
        await end(conn, operation, shop=shopify.shop, state=state, missing=missing, error=error, after=after)
        await ctx.settle(conn)
    await _discard(path)


def judge(
    operation: Mapping[str, Any], *, size: int, after: int, orphans: int, duplicates: int
) -> list[dict[str, Any]]:
    """What of a file does not agree with what Shopify said of it; nothing when it is complete."""
    missing: list[dict[str, Any]] = []

    def note(what: str, why: str) -> None:
        missing.append({"what": what, "why": why})

    objects, roots = operation["object_count"] or 0, operation["root_object_count"] or 0
    if operation["file_size"] is not None and size != operation["file_size"]:
        note("bytes", f"{size} of {operation['file_size']} arrived")
    lines = operation["lines"] - duplicates
    if operation["rejected"]:
        note("unreadable", f"{operation['rejected']} lines could not be read; see dead letters")
    if lines != objects:
        note("objects", f"{lines} of {objects} lines are here")
    elif not duplicates and operation["roots"] != roots:
        note("roots", f"{operation['roots']} of {roots} {operation['entity']} are here")
    before = operation["expected_roots"] if operation["expected_roots"] is not None else after
    low, high = min(before, after), max(before, after)
    if not low <= roots <= high:
        note("count", f"the file has {roots} {operation['entity']}, Shopify counts {low} to {high}")
    if orphans:
        note("orphans", f"{orphans} lines wait for a parent that did not come")
    return missing


def repeated(path: Path) -> int:
    """How many lines of the file are exact copies of an earlier one."""
    seen: set[bytes] = set()
    copies = 0
    with path.open("rb") as file:
        for line in file:
            mark = hashlib.blake2b(line.rstrip(b"\n"), digest_size=8).digest()
            copies += mark in seen
            seen.add(mark)
    return copies


async def _discard(path: Path) -> None:
    await asyncio.to_thread(path.unlink, missing_ok=True)


__all__ = ["download", "ingest", "judge", "poll_later", "promote_file", "repeated", "verify"]
