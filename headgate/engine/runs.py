"""Runs: a source is pulled page by page, each page staged and promoted, the whole kept in a ledger.

A run takes the fence of its (source, key); a later run of the same takes it away, and what the earlier one has not
promoted by then it never will.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from headgate.base import log
from headgate.base.errors import Fenced, HeadgateError, JobError
from headgate.base.metrics import ROWS
from headgate.base.tasks import ended
from headgate.db import Connection, Database, errors
from headgate.engine import stage
from headgate.engine.compose import Plan, plan
from headgate.engine.cursor import Q, as_jsonb
from headgate.engine.fetch_errors import RateLimited
from headgate.engine.jobs import Cancel, JobContext, Snooze
from headgate.engine.manifest import App, Page, Parsed, Source, SourceContext
from headgate.engine.progress import Run, RunReport
from headgate.engine.promote import RETRY, Batch, Outcome, StageLost, Stopped, prepare, promote, stop_message

_log = log.get(__name__)

#: A running run shows life this often; after three times as long in silence it may be called abandoned.
BEAT_S = 15.0
ATTEMPTS = 4


async def run_source(
    db: Database,
    app: App,
    source: Source | str,
    *,
    key: str | None = None,
    args: Mapping[str, Any] | None = None,
    fetcher: Any = None,
    job: JobContext | None = None,
    settings: Mapping[str, Any] | None = None,
    owner: UUID | None = None,
    scope: str = "",
) -> RunReport:
    """Run `source` of `app` from where (source, key) stands until it ends; every page is one transaction.

    With `job` (a `JobContext`) the job is settled in the transaction of the last page. `scope` gives the run a
    position of its own beside the key's usual one (backfills). `owner` may read the run. Raises `Fenced` when
    another run took over, `Stopped` when a check stopped it, else what the source raised; the ledger says the same.
    """
    chosen = app.source(source) if isinstance(source, str) else source
    run, batch_id = await start(db, app, chosen, key=key, args=args, job=job, owner=owner, scope=scope)
    worker = Puller(db, run, chosen, plan(app, chosen), batch_id=batch_id, job=job)
    context = SourceContext(
        fetch=fetcher,
        db=db,
        run=run,
        key=key,
        args=run.args,
        settings=settings or {},
        log=log.get(chosen.name, run=run.id, key=key),
    )
    async with recorded(db, run):
        return await worker.pull(context)


async def start(
    db: Database,
    app: App,
    source: Source,
    *,
    key: str | None = None,
    args: Mapping[str, Any] | None = None,
    job: JobContext | None = None,
    owner: UUID | None = None,
    scope: str = "",
) -> tuple[Run, int]:
    """Open a run and take the fence. Returns it and the id for its first batch."""
    row = await db.fetch_one(
        Q.start,
        {
            "app": app.name,
            "source": source.name,
            "key": (key or "") + (f"#{scope}" if scope else ""),
            "args": as_jsonb(dict(args or {})),
            "owner": owner,
            "job": job.job.id if job else None,
            "attempt": job.job.attempt if job else None,
        },
    )
    if row is None:
        raise JobError(f"No run of {source.name} could be opened.")
    run = Run(
        id=row["run_id"],
        app=app.name,
        source=source.name,
        key=key,
        fence=row["fence"],
        cursor=None if source.snapshot else row["cursor_value"],
        args=dict(args or {}),
    )
    return run, row["batch_id"]


@asynccontextmanager
async def recorded(db: Database, run: Run) -> AsyncIterator[None]:
    """Keep the run's heart beating; when the body raises, end the run in the ledger with the reason, and re-raise."""
    beat = asyncio.create_task(_beat(db, run), name=f"run {run.id} heartbeat")
    try:
        yield
    except Stopped:
        raise
    except Fenced:
        with suppress(Exception):  # `clear_stage` will get it otherwise
            await db.execute(Q.discard, {"run": run.id})
        raise
    except asyncio.CancelledError:
        with suppress(Exception):
            await asyncio.shield(
                _end(db, run, "cancelled", {"code": "HG314", "message": "The run was cancelled."})
            )
        raise
    except Exception as error:
        with suppress(Exception):  # the error below says more than a database that cannot take note of it
            await _end(db, run, _state_of(error), describe(error))
        raise
    finally:
        await ended(beat)


