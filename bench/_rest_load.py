"""Keep-alive HTTP/1.1 connections that send one request after the other, as fast as answers come. Measures; checks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Load:
    """What one run gave: requests per second, and the middle and 99th percentile in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


class _Line(asyncio.Protocol):
    """One connection; `next_request` makes the bytes of request number n, or None at the end."""

    def __init__(
        self, take: Callable[[], bytes | None], took: list[float], done: asyncio.Future[None]
    ) -> None:
        self.take = take
        self.took = took
        self.done = done
        self.buffer = b""
        self.sent_at = 0.0
        self.transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._send()

    def _send(self) -> None:
        request = self.take()
        if request is None:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self.sent_at = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        if at >= 0:
            length = int(lower[at + 15 :].split(b"\r\n", 1)[0])
            if len(rest) < length:
                return
        elif b"transfer-encoding: chunked" in lower and not rest.endswith(b"0\r\n\r\n"):
            return
        if head[9:10] != b"2":
            self.done.set_exception(AssertionError(self.buffer[:600].decode("latin-1")))
            self.transport.close()
            return
        self.took.append(time.perf_counter() - self.sent_at)
        self.buffer = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))


async def load(url: str, make: Callable[[int], bytes], *, requests: int, connections: int = 16) -> Load:
    """Send `requests` requests over `connections` connections; every answer must be a 2xx."""
    numbers = iter(range(requests))

    def take() -> bytes | None:
        number = next(numbers, None)
        return None if number is None else make(number)

    host, port = urlsplit(url).hostname, urlsplit(url).port
    loop = asyncio.get_running_loop()
    took: list[float] = []
    began = time.perf_counter()
    ends = []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        ends.append(done)
        await loop.create_connection(lambda d=done: _Line(take, took, d), host, port)  # type: ignore[misc]
    await asyncio.gather(*ends)
    seconds = time.perf_counter() - began
    took.sort()
    return Load(len(took) / seconds, took[len(took) // 2] * 1000, took[int(len(took) * 0.99)] * 1000)
