"""Between server processes: what one tells reaches all, through NOTIFY; who is gone is known by its advisory lock.

A text too long for a NOTIFY goes through `realtime.relay`. Nothing told is kept: a process that was cut off asks the
others for their presences when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import structlog

from headgate.base.errors import HeadgateError
from headgate.base.tasks import ended
from headgate.db import Database, errors
from headgate.db.connect import connect

CHANNEL = "headgate_realtime"
LOCK_CLASS = 513_210_740  # the first half of the advisory locks by which processes know each other
NOTIFY_MAX = 7_800  # bytes; PostgreSQL takes 7,999
_ALIVE_S = 2.0
_RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_BATCH = 200
log = structlog.get_logger(__name__)

Heard = Callable[[dict[str, Any]], Awaitable[None]]


class Bus:
    """`tell` never waits; `heard` is called for what others told, in order; `cut_off` after each lost connection."""

    def __init__(
        self,
        db: Database,
        heard: Heard,
        *,
        joined: Callable[[], None],
        left: Callable[[set[str]], None],
    ) -> None:
        self._db = db
        self._heard, self._joined, self._left = heard, joined, left
        self._number = secrets.randbelow(2**31 - 1) + 1
        self.node = f"{self._number:x}"
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(maxsize=50_000)
        self._count = 0
        self._others: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self.listening = asyncio.Event()

    async def start(self) -> None:
        """Listen, and let others know of this process."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._write())]
        with contextlib.suppress(TimeoutError):  # an unreachable database is tried again in the background
            async with asyncio.timeout(5):
                await self.listening.wait()

    async def close(self) -> None:
        """Stop; the lock goes with the connection, so that others see this process leave."""
        await ended(*self._tasks)

    def tell(self, message: dict[str, Any]) -> None:
        """Tell the other processes, if there are any."""
        if not self._others and message["kind"] != "ask":
            return
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            log.warning("realtime_bus_full", lost=message["kind"])

    # --- telling

    async def _write(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                await self._notify(batch)
            except (errors.Error, HeadgateError, OSError) as error:
                log.warning("realtime_not_told", messages=len(batch), reason=str(error))

    async def _notify(self, batch: list[dict[str, Any]]) -> None:
        texts = []
        for message in batch:
            self._count += 1  # equal notifications of one transaction would be delivered once only
            text = orjson.dumps({**message, "node": self.node, "number": self._count})
            if len(text) > NOTIFY_MAX:
                kept = await self._db.fetch_value(
                    "insert into realtime.relay (body) values (%s) returning id",
                    [text.decode()],
                )
                text = orjson.dumps({"kind": "relay", "node": self.node, "relay": kept})
            texts.append(text.decode())
        await self._db.execute(
            "select pg_notify(%s, told) from unnest(%s::text[]) with ordinality as t (told, n) order by n",
            [CHANNEL, texts],
        )

    # --- hearing

    async def _listen(self) -> None:
        attempt = 0
        while True:
            try:
                await self._session()
                attempt = 0
            except (errors.Error, HeadgateError, OSError) as error:
                log.warning("realtime_bus_lost", reason=str(error))
            self.listening.clear()
            await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
            attempt += 1

    async def _session(self) -> None:
        async with await connect(self._db.url, application_name=f"headgate-realtime-{self.node}") as conn:
            await conn.execute("select pg_advisory_lock(%s, %s)", [LOCK_CLASS, self._number])
            await conn.execute(f"listen {CHANNEL}".encode())
            await self._look(conn)
            self._joined()
            self.tell({"kind": "ask"})
            self.listening.set()
            loop = asyncio.get_running_loop()
            looked = loop.time()
            while True:
                async for note in conn.notifies(timeout=_ALIVE_S, stop_after=100):
                    await self._receive(note.payload)
                if loop.time() - looked >= _ALIVE_S:
                    looked = loop.time()
                    await self._look(conn)

    async def _look(self, conn: Any) -> None:
        """Who is alive: the holders of locks of our class in this database."""
        rows = await (
            await conn.execute(
                "select objid::bigint as number from pg_locks where locktype = 'advisory' and classid = %s"
                " and objsubid = 2 and granted"
                " and database = (select oid from pg_database where datname = current_database())",
                [LOCK_CLASS],
            )
        ).fetchall()
        found = {f"{row['number']:x}" for row in rows} - {self.node}
        gone, self._others = self._others - found, found
        self._left(found)
        if gone:
            log.info("realtime_processes_left", count=len(gone))

    async def _receive(self, payload: str) -> None:
        try:
            told = orjson.loads(payload)
            node = told.get("node")
            if node == self.node:
                return
            if node:
                self._others.add(node)
            if told.get("kind") == "relay":
                body = await self._db.fetch_value(
                    "select body from realtime.relay where id = %s", [told["relay"]]
                )
                if body is None:
                    return
                told = orjson.loads(body)
            await self._heard(told)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            log.warning("realtime_bus_bad", reason=repr(error))