async def _beat(db: Database, run: Run) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        try:
            if not await db.fetch_value(Q.beat, {"run": run.id}):
                return
        except (errors.Error, HeadgateError) as error:
            _log.warning("run.beat_failed", run=run.id, error=str(error))


async def _end(db: Database, run: Run, state: str, error: Mapping[str, Any]) -> None:
    await db.fetch_value(Q.end, {"run": run.id, "state": state, "error": as_jsonb(dict(error))})


def _state_of(error: Exception) -> str:
    """`deferred` for what only asks to come back later (a snooze, a rate limit), `cancelled`, or `failed`."""
    if isinstance(error, (Snooze, RateLimited)):
        return "deferred"
    return "cancelled" if isinstance(error, Cancel) else "failed"


def describe(error: Exception) -> dict[str, Any]:
    """An error as the ledger keeps it: code and message, never a traceback or a query."""
    if isinstance(error, HeadgateError):
        return {"code": error.code, "message": log.redact(error.message), "hint": error.hint}
    if isinstance(error, errors.Error):
        return {
            "code": error.sqlstate or "HG200",
            "message": error.diag.message_primary or type(error).__name__,
        }
    return {"code": "HG400", "message": log.redact(f"{type(error).__name__}: {error}")[:500]}


class Puller:
    """The loop of one run: next page, stage, promote. Holds nothing that a crash would miss."""

    def __init__(
        self, db: Database, run: Run, source: Source, how: Plan, *, batch_id: int, job: JobContext | None
    ) -> None:
        self.db = db
        self.run = run
        self.source = source
        self.plan = how
        self.job = job
        self.batch_id = batch_id
        self.number = 1
        self.report = RunReport(run_id=run.id, state="running", cursor=run.cursor)

    async def pull(self, context: SourceContext) -> RunReport:
        """All pages of the source."""
        async with aclosing(self.source.fetch(context, self.run.cursor)) as pages:  # type: ignore[type-var]
            async for page in pages:
                if self.job is not None and self.job.cancelled.is_set():
                    raise Cancel("The job was cancelled between two pages.")
                await self.take(page)
                if self.report.state != "running":
                    return self.report
        if self.source.snapshot:
            await self.take(Page(last=True, step="end of snapshot"))
        else:
            await self._finish()
        return self.report

    async def take(self, page: Page) -> RunReport:
        """Stage and promote one page; returns the run so far."""
        for attempt in range(1, ATTEMPTS + 1):
            await stage_batch(
                self.db, self.run, self.source, page, batch_id=self.batch_id, number=self.number
            )
            try:
                outcome = await self._promote(page)
                break
            except StageLost:
                if attempt == ATTEMPTS:
                    raise
                _log.warning("stage.lost", run=self.run.id, batch=self.batch_id)
                self.batch_id = await self.db.fetch_value(Q.step_lost, {"batch": self.batch_id})
        self.report = RunReport.of(outcome.totals)
        self.number += 1
        if outcome.next_batch is not None:
            self.batch_id = outcome.next_batch
        return self.report

    async def _promote(self, page: Page) -> Outcome:
        batch = Batch(id=self.batch_id, meta=dict(page.meta), expected=page.expected, last=page.last)
        outcome = await promote_batch(
            self.db, self.run, self.source, self.plan, batch, settle=self.job.settle if self.job else None
        )
        self._count(outcome)
        return outcome

    def _count(self, outcome: Outcome) -> None:
        for fate in ("upserted", "unchanged", "stale", "rejected", "deleted"):
            grown = outcome.totals.get(fate, 0) - getattr(self.report, fate)
            if grown > 0:
                ROWS.labels(self.source.name, fate).inc(grown)

    async def _finish(self) -> None:
        """The source ended without calling a page its last one: the run ends in a transaction of its own."""
        async with self.db.transaction() as conn:
            held = await (
                await conn.execute(Q.hold_fence, {"run": self.run.id, "fence": self.run.fence})
            ).fetchone()
            if held is None:
                raise Fenced(f"Run {self.run.id} of {self.source.name} was taken over.")
            await conn.execute(Q.end, {"run": self.run.id, "state": "succeeded", "error": None})
            self.report = RunReport.of({**vars(self.report), "state": "succeeded"})
            if self.job is not None:
                await self.job.settle(conn, vars(self.report))


