"""What webhooks told of is read again from the shop: once per object, many objects in a query, all in one transaction.

One job per shop at a time. A webhook counts as applied in the transaction that keeps what was read after it came, so
the order in which webhooks come decides nothing. An object that cannot be read does not hold up the others. Topics are
not signed, so a deletion too is believed only when the shop does not show the object any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from headgate.apps.stores import changes, paging, variants
from headgate.apps.stores.client import Denied, Shopify
from headgate.apps.stores.means import Means, NotLive
from headgate.apps.stores.tokens import ShopRefused
from headgate.apps.stores.topics import DELETES, number
from headgate.apps.stores.upkeep import read_refunds, truly_gone
from headgate.apps.stores.webhook_jobs import Q
from headgate.db import Connection, errors
from headgate.engine.jobs import JobContext, Snooze, describe, enqueue
from headgate.engine.manifest import Handler, Services

#: Webhooks looked at in one go.
LIMIT = 500
#: Objects that are kept in one transaction, whose cost hardly depends on how many they are.
TOGETHER = 40
#: How often an object is tried before its webhooks are kept for a person, at growing distances: an hour in all.
TRIES = 15
#: How often an object is looked for again that is said to be deleted and still shows: 7 seconds in all.
PATIENCE = 3
_KIND = {"orders": "order", "customers": "customer", "products": "product", "inventory": "inventory_item"}
#: What one object may be to blame for; anything else befalls the whole shop, and the job is tried again.
_OF_AN_OBJECT = (
    Denied, ShopRefused, errors.DataError, errors.IntegrityError, KeyError, TypeError, ValueError, AttributeError
)  # fmt: skip


@dataclass(slots=True)
class Thing:
    """An object that is to be read, and the webhooks that told of it: of a change, or of its deletion."""

    entity: str
    id: int
    told_by: list[int] = field(default_factory=list)
    deleted_by: list[int] = field(default_factory=list)
    looks: int = 0  # how often it was looked for since it was said to be deleted


@dataclass(frozen=True)
class Reader:
    """One run over a shop's waiting webhooks. `brands`: the shop's live connections; the first reads for all."""

    ctx: JobContext
    brands: Sequence[Shopify]

    @property
    def shopify(self) -> Shopify:
        """Who reads."""
        return self.brands[0]

    @property
    def connections(self) -> list[int]:
        """Who gets what is read."""
        return [one.id for one in self.brands]

    async def read(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Read what the rows of the inbox tell of, and mark them."""
        await self._part_merged(rows)
        found = things(rows)
        for start in range(0, len(found), TOGETHER):
            await self._read(found[start : start + TOGETHER])
        for brand in self.brands:
            await read_refunds(self.ctx, brand)

    async def _part_merged(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """The customers that were merged into others are gone, whatever a reading says."""
        lost = [found for row in rows if (found := number(row["lost"])) is not None]
        if not lost:
            return
        async with self.ctx.transaction() as conn:
            for connection in self.connections:
                for one in lost:
                    await changes.delete(conn, connection, "customer", one)

    async def _read(self, batch: Sequence[Thing]) -> None:
        """Read and keep a batch; where that fails for a reason of its objects, in smaller ones, then singly."""
        try:
            await self._keep(batch)
        except _OF_AN_OBJECT as error:
            if not _is_of_an_object(error):
                raise
            if len(batch) == 1 or (isinstance(error, Denied) and len({one.entity for one in batch}) == 1):
                await self._put_off(batch, error)
                return
            for part in smaller(batch):
                await self._read(part)

    async def _keep(self, batch: Sequence[Thing]) -> None:
        read_at = paging.reading()
        gone, lines = await self._ask(batch)
        lost = await self._lost(batch, gone)
        without = await variants.lost(self.ctx, self.shopify, self.connections, lines)
        missed = {(entity, one) for entity, numbers in gone.items() for one in numbers}
        seen = [one for one in batch if (one.entity, one.id) not in missed]
        unseen = [one for one in batch if (one.entity, one.id) in missed]
        async with self.ctx.transaction() as conn:
            for connection in self.connections:
                await _apply(conn, connection, lines, read_at)
            await variants.drop(conn, without)
            for connection in self.connections:
                for entity, numbers in lost.items():
                    for which in numbers:
                        await changes.delete(conn, connection, _KIND[entity], which)
            await _mark(conn, [n for one in seen for n in one.told_by], "applied", "read again from the shop")
            await _mark(conn, _webhooks(unseen), "applied", "the shop does not show it any more")
            await _doubt(conn, [one for one in seen if one.deleted_by])

    async def _lost(self, batch: Sequence[Thing], gone: Mapping[str, list[int]]) -> dict[str, list[int]]:
        """Of what the shop does not show, what is deleted: by a webhook's word, or because the shop would show it."""
        told = {(one.entity, one.id) for one in batch if one.deleted_by}
        found: dict[str, list[int]] = {}
        for entity, numbers in gone.items():
            found[entity] = [one for one in numbers if (entity, one) in told]
            untold = [one for one in numbers if (entity, one) not in told]
            found[entity] += await truly_gone(self.ctx, self.shopify, entity, untold)
        return found

    async def _ask(self, batch: Sequence[Thing]) -> tuple[dict[str, list[int]], list[Any]]:
        """By entity the objects that the shop does not show, and the lines of the others."""
        gone: dict[str, list[int]] = {}
        lines: list[Any] = []
        for part in batches(batch):
            ids: dict[str, list[int]] = {}
            for one in part:
                ids.setdefault(one.entity, []).append(one.id)
            missing, found = await paging.several(self.shopify, ids)
            lines += found
            for entity, numbers in missing.items():
                gone.setdefault(entity, []).extend(numbers)
        return gone, lines

    async def _put_off(self, batch: Sequence[Thing], error: Exception) -> None:
        code, text = describe(error)
        note = f"could not be read or kept: {text or code}"[:500]
        self.ctx.log.warning(
            "webhook put off", shop=self.shopify.shop, objects=len(batch), code=code, error=text
        )
        async with self.ctx.transaction() as conn:
            await conn.execute(Q.put_off, {"ids": _webhooks(batch), "note": note, "most": TRIES})


async def _apply(conn: Connection, connection: int, lines: Sequence[Any], read_at: datetime) -> None:
    if lines:
        await paging.apply_in(conn, connection, lines, read_at)


async def _mark(conn: Connection, ids: list[int], state: str, note: str) -> None:
    if ids:
        await conn.execute(Q.was_read, {"ids": ids, "state": state, "note": note})


async def _doubt(conn: Connection, shown: Iterable[Thing]) -> None:
    """The shop shows what is said to be deleted: it is looked for again, and the shop is right in the end."""
    note = "said to be deleted, but the shop shows it"
    for one in shown:
        if one.looks < PATIENCE:
            await conn.execute(Q.put_off, {"ids": one.deleted_by, "note": note, "most": TRIES})
        else:
            await _mark(conn, one.deleted_by, "stale", note)


def _webhooks(batch: Iterable[Thing]) -> list[int]:
    return [number for one in batch for number in (*one.told_by, *one.deleted_by)]


def _is_of_an_object(error: Exception) -> bool:
    """A shop that answers with an error page, or not at all, is no fault of what was asked for."""
    return not isinstance(error, ShopRefused) or int((error.details or {}).get("status", 0)) < 500


def things(rows: Iterable[Mapping[str, Any]]) -> list[Thing]:
    """The objects that rows of the inbox tell of, each once, the one that waits longest first."""
    found: dict[tuple[str, int], Thing] = {}
    for row in rows:
        key = (row["entity"], row["object_id"])
        one = found.setdefault(key, Thing(*key))
        if row["topic"] in DELETES:
            one.deleted_by.append(row["id"])
            one.looks = max(one.looks, row["tries"])
        else:
            one.told_by.append(row["id"])
    return list(found.values())


def batches(given: Sequence[Thing]) -> list[list[Thing]]:
    """Cut so that one query for each does not cost more than Shopify takes."""
    found: list[list[Thing]] = []
    left = 0.0
    for one in given:
        share = paging.share(one.entity)
        if not found or share > left + 1e-9:
            found.append([])
            left = 1.0
        found[-1].append(one)
        left -= share
    return found


def smaller(batch: Sequence[Thing]) -> list[list[Thing]]:
    """Parts of a batch: by entity, since a scope may be missing for one of them; else its halves."""
    entities = sorted({one.entity for one in batch})
    if len(entities) > 1:
        return [[one for one in batch if one.entity == entity] for entity in entities]
    middle = len(batch) // 2
    return [list(batch[:middle]), list(batch[middle:])]


def refetch(services: Services) -> Handler:
    """`stores.refetch`: read again what webhooks of one shop told of, until nothing waits."""
    means = Means.of(services)

    async def handle(ctx: JobContext) -> None:
        shop = await _shop(ctx)
        if shop is None:
            return
        if ctx.job.args.get("again") or ctx.job.args.get("ask"):
            await _wake(ctx, shop)
            return
        while not ctx.cancelled.is_set():
            rows = await ctx.db.fetch_all(Q.waiting_reads, {"shop": shop, "limit": LIMIT})
            if rows:
                await _read_rows(ctx, means, shop, rows)
            if len(rows) < LIMIT:
                await _end(ctx, shop)
                return

    return handle


async def _shop(ctx: JobContext) -> str | None:
    """The shop that the job is about; jobs of an earlier version name a connection."""
    args = ctx.job.args
    if "shop" in args:
        return str(args["shop"])
    found: str | None = await ctx.db.fetch_value(Q.shop_of, {"connection": args.get("connection_id")})
    return found


async def _read_rows(ctx: JobContext, means: Means, shop: str, rows: Sequence[Mapping[str, Any]]) -> None:
    live = [one["id"] for one in await ctx.db.fetch_all(Q.live_of, {"shop": shop})]
    left = [row["id"] for row in rows if not set(row["connection_ids"]) & set(live)]
    if left:
        async with ctx.transaction() as conn:
            await _mark(conn, left, "ignored", "the shop was disconnected meanwhile")
    rows = [row for row in rows if set(row["connection_ids"]) & set(live)]
    if not rows:
        return
    try:
        brands = [await means.shopify(one) for one in live]
    except NotLive:  # of several brands; the others still wait
        raise Snooze(0.0, "a brand let go of the shop") from None
    await Reader(ctx, brands).read(rows)


async def _wake(ctx: JobContext, shop: str) -> None:
    """Have the shop's job read what was put off, or what came while one was ending."""
    async with ctx.transaction() as conn:
        await conn.execute(Q.ask, {"shop": shop})
        if ctx.job.args.get("again"):
            await conn.execute(Q.try_again, {"shop": shop})
        await ctx.settle(conn)


async def _end(ctx: JobContext, shop: str) -> None:
    """End the job; another follows for what came meanwhile, and one for what was put off.

    Whoever asks meanwhile is seen here, or finds the job ended and adds one, or one that asks later.
    """
    async with ctx.transaction() as conn:
        await conn.execute(Q.end_of_reading, {"shop": shop})
        row = await (await conn.execute(Q.next_reads, {"shop": shop})).fetchone()
        await ctx.settle(conn)
        if row and row["due"]:
            await conn.execute(Q.read_soon, {"shop": shop})
        elif row and row["at"] is not None:
            args = {"shop": shop, "again": True}
            await enqueue(
                conn, "stores.refetch", args, unique=f"{shop}:again", run_at=row["at"], max_attempts=20
            )


JOBS = {"stores.refetch": refetch}
