"""One websocket: reads messages in order, writes through a bounded queue, ends what does not read or says nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog

from headgate.surface.realtime import limits as codes
from headgate.surface.realtime.limits import Limits, Rate
from headgate.surface.realtime.protocol import Frame, FrameError, Version, decode

Handler = Callable[[Frame], Awaitable[None]]
log = structlog.get_logger(__name__)


class Socket:
    """A client's connection. `push` never waits: what cannot be written soon is queued, within bounds."""

    def __init__(self, receive: Any, send: Any, *, version: Version, limits: Limits) -> None:
        self.version: Version = version
        self.limits = limits
        self._receive = receive
        self._send = send
        self._queue: deque[str | bytes] = deque()
        self.queued_bytes = 0
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._ended = asyncio.Event()
        self._rate = Rate(limits.messages_per_s)

    @property
    def closing(self) -> bool:
        """Whether nothing more will be written."""
        return self._closing is not None

    def push(self, messages: Iterable[str | bytes]) -> None:
        """Queue messages; a client that does not read them soon enough is closed with code 1013."""
        if self._closing is not None:
            return
        for message in messages:
            self._queue.append(message)
            self.queued_bytes += len(message)
        if len(self._queue) > self.limits.queue_messages or self.queued_bytes > self.limits.queue_bytes:
            self._queue.clear()
            self.close(codes.TRY_LATER, "You read too slowly: the queue of this socket is full")
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Write what is queued, then close with `reason`."""
        if self._closing is None:
            self._closing = (code, reason)
            self._wake.set()

    async def run(self, handle: Handler) -> None:
        """Serve until either side closes."""
        writer = asyncio.create_task(self._write())
        try:
            reader = asyncio.create_task(self._read(handle))
            await asyncio.wait({writer, reader}, return_when=asyncio.FIRST_COMPLETED)
            if not reader.done():
                reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
            self.close(1000, "")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):  # a peer that does not read must not hold us
                    await asyncio.shield(writer)
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, RuntimeError):
                await writer

    async def _read(self, handle: Handler) -> None:
        while self._closing is None:
            try:
                async with asyncio.timeout(self.limits.heartbeat_s):
                    message = await self._receive()
            except TimeoutError:
                self.close(codes.POLICY, f"Nothing was heard for {self.limits.heartbeat_s:g} s")
                return
            if message["type"] == "websocket.disconnect":
                self._closing = (1000, "")
                self._queue.clear()
                self._wake.set()
                return
            given = message.get("text")
            await self._take(given if given is not None else message.get("bytes") or b"", handle)

    async def _take(self, message: str | bytes, handle: Handler) -> None:
        if len(message) > self.limits.message_bytes:
            self.close(codes.TOO_BIG, f"A message is longer than {self.limits.message_bytes} bytes")
            return
        if not self._rate.take():
            self.close(codes.POLICY, f"More than {self.limits.messages_per_s} messages a second")
            return
        try:
            frame = decode(message, self.version)
        except FrameError as error:
            self.close(codes.BAD_DATA, f"Bad message: {error}")
            return
        await handle(frame)

    async def _write(self) -> None:
        try:
            while True:
                while self._queue:
                    message = self._queue.popleft()
                    self.queued_bytes -= len(message)
                    if isinstance(message, str):
                        await self._send({"type": "websocket.send", "text": message})
                    else:
                        await self._send({"type": "websocket.send", "bytes": message})
                if self._closing is not None:
                    code, reason = self._closing
                    await self._send({"type": "websocket.close", "code": code, "reason": reason[:120]})
                    return
                self._wake.clear()
                if not self._queue and self._closing is None:
                    await self._wake.wait()
        except (OSError, RuntimeError):
            self._closing = self._closing or (1006, "")  # the peer is gone
