"""Backfill: history through the same path as the present, in chunks, at a pace, with a pause and an ETA.

Each chunk is a run of the source with the chunk's arguments and a position of its own (`scope`), so history and the
present never fence one another. A chunk is done in the transaction of its run's last page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from headgate.base import log
from headgate.base.errors import JobError
from headgate.db import Database
from headgate.db.queries import load
from headgate.engine.cursor import as_jsonb
from headgate.engine.jobs import JobContext
from headgate.engine.manifest import App, Source
from headgate.engine.runs import run_source

Q = load("headgate.engine.sql", "backfill.sql")
_log = log.get(__name__)


async def plan_backfill(
    db: Database,
    app: App,
    source: Source | str,
    chunks: Sequence[Mapping[str, Any]],
    *,
    key: str | None = None,
    pace_s: float = 0.0,
    owner: UUID | None = None,
) -> int:
    """Write down a backfill of `chunks` (each the arguments of one run, in order); returns its id.

    `pace_s`: seconds between the starts of two chunks, at least.
    """
    chosen = app.source(source) if isinstance(source, str) else source
    if not chunks:
        raise JobError(f"A backfill of {chosen.name} without chunks has nothing to do.", code="HG316")
    params = {
        "app": app.name,
        "source": chosen.name,
        "key": key or "",
        "pace_s": pace_s,
        "owner": owner,
        "chunks": as_jsonb([dict(chunk) for chunk in chunks]),
    }
    return int(await db.fetch_value(Q.create, params))


async def run_backfill(
    db: Database, app: App, backfill_id: int, *, job: JobContext | None = None, **means: Any
) -> dict[str, Any]:
    """Do what is left of a backfill until it is done, paused or cancelled; returns its progress.

    Several processes may work on one backfill; each chunk has one run at a time. A failing chunk is tried five
    times; the others go on without it. `means` go to `run_source` (fetcher, settings).
    """
    row = await _row(db, backfill_id)
    while not (job is not None and job.cancelled.is_set()):
        taken = await db.fetch_one(Q.take, {"backfill": backfill_id})
        if taken is None:
            break
        if taken["wait_s"] is not None:
            await asyncio.sleep(min(taken["wait_s"], 5.0))
            continue
        args = {**taken["args"], "backfill_id": backfill_id, "backfill_chunk": taken["number"]}
        scope = f"backfill:{backfill_id}:{taken['number']}"
        try:
            await run_source(
                db,
                app,
                row["source"],
                key=row["key"] or None,
                args=args,
                owner=row["owner"],
                scope=scope,
                **means,
            )
        except Exception as error:
            _log.warning(
                "backfill.chunk_failed", backfill=backfill_id, chunk=taken["number"], error=str(error)
            )
            if not await db.fetch_value(Q.retryable, {"backfill": backfill_id, "number": taken["number"]}):
                continue
            await asyncio.sleep(min(0.1 * 2 ** taken["attempts"], 5.0))
    return await progress(db, backfill_id)


async def pause(db: Database, backfill_id: int) -> None:
    """Let the running chunks end and begin no other."""
    await _set(db, backfill_id, "paused", "running")


async def resume(db: Database, backfill_id: int) -> None:
    """Go on with a paused backfill; failed chunks get another five attempts."""
    await _set(db, backfill_id, "running", "paused")
    await db.execute(Q.retry_failed, {"backfill": backfill_id})


async def cancel(db: Database, backfill_id: int) -> None:
    """End a backfill for good; what it promoted stays."""
    await _set(db, backfill_id, "cancelled", "running", "paused")


async def progress(db: Database, backfill_id: int) -> dict[str, Any]:
    """`state`, `chunks`, `done`, `failed`, `rows` promoted, and `eta_s` from the last twenty chunks."""
    row = await db.fetch_one(Q.progress, {"backfill": backfill_id})
    if row is None:
        raise JobError(f"There is no backfill {backfill_id}.", code="HG317")
    return row


async def _row(db: Database, backfill_id: int) -> dict[str, Any]:
    row = await db.fetch_one(Q.one, {"backfill": backfill_id})
    if row is None:
        raise JobError(f"There is no backfill {backfill_id}.", code="HG317")
    return row


async def _set(db: Database, backfill_id: int, state: str, *before: str) -> None:
    changed = await db.execute(Q.set_state, {"backfill": backfill_id, "state": state, "before": list(before)})
    if changed == 0:
        row = await _row(db, backfill_id)
        raise JobError(f"Backfill {backfill_id} is {row['state']}; it cannot become {state}.", code="HG318")
