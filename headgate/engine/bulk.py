"""Files of JSON lines, in chunks of about 8 MB: several promoters stage at once and promote strictly in turn.

Parsing the lines is PostgreSQL's work (or that of the source's parser) and the dear part, so staging runs in parallel,
and so does what an application can prepare of promoting; promoting in the order of the file makes the last line win
without any guard, and keeps the cursor a plain byte offset to resume from.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from headgate.base.errors import SourceError
from headgate.db import Database
from headgate.engine.compose import Plan, plan
from headgate.engine.cursor import Q
from headgate.engine.manifest import App, Page, Parsed, Source
from headgate.engine.progress import Run, RunReport
from headgate.engine.promote import Batch, StageLost
from headgate.engine.promote import Q as Q_promote
from headgate.engine.runs import ATTEMPTS, promote_batch, recorded, stage_batch, start
from headgate.engine.stage import to_lines

CHUNK_BYTES = 8 << 20
#: The first chunk is smaller and each next one twice as large, so that promoting begins soon.
FIRST_BYTES = 1 << 20
#: Lines that a parser reads before others have their turn.
PARSED_AT_ONCE = 256
#: A line longer than this is refused: no chunk with it would fit in memory beside the others.
LONGEST_LINE = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A piece of a file that ends with a line: its number from 0, first line and how many, the offset after it."""

    number: int
    data: bytes
    first_line: int
    lines: int
    end: int
    last: bool


async def ingest_file(
    db: Database,
    app: App,
    source: Source | str,
    path: Path,
    *,
    key: str | None = None,
    args: Mapping[str, Any] | None = None,
    promoters: int = 2,
    chunk_bytes: int = CHUNK_BYTES,
    resume: bool = False,
    meta: Mapping[str, Any] | None = None,
    owner: UUID | None = None,
) -> RunReport:
    """Promote the JSON lines of `path` through `source` of `app`, as one run; memory stays at a few chunks.

    `resume` goes on where an earlier run of the same unchanged file stopped; otherwise the file is read from its
    start. `key` defaults to the file's name. Raises SourceError HG430 if the file cannot be read, HG431 for a line
    over 64 MB, and whatever promote raises; what was promoted before stays.
    """
    chosen = app.source(source) if isinstance(source, str) else source
    file, size, changed = await asyncio.to_thread(_open, path)
    with file:
        run, batch_id = await start(
            db, app, chosen, key=key or path.name, args={"file": path.name, **(args or {})}, owner=owner
        )
        identity = {"file": path.name, "size": size, "changed": changed}
        offset, line = _position(run.cursor, identity) if resume and not chosen.snapshot else (0, 1)
        work = _Work(
            db, run, chosen, plan(app, chosen), first_batch=batch_id, identity=identity, meta=dict(meta or {})
        )
        async with recorded(db, run):
            return await work.all(read_chunks(file, offset, line, chunk_bytes), max(1, promoters))


def _open(path: Path) -> tuple[BinaryIO, int, int]:
    """The file, its size and when it changed (ns)."""
    try:
        found = path.stat()
        return path.open("rb"), found.st_size, found.st_mtime_ns
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read: {error.strerror}.", code="HG430") from error


def _position(cursor: Any, identity: Mapping[str, Any]) -> tuple[int, int]:
    """Where to go on: offset and line number, the start unless the cursor is of this very file."""
    if isinstance(cursor, dict) and all(cursor.get(k) == v for k, v in identity.items()):
        return cursor["offset"], cursor["line"]
    return 0, 1


async def read_chunks(file: BinaryIO, offset: int, line: int, size: int) -> AsyncIterator[Chunk]:
    """The file from `offset` in chunks of about `size` bytes that end with a line. The last has `last` set."""
    file.seek(offset)
    number = 0
    rest = b""
    while True:
        data, rest, done = await asyncio.to_thread(
            _read, file, rest, min(size, FIRST_BYTES << min(number, 20))
        )
        lines = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
        offset += len(data)
        yield Chunk(number=number, data=data, first_line=line, lines=lines, end=offset, last=done)
        if done:
            return
        line += lines
        number += 1


def _read(file: BinaryIO, rest: bytes, size: int) -> tuple[bytes, bytes, bool]:
    """One chunk, what follows its last line break, and whether the file is at its end."""
    parts = [rest]
    have = len(rest)
    while True:
        block = file.read(max(size - have, min(size, 1 << 16)))
        if not block:
            return b"".join(parts), b"", True
        cut = block.rfind(b"\n") + 1
        if cut:
            rest = block[cut:]
            return b"".join([*parts, block[:cut]]), rest, not rest and not file.peek(1)  # type: ignore[attr-defined]
        parts.append(block)
        have += len(block)
        if have > LONGEST_LINE:
            raise SourceError(f"A line is longer than {LONGEST_LINE >> 20} MB.", code="HG431")


class _Over(Exception):
    """A check ended the run before a chunk's turn came."""


