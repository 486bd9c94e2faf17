"""A raw upstream on loopback for tests: each connection gets exactly the bytes that a test wants, at its pace."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field


@dataclass
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    at: float


Handler = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Upstream:
    """A running server: where it listens, the raw reply to /robots.txt, what it was asked."""

    port: int
    robots: bytes
    asked: list[Asked] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The host key, `127.0.0.1:port`."""
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/") -> str:
        """The URL of `path` here."""
        return f"http://{self.key}{path}"

    @property
    def paths(self) -> list[str]:
        """The paths asked for, robots.txt left out."""
        return [one.path for one in self.asked if one.path != "/robots.txt"]


def reply(status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """A whole HTTP/1.1 reply that closes its connection."""
    lines = {"content-length": str(len(body)), "connection": "close", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Reason\r\n{head}\r\n".encode() + body


@contextlib.asynccontextmanager
async def upstream(
    handler: Handler, *, robots: bytes | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Upstream]:
    """Serve on a free loopback port. Without `robots`, robots.txt is a 404."""
    running: Upstream
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
            asked = Asked(head[0].split(" ")[1], headers, asyncio.get_running_loop().time())
            running.asked.append(asked)
            if asked.path == "/robots.txt":
                writer.write(running.robots)
            else:
                await handler(asked, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, host, 0)
    rules = reply(404) if robots is None else reply(200, robots)
    running = Upstream(server.sockets[0].getsockname()[1], rules)
    try:
        yield running
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def answering(data: bytes) -> Handler:
    """A handler that always sends `data`."""

    async def handle(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return handle
