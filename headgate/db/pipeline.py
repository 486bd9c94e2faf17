"""libpq's pipeline driven by the event loop: one write and one read per request, several requests in flight.

Everything up to a Sync is one implicit transaction, so settings made with `set_config(…, true)` end with it.
The only door to `psycopg.pq`. Parses no SQL and keeps no state of a request beyond its Sync.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from psycopg import pq
from psycopg.conninfo import make_conninfo

from headgate.db.libpq import find_sync

Parameters = Sequence[bytes | None]
PREPARED_MAX = 400  # prepared statements kept per connection; each costs PostgreSQL some 30–100 kB
DEPTH_MAX = 16  # requests in flight on one connection before further ones wait
SHORT_DEPTH = 8  # short requests in flight on one connection before another is taken
SHORT_WIDTH = max(
    2, os.cpu_count() or 2
)  # connections that short requests keep busy: more only switch contexts
RETRIES = 3
STOP_AGAIN_S = 0.1  # a request to stop is repeated after this, and after twice as long each time
STOP_AGAIN_MAX_S = 2.0
_sync = find_sync()
STALE = {"26000"}  # the statement is not prepared on this connection (any more)


class ServerError(Exception):
    """PostgreSQL refused a statement; the transaction it belonged to is gone."""

    def __init__(self, code: str, message: str, detail: str | None, hint: str | None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.detail = detail
        self.hint = hint


class ConnectionLost(Exception):
    """The connection broke before the answer came, or could not be made."""


class PoolTimeout(Exception):
    """No connection became free in time."""


@dataclass(slots=True)
class Step:
    """One statement with its parameters in text format; results come in binary format.

    `name` prepares it once per connection; without a name it is parsed each time.
    """

    sql: bytes
    parameters: Parameters = ()
    name: bytes | None = None


@dataclass(slots=True)
class _Job:
    """What was sent in one go, until its last Sync has come back."""

    kinds: deque[bytes | None]  # per command: None for a statement, the name for a Parse
    syncs: int
    done: asyncio.Future[None]
    results: list[pq.abc.PGresult] = field(default_factory=list)
    error: ServerError | None = None


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")


def _error(result: pq.abc.PGresult) -> ServerError:
    def part(code: pq.DiagnosticField) -> str | None:
        return _text(result.error_field(code))

    return ServerError(
        part(pq.DiagnosticField.SQLSTATE) or "XX000",
        part(pq.DiagnosticField.MESSAGE_PRIMARY) or "",
        part(pq.DiagnosticField.MESSAGE_DETAIL),
        part(pq.DiagnosticField.MESSAGE_HINT),
    )


class Line:
    """One connection in pipeline mode. Not for use by several event loops."""

    def __init__(self, conn: pq.abc.PGconn) -> None:
        self.conn = conn
        self.jobs: deque[_Job] = deque()
        self.prepared: OrderedDict[bytes, None] = OrderedDict()
        self.exclusive = False
        self.slow = 0  # requests in flight that may take long
        self.broken: str | None = None
        self.loop = asyncio.get_running_loop()
        self.fd = conn.socket
        self._writing = False
        self._flushing = False
        self.on_idle: list[asyncio.Future[None]] = []
        conn.nonblocking = 1
        conn.enter_pipeline_mode()
        self.loop.add_reader(self.fd, self._readable)

    @classmethod
    async def connect(cls, conninfo: str) -> Line:
        """Open one. Raises ConnectionLost with the server's reason."""
        conn = await asyncio.to_thread(pq.PGconn.connect, conninfo.encode())
        if conn.status != pq.ConnStatus.OK:
            reason = (conn.error_message or b"").decode("utf-8", "replace").strip()
            conn.finish()
            raise ConnectionLost(reason)
        return cls(conn)

    @property
    def load(self) -> int:
        """Requests whose answer is not here yet."""
        return len(self.jobs)

    def send(self, groups: Sequence[Sequence[Step]]) -> asyncio.Future[None]:
        """Write the groups, each closed by a Sync, and return what resolves when all answers are here.

        What is sent in one turn of the event loop is written at its end, in one go.
        """
        if self.broken is not None:
            raise ConnectionLost(self.broken)
        job = _Job(deque(), len(groups), self.loop.create_future())
        try:
            for steps in groups:
                for step in steps:
                    self._send_step(step, job)
                _sync(self.conn)
        except Exception as error:
            self._fail(str(error))
            raise ConnectionLost(str(error)) from error
        self.jobs.append(job)
        job.done.job = job  # type: ignore[attr-defined]
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)
        return job.done

    def _send_step(self, step: Step, job: _Job) -> None:
        conn, name = self.conn, step.name
        if name is None:
            conn.send_query_params(step.sql, step.parameters, result_format=1)
            job.kinds.append(None)
            return
        if name in self.prepared:
            self.prepared.move_to_end(name)
        else:
            if len(self.prepared) >= PREPARED_MAX:
                old, _ = self.prepared.popitem(last=False)
                conn.send_query_params(b'DEALLOCATE "' + old + b'"', None)
                job.kinds.append(b"")
            conn.send_prepare(name, step.sql)
            job.kinds.append(name)
            self.prepared[name] = None
        conn.send_query_prepared(name, step.parameters, result_format=1)
        job.kinds.append(None)

    async def run(self, groups: Sequence[Sequence[Step]]) -> list[pq.abc.PGresult]:
        """Send and wait. Raises ServerError or ConnectionLost; a cancelled wait leaves the line usable."""
        done = self.send(groups)
        await done
        job: _Job = done.job  # type: ignore[attr-defined]
        if job.error is not None:
            raise job.error
        return job.results

    def _flush(self) -> None:
        self._flushing = False
        if self.broken is not None:
            return
        try:
            if self.conn.flush() and not self._writing:
                self._writing = True
                self.loop.add_writer(self.fd, self._writable)
        except Exception as error:
            self._fail(str(error))

    def _writable(self) -> None:
        try:
            if not self.conn.flush():
                self._writing = False
                self.loop.remove_writer(self.fd)
        except Exception as error:
            self._fail(str(error))

    def _readable(self) -> None:
        try:
            self.conn.consume_input()
            if self._writing:
                self._writable()
            while self.jobs and not self.conn.is_busy():
                self._take(self.conn.get_result())
        except Exception as error:
            self._fail(str(error))
            return
        if self.conn.status != pq.ConnStatus.OK:
            self._fail("the server closed the connection")

    def _take(self, result: pq.abc.PGresult | None) -> None:
        job = self.jobs[0]
        if result is None:
            if job.kinds:
                job.kinds.popleft()
            return
        status = result.status
        if status == pq.ExecStatus.PIPELINE_SYNC:
            job.syncs -= 1
            if job.syncs == 0:
                self.jobs.popleft()
                self._finish(job)
            return
        kind = job.kinds[0] if job.kinds else None
        if status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            if kind is None:
                job.results.append(result)
            return
        if kind:
            self.prepared.pop(kind, None)
        if status == pq.ExecStatus.FATAL_ERROR and job.error is None:
            job.error = _error(result)

    def _finish(self, job: _Job) -> None:
        if not job.done.done():
            job.done.set_result(None)
        if not self.jobs:
            for waiter in self.on_idle:
                if not waiter.done():
                    waiter.set_result(None)
            self.on_idle.clear()

    def _fail(self, reason: str) -> None:
        """Give up this connection; everything in flight learns of it."""
        if self.broken is not None:
            return
        self.broken = reason.strip() or "the connection broke"
        self.close_socket()
        jobs, self.jobs = list(self.jobs), deque()
        for job in jobs:
            if not job.done.done():
                job.done.set_exception(ConnectionLost(self.broken))
                job.done.exception()  # a cancelled waiter never asks
        for waiter in self.on_idle:
            if not waiter.done():
                waiter.set_result(None)
        self.on_idle.clear()

    def close_socket(self) -> None:
        """Stop watching and close."""
        if self.fd >= 0:
            self.loop.remove_reader(self.fd)
            self.loop.remove_writer(self.fd)
            self.fd = -1
            self.conn.finish()

    async def stop_running(self) -> None:
        """Have PostgreSQL stop what runs on this connection, and wait until nothing does.

        The request is repeated, because PostgreSQL forgets one that comes between two statements and a function
        may catch one. Nobody else may use the line meanwhile, or a late signal would stop their request.
        """
        pause = STOP_AGAIN_S
        while self.jobs and self.broken is None:
            with contextlib.suppress(Exception):
                await asyncio.to_thread(self.conn.get_cancel().cancel)
            await self._idle_within(pause)
            pause = min(pause * 2, STOP_AGAIN_MAX_S)

    async def _idle_within(self, seconds: float) -> None:
        if self.jobs and self.broken is None:
            idle: asyncio.Future[None] = self.loop.create_future()
            self.on_idle.append(idle)
            await asyncio.wait([idle], timeout=seconds)
            with contextlib.suppress(ValueError):
                self.on_idle.remove(idle)


