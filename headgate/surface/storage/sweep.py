"""Keeps bytes and rows together: removes bytes that no row names, reports rows whose bytes are missing, clears what
crashes left. Several processes may run it; an advisory lock lets one at a time do the whole round.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from headgate.base import metrics
from headgate.base.errors import HeadgateError
from headgate.base.tasks import ended
from headgate.db import errors as database
from headgate.db.connect import connect
from headgate.surface.storage.backends import SHARDS, Kept, Missing
from headgate.surface.storage.depot import Depot, Q

log = structlog.get_logger(__name__)
_LOCK = 5_132_107_030
_RETRY_S = 30.0
_SHOWN = 20
_AT_A_TIME = 20_000  # versions


@dataclass
class Report:
    """What a sweep found. `missing` and `damaged` name objects as bucket/name."""

    stray: int = 0  # versions of bytes that no row named
    unfinished: int = 0  # uploads given up
    files: int = 0  # temporary files removed
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)  # of another size than their rows say


class Sweeper:
    """Removes what is to be removed, at once and at intervals."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first whole sweep runs at once."""
        self._depot.removals_wait = self._wake.set
        self._task = asyncio.create_task(self._run(), name="storage sweeper")

    async def close(self) -> None:
        """Stop; what is left to remove is noted in the database."""
        await ended(self._task)

    async def _run(self) -> None:
        next_sweep = 0.0
        while True:
            try:
                self._wake.clear()
                if not await self._depot.is_ours():
                    return
                if time.monotonic() >= next_sweep:
                    next_sweep = time.monotonic() + self._depot.settings.storage_sweep_minutes * 60
                    await self.sweep(self._depot.settings.storage_grace_s)
                await self.remove_all()
            except (database.Error, HeadgateError, OSError) as error:
                log.warning("storage_sweep_failed", reason=type(error).__name__)
            except Exception:  # the backend's errors are of many kinds; none may end the sweeper
                log.exception("storage_sweep_failed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _RETRY_S)

    async def remove_all(self) -> int:
        """Remove the bytes of every version noted for it; how many."""
        count = 0
        while True:
            async with self._depot.db.transaction() as conn:
                rows = await (await conn.execute(Q.own_next_removals)).fetchall()
                versions = [row["version"] for row in rows]
                if not versions:
                    break
                await self._depot.backend.remove(versions)
                await asyncio.to_thread(_forget_renders, self._depot.settings.data_dir, versions)
                await conn.execute(Q.own_end_removals, {"versions": versions})
                count += len(versions)
        return count

    async def sweep(self, grace_s: float) -> Report | None:
        """One whole round; None when another process is at it. What is younger than `grace_s` is left alone."""
        async with self._alone() as alone:
            if not alone:
                return None
            depot, report = self._depot, Report()
            report.unfinished = await depot.db.execute(Q.own_abandon_old_writes, {"grace_s": grace_s})
            await depot.db.execute(Q.own_forget_removals)
            await self._compare(grace_s, report)
            await self.remove_all()
            expired = [row["id"] for row in await depot.db.fetch_all(Q.own_expired_uploads)]
            report.files = await asyncio.to_thread(_clear, depot.work, grace_s, expired)
            report.files += await self._orphaned_uploads(grace_s)
        metrics.STORAGE_MISSING.set(len(report.missing) + len(report.damaged))
        told = log.error if report.missing or report.damaged else log.info
        told(
            "storage_swept", stray=report.stray, unfinished=report.unfinished, files=report.files,
            missing=report.missing[:_SHOWN], damaged=report.damaged[:_SHOWN],
        )  # fmt: skip
        return report

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[bool]:
        # A connection of its own: a small pool may have no second one while this one holds the lock.
        async with await connect(self._depot.db.url, application_name="headgate storage") as conn:
            row = await (await conn.execute("select pg_try_advisory_lock(%s) as got", (_LOCK,))).fetchone()
            yield bool(row and row["got"])  # the lock ends with the connection

    async def _compare(self, grace_s: float, report: Report) -> None:
        """Compare bytes and rows, so many shards of versions at a time as fit into memory with ease."""
        kept: dict[str, Kept] = {}
        first = SHARDS[0]
        for shard in SHARDS:
            async for page in self._depot.backend.kept(shard):
                kept.update({one.version: one for one in page})
            if len(kept) >= _AT_A_TIME or shard == SHARDS[-1]:
                await self._shards(first, shard, kept, grace_s=grace_s, report=report)
                first, kept = f"{int(shard, 16) + 1:02x}", {}

    async def _shards(
        self, first: str, last: str, kept: dict[str, Kept], *, grace_s: float, report: Report
    ) -> None:
        """Compare the bytes and the rows of the versions from shard `first` to shard `last`."""
        old = [v for v, one in kept.items() if one.modified.timestamp() <= time.time() - grace_s]
        if old:
            strays = [r["version"] for r in await self._depot.db.fetch_all(Q.own_strays, {"versions": old})]
            if strays:
                await self._depot.db.execute(Q.own_ask_removals, {"versions": strays})
                report.stray += len(strays)
        asked = {"first": first, "last": f"{last}\U0010ffff"}
        for row in await self._depot.db.fetch_all(Q.own_versions, asked):
            await self._check(row, kept.get(row["version"]), report)

    async def _check(self, row: dict[str, object], kept: Kept | None, report: Report) -> None:
        about = row["metadata"] if isinstance(row["metadata"], dict) else {}
        version, name = str(row["version"]), f"{row['bucket_id']}/{row['name']}"
        try:
            # The row may be younger than the list of bytes; ask for its own.
            size = kept.size if kept else await self._depot.backend.size(version)
        except Missing:
            if await self._depot.db.fetch_value(Q.own_has_version, {"version": version}):
                report.missing.append(name)
            return
        if about.get("size") is not None and about["size"] != size:
            report.damaged.append(name)

    async def _orphaned_uploads(self, grace_s: float) -> int:
        """Remove parts of resumable uploads that the database does not know (any more)."""
        folder = self._depot.work / "uploads"
        old = await asyncio.to_thread(_old_files, folder, grace_s)
        if not old:
            return 0
        rows = await self._depot.db.fetch_all(Q.own_uploads_known, {"ids": [file.name for file in old]})
        known = {row["id"] for row in rows}
        gone = [file for file in old if file.name not in known]
        for file in gone:
            await asyncio.to_thread(file.unlink, missing_ok=True)
        return len(gone)


def _old_files(folder: Path, grace_s: float) -> list[Path]:
    if not folder.is_dir():
        return []
    limit, found = time.time() - grace_s, []
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if file.is_file() and file.stat().st_mtime <= limit:
                found.append(file)
    return found


def _clear(work: Path, grace_s: float, expired: list[str]) -> int:
    gone = _old_files(work / "incoming", grace_s) + [work / "uploads" / name for name in expired]
    for file in gone:
        file.unlink(missing_ok=True)
    return len(gone)


def _forget_renders(data_dir: Path, versions: list[str]) -> None:
    from headgate.surface.storage.renders import forget

    forget(data_dir, versions)
