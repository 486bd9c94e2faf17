"""Which events changed, as they change: one LISTEN per process, any number of Server-Sent-Events clients.

A slow client loses single messages, never the connection: its queue is bounded, and after a loss it is told to
read everything again (`resync`). Carries event ids only, so it needs no row-level decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import orjson

from headgate.db import Database

CHANNEL = "tickets_changed"
HEARTBEAT_S = 15.0
_QUEUE = 256

Listener = Callable[[int | None], None]


class Live:
    """Fans notifications of changed events out to clients and to the answer cache."""

    def __init__(self, db: Database, *, heartbeat_s: float = HEARTBEAT_S, max_clients: int = 1000) -> None:
        self._db = db
        self._heartbeat_s = heartbeat_s
        self._max_clients = max_clients
        self._clients: set[asyncio.Queue[int | None]] = set()
        self._lost: set[asyncio.Queue[int | None]] = set()
        self._listeners: list[Listener] = []

    def on_change(self, listener: Listener) -> None:
        """Call `listener(event_id)` at every change, and `listener(None)` when changes may have been missed."""
        self._listeners.append(listener)

    @property
    def full(self) -> bool:
        """Whether this process serves as many live clients as it may."""
        return len(self._clients) >= self._max_clients

    async def run(self) -> None:
        """Listen until cancelled; after a lost connection, tell everybody to read again."""
        async for note in self._db.listen(CHANNEL):
            self._tell(None if note.gap else _event_of(note.payload))

    def _tell(self, event_id: int | None) -> None:
        for listener in self._listeners:
            listener(event_id)
        for queue in self._clients:
            try:
                queue.put_nowait(event_id)
            except asyncio.QueueFull:
                self._lost.add(queue)

    async def stream(self, only: frozenset[int] | None = None) -> AsyncIterator[bytes]:
        """The messages of one client: `change {"event_id"}`, `resync {}`, and comments as heartbeats."""
        queue: asyncio.Queue[int | None] = asyncio.Queue(_QUEUE)
        self._clients.add(queue)
        try:
            yield b"retry: 2000\nevent: hello\ndata: {}\n\n"
            while True:
                try:
                    event_id = await asyncio.wait_for(queue.get(), self._heartbeat_s)
                except TimeoutError:
                    yield b": alive\n\n"
                    continue
                if queue in self._lost:
                    self._lost.discard(queue)
                    while not queue.empty():
                        queue.get_nowait()
                    event_id = None
                if event_id is None:
                    yield b"event: resync\ndata: {}\n\n"
                elif only is None or event_id in only:
                    yield b"event: change\ndata: " + orjson.dumps({"event_id": event_id}) + b"\n\n"
        finally:
            self._clients.discard(queue)
            self._lost.discard(queue)


def _event_of(payload: str) -> int | None:
    return int(payload) if payload.isdigit() else None
