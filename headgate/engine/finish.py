"""Jobs that end together with what they wrote: many in one transaction, each all or nothing under its fence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from headgate.db import Database
from headgate.engine.jobs import Job, Q, Statement, fenced


@dataclass(slots=True, eq=False)
class Finish:
    """One job's writes and result, on their way into one transaction."""

    job: Job
    statements: Sequence[Statement]
    result: Any
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Finisher:
    """Ends jobs together with their writes, as many in one transaction as are waiting."""

    def __init__(self, db: Database, worker: int, *, most: int = 100) -> None:
        self._db = db
        self._worker = worker
        self._most = most
        self._waiting: list[Finish] = []
        self._task: asyncio.Task[None] | None = None

    async def finish(self, job: Job, statements: Sequence[Statement], result: Any) -> None:
        """Wait until the writes and the job's end are committed.

        Raises Fenced or the error of the statements; then nothing was written.
        """
        one = Finish(job, statements, result)
        self._waiting.append(one)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        await one.done

    async def close(self) -> None:
        """Wait until nothing is being written any more."""
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            group = [one for one in group if not one.done.done()]  # an ended handler waits no more
            if group and not await self._commit(group) and len(group) > 1:
                for one in group:
                    await self._commit([one])

    async def _commit(self, group: Sequence[Finish]) -> bool:
        """Commit the group; False if it failed. A job that is alone in it is told its error."""
        try:
            with fenced(group[0].job):
                # In a pipeline all statements up to the sync at its end are one transaction.
                async with self._db.connection() as conn, conn.pipeline():
                    jobs = [one.job for one in group]
                    results = orjson.dumps([one.result for one in group]).decode()
                    await conn.execute(
                        Q.settle_owned,
                        (self._worker, [j.id for j in jobs], [j.attempt for j in jobs], results),
                    )
                    for one in group:
                        for query, params in one.statements:
                            await conn.execute(query, params)
        except Exception as error:
            if len(group) == 1 and not group[0].done.done():
                group[0].done.set_exception(error)
            return False
        for one in group:
            if not one.done.done():
                one.done.set_result(None)
        return True
