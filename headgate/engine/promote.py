"""Promote: one staged batch becomes table rows in one transaction, or nothing of it does.

Fence → checks → apply (upsert, history, dirty rollup keys) → cursor → run progress → settle the job. Each is one
statement of the caller's transaction; a crash before COMMIT leaves the batch staged and the cursor where it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from headgate.base.errors import Fenced, PromoteError
from headgate.db import SQL, Connection, Identifier, Jsonb, errors
from headgate.db.queries import load
from headgate.engine import checks
from headgate.engine.compose import Plan
from headgate.engine.manifest import Parsed, Source
from headgate.engine.progress import Run

Q = load("headgate.engine.sql", "promote.sql")


class StageLost(PromoteError):
    """The staged batch is not whole (a crash of PostgreSQL), or what was read of it is of no use; stage it again."""

    default_code = "HG503"


class Stopped(PromoteError):
    """A check of the action `stop` found something; nothing was promoted."""

    default_code = "HG508"


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A staged batch on its way: its id, what the page said, and whether it ends the run.

    `keep`: the caller removes its staged rows, and can fetch the batch again: what the commit of a batch that is not
    the last promises to the disk may come a moment later.
    """

    id: int
    meta: dict[str, Any] = field(default_factory=dict)
    expected: int | None = None
    last: bool = False
    release: bool = False
    keep: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`state` of the run afterwards, its `totals`, and the id to stage the next batch under."""

    state: str
    totals: dict[str, Any]
    next_batch: int | None = None
    verdict: checks.Verdict = field(default_factory=checks.Verdict)


Settle = Callable[[Connection, dict[str, Any]], Awaitable[None]]


async def promote(
    conn: Connection, *, run: Run, source: Source, plan: Plan, batch: Batch, settle: Settle | None = None
) -> Outcome:
    """Promote `batch` inside the caller's transaction on `conn`.

    `settle` finishes the job in the same transaction when the run ends with this batch. Raises `Fenced` when
    another run has taken over, `StageLost` when the batch must be staged again, `PromoteError` otherwise. After a
    `stop` the outcome's state is `failed` and only the finding is written: the caller commits, then raises.
    """
    with _translated(run, batch):
        if batch.keep and not batch.last:
            await conn.execute(Q.commit_soon)
        await conn.execute(Q.begin, {"run": run.id, "fence": run.fence, "batch": batch.id})
        verdict = await checks.judge(
            conn, source.checks, run_id=run.id, batch_id=batch.id, meta=batch.meta, release=batch.release
        )
        if verdict.action != "ok":
            return await _refused(conn, run, batch, verdict, settle)
        counts = await _apply(conn, run, plan, batch)
        if batch.last and plan.sweep:
            counts |= await _value(
                conn, Q.sweep, sweep=plan.sweep, run=run.id, batch=batch.id, share=source.max_deleted
            )
        finished = await (
            await conn.execute(
                Q.finish,
                {
                    "run": run.id,
                    "batch": batch.id,
                    "counts": Jsonb(counts),
                    "expected": batch.expected,
                    "last": batch.last,
                    "keep": source.snapshot or batch.keep,
                },
            )
        ).fetchone()
    if finished is None:
        raise PromoteError(f"Batch {batch.id} did not finish.", details={"run": run.id})
    totals: dict[str, Any] = finished["totals"]
    if batch.last and settle is not None:
        await settle(conn, totals)
    return Outcome(state=totals["state"], totals=totals, next_batch=finished["next_batch"])


async def prepare(
    conn: Connection, *, run: Run, plan: Plan, batch: Batch, parsed: Parsed | None = None
) -> None:
    """What of promoting `batch` needs no turn, in the transaction that then promotes: lines that were read, and the
    application's `prepare`. Raises `StageLost` when PostgreSQL does not take the lines as they were read."""
    if plan.prepare is not None:
        await conn.execute(Q.prepare_settings)
        if parsed is not None:
            await _load(conn, plan, parsed, run=run, batch=batch)
        query = f"select {plan.prepare}(%(batch)s, %(run)s, %(meta)s)"
        await conn.execute(query, {"batch": batch.id, "run": run.id, "meta": Jsonb(batch.meta)})


