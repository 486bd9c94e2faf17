"""kill −9 at every exchange of a run with PostgreSQL: nothing lost, nothing twice, position and rows always agree.

The history checker knows the database's state after each page (`Truth`); whatever a dying process leaves must be one
of these states, the one its position names, and a run after it must finish the story.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from headgate.db import Database, errors, processes
from headgate.db.embedded import EmbeddedServer
from headgate.testing.database import TestCluster
from tests.database.promote_demo import SCHEMA
from tests.faults.promote_story import FUNCTION, Truth, story

ROOT = Path(__file__).resolve().parents[2]
HOWS = ("before", "inside", "after")
RESET = """
truncate public.demo_items, public.demo_items_history, public.demo_pages, public.demo_done, control.cursors,
    control.rollup_dirty, control.runs, control.fields, control.drift, stage.rows, stage.raw cascade;
update public.demo_sums set rows = 0, total = 0;
"""
STATE = """
select (select value from control.cursors) as cursor,
    (select jsonb_object_agg(id, jsonb_build_array(seq, city, amount::text)) from public.demo_items) as rows,
    (select count(*) from public.demo_items_history) as versions,
    (select count(*) from public.demo_items_history where valid_to is null) as open_versions,
    (select array_agg(key ->> 'city') from control.rollup_dirty) as dirty,
    (select array_agg(page order by page) from public.demo_pages) as pages,
    (select row(rows, total)::text from public.demo_sums) as sums,
    (select count(*) from public.demo_done) as done,
    (select coalesce(sum(seen), 0)::bigint from control.runs) as seen,
    (select count(*) from control.runs where state = 'succeeded') as succeeded,
    (select count(*) from control.run_steps where state = 'promoted') as promoted
"""


class Victim:
    """The forking process of `promote_child`, and a count of the kills it has suffered."""

    def __init__(self) -> None:
        self.kills = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.promote_child"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, url: str, seed: int, kind: str, at: int = 0, how: str = "before") -> dict[str, Any]:
        """One run, struck at exchange `at`; how it ended and how many exchanges it had."""
        assert self.process.stdin is not None and self.process.stdout is not None
        order = {"url": url, "seed": seed, "kind": kind, "at": at, "how": how}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.kills += answer["ended"] == -signal.SIGKILL
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    process = Victim()
    yield process
    process.close()
    print(f"\n{process.kills} kills of a promoting process survived")


@pytest.fixture
async def db(database: Database) -> AsyncIterator[Database]:
    await database.execute(SCHEMA)
    await database.execute(FUNCTION)
    yield database


async def settled(db: Database) -> dict[str, Any]:
    """The state once the dead process's connections are gone and whatever they did is decided."""
    for _ in range(500):
        left = await db.fetch_value(
            "select count(*) from pg_stat_activity where application_name = 'headgate victim'"
            " and datname = current_database()"
        )
        if left == 0:
            break
        await asyncio.sleep(0.01)
    else:
        raise AssertionError("a dead process's connection is still there")
    state = await db.fetch_one(STATE)
    assert state is not None
    return state


def check(state: dict[str, Any], seed: int, kind: str) -> int:
    """Compare with the truth that the position names; returns the position."""
    pages = story(seed)
    done = state["cursor"] or 0
    truth = Truth(pages, done)
    assert state["done"] == (1 if done == len(pages) else 0)
    assert state["succeeded"] == state["done"]
    assert state["promoted"] == done
    assert state["seen"] == truth.seen
    if kind == "function":
        assert (state["pages"] or []) == list(range(done))
        assert state["sums"] == f"({truth.seen},{truth.total})"
    else:
        assert {k: tuple(v) for k, v in (state["rows"] or {}).items()} == truth.rows
        assert (state["versions"], state["open_versions"]) == (truth.versions, len(truth.rows))
        assert set(state["dirty"] or []) == truth.dirty
    return int(done)


