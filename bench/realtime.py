"""Realtime: 1,000 subscribers under row-level security, 100,000 changes, every subscriber hanging up and coming back,
the server killed and started again: what was missed, what came twice, how long a change takes; then what the feed
costs a bulk upsert, by logical decoding and by triggers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from joserfc import jwt
from joserfc.jwk import OctKey
from websockets.asyncio.client import connect

from bench import report
from bench._database import fresh_database
from headgate.db import Database

HERE = Path(__file__).resolve().parent
SECRET = "a-secret-for-measurements-only-0123456789abcdef"
SUBSCRIBERS, CHANGES, WATCHERS, PROCESSES = 1_000, 100_000, 4, 4
PAIRS, ROWS = 7, 100_000
TIMED, TIMED_PER_S = 2_000, 100
SAID_WITHIN_S = 900
SCHEMA = """
create table bench_rows (id bigint primary key, owner uuid, n int, timed bool, sent float8);
alter table bench_rows replica identity full;
alter table bench_rows enable row level security;
create policy own on bench_rows for select to authenticated using (owner = (select auth.uid()));
create table bench_end (id int primary key);
create table bench_bulk (id int primary key, name text, price numeric, seen_at timestamptz, n int);
grant select on bench_rows, bench_end, bench_bulk to authenticated, service_role;
alter publication supabase_realtime add table bench_rows, bench_end, bench_bulk"""


def token(role: str, subject: str) -> str:
    """A user's token."""
    claims = {"role": role, "sub": subject, "exp": int(time.time()) + 7200, "aud": "authenticated"}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))


def free_port() -> int:
    """A TCP port that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Serving:
    """`headgate serve` as a process of its own, on one port over restarts."""

    def __init__(self, url: str, folder: str) -> None:
        self.port = free_port()
        self._environment = {
            **os.environ, "HEADGATE_DATABASE_URL": url, "HEADGATE_PORT": str(self.port), "HEADGATE_DATA_DIR": folder,
            "HEADGATE_JWT_SECRET": SECRET, "HEADGATE_LOG_LEVEL": "error", "HEADGATE_REALTIME_MESSAGES_PER_S": "10000",
        }  # fmt: skip
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start and wait until it answers."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headgate", "serve", env=self._environment
        )
        for _ in range(1200):
            try:
                await asyncio.to_thread(
                    urllib.request.urlopen, f"http://127.0.0.1:{self.port}/health", timeout=2
                )
                return
            except OSError:
                await asyncio.sleep(0.05)
        raise RuntimeError("the server did not start")

    async def end(self, *, kill: bool = False) -> None:
        """Stop it; with `kill` without a word."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill() if kill else self._process.terminate()
            await self._process.wait()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/realtime/v1/websocket?vsn=2.0.0"


@dataclass
class Outcome:
    """What the subscribers got, against what was written."""

    expected: int = 0
    missed: int = 0
    doubled: int = 0
    foreign: int = 0
    connections: int = 0
    latencies: list[float] = field(default_factory=list)
    caught_up_s: float = 0.0  # from the first write until everybody has everything but the timed part
    seconds: float = 0.0
    refused: list[str] = field(default_factory=list)


def person(number: int) -> str:
    """The id of a subscriber."""
    return f"00000000-0000-0000-0000-{number:012x}"


async def write(
    db: Database, owners: int, changes: int, rng: random.Random, half_way: asyncio.Event
) -> list[Counter[str]]:
    """Transactions of 1 to 300 inserts, updates and deletes; the changes of each owner."""
    written: list[Counter[str]] = [Counter() for _ in range(owners)]
    alive: list[tuple[int, int, int]] = []  # id, owner, n
    done = number = 0
    while done < changes:
        size = min(changes - done, rng.choice((1, 1, 1, 5, 50, 300)))
        inserts, updates, deletes = [], [], []
        touched: set[int] = set()
        for _ in range(size):
            place = rng.randrange(len(alive)) if alive else 0
            kind = rng.random()
            if kind < 0.6 or not alive or alive[place][0] in touched:
                number += 1
                owner = number % owners
                inserts.append((number, person(owner), 0, owner))
            elif kind < 0.8:
                touched.add(alive[place][0])
                updates.append((*alive[place][:2], alive[place][2] + 1))
                alive[place] = updates[-1]
            else:
                touched.add(alive[place][0])
                deletes.append(alive[place])
                alive[place] = alive[-1]
                alive.pop()
        async with db.transaction() as conn:
            if inserts:
                columns = [list(c) for c in zip(*inserts, strict=True)][:3]
                await conn.execute(
                    "insert into bench_rows (id, owner, n) select * from unnest(%s::bigint[], %s::uuid[], %s::int[])",
                    columns,
                )
            if updates:
                await conn.execute(
                    "update bench_rows set n = n + 1 where id = any (%s)", [[u[0] for u in updates]]
                )
            if deletes:
                await conn.execute("delete from bench_rows where id = any (%s)", [[d[0] for d in deletes]])
        alive += [(i, o, n) for i, _, n, o in inserts]
        for letter, rows in (("I", [(i, o, n) for i, _, n, o in inserts]), ("U", updates), ("D", deletes)):
            for identity, owner, n in rows:
                written[owner][f"{letter}{identity}.{n}"] += 1
        done += size
        if done >= changes // 2:
            half_way.set()
        await asyncio.sleep(0)
    return written


