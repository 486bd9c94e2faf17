"""A bulk operation's file: fetched in pieces that survive a kill, counted against Shopify's word, then promoted.

The file on disk is the checkpoint: what is there is not fetched again. The position in it commits with its rows.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headgate.apps.stores import paging, staged
from headgate.apps.stores.bulk_jobs import ATTEMPTS, end, retry_or_give_up
from headgate.apps.stores.client import Denied, Shopify
from headgate.apps.stores.completeness import count_apart, judge, unfinished
from headgate.apps.stores.counting import Count
from headgate.apps.stores.means import OVERLAP, Means, Q, milestone
from headgate.apps.stores.tokens import ShopRefused
from headgate.engine.bulk import ingest_file
from headgate.engine.cursor import read as read_position
from headgate.engine.jobs import JobContext
from headgate.engine.manifest import Handler, Services

PIECE = 4 << 20


class Expired(Exception):
    """The file's address is no longer good."""


@dataclass(frozen=True)
class Work:
    """One operation's file on its way: the job, the shop, the operation as its row was, where the file lies."""

    ctx: JobContext
    means: Means
    shopify: Shopify
    operation: Mapping[str, Any]
    path: Path

    @property
    def last_try(self) -> bool:
        """Whether Shopify is not asked again: what is here is all that there will be."""
        return bool(self.operation["attempts"] >= ATTEMPTS)

    async def reach(self, state: str, query: str = Q.state, **given: Any) -> None:
        """Record that the operation has come to `state`, here and in its milestone."""
        async with self.ctx.transaction() as conn:
            await conn.execute(query, {"operation": self.operation["id"], "state": state, **given})
            detail = {"state": state}
            await milestone(conn, self.shopify.id, self.operation["entity"], "in_progress", detail=detail)

    async def ask_again(self, why: str) -> None:
        """Drop the file and ask Shopify for the operation anew; on the last try, end it as partial."""
        async with self.ctx.transaction() as conn:
            await conn.execute(Q.state, {"operation": self.operation["id"], "state": "retrying"})
        await _discard(self.path)
        await retry_or_give_up(self.ctx, self.operation, shop=self.shopify.shop, error=why)


def ingest(services: Services) -> Handler:
    """`stores.ingest`: fetch the file, verify it, promote it. What does not agree is asked for again, unpromoted;
    on the last try what is there is promoted, and the operation says what is missing."""
    means = Means.of(services)

    async def handle(ctx: JobContext) -> None:
        try:
            await fetch(ctx)
        except OSError as error:
            await _tell(ctx, error)
            raise

    async def fetch(ctx: JobContext) -> None:
        operation = await means.db.fetch_one(Q.operation, {"operation": ctx.job.args["operation_id"]})
        if operation is None or operation["finished_at"] or not operation["url"]:
            return
        shopify = await means.shopify(operation["connection_id"])
        path = means.folder(shopify.id) / staged.name(operation["id"], operation["attempts"])
        work = Work(ctx, means, shopify, operation, path)
        if operation["is_partial"] and not work.last_try:
            await work.ask_again("Shopify delivered part of the result only.")
            return
        expired: list[dict[str, Any]] = []
        try:
            await download(ctx, shopify, operation, path)
        except Expired:
            expired = [{"what": "file", "why": "its url had expired"}]
            if not (work.last_try and operation["bytes"]):
                await work.ask_again("The file's url had expired.")
                return
        if operation["state"] not in ("verified", "promoted"):
            await work.reach("staged")
        counted = await count_apart(path)
        after = await _told(work)
        missing = expired + judge(operation, counted, after=after)
        if missing and after is not None and not work.last_try:
            await work.ask_again(_said(missing))
            return
        if not missing and operation["state"] not in ("verified", "promoted"):
            await work.reach("verified", Q.verified, after=after)
        if operation["state"] != "promoted":
            await promote_file(means, operation, path)
            await work.reach("promoted", Q.promoted, duplicates=counted.copies)
        await conclude(work, counted, missing, after=after)

    return handle


async def _tell(ctx: JobContext, error: OSError) -> None:
    """Say in the milestone why the file does not come, as where the disk is full. The next step takes it away."""
    operation = await ctx.db.fetch_one(Q.operation, {"operation": ctx.job.args["operation_id"]})
    if operation is None or operation["finished_at"]:
        return
    why = f"The file cannot be kept here: {error.strerror or type(error).__name__}. It is tried again."
    async with ctx.transaction() as conn:
        await milestone(conn, operation["connection_id"], operation["entity"], "in_progress", error=why)


async def _told(work: Work) -> int | None:
    """Shopify's own count of the roots, as it was when the file was verified; None: a scope for it is missing."""
    operation = work.operation
    if operation["state"] in ("verified", "promoted") and operation["expected_after"] is not None:
        return int(operation["expected_after"])
    try:
        return await paging.count(work.shopify, operation["entity"])
    except Denied:
        return None


def _said(missing: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{one['what']}: {one['why']}" for one in missing)


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


async def conclude(
    work: Work, counted: Count, missing: Sequence[dict[str, Any]], *, after: int | None
) -> None:
    """After promoting: complete, or ask again for lines that could not be read, or say what is missing."""
    operation = await work.means.db.fetch_one(Q.operation, {"operation": work.operation["id"]})
    if operation is None or operation["finished_at"]:
        return
    waiting = await work.means.db.fetch_value(Q.waiting_orphans, {"operation": operation["id"]})
    left = unfinished(operation, counted, orphans=int(waiting))
    if left and not missing and not work.last_try:
        await work.ask_again(_said(left))
        return
    every = [*missing, *left]
    async with work.ctx.transaction() as conn:
        if not every:
            to = operation["remote_created_at"] - OVERLAP
            params = {"connection": work.shopify.id, "entity": operation["entity"], "to": to}
            await conn.execute(Q.move_position, params)
        await end(
            conn,
            operation,
            shop=work.shopify.shop,
            state="partial" if every else "completed",
            missing=every,
            error=_said(every) or None,
            after=after,
        )
        await work.ctx.settle(conn)
    await _discard(work.path)


async def _discard(path: Path) -> None:
    await asyncio.to_thread(path.unlink, missing_ok=True)


__all__ = ["download", "ingest", "promote_file"]
