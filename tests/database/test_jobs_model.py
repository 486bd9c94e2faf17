"""The queue's functions against a model: any order of enqueue, claim, settle, cancel, retry, death and recovery."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from headgate.db import Database, errors
from headgate.engine.jobs import STALE, Q, enqueue, set_lane
from headgate.testing.database import TestCluster

KEYS = st.sampled_from([None, "a", "b"])
WORKERS = 3


@dataclass
class Known:
    """What the model knows of one job."""

    state: str
    key: str | None
    unique: str | None
    priority: int
    most: int
    attempt: int = 0
    excused: int = 0
    worker: int | None = None
    cancelling: bool = False

    @property
    def alive(self) -> bool:
        return self.state in ("scheduled", "ready", "running")


class QueueMachine(RuleBasedStateMachine):
    """Every rule is one call; afterwards database and model are the same."""

    database: Database
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, Known] = {}
        self.limits: dict[str, int] = {}
        self.stale: list[tuple[int, int, int]] = []
        self.execute("truncate control.jobs, control.lanes, control.workers restart identity")
        self.workers = [self._register() for _ in range(WORKERS)]

    def execute(self, query: str, params: Any = None) -> list[dict[str, Any]]:
        async def run() -> list[dict[str, Any]]:
            async with self.database.connection() as conn:
                cursor = await conn.execute(query, params)
                return await cursor.fetchall() if cursor.description else []

        return self.loop.run_until_complete(run())

    def _register(self) -> int:
        return int(self.execute(Q.start_worker, ("w", ["default"], 9, 600.0))[0]["id"])

    def _owned(self) -> list[int]:
        return [n for n, job in self.known.items() if job.state == "running"]

    @rule(
        key=KEYS,
        unique=st.sampled_from([None, None, "u", "v"]),
        priority=st.integers(0, 2),
        most=st.integers(1, 2),
    )
    def enqueue(self, key: str | None, unique: str | None, priority: int, most: int) -> None:
        async def run() -> int | None:
            async with self.database.connection() as conn:
                return await enqueue(conn, "k", key=key, unique=unique, priority=priority, max_attempts=most)

        added = self.loop.run_until_complete(run())
        taken = unique is not None and any(j.unique == unique and j.alive for j in self.known.values())
        assert (added is None) == taken
        if added is not None:
            self.known[added] = Known("ready", key, unique, priority, most)

    @rule(key=st.sampled_from(["a", "b"]), most=st.sampled_from([None, 0, 1, 2]))
    def limit(self, key: str, most: int | None) -> None:
        async def run() -> None:
            async with self.database.connection() as conn:
                await set_lane(conn, key, max_running=most)

        self.loop.run_until_complete(run())
        self.limits.pop(key, None)
        if most is not None:
            self.limits[key] = most

    def _room(self, key: str | None, running: Counter[str | None]) -> int:
        return self.limits[key] - running[key] if key in self.limits else 99

    def _claim(self, worker: int, limit: int) -> list[list[Any]]:
        """As a worker claims: again at once where the first claim moved jobs into a new lane (`wait_s` 0)."""
        row = self.execute(Q.work, (worker, [], [], "default", limit))[0]
        claimed = list(orjson.loads(row["claimed"] or "[]"))
        if row["wait_s"] == 0 and len(claimed) < limit:
            claimed += self._claim(worker, limit - len(claimed))
        return claimed

    @rule(index=st.integers(0, WORKERS - 1), limit=st.integers(1, 4))
    def claim(self, index: int, limit: int) -> None:
        worker = self.workers[index]
        claimed = self._claim(worker, limit)
        ready = {n: j for n, j in self.known.items() if j.state == "ready"}
        running = Counter(j.key for j in self.known.values() if j.state == "running")
        best = sorted(ready, key=lambda n: (-ready[n].priority, n))
        expected = []
        for number in best:
            if len(expected) < limit and self._room(ready[number].key, running) > 0:
                expected.append(number)
                running[ready[number].key] += 1
        # Jobs made ready again are ordered by their run_at, which the model does not know: compare priorities.
        assert Counter(self.known[row[0]].priority for row in claimed) == Counter(
            self.known[n].priority for n in expected
        )
        for number, *rest in claimed:
            job = self.known[number]
            assert job.state == "ready"
            job.state, job.worker, job.attempt = "running", worker, job.attempt + 1
            assert rest[4] == job.attempt

    @precondition(lambda self: self._owned())
    @rule(
        data=st.data(),
        outcome=st.sampled_from(["succeeded", "cancelled", "failed", "retried", "snoozed", "released"]),
    )
    def settle(self, data: Any, outcome: str) -> None:
        number = data.draw(st.sampled_from(self._owned()))
        job = self.known[number]
        self._note(number)
        state = self.execute(Q.settle, (number, job.worker, job.attempt, outcome, 3600, None, None, None))[0][
            "state"
        ]
        if outcome in ("succeeded", "cancelled", "failed"):
            job.state = outcome
        elif job.cancelling:
            job.state = "cancelled"
        elif outcome == "released":
            job.state = "ready"
        elif outcome == "snoozed" or job.attempt - job.excused < job.most:
            job.state = "scheduled"
        else:
            job.state = "failed"
        job.excused += outcome in ("snoozed", "released")
        job.cancelling, job.worker = False, None
        assert state == job.state

    def _note(self, number: int) -> None:
        job = self.known[number]
        assert job.worker is not None
        self.stale.append((number, job.worker, job.attempt))

    @precondition(lambda self: self._owned())
    @rule(data=st.data())
    def settle_in_bulk(self, data: Any) -> None:
        worker = self.known[data.draw(st.sampled_from(self._owned()))].worker
        mine = [n for n in self._owned() if self.known[n].worker == worker]
        old = [(n, a) for n, w, a in self.stale if w == worker]
        ids, attempts = [*mine, *(n for n, _ in old)], [self.known[n].attempt for n in mine]
        attempts += [a for _, a in old]
        row = self.execute(Q.work, (worker, ids, attempts, "default", 0))[0]
        assert row["settled"] == len(mine)
        for number in mine:
            self._note(number)
            job = self.known[number]
            job.state = "cancelled" if job.cancelling else "succeeded"
            job.cancelling, job.worker = False, None

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def settle_under_a_stale_fence(self, data: Any) -> None:
        number, worker, attempt = data.draw(st.sampled_from(self.stale))
        with pytest.raises(errors.Error) as caught:
            self.execute(Q.settle, (number, worker, attempt, "succeeded", None, None, None, None))
        assert caught.value.sqlstate == STALE

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        number = data.draw(st.sampled_from(sorted(self.known)))
        job = self.known[number]
        said = self.execute(Q.cancel, (number,))[0]["state"]
        if job.state == "running":
            job.cancelling = True
            assert said == "cancelling"
            return
        if job.alive:
            job.state = "cancelled"
        assert said == job.state

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def retry(self, data: Any) -> None:
        number = data.draw(st.sampled_from(sorted(self.known)))
        job = self.known[number]
        again = job.state in ("failed", "cancelled", "scheduled")
        clash = not job.alive and any(
            j.unique == job.unique and j.alive for j in self.known.values() if job.unique is not None
        )
        if again and clash:
            with pytest.raises(errors.UniqueViolation):
                self.execute(Q.retry, (number,))
            return
        said = self.execute(Q.retry, (number,))[0]["state"]
        if again:
            job.state, job.excused = "ready", job.attempt
        assert said == job.state

    @rule(index=st.integers(0, WORKERS - 1))
    def worker_dies(self, index: int) -> None:
        worker = self.workers[index]
        self.execute(
            "update control.workers set lease_until = now() - interval '1 s' where id = %s", (worker,)
        )
        assert orjson.loads(self.execute(Q.work, (worker, [], [], "default", 4))[0]["claimed"] or "[]") == []
        lost = [n for n in self._owned() if self.known[n].worker == worker]
        assert self.execute(Q.recover)[0]["recovered"] == len(lost)
        for number in lost:
            self._note(number)
            job = self.known[number]
            if job.cancelling:
                job.state = "cancelled"
            else:
                job.state = "failed" if job.attempt - job.excused >= job.most else "ready"
            job.cancelling, job.worker = False, None
        self.workers[index] = self._register()

    @rule(index=st.integers(0, WORKERS - 1))
    def worker_stops(self, index: int) -> None:
        worker = self.workers[index]
        mine = [n for n in self._owned() if self.known[n].worker == worker]
        assert self.execute(Q.stop_worker, (worker,))[0]["released"] == len(mine)
        for number in mine:
            self._note(number)
            job = self.known[number]
            job.state = "cancelled" if job.cancelling else "ready"
            job.excused, job.cancelling, job.worker = job.excused + 1, False, None
        self.workers[index] = self._register()

    @rule()
    def time_passes(self) -> None:
        self.execute("update control.jobs set run_at = now() where state = 'scheduled'")
        claimed = self.execute(Q.work, (self.workers[0], [], [], "nothing here", 1))
        assert claimed[0]["claimed"] is None
        self.execute("update control.jobs set state = 'ready' where state = 'scheduled'")
        for job in self.known.values():
            if job.state == "scheduled":
                job.state = "ready"

    @invariant()
    def database_equals_model(self) -> None:
        rows = self.execute(
            "select id, state, attempt, excused, worker, cancelling from control.jobs order by id"
        )
        assert rows == [
            {
                "id": number,
                "state": job.state,
                "attempt": job.attempt,
                "excused": job.excused,
                "worker": job.worker,
                "cancelling": job.cancelling,
            }
            for number, job in sorted(self.known.items())
        ]


def test_queue_equals_its_model(cluster: TestCluster) -> None:
    loop = asyncio.new_event_loop()
    context = cluster.database(max_size=2)
    try:
        QueueMachine.database = loop.run_until_complete(context.__aenter__())
        QueueMachine.loop = loop
        run_state_machine_as_test(
            QueueMachine,
            settings=settings(
                max_examples=80,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        loop.run_until_complete(context.__aexit__(None, None, None))
        loop.close()
