"""A worker and a few jobs for tests: start one for a block, add a job, wait for a state."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from headgate.db import Database
from headgate.engine import jobs
from headgate.engine.jobs import Handler, enqueue
from headgate.engine.worker import Limits, Worker

QUICK = Limits(lease_s=2.0, poll_s=0.2, grace_s=2.0)


@contextlib.asynccontextmanager
async def working(db: Database, handlers: Mapping[str, Handler], **options: Any) -> AsyncIterator[Worker]:
    """A worker that runs for the length of the block."""
    stop = asyncio.Event()
    worker = Worker(db, handlers, **{"limits": QUICK, **options})
    task = asyncio.create_task(worker.run(stop))
    try:
        yield worker
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


async def add(db: Database, kind: str, args: Mapping[str, Any] | None = None, **options: Any) -> int:
    async with db.connection() as conn:
        found = await enqueue(conn, kind, args, **options)
    assert found is not None
    return found


async def row(db: Database, job: int) -> dict[str, Any]:
    async with db.connection() as conn:
        found = await jobs.get(conn, job)
    assert found is not None
    return found


async def until(db: Database, job: int, *states: str, within_s: float = 8.0) -> dict[str, Any]:
    """The job's row as soon as its state is one of `states`."""
    async with asyncio.timeout(within_s):
        while (found := await row(db, job))["state"] not in states:  # noqa: ASYNC110 another process changes it
            await asyncio.sleep(0.02)
    return found


async def eventually(holds: Callable[[], bool], within_s: float = 5.0) -> None:
    """Until `holds()` is true."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 any condition will do
            await asyncio.sleep(0.01)
