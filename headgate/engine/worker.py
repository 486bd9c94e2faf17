"""The worker: claims jobs, runs their handlers, settles them under the fence, and takes over from the dead.

One process, one event loop. Several workers on several machines share one database; nothing else connects them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from headgate.base import log, metrics
from headgate.base.errors import DatabaseError, Fenced
from headgate.db import Connection, Database, errors
from headgate.engine import schedule
from headgate.engine.fetch_errors import FetchError, RateLimited
from headgate.engine.finish import Finisher
from headgate.engine.jobs import (
    STALE,
    Cancel,
    Handler,
    Job,
    JobContext,
    Q,
    Rejected,
    Snooze,
    describe,
    purge,
)

_log = log.get("headgate.worker")
_TROUBLE = (errors.Error, DatabaseError, OSError)
_PURGE_EVERY_S = 60.0
_CANCEL_GRACE_S = 10.0


Claim = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a claim ended, as `control.settle_job` takes it."""

    outcome: str
    delay_s: float | None = None
    code: str | None = None
    error: str | None = None


@dataclass(slots=True, eq=False)
class _Running:
    """A handler at work. `why` says who cancelled its task: lost, timeout, cancelled or stopping."""

    ctx: JobContext
    since: float
    task: asyncio.Task[None] | None = None
    why: str | None = None

    def stop(self, why: str) -> None:
        if self.task is not None and self.why is None:
            self.why = why
            self.task.cancel()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The worker's times, in seconds.

    `lease_s`: how long a silent worker keeps its jobs. `poll_s`: how often to look without a wake-up. `grace_s`: how
    long a stopping worker waits for its handlers. `timeout_s`: how long a handler may run.
    `keep`: how long jobs that succeeded or were cancelled stay; `keep_failed`: those that failed.
    """

    lease_s: float = 15.0
    poll_s: float = 1.0
    grace_s: float = 30.0
    timeout_s: float = 3_600.0
    keep: timedelta = timedelta(days=3)
    keep_failed: timedelta = timedelta(days=90)


@dataclass(eq=False)
class _Books:
    """What the worker runs and what it owes the database. A claim is (job, attempt)."""

    running: dict[Claim, _Running] = field(default_factory=dict)
    returned: list[Claim] = field(default_factory=list)
    settling: list[Claim] = field(default_factory=list)
    ended: dict[Claim, Ending] = field(default_factory=dict)
    unknown: set[Claim] = field(default_factory=set)

    @property
    def owing(self) -> bool:
        return bool(self.returned or self.settling or self.ended)

    def knows(self, claim: Claim) -> bool:
        return claim in self.running or claim in self.ended or claim in (*self.returned, *self.settling)


class Worker:
    """Runs the jobs of `queues` with `handlers` (by kind), at most `concurrency` at a time.

    The worker opens a few connections of its own to the database of `db`, so that busy handlers cannot keep it from
    its heartbeat. Queues are served in the order given.
    """

    def __init__(
        self,
        db: Database,
        handlers: Mapping[str, Handler],
        *,
        queues: Sequence[str] = ("default",),
        concurrency: int = 8,
        lease_s: float = 15.0,
        limits: Limits | None = None,
        name: str | None = None,
    ) -> None:
        self.id = 0
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._db = db
        self._own: Database = db
        self._handlers = dict(handlers)
        self._queues = tuple(queues)
        self._concurrency = concurrency
        self._limits = limits or Limits(lease_s=lease_s)
        self._books = _Books()
        self._finisher = Finisher(db, 0)
        self._wake = asyncio.Event()
        self._stopping = False
        self._beaten = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish what runs, give back what does not end in time, and return."""
        async with await Database.open(
            self._db.url, min_size=1, max_size=3, application_name="headgate worker"
        ) as own:
            self._own = own
            await self._register()
            loops = [self._pump, self._heart, self._care, self._listen]
            tasks = [asyncio.create_task(loop(), name=loop.__name__) for loop in loops]
            stopped = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        task.result()
                await self._wind_down()
            finally:
                await _end([*tasks, stopped, *(r.task for r in self._books.running.values() if r.task)])
                await self._finisher.close()
                await self._sign_off()

    # ---- claiming and settling

    async def _pump(self) -> None:
        """One round trip settles what ended and claims what is free; sleeps until something changes."""
        while True:
            self._wake.clear()
            wait_s = self._limits.poll_s
            try:
                for queue in self._queues:
                    wait_s = min(wait_s, await self._turn(queue))
            except _TROUBLE as error:
                _log.warning("worker.database", error=describe(error)[1])
                await asyncio.sleep(random.uniform(0.2, 1.0))
                continue
            if not (self._books.returned or self._books.ended):
                await _pause(self._wake, wait_s)

    async def _turn(self, queue: str) -> float:
        """Settle, claim and start; the seconds until the next look is due (0: at once)."""
        books = self._books
        free = 0 if self._stopping else self._concurrency - len(books.running)
        if free <= 0 and not books.owing:
            return self._limits.poll_s
        done = books.settling = books.returned
        books.returned = []
        try:
            async with self._own.connection() as conn:
                for claim, end in list(books.ended.items()):
                    await self._settle(conn, claim, end)
                    del books.ended[claim]
                cursor = await conn.execute(
                    Q.work, (self.id, [d[0] for d in done], [d[1] for d in done], queue, free)
                )
                row = await cursor.fetchone()
        except BaseException:
            books.returned = done + books.returned
            raise
        finally:
            books.settling = []
        assert row is not None  # noqa: S101 a function call always gives one row
        claimed = orjson.loads(row["claimed"]) if row["claimed"] else ()
        for values in claimed:
            self._start(_job(values))
        if claimed and len(claimed) >= free:
            return 0.0 if len(books.running) < self._concurrency else self._limits.poll_s
        return float(row["wait_s"]) if row["wait_s"] is not None else self._limits.poll_s

    async def _settle(self, conn: Connection, claim: Claim, end: Ending) -> None:
        job, attempt = claim
        try:
            await conn.execute(
                Q.settle, (job, self.id, attempt, end.outcome, end.delay_s, end.code, end.error, None)
            )
        except errors.Error as error:
            if error.sqlstate != STALE:
                raise
            _log.info("job.fenced", job=job, attempt=attempt)

    # ---- running

    def _start(self, job: Job) -> None:
        running = _Running(
            JobContext(job, self._db, worker=self.id, finisher=self._finisher, lease_s=self._limits.lease_s),
            time.monotonic(),
        )
        self._books.running[job.id, job.attempt] = running
        running.task = asyncio.create_task(self._handle(running))

    async def _handle(self, running: _Running) -> None:
        """Run one handler and note how it ended. Never raises."""
        job = running.ctx.job
        end: Ending | None
        try:
            handler = self._handlers.get(job.kind)
            end = await _ending(handler, running)
        finally:
            self._books.running.pop((job.id, job.attempt), None)
            self._wake.set()
        if end is None:
            metrics.JOBS.labels(job.kind, running.why or "released").inc()
            return
        metrics.JOBS.labels(job.kind, end.outcome).inc()
        metrics.JOB_SECONDS.labels(job.kind).observe(time.monotonic() - running.since)
        if end.outcome == "succeeded":
            self._books.returned.append((job.id, job.attempt))
            return
        self._books.ended[job.id, job.attempt] = end
        if end.outcome in ("retried", "failed"):
            running.ctx.log.warning("job." + end.outcome, code=end.code, error=end.error)

    # ---- staying alive

    async def _register(self) -> None:
        row = await self._own.fetch_one(
            Q.start_worker, (self.name, list(self._queues), self._concurrency, self._limits.lease_s)
        )
        self.id = int(row["id"]) if row else 0
        self._finisher = Finisher(self._db, self.id)
        self._beaten = time.monotonic()

    async def _heart(self) -> None:
        """Renew the lease three times in its length; let go of what others took over; end overlong handlers."""
        while True:
            await asyncio.sleep(self._limits.lease_s / 3)
            before = dict(self._books.running)
            try:
                row = await self._own.fetch_one(Q.beat, (self.id, len(before), self._limits.lease_s))
            except _TROUBLE as error:
                _log.warning("worker.heartbeat", error=describe(error)[1])
                if time.monotonic() - self._beaten > self._limits.lease_s:
                    self._lose(before)
                continue
            self._beaten = time.monotonic()
            if row is None or not row["alive"]:
                self._lose(before)
                self._books.returned.clear()
                self._books.ended.clear()
                await self._again(self._register)
                continue
            self._compare(before, orjson.loads(row["jobs"]))

    def _compare(self, before: Mapping[Claim, _Running], jobs: Sequence[tuple[int, int, bool]]) -> None:
        """Bring what runs here and what the database says we own together."""
        books = self._books
        owned = {(job, attempt): cancelling for job, attempt, cancelling in jobs}
        self._lose({claim: r for claim, r in before.items() if claim not in owned})
        for claim, cancelling in owned.items():
            if cancelling and claim in books.running:
                self._cancel(books.running[claim])
        strange = {claim for claim in owned if not books.knows(claim)}
        for claim in strange & books.unknown:  # claimed, but the answer never reached us
            books.ended[claim] = Ending("released")
            self._wake.set()
        books.unknown = strange
        late = time.monotonic() - self._limits.timeout_s
        for running in before.values():
            if running.since < late:
                running.stop("timeout")

    def _lose(self, gone: Mapping[Claim, _Running]) -> None:
        """End handlers whose jobs are not ours any more, unless they settled and are only about to return."""
        for claim, running in gone.items():
            if running.ctx.settled or claim not in self._books.running:
                continue
            _log.warning("job.lost", job=running.ctx.job.id, kind=running.ctx.job.kind)
            running.stop("lost")

    def _cancel(self, running: _Running) -> None:
        """Tell the handler; end it if it has not ended soon."""
        if not running.ctx.cancelled.is_set():
            running.ctx.cancelled.set()
            asyncio.get_running_loop().call_later(_CANCEL_GRACE_S, running.stop, "cancelled")

    async def _again(self, step: Callable[[], Awaitable[Any]]) -> None:
        """Do `step` until the database lets it succeed."""
        while True:
            try:
                await step()
                return
            except _TROUBLE as error:
                _log.warning("worker.database", error=describe(error)[1])
                await asyncio.sleep(random.uniform(0.5, 1.5))

    async def _care(self) -> None:
        """Every second or so: take over from the dead, fire due schedules; each minute: purge."""
        purged = time.monotonic()
        while True:
            await asyncio.sleep(min(1.0, self._limits.lease_s / 5) * random.uniform(0.75, 1.25))
            try:
                recovered = await self._own.fetch_value(Q.recover)
                if recovered:
                    _log.warning("worker.recovered", jobs=recovered)
                await schedule.tick(self._own)
                if time.monotonic() - purged > _PURGE_EVERY_S:
                    purged = time.monotonic()
                    async with self._own.connection() as conn:
                        await purge(conn, finished=self._limits.keep, failed=self._limits.keep_failed)
            except _TROUBLE as error:
                _log.warning("worker.care", error=describe(error)[1])

    async def _listen(self) -> None:
        """Wake up for new jobs and for cancellations. Without notifications the worker polls."""
        async for note in self._own.listen("headgate_jobs", "headgate_cancel"):
            if note.channel == "headgate_jobs" and (not note.payload or note.payload in self._queues):
                self._wake.set()
            elif note.channel == "headgate_cancel":
                worker, _, job = note.payload.partition(":")
                for running in list(self._books.running.values()):
                    if worker == str(self.id) and job == str(running.ctx.job.id):
                        self._cancel(running)

    # ---- stopping

    async def _wind_down(self) -> None:
        """Claim nothing more, wait for the handlers, end the late ones, and settle what is owed."""
        self._stopping = True
        tasks = [r.task for r in self._books.running.values() if r.task]
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.grace_s)
        for running in list(self._books.running.values()):
            running.stop("stopping")
        await _end([r.task for r in self._books.running.values() if r.task])
        deadline = time.monotonic() + self._limits.lease_s
        while self._books.owing and time.monotonic() < deadline:
            self._wake.set()
            await asyncio.sleep(0.01)

    async def _sign_off(self) -> None:
        try:
            await self._own.execute(Q.stop_worker, (self.id,))
        except _TROUBLE as error:
            _log.warning("worker.sign_off", error=describe(error)[1])