@dataclass(slots=True, eq=False)
class _Waiter:
    """A request for which there is no connection yet."""

    free: asyncio.Future[None]
    shared: bool

    def expire(self) -> None:
        if not self.free.done():
            self.free.set_exception(PoolTimeout())


class PipelinePool:
    """Connections that share their requests only when all are busy.

    `exclusive` gives one to a single request, for transactions that decide after seeing a result.
    """

    def __init__(
        self, url: str, *, size: int, timeout_s: float = 10.0, application_name: str = "headgate"
    ) -> None:
        self.conninfo = make_conninfo(
            url, application_name=application_name, client_encoding="UTF8", connect_timeout=10
        )
        self.size = size
        self.exclusive_max = max(1, size - max(1, size // 3))  # the others are left to short requests
        self.timeout_s = timeout_s
        self.lines: list[Line] = []
        self._opening = 0
        self._opening_exclusive = 0
        self._waiting: deque[_Waiter] = deque()
        self._stopping: dict[Line, asyncio.Task[None]] = {}
        self._closed = False

    async def close(self) -> None:
        """Close every connection; what is in flight fails."""
        self._closed = True
        for line in self.lines:
            line._fail("the pool is closed")
        self.lines.clear()

    def _idle(self) -> Line | None:
        self.lines = [line for line in self.lines if line.broken is None]
        return next((line for line in self.lines if not line.jobs and not line.exclusive), None)

    async def _open(self, *, shared: bool) -> Line:
        self._opening += 1
        self._opening_exclusive += not shared
        try:
            line = await Line.connect(self.conninfo)
        except BaseException:
            self._opening -= 1
            self._opening_exclusive -= not shared
            self._wake()  # the place is free again
            raise
        self._opening -= 1
        self._opening_exclusive -= not shared
        self.lines.append(line)
        return line

    def _full(self) -> bool:
        """Whether as many connections as may be serve one request each."""
        exclusive = sum(line.exclusive for line in self.lines if line.broken is None)
        return exclusive + self._opening_exclusive >= self.exclusive_max

    def _wake(self) -> None:
        """Let the first go on that can."""
        if not self._waiting:
            return
        full = self._full()
        for waiter in self._waiting:
            if not waiter.free.done() and (waiter.shared or not full):
                waiter.free.set_result(None)
                return

    def _among_short(self) -> Line | None:
        """A connection that is busy with short requests only, once enough of them are."""
        busy, least = 0, None
        for line in self.lines:
            if line.jobs and not line.slow and not line.exclusive and line.broken is None:
                busy += 1
                if least is None or len(line.jobs) < len(least.jobs):
                    least = line
        return least if least and busy >= SHORT_WIDTH and len(least.jobs) < SHORT_DEPTH else None

    async def _pick(self, *, shared: bool, short: bool = False) -> Line:
        deadline = asyncio.get_running_loop().time() + self.timeout_s
        while True:
            if self._closed:
                raise ConnectionLost("the pool is closed")
            if short and (line := self._among_short()) is not None:
                return line
            line = self._idle()
            if not shared and self._full():
                await self._wait(deadline, shared=False)
                continue
            if line is not None:
                return line
            if len(self.lines) + self._opening < self.size:
                return await self._open(shared=shared)
            if shared:
                open_lines = [line for line in self.lines if not line.exclusive and line.load < DEPTH_MAX]
                if open_lines:
                    return min(open_lines, key=lambda line: line.load)
            await self._wait(deadline, shared=shared)

    async def _wait(self, deadline: float, *, shared: bool) -> None:
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.create_future(), shared)
        self._waiting.append(waiter)
        late = loop.call_at(deadline, waiter.expire)
        try:
            await waiter.free
        except asyncio.CancelledError:
            if waiter.free.done() and not waiter.free.cancelled():
                self._wake()  # it was this one's turn: the next one's now
            raise
        finally:
            late.cancel()
            self._waiting.remove(waiter)

    async def run(
        self, groups: Sequence[Sequence[Step]], *, shared: bool = True, short: bool = False
    ) -> list[pq.abc.PGresult]:
        """Run the groups on a connection and return the results of their statements, in order.

        What may take long runs with `shared` off: nobody waits behind it, and it is stopped when cancelled.
        What is known to be `short` joins others of its kind although a connection is idle: switching among
        server processes costs more than waiting for one.
        """
        for attempt in itertools.count(1):
            line = await self._pick(shared=shared, short=short)
            line.exclusive = not shared
            line.slow += not short
            try:
                return await line.run(groups)
            except ServerError as error:
                if attempt >= RETRIES or not self._stale(line, error):
                    raise
            except asyncio.CancelledError:
                if not shared and line.jobs:
                    self._stop(line)
                raise
            finally:
                line.slow -= not short
                if not shared and line not in self._stopping:
                    line.exclusive = False
                self._wake()
        raise AssertionError("unreachable")

    def _stop(self, line: Line) -> None:
        """Stop what runs on the line, which nobody else may use until then."""

        def stopped(_: asyncio.Task[None]) -> None:
            del self._stopping[line]
            self._release(line)

        self._stopping[line] = asyncio.create_task(line.stop_running())
        self._stopping[line].add_done_callback(stopped)

    def _release(self, line: Line) -> None:
        """Give the line back to everybody, with no transaction open."""
        line.exclusive = False
        if line.broken is None and line.conn.transaction_status != pq.TransactionStatus.IDLE:
            with contextlib.suppress(ConnectionLost):
                line.send([[Step(b"ROLLBACK")]])
        self._wake()

    @staticmethod
    def _stale(line: Line, error: ServerError) -> bool:
        """Whether the error says that prepared statements of this connection are out of date."""
        if error.code in STALE:
            line.prepared.clear()
            return True
        if error.code == "0A000" and error.message.startswith("cached plan must not change"):
            line.prepared.clear()
            line.send([[Step(b"DEALLOCATE ALL")]])
            return True
        return False

    @contextlib.asynccontextmanager
    async def exclusive(self) -> AsyncIterator[Line]:
        """A connection for this caller alone; whatever transaction is left open is rolled back."""
        line = await self._pick(shared=False)
        line.exclusive = True
        try:
            yield line
        finally:
            if line.jobs:
                self._stop(line)
            else:
                self._release(line)
