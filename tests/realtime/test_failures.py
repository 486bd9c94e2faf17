"""What dies while changes are read: an opening that nobody waits for, PostgreSQL itself, one of two servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from bench.realtime import Serving, token
from headgate.db import Database
from headgate.db.embedded import EmbeddedServer, Options
from headgate.db.platform import apply_platform
from headgate.db.replication import ReplicationStream
from headgate.surface.realtime.feed import PUBLICATION
from tests.realtime_client import Client, Server

TABLE = """create table open (id int primary key);
grant select on open to anon, service_role; alter publication supabase_realtime add table open"""
WATCH = [{"event": "*", "schema": "public", "table": "open"}]
LEFT = """select (select count(*) from pg_stat_activity where application_name = 'headgate-feed'
  and datname = current_database()) + (select count(*) from pg_replication_slots where database = current_database())"""


@contextlib.asynccontextmanager
async def client_of(serving: Serving) -> AsyncIterator[Client]:
    """A client of a server process."""
    async with connect(serving.url, max_size=None, compression=None, ping_interval=None) as connection:
        client = Client(connection, "2.0.0")
        try:
            yield client
        finally:
            await client.stop()


async def until(holds: Callable[[], Awaitable[Any]]) -> None:
    """Ask the database again and again until it holds, 60 s at most."""
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 - another process has no event for it
            await asyncio.sleep(0.02)


async def _none_left(db: Database) -> bool:
    return await db.fetch_value(LEFT) == 0


async def test_an_opening_that_is_cancelled_leaves_neither_slot_nor_connection(
    bare_database: Database,
) -> None:
    async with bare_database.transaction() as conn:
        await conn.execute("select pg_current_xact_id()")  # a new slot waits for this transaction
        opening = asyncio.create_task(
            ReplicationStream.open(bare_database.url, publication=PUBLICATION, source=None, start=None)
        )
        await until(lambda: bare_database.fetch_value(LEFT))
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await until(lambda: _none_left(bare_database))


async def test_nothing_is_missed_or_doubled_when_the_postmaster_is_killed() -> None:
    home = Path(tempfile.mkdtemp(prefix="hg-rt-"))
    os.chmod(home, 0o755)  # noqa: PTH101 the server may run as another system user
    try:
        async with await EmbeddedServer.open(home, Options()) as postgres:
            await apply_platform(postgres.admin_url())
            async with await Database.open(postgres.url(), max_size=4) as db:
                async with db.connection() as conn:
                    await conn.execute(TABLE)
                async with Server(db) as server, server.client() as client:
                    await client.join("x", changes=WATCH)
                    number = 0
                    for how in (signal.SIGKILL, signal.SIGINT):  # a crash, and a fast stop
                        for _ in range(20):
                            number += 1
                            await db.execute("insert into open values (%s)", [number])
                        before = postgres.pid
                        os.kill(before, how)
                        await until(lambda before=before: _answers(db, before, postgres))  # type: ignore[misc]
                    await db.execute("insert into open values (0)")
                    await client.until(lambda: any(d["record"]["id"] == 0 for d in client.changes()))
                    assert [d["record"]["id"] for d in client.changes()] == [*range(1, number + 1), 0]
    finally:
        shutil.rmtree((home / "data").resolve(), ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


async def _answers(db: Database, before: int, postgres: EmbeddedServer) -> bool:
    """Whether a new postmaster takes queries."""
    try:
        return postgres.pid != before and await db.fetch_value("select 1") == 1
    except Exception:
        return False


async def test_a_killed_servers_presences_leave_and_its_subscribers_go_on_at_the_other(
    database: Database, tmp_path: Path
) -> None:
    async with database.connection() as conn:
        await conn.execute(TABLE)
    service = token("service_role", "00000000-0000-0000-0000-000000000001")
    serving = [Serving(database.url, str(tmp_path)) for _ in range(2)]
    people: dict[str, Any] = {"presence": {"enabled": True, "key": "p"}}
    try:
        for one in serving:
            await one.start()
        async with client_of(serving[1]) as stays:
            await stays.join("room", token=service, **people)
            async with client_of(serving[0]) as goes:
                await goes.join("x", token=service, changes=WATCH)
                await goes.join("room", token=service, **people)
                track = {"type": "presence", "event": "track", "payload": {"mood": "good"}}
                await goes.ask("realtime:room", "presence", track)
                await stays.until(lambda: any(d["joins"] for d in stays.events("presence_diff")))
                await database.execute("insert into open select generate_series(1, 50)")
                await goes.wait_for("postgres_changes", 20)
                await serving[0].end(kill=True)
                got = [d["record"]["id"] for d in goes.changes()]
                since = goes.changes()[-1]["cursor"]
            await database.execute("insert into open select generate_series(51, 100)")
            await stays.until(lambda: any(d["leaves"] for d in stays.events("presence_diff")))
            await stays.join("x", token=service, changes=[{**WATCH[0], "since": since}])
            await stays.wait_for("postgres_changes", 100 - len(got))
            await stays.quiet()
            assert got + [d["record"]["id"] for d in stays.changes()] == list(range(1, 101))
    finally:
        for one in serving:
            await one.end()