async def _load(conn: Connection, plan: Plan, parsed: Parsed, *, run: Run, batch: Batch) -> None:
    """The lines that were read in Python, into the session's temporary tables."""
    try:
        await conn.execute(f"select {plan.tables}()")
        async with conn.cursor() as cur:
            for table, rows in parsed.rows.items():
                async with cur.copy(SQL("copy {} from stdin").format(Identifier("pg_temp", table))) as copy:
                    await copy.write(rows)
    except (errors.DataError, errors.IntegrityError, errors.ProgramLimitExceeded) as error:
        details = {"run": run.id, "batch": batch.id, "source": run.source, "key": run.key}
        raise StageLost(f"Batch {batch.id} cannot be copied as it was read.", details=details) from error


async def _apply(conn: Connection, run: Run, plan: Plan, batch: Batch) -> dict[str, Any]:
    """The upsert itself: the composed statement, or the application's function. Returns the counts."""
    if plan.function is None:
        merges = plan.merge is not None and conn.info.server_version >= 170000
        applied: dict[str, Any] = await _value(
            conn,
            Q.apply,
            apply=plan.apply,
            validate=plan.validate,
            merge=plan.merge if merges else None,
            count=plan.count if merges else None,
            run=run.id,
            batch=batch.id,
        )
        return applied
    query = f"select {plan.function}(%(batch)s, %(run)s, %(meta)s) as value"
    counts = await _value(conn, query, batch=batch.id, run=run.id, meta=Jsonb(batch.meta))
    if not isinstance(counts, dict):
        raise PromoteError(
            f"{plan.function} returned {type(counts).__name__} instead of a JSON object of counts.",
            code="HG509",
        )
    return counts


async def _refused(
    conn: Connection, run: Run, batch: Batch, verdict: checks.Verdict, settle: Settle | None
) -> Outcome:
    """A check said no: keep the batch for a person, or fail the run. Either way nothing is promoted."""
    if verdict.action == "hold":
        await conn.execute(checks.Q.hold, {"run": run.id, "batch": batch.id, "check": verdict.check})
        state = "held"
        if settle is not None:
            await settle(conn, {"run_id": run.id, "state": state, "check": verdict.check})
    else:
        state = "failed"
        error = {"code": Stopped.default_code, "message": stop_message(verdict), "check": verdict.check}
        await conn.execute(Q.end, {"run": run.id, "state": state, "error": Jsonb(error)})
    return Outcome(state=state, totals={"run_id": run.id, "state": state}, verdict=verdict)


def stop_message(verdict: checks.Verdict) -> str:
    """What a check found, as one sentence."""
    return f"Check {verdict.check} stopped the run: {verdict.message or 'it found something'}."


async def _value(conn: Connection, query: str, **params: Any) -> Any:
    row = await (await conn.execute(query, params)).fetchone()
    value = next(iter(row.values())) if row else None
    return orjson.loads(value) if isinstance(value, (str, bytes)) else value


@contextmanager
def _translated(run: Run, batch: Batch) -> Iterator[None]:
    """Our own SQLSTATEs, and what PostgreSQL says of an application's SQL, as errors of the product."""
    details = {"run": run.id, "batch": batch.id, "source": run.source, "key": run.key}
    try:
        yield
    except errors.DatabaseError as error:
        state = error.sqlstate or ""
        message = error.diag.message_primary or str(error)
        if state == "HG301":
            raise Fenced(message, details=details) from error
        if state == "HG503":
            raise StageLost(message, details=details) from error
        if state.startswith("HG"):
            raise PromoteError(message, code=state, details=details) from error
        raise


RETRY: tuple[type[Exception], ...] = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
)