async def timed(db: Database, owners: int, count: int, written: list[Counter[str]]) -> None:
    """Single commits at a steady pace, each with the time of its sending."""
    started = time.monotonic()
    for number in range(count):
        owner = number % owners
        identity = 1_000_000_000 + number
        await db.execute(
            "insert into bench_rows values (%s, %s, 0, true, %s)", [identity, person(owner), time.time()]
        )
        written[owner][f"I{identity}.0"] += 1
        await asyncio.sleep(max(0.0, started + number / TIMED_PER_S - time.monotonic()))


async def story(
    url: str, *, subscribers: int, changes: int, watchers: int, processes: int, drops: int, steady: int
) -> Outcome:
    """The whole of it, once."""
    outcome = Outcome()
    rng = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        async with await Database.open(url, max_size=4) as db, db.connection() as conn:
            await conn.execute(SCHEMA)
            serving = Serving(url, folder)
            await serving.start()
            people = [token("authenticated", person(n)) for n in range(subscribers)]
            people += [token("service_role", person(n)) for n in range(subscribers, subscribers + watchers)]
            about = [changes // subscribers] * subscribers + [changes] * watchers
            shares = [list(range(n, len(people), processes)) for n in range(processes)]
            children = []
            for share in shares:
                child = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", str(HERE / "_realtime_subscribers.py"),
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                order = {
                    "url": serving.url, "tokens": [people[n] for n in share], "expected": [about[n] for n in share],
                    "drops": drops, "seed": share[0], "out": f"{folder}/{share[0]}.jsonl",
                }  # fmt: skip
                assert child.stdin is not None
                child.stdin.write(json.dumps(order).encode() + b"\n")
                await child.stdin.drain()
                children.append(child)
            try:
                await _said(children, b"ready\n")
                begun = time.monotonic()
                half = asyncio.Event()
                writing = asyncio.create_task(write(db, subscribers, changes, rng, half))
                await half.wait()
                await serving.end(kill=True)
                await serving.start()
                written = await writing
                await db.execute("insert into bench_end values (0)")
                await _said(children, b"caught up\n")  # else the times would be those of the backlog
                outcome.caught_up_s = time.monotonic() - begun
                await timed(db, subscribers, steady, written)
                await db.execute("insert into bench_end values (1)")
                for child in children:
                    await asyncio.wait_for(child.wait(), 900)
                outcome.seconds = time.monotonic() - begun
            finally:
                for child in children:
                    if child.returncode is None:
                        child.kill()
                await serving.end()
            for share in shares:
                lines = await asyncio.to_thread(Path(f"{folder}/{share[0]}.jsonl").read_bytes)
                for number, line in zip(share, lines.splitlines(), strict=True):
                    compare(outcome, orjson.loads(line), written, number)
    return outcome


async def _said(children: list[asyncio.subprocess.Process], word: bytes) -> None:
    """Wait until every process of subscribers has said it."""
    for child in children:
        assert child.stdout is not None
        assert (await asyncio.wait_for(child.stdout.readline(), SAID_WITHIN_S)) == word


def compare(outcome: Outcome, got: dict[str, list[str]], written: list[Counter[str]], number: int) -> None:
    """Count what one subscriber missed, got twice, or should not have got."""
    right = written[number] if number < len(written) else sum(written, Counter[str]())
    seen = Counter(got["events"])
    outcome.expected += right.total()
    outcome.missed += (right - seen).total()
    outcome.doubled += sum(n - 1 for n in seen.values() if n > 1)
    outcome.foreign += sum(1 for event in seen if event not in right)
    outcome.connections += int(got["connections"])  # type: ignore[call-overload]
    outcome.latencies += [float(x) for x in got["latencies"]]
    outcome.refused += got["refused"]


@contextlib.asynccontextmanager
async def fed(serving: Serving, seen: list[int], last: int) -> AsyncIterator[None]:
    """One subscriber to the table of the bulk upsert; `seen` counts the changes of the row that each writes last."""
    ready = asyncio.Event()

    async def listen() -> None:
        async with connect(serving.url, compression=None, max_size=None, ping_interval=None) as client:
            binding = {
                "event": "*",
                "schema": "public",
                "table": "bench_bulk",
                "select": ["id"],
                "filter": f"id=eq.{last}",
            }
            config = {
                "config": {"postgres_changes": [binding]},
                "access_token": token("service_role", person(1)),
            }
            await client.send(orjson.dumps(["1", "1", "realtime:b", "phx_join", config]).decode())
            async for message in client:
                event = orjson.loads(message)[3]
                ready.set() if event == "system" else None
                seen[0] += event == "postgres_changes"

    task = asyncio.create_task(listen())
    try:
        await asyncio.wait_for(ready.wait(), 60)
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def seed(db: Database, rows: int) -> None:
    """Half of the rows."""
    await db.execute("truncate bench_bulk")
    half = "insert into bench_bulk select n, 'name ' || n, n / 7.0, now(), n from generate_series(1, %s, 2) n"
    await db.execute(half, [rows])
    await db.execute("vacuum analyze bench_bulk")


async def upsert(db: Database, rows: int) -> float:
    """Seconds of one upsert of `rows` rows, half of them new."""
    started = time.monotonic()
    await db.execute(
        "insert into bench_bulk select n, 'new name ' || n, n / 3.0, now(), n from generate_series(1, %s) n"
        " on conflict (id) do update set name = excluded.name, price = excluded.price, seen_at = excluded.seen_at",
        [rows],
    )
    return time.monotonic() - started


async def _read(seen: list[int], count: int) -> None:
    """Wait until the feed has been read so far."""
    for _ in range(600):
        if seen[0] >= count:
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("the feed was not read")


async def overhead(url: str, *, rows: int, pairs: int) -> tuple[list[float], list[float]]:
    """Seconds of the upsert without and with a feed that is read, in alternating pairs.

    The feed has been read up to the statement: what is measured is its cost, not that of telling an earlier one.
    """
    without, with_ = [], []
    last = rows - 1 if rows % 2 == 0 else rows  # the seed's last row, and the last that an upsert updates
    with tempfile.TemporaryDirectory() as folder:
        async with await Database.open(url, max_size=4) as db:
            async with db.connection() as conn:
                if await db.fetch_value("select to_regclass('bench_bulk') is null"):
                    await conn.execute(SCHEMA)
            for pair in range(pairs + 1):
                await db.execute("alter publication supabase_realtime drop table bench_bulk")
                await _drop_triggers(db)
                await seed(db, rows)
                plain = await upsert(db, rows)
                await db.execute("alter publication supabase_realtime add table bench_bulk")
                serving, seen = Serving(url, folder), [0]
                await serving.start()
                async with fed(serving, seen, last):
                    await seed(db, rows)
                    await _read(seen, 1)
                    fed_s = await upsert(db, rows)
                    await _read(seen, 2)
                await serving.end()
                if pair:  # the first pair warms up
                    without.append(plain)
                    with_.append(fed_s)
    return without, with_


async def _drop_triggers(db: Database) -> None:
    for letter in "iud":
        await db.execute(f"drop trigger if exists headgate_note_{letter} on bench_bulk".encode())


def ratio(pairs: tuple[list[float], list[float]]) -> float:
    """The middle of the pairs' ratios."""
    return report.middle([b / a for a, b in zip(*pairs, strict=True)])


async def _main() -> None:
    async with fresh_database() as url:
        outcome = await story(
            url, subscribers=report.sized(SUBSCRIBERS, 20), changes=report.sized(CHANGES, 1000), watchers=WATCHERS,
            processes=PROCESSES if report.scale() >= 1 else 2, drops=2, steady=report.sized(TIMED, 100),
        )  # fmt: skip
        logical = await overhead(
            url, rows=report.sized(ROWS, 5000), pairs=PAIRS if report.scale() >= 1 else 2
        )
    async with fresh_database(settings={"wal_level": "replica"}) as url:
        triggers = await overhead(
            url, rows=report.sized(ROWS, 5000), pairs=PAIRS if report.scale() >= 1 else 2
        )
    ms = [1000 * x for x in outcome.latencies]
    report.write(
        "realtime", "Realtime",
        [
            report.Figure(name="subscribers", value=report.sized(SUBSCRIBERS, 20) + WATCHERS),
            report.Figure(name="changes written", value=report.sized(CHANGES, 1000) + report.sized(TIMED, 100)),
            report.Figure(name="events due to subscribers", value=outcome.expected),
            report.at_most("events missed", outcome.missed, 0),
            report.at_most("events got twice", outcome.doubled, 0),
            report.at_most("events of others' rows", outcome.foreign, 0),
            report.Figure(name="connections made", value=outcome.connections),
            report.Figure(name="first write to everybody caught up", value=outcome.caught_up_s, unit="s"),
            report.Figure(name="sending to client, p50", value=report.percentile(ms, 0.5), unit="ms"),
            report.Figure(name="sending to client, p99", value=report.percentile(ms, 0.99), unit="ms"),
            report.Figure(name="whole story, with the timed part", value=outcome.seconds, unit="s"),
            report.at_most("upsert with the feed, logical decoding", ratio(logical), 1.1, "×"),
            report.at_most("upsert with the feed, triggers", ratio(triggers), 1.3, "×"),
        ],
        command="python -m bench realtime",
        about="Subscribers hear of their own rows only (row-level security), watchers of all. Everyone hangs up twice"
        " and comes back with its cursor; the server is killed half-way (SIGKILL) and started again. Times to the"
        " client begin before the INSERT is sent, so they contain the commit; 100 commits a second."
        " The upsert is timed once the feed has told everything before it.",
        samples={"upsert_s": {"logical": logical, "triggers": triggers}, "refused": outcome.refused[:20]},
    )  # fmt: skip


def main() -> None:
    """Measure, print, keep."""
    asyncio.run(_main())