async def stage_batch(
    db: Database,
    run: Run,
    source: Source,
    page: Page,
    *,
    batch_id: int,
    number: int,
    first_line: int = 1,
    drift: bool = True,
    parsed: Parsed | None = None,
) -> stage.Staged:
    """Copy a page into staging and record it there, in one transaction; of what is `parsed`, only the rest."""
    lines = stage.to_lines(page.rows) if parsed is None else parsed.rest

    async def record(conn: Connection, staged: stage.Staged) -> stage.Staged:
        params = {
            "batch": batch_id,
            "run": run.id,
            "number": number,
            "name": page.step,
            "seen": staged.seen + (parsed.lines if parsed else 0),
            "staged": staged.staged,
            "rejected": staged.rejected,
            "bytes": staged.size if parsed is None else len(page.rows),
            "meta": as_jsonb(dict(page.meta)),
            "next": as_jsonb(page.next),
        }
        await conn.execute(stage.Q.staged, params)
        if drift and source.drift and staged.staged:
            await conn.execute(
                stage.Q.drift,
                {"source": source.name, "run": run.id, "batch": batch_id, "rows": staged.staged},
            )
        return staged

    try:
        async with db.transaction() as conn:
            return await record(conn, await stage.copy_fast(conn, batch_id, lines, first_line))
    except stage.Unclean:
        async with db.transaction() as conn:
            staged = await stage.copy_carefully(
                conn, run_id=run.id, batch_id=batch_id, lines=lines, first_line=first_line
            )
            return await record(conn, staged)


async def promote_batch(
    db: Database,
    run: Run,
    source: Source,
    how: Plan,
    batch: Batch,
    *,
    settle: Any = None,
    turn: Callable[[], Awaitable[None]] | None = None,
    parsed: Parsed | None = None,
) -> Outcome:
    """Promote a staged batch in one transaction of its own; deadlocks and the like are tried again.

    With `turn` the transaction begins by preparing the batch (`parsed`: what of it was read in Python) and then waits
    for `turn`; what that raises undoes it.
    Raises `Stopped` after a check's stop has been committed to the ledger.
    """
    async with (
        db.connection() as conn
    ):  # kept between the tries: the next chunk may wait with the last free one
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with conn.transaction():
                    if turn is not None:
                        await prepare(conn, run=run, plan=how, batch=batch, parsed=parsed)
                        await turn()
                    outcome = await promote(
                        conn, run=run, source=source, plan=how, batch=batch, settle=settle
                    )
                break
            except RETRY:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(0.05 * attempt)
    if outcome.state == "failed":
        raise Stopped(
            stop_message(outcome.verdict), details={"run": run.id, "finding": str(outcome.verdict.finding)}
        )
    return outcome


async def list_runs(
    db: Database,
    *,
    app: str | None = None,
    source: str | None = None,
    state: str | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """The latest runs, newest first, with `elapsed_s` and `eta_s`."""
    return await db.fetch_all(Q.list, {"app": app, "source": source, "state": state, "limit": limit})


async def one_run(db: Database, run_id: int, *, rejects: int = 20) -> dict[str, Any]:
    """One run with its `steps`, `findings` and first `rejects`. Raises JobError HG315 if there is none."""
    row = await db.fetch_one(Q.one, {"run": run_id})
    if row is None:
        raise JobError(f"There is no run {run_id}.", code="HG315", hint="`headgate runs` lists them.")
    row["steps"] = await db.fetch_all(Q.steps, {"run": run_id})
    row["findings"] = await db.fetch_all(Q.findings, {"run": run_id})
    row["rejects"] = await db.fetch_all(Q.rejects, {"run": run_id, "limit": rejects})
    return row


async def abandon_runs(db: Database, *, older_s: float = 3 * BEAT_S) -> int:
    """End runs that have shown no life for `older_s` seconds; their jobs are the queue's to retry."""
    return int(await db.fetch_value(Q.abandon, {"older_s": older_s}))


async def prune_runs(db: Database, *, keep_s: float) -> int:
    """Delete what the ledger knows of runs that finished more than `keep_s` seconds ago, except held ones."""
    return int(await db.fetch_value(Q.prune, {"keep_s": keep_s}))