async def finish(db: Database, victim: Victim, seed: int, kind: str) -> None:
    """Run again, undisturbed, as the queue would; the story must then be complete, and nothing left over."""
    if check(await settled(db), seed, kind) < len(story(seed)):
        ended = await asyncio.to_thread(victim.run, db.url, seed, kind)
        assert ended["ended"] == 0
        assert check(await settled(db), seed, kind) == len(story(seed))
    assert await db.fetch_value("select count(*) from control.runs where state = 'running'") == 0


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("kind", ["table", "function"])
async def test_promote_killed_at_every_exchange_loses_nothing_and_does_nothing_twice(
    db: Database, victim: Victim, kind: str, how: str
) -> None:
    seed = {"table": 11, "function": 12}[kind]
    whole = (await asyncio.to_thread(victim.run, db.url, seed, kind))["exchanges"]
    kills = 0
    for at in range(1, whole + 1):
        await db.execute(RESET)
        ended = await asyncio.to_thread(victim.run, db.url, seed, kind, at, how)
        assert ended["ended"] == -signal.SIGKILL, f"exchange {at} of {whole}"
        kills += 1
        await finish(db, victim, seed, kind)
    assert kills == whole >= 48


@pytest.mark.parametrize("seeds", [range(100, 130), range(130, 160), range(160, 190), range(190, 220)])
async def test_runs_killed_again_and_again_at_random_finish_in_the_end(
    db: Database, victim: Victim, seeds: range
) -> None:
    kills = 0
    for seed in seeds:
        dice = random.Random(seed)
        kind = dice.choice(["table", "function"])
        await db.execute(RESET)
        for _ in range(6):
            ended = await asyncio.to_thread(
                victim.run, db.url, seed, kind, dice.randrange(1, 40), dice.choice(HOWS)
            )
            kills += ended["ended"] == -signal.SIGKILL
            if check(await settled(db), seed, kind) == len(story(seed)):
                break
        await finish(db, victim, seed, kind)
    assert kills >= 60  # with the 300 of the test above: more than 500


@pytest.mark.parametrize("kind", ["table", "function"])
async def test_promote_whose_backend_is_terminated_at_every_exchange(
    db: Database, victim: Victim, kind: str
) -> None:
    seed = 21
    whole = (await asyncio.to_thread(victim.run, db.url, seed, kind))["exchanges"]
    for at in range(1, whole + 1):
        await db.execute(RESET)
        ended = await asyncio.to_thread(victim.run, db.url, seed, kind, at, "terminate")
        assert ended["ended"] in (0, 3), f"exchange {at}"
        await finish(db, victim, seed, kind)


@pytest.fixture
async def crashing() -> AsyncIterator[Database]:
    """A database on a server of its own, which may crash."""
    cluster = await TestCluster.start()
    try:
        async with cluster.database() as db:
            await db.execute(SCHEMA)
            await db.execute(FUNCTION)
            yield db
    finally:
        await cluster.stop()


async def back(db: Database) -> None:
    """Wait until the server takes statements again."""
    for _ in range(200):
        try:
            await db.fetch_value("select 1")
            return
        except errors.OperationalError:
            await asyncio.sleep(0.05)
    raise AssertionError("the server did not come back")


async def test_promote_through_a_crash_of_postgresql_never_promotes_an_emptied_batch(
    crashing: Database, victim: Victim
) -> None:
    seed = 31
    whole = (await asyncio.to_thread(victim.run, crashing.url, seed, "function"))["exchanges"]
    for at in range(2, whole, 3):
        await back(crashing)
        await crashing.execute(RESET)
        ended = await asyncio.to_thread(victim.run, crashing.url, seed, "function", at, "crash")
        assert ended["ended"] in (0, 3), f"exchange {at}"
        await back(crashing)
        await finish(crashing, victim, seed, "function")


async def test_promote_through_kill_9_of_the_postmaster(tmp_path_factory: Any, victim: Victim) -> None:
    cluster = await TestCluster.start()
    try:
        async with cluster.database() as db:
            await db.execute(SCHEMA)
            await db.execute(FUNCTION)
            for seed, at in ((41, 9), (42, 17), (43, 23)):
                await db.execute(RESET)
                await asyncio.to_thread(victim.run, db.url, seed, "table", at, "inside")
                await killed(cluster.server)
                await back(db)
                await finish(db, victim, seed, "table")
    finally:
        await cluster.stop()


async def killed(server: EmbeddedServer) -> None:
    """Kill the postmaster and start the server again, as its supervisor would."""
    pid = server.pid
    os.kill(pid, signal.SIGKILL)
    for _ in range(500):
        if processes.start_mark(pid) is None:
            break
        await asyncio.sleep(0.01)
    await server._ensure()
