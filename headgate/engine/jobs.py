"""Jobs: enqueue them in your transaction, limit them by key, and end them under their fence. Runs none: see worker.

Every state change is a function of schema `control` (`sql/migrations`), so other programs may call the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from headgate.base import log
from headgate.base.errors import Fenced, HeadgateError, JobError
from headgate.db import Connection, Database, Jsonb, errors
from headgate.db.connect import Params, Query
from headgate.db.queries import load

if TYPE_CHECKING:
    from headgate.engine.finish import Finisher

Q = load("headgate.engine.sql", "jobs.sql")
STALE = "HG301"  # the SQLSTATE of a claim that lost its job
LONGEST_ERROR = 2_000  # characters of a message that are kept


class Snooze(Exception):
    """Raise in a handler: run the job again after `seconds`. The attempt does not count."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        super().__init__(reason or f"again in {seconds:g} s")
        self.seconds = max(0.0, seconds)


class Cancel(Exception):
    """Raise in a handler: the job is not needed any more. It ends `cancelled`, with the reason kept."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Rejected(JobError):
    """Raise in a handler: what the job was given can never work. It ends `failed` at once, without a retry."""

    default_code = "HG305"


@dataclass(frozen=True, slots=True)
class Job:
    """One claimed job. `attempt` is its fencing token and only grows; `excused` attempts do not count as tries."""

    id: int
    kind: str
    args: dict[str, Any]
    key: str | None
    queue: str
    attempt: int
    excused: int
    max_attempts: int
    priority: int
    run_at: datetime
    unique: str | None = None
    owner: UUID | None = None

    @property
    def tries(self) -> int:
        """Which try this is, from 1; the job fails for good after `max_attempts`."""
        return self.attempt - self.excused


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """What `enqueue_many` adds; the fields are those of `enqueue`."""

    kind: str
    args: Mapping[str, Any] = field(default_factory=dict)
    queue: str = "default"
    key: str | None = None
    unique: str | None = None
    priority: int = 0
    run_at: datetime | None = None
    max_attempts: int = 10
    owner: UUID | None = None


async def enqueue(
    conn: Connection,
    kind: str,
    args: Mapping[str, Any] | None = None,
    *,
    queue: str = "default",
    key: str | None = None,
    unique: str | None = None,
    priority: int = 0,
    run_at: datetime | None = None,
    max_attempts: int = 10,
    owner: UUID | None = None,
) -> int | None:
    """Add a job in the transaction of `conn`; workers hear of it when that commits.

    `key`: what the job works on, such as a host; `set_lane` limits it. `unique`: at most one job of this kind with
    this text waits or runs. Higher `priority` runs first. `run_at`: not before. `owner`: the user who may read the row.
    Gives the job's id, or None when a job with the same `unique` is waiting or running.
    """
    cursor = await conn.execute(
        Q.enqueue,
        (kind, Jsonb(dict(args or {})), queue, key, unique, priority, run_at, max_attempts, owner),
    )
    row = await cursor.fetchone()
    found: int | None = row["id"] if row else None
    return found


async def enqueue_many(conn: Connection, jobs: Sequence[NewJob]) -> int:
    """Add many jobs in one statement; how many were added (unique ones that exist already are not)."""
    rows = []
    for job in jobs:
        new: dict[str, Any] = {name: value for name, value in vars(job).items() if value is not None}
        new["args"] = dict(job.args)
        new["unique_key"] = new.pop("unique", None)
        rows.append(new)
    cursor = await conn.execute(Q.enqueue_many, (orjson.dumps(rows).decode(),))
    row = await cursor.fetchone()
    return int(row["added"]) if row else 0


async def set_lane(
    conn: Connection,
    key: str,
    max_running: int | None = None,
    per_second: float | None = None,
    burst: int | None = None,
) -> None:
    """Limit all jobs of `key` together, for all workers: so many running at a time, so many starts a second.

    `burst` (default 1) starts may come at once after a pause. Both limits None lifts them.
    """
    await conn.execute(Q.set_lane, (key, max_running, per_second, burst))


async def cancel(conn: Connection, job: int) -> str | None:
    """Cancel a waiting job; ask a running one to stop (its `ctx.cancelled` is set).

    Gives the state: `cancelled`, `cancelling`, or that of a job which had finished; None: there is no such job.
    """
    row = await (await conn.execute(Q.cancel, (job,))).fetchone()
    return row["state"] if row else None


async def retry(conn: Connection, job: int) -> str | None:
    """Run a failed, cancelled or scheduled job now, with all its attempts again; gives its state (None: no such job).

    Raises JobError HG303 when a job with the same unique key is waiting or running already.
    """
    try:
        row = await (await conn.execute(Q.retry, (job,))).fetchone()
    except errors.UniqueViolation:
        raise JobError(
            f"Job {job} is unique, and another like it is waiting or running.",
            code="HG303",
            details={"job": job},
            hint="Wait until that one has ended, or cancel it.",
        ) from None
    return row["state"] if row else None


async def purge(
    conn: Connection,
    *,
    finished: timedelta = timedelta(days=3),
    failed: timedelta = timedelta(days=90),
    limit: int = 5_000,
) -> int:
    """Delete up to `limit` jobs that ended longer ago than that; how many."""
    row = await (await conn.execute(Q.purge, (finished, failed, limit))).fetchone()
    return int(row["deleted"]) if row else 0


Statement = tuple[Query, Params]


class JobContext:
    """What a handler gets: its job, the database, a logger, and the means to finish under the fence."""

    def __init__(
        self, job: Job, db: Database, *, worker: int, finisher: Finisher, lease_s: float = 15.0
    ) -> None:
        self.job = job
        self.db = db
        self.cancelled = asyncio.Event()
        self.settled = False
        self._worker = worker
        self._finisher = finisher
        self._lease_s = lease_s

    @cached_property
    def log(self) -> Any:
        """A logger that names the job in each line."""
        return log.get("headgate.job", job=self.job.id, kind=self.job.kind, attempt=self.job.attempt)

    async def settle(self, conn: Connection, result: Any = None) -> None:
        """Finish the job as succeeded in the transaction of `conn`, with `result` (plain JSON) beside it.

        The job's end and whatever else the transaction wrote then commit together or not at all. Raises Fenced, and
        the transaction can only roll back, when somebody else owns the job now.
        """
        await self._settle(conn, "succeeded", None, None, None if result is None else Jsonb(result))

    async def cancel(self, conn: Connection, reason: str = "") -> None:
        """Finish the job as cancelled in the transaction of `conn`, with the reason kept; otherwise as `settle` does.

        For a job that is not needed as long as something holds which the transaction has looked at and locked; one
        that raises Cancel ends a moment later.
        """
        await self._settle(conn, "cancelled", "cancelled", log.redact(reason) or None, None)

    async def _settle(
        self, conn: Connection, outcome: str, code: str | None, error: str | None, result: Jsonb | None
    ) -> None:
        with fenced(self.job):
            await conn.execute(
                Q.settle,
                (self.job.id, self._worker, self.job.attempt, outcome, None, code, error, result),
            )
        self.settled = True

    async def finish(self, *statements: Statement, result: Any = None) -> None:
        """Run `statements` (query, parameters) and finish the job as succeeded, in one transaction.

        For handlers whose writes need no answer from the database: the quickest way to write under the fence. Jobs
        that finish at the same time share a transaction and one round trip; when any of them fails, each gets a
        transaction of its own. Raises Fenced, and this job wrote nothing, when somebody else owns the job now.
        """
        await self._finisher.finish(self.job, statements, result)
        self.settled = True

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction that holds the job's row: nobody can take the job over before it ends. Keep it short.

        Raises Fenced when somebody else owns the job now. If this process stalls inside, the server ends the
        transaction after the length of a lease.
        """
        async with self.db.transaction() as conn:
            with fenced(self.job):
                await conn.execute(Q.fence, (self.job.id, self._worker, self.job.attempt, self._lease_s))
            yield conn