async def _ending(handler: Handler | None, running: _Running) -> Ending | None:
    """Run the handler; None means that nothing is to be settled: the job is another's, or will be released."""
    ctx = running.ctx
    if handler is None:
        return Ending(
            "retried", code="HG304", error=f"This worker has no handler for jobs of kind {ctx.job.kind}."
        )
    try:
        await handler(ctx)
    except Snooze as snooze:
        return Ending("snoozed", delay_s=snooze.seconds)
    except RateLimited as limited:
        return Ending("snoozed", delay_s=limited.retry_after_s)
    except Cancel as stop:
        return Ending("cancelled", code="cancelled", error=log.redact(stop.reason) or None)
    except Rejected as error:
        return Ending("failed", None, *describe(error))
    except FetchError as error:
        return Ending(
            "retried" if error.retryable else "failed", error.retry_after_s or None, *describe(error)
        )
    except asyncio.CancelledError:
        if running.why in ("lost", "stopping"):
            return None
        if running.why == "cancelled":
            return Ending("cancelled", code="cancelled")
        return Ending(
            "retried", code="HG306", error="The handler was ended: it ran too long or cancelled itself."
        )
    except Fenced as error:
        return Ending("retried", None, *describe(error))
    except Exception as error:
        ctx.log.debug("job.error", exc_info=error)
        return Ending("retried", None, *describe(error))
    return Ending("succeeded")


def _job(values: list[Any]) -> Job:
    values[9] = datetime.fromisoformat(values[9])
    return Job(*values)


async def _pause(event: asyncio.Event, seconds: float) -> None:
    """Until `event` is set, or `seconds` have passed."""
    if seconds > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()


async def _end(tasks: Sequence[asyncio.Task[Any] | None]) -> None:
    """Cancel the tasks and wait until they have ended."""
    alive = {t for t in tasks if t is not None}
    while alive:
        for task in alive:
            task.cancel()
        _, alive = await asyncio.wait(alive, timeout=1.0)