class _Work:
    """The chunks of one file on their way: staged by whoever is free, promoted in turn."""

    def __init__(
        self,
        db: Database,
        run: Run,
        source: Source,
        how: Plan,
        *,
        first_batch: int,
        identity: dict[str, Any],
        meta: dict[str, Any],
    ) -> None:
        self.db, self.run, self.source, self.plan = db, run, source, how
        self.identity, self.meta = identity, meta
        self.spare: int | None = first_batch
        self.report = RunReport(run_id=run.id, state="running")
        self.next = 0
        self.begun = 0
        self.turn = asyncio.Condition()
        self.reading = asyncio.Lock()
        self.unstaging = 0

    async def all(self, chunks: AsyncIterator[Chunk], promoters: int) -> RunReport:
        """Every chunk; the first failure of a promoter ends them all."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(promoters):
                    group.create_task(self._promoter(chunks))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return self.report

    async def _promoter(self, chunks: AsyncIterator[Chunk]) -> None:
        """Chunk after chunk. A failure tells the others by more than being cancelled: a task that is cancelled in the
        very moment in which the pool hands it a connection never hears of it (Python 3.11)."""
        try:
            await self._chunks(chunks)
        except BaseException:
            self.report = replace(self.report, state="failed")
            async with self.turn:
                self.turn.notify_all()
            raise

    async def _chunks(self, chunks: AsyncIterator[Chunk]) -> None:
        while True:
            async with self.reading:
                chunk = await anext(chunks, None)
                if chunk is None or self.report.state != "running":
                    return
                batch_id = await self._batch_id()
            page = Page(
                rows=chunk.data,
                meta=self.meta,
                next={**self.identity, "offset": chunk.end, "line": chunk.first_line + chunk.lines},
                step=f"{self.identity['file']} from line {chunk.first_line}",
            )
            parsed = await self._parse(chunk)
            await self._stage(chunk, page, batch_id, parsed)
            await self._promote(chunk, page, batch_id, parsed)

    async def _batch_id(self) -> int:
        spare, self.spare = self.spare, None
        return spare or int(await self.db.fetch_value(Q.next_batch))

    async def _parse(self, chunk: Chunk) -> Parsed | None:
        """What the source's parser reads of the chunk. In turns of about a millisecond on the loop: a thread would take
        the interpreter for five at a time from the promoter that is talking to PostgreSQL."""
        if self.source.parser is None:
            return None
        lines = await asyncio.to_thread(to_lines, chunk.data)
        rows: dict[str, list[bytes]] = {}
        read = 0
        for low in range(0, len(lines), PARSED_AT_ONCE):
            high = low + PARSED_AT_ONCE
            part = self.source.parser.parse(lines[low:high], chunk.first_line + low)
            for table, some in part.rows.items():
                rows.setdefault(table, []).append(some)
            lines[low:high] = part.rest
            read += part.lines
            await asyncio.sleep(0)
        return Parsed(rows={table: b"".join(some) for table, some in rows.items()}, rest=lines, lines=read)

    async def _stage(self, chunk: Chunk, page: Page, batch_id: int, parsed: Parsed | None) -> None:
        await stage_batch(
            self.db,
            self.run,
            self.source,
            page,
            batch_id=batch_id,
            number=chunk.number + 1,
            first_line=chunk.first_line,
            drift=chunk.number % 4 == 0,
            parsed=parsed,
        )

    async def _promote(self, chunk: Chunk, page: Page, batch_id: int, parsed: Parsed | None) -> None:
        """Prepare the chunk and promote it in its turn. It is staged anew, as JSON, when a crash of PostgreSQL emptied
        the stage or when the lines cannot be promoted as they were read."""
        # A chunk that waits for its turn holds a connection, so the one before it has to have its own by then.
        early = self.plan.prepare is not None and not chunk.last
        await self._until(lambda: self.begun == chunk.number if early else self._turn_of(chunk))
        if self.report.state != "running":
            return
        for attempt in range(1, ATTEMPTS + 1):
            batch = Batch(
                id=batch_id,
                meta=self.meta,
                last=chunk.last,
                expected=self._expected(chunk) if chunk.number == 0 else None,
                keep=True,
            )
            try:
                outcome = await promote_batch(
                    self.db,
                    self.run,
                    self.source,
                    self.plan,
                    batch,
                    turn=lambda: self._turn(chunk),
                    parsed=parsed,
                )
                break
            except StageLost:
                if attempt == ATTEMPTS:
                    raise
                batch_id = await self.db.fetch_value(Q.step_lost, {"batch": batch_id})
                parsed = None
                await self._stage(chunk, page, batch_id, parsed)
            except _Over:
                return
        self.report = RunReport.of(outcome.totals)
        self.spare = self.spare or outcome.next_batch
        async with self.turn:
            self.next += 1
            self.unstaging += 1
            self.turn.notify_all()
        try:
            if (
                not chunk.last and not self.source.snapshot
            ):  # beside the next chunk's promotion, not before it
                await self.db.execute(Q_promote.unstage, {"batch": batch_id})
        finally:
            async with self.turn:
                self.unstaging -= 1
                self.turn.notify_all()

    async def _turn(self, chunk: Chunk) -> None:
        """Wait for the chunk's turn, in the transaction that promotes it. Raises _Over when there will be none."""
        async with self.turn:
            self.begun = max(self.begun, chunk.number + 1)
            self.turn.notify_all()
        await self._until(lambda: self._turn_of(chunk))
        if self.report.state != "running":
            raise _Over

    def _turn_of(self, chunk: Chunk) -> bool:
        return self.next == chunk.number and not (chunk.last and self.unstaging)

    async def _until(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready`, or until the run is over."""
        async with self.turn:
            await self.turn.wait_for(lambda: ready() or self.report.state != "running")

    def _expected(self, chunk: Chunk) -> int | None:
        """How many rows the rest of the file has, judged by its first chunk."""
        if not chunk.data:
            return None
        start: int = chunk.end - len(chunk.data)
        return round((int(self.identity["size"]) - start) / len(chunk.data) * chunk.lines)