Handler = Callable[[JobContext], Awaitable[None]]


@contextlib.contextmanager
def fenced(job: Job) -> Any:
    """Turn the database's refusal of a stale claim into Fenced."""
    try:
        yield
    except errors.Error as error:
        if error.sqlstate != STALE:
            raise
        raise Fenced(
            f"Job {job.id} ({job.kind}) is no longer owned by attempt {job.attempt}; nothing was written.",
            details={"job": job.id, "attempt": job.attempt},
            hint="Another worker has it, or it has ended. Let this one go.",
        ) from None


def describe(error: BaseException) -> tuple[str, str]:
    """The code and the message of `error` as they are kept: no secrets, no SQL, no traceback."""
    if isinstance(error, HeadgateError):
        code, text = error.code, error.message
    elif isinstance(error, errors.Error):
        code, text = (
            error.sqlstate or type(error).__name__,
            error.diag.message_primary or type(error).__name__,
        )
    else:
        code, text = type(error).__name__, str(error)
    return code, log.redact(text)[:LONGEST_ERROR]


async def get(conn: Connection, job: int) -> dict[str, Any] | None:
    """One job's whole row, or None."""
    return await (await conn.execute(Q.job, (job,))).fetchone()


async def recent(
    conn: Connection,
    *,
    state: str | None = None,
    kind: str | None = None,
    key: str | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """The newest jobs, filtered; without args and results."""
    params = {"state": state, "kind": kind, "key": key, "limit": limit}
    return await (await conn.execute(Q.recent, params)).fetchall()


async def counts(conn: Connection) -> list[dict[str, Any]]:
    """Jobs by kind and state: `kind, state, jobs, oldest_ready`."""
    return await (await conn.execute(Q.counts)).fetchall()


async def failures(conn: Connection, limit: int = 50) -> list[dict[str, Any]]:
    """The newest failed jobs with the code and message of their last error."""
    return await (await conn.execute(Q.failures, (limit,))).fetchall()


async def workers(conn: Connection) -> list[dict[str, Any]]:
    """Worker processes that have not stopped; `alive` says whether the lease holds."""
    return await (await conn.execute(Q.workers)).fetchall()


async def lanes(conn: Connection) -> list[dict[str, Any]]:
    """Every limited key with its limits and the jobs running now."""
    return await (await conn.execute(Q.lanes)).fetchall()
