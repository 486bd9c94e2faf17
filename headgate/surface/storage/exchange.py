"""One request to the storage service and its answer: bare ASGI with bounded bodies. Knows nothing of buckets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson

from headgate.base.clock import monotonic
from headgate.surface.storage.errors import StorageError, invalid, too_slow

if TYPE_CHECKING:
    from headgate.surface.services import Message, Receive, Scope, Send

IDLE_S = 60.0  # a client that sends nothing for so long is given up
_JSON_MAX = 1_000_000
_DRAIN_MAX = 16_000_000
_DRAIN_S = 3.0


class Gone(Exception):
    """The client closed the connection."""


@dataclass
class Reply:
    """An answer: whole in `body`, or from `stream`, whose length `content-length` among the headers says."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None


def json_reply(value: Any, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Reply:
    """`value` as JSON."""
    kind = ("content-type", "application/json; charset=utf-8")
    return Reply(status, [kind, *headers], orjson.dumps(value))


class Request:
    """What came in. `path` is decoded and below the prefix, without a slash at its start."""

    def __init__(self, scope: Scope, receive: Receive, prefix: str) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"][len(prefix) :].removeprefix("/")
        self.raw_query: bytes = scope.get("query_string", b"")
        self.raw_headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        self.query = dict(parse_qsl(self.raw_query.decode("latin-1"), keep_blank_values=True))
        self._headers: dict[str, str] = {}
        for name, value in self.raw_headers:
            self._headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
        self._receive = receive
        self._whole = False

    def header(self, name: str) -> str | None:
        """The first header of this name, in lower case."""
        return self._headers.get(name)

    @property
    def declared(self) -> int | None:
        """The declared length of the body in bytes."""
        text = self._headers.get("content-length", "")
        return int(text) if text.isdigit() and len(text) < 19 else None

    async def chunks(self, *, idle_s: float = IDLE_S) -> AsyncIterator[bytes]:
        """The body, piece by piece. Raises StorageError when the client stalls, Gone when it leaves."""
        while not self._whole:
            try:
                async with asyncio.timeout(idle_s):
                    message: Message = await self._receive()
            except TimeoutError:
                raise too_slow() from None
            if message["type"] == "http.disconnect":
                raise Gone
            self._whole = not message.get("more_body", False)
            if body := message.get("body", b""):
                yield body

    async def json(self) -> dict[str, Any]:
        """The body as a JSON object; {} for none. Raises StorageError."""
        parts, size = [], 0
        async for piece in self.chunks():
            size += len(piece)
            if size > _JSON_MAX:
                raise StorageError(413, "Payload too large", "The body of the request is too large")
            parts.append(piece)
        if not size:
            return {}
        try:
            found = orjson.loads(b"".join(parts))
        except orjson.JSONDecodeError:
            raise invalid("The body is not JSON") from None
        if not isinstance(found, dict):
            raise invalid("The body must be a JSON object")
        return found

    async def drain(self) -> bool:
        """Read what is left of the body, within bounds, so that the client gets to read the answer.

        False: some is left, and the connection must be closed.
        """
        size, until = 0, monotonic() + _DRAIN_S
        with contextlib.suppress(StorageError, Gone):
            async for piece in self.chunks(idle_s=1.0):
                size += len(piece)
                if size > _DRAIN_MAX or monotonic() > until:
                    return False
        return self._whole


async def respond(send: Send, reply: Reply, *, head: bool) -> None:
    """Send the answer; without its body for HEAD."""
    headers = [(k.encode(), v.encode("latin-1", "replace")) for k, v in reply.headers]
    if reply.stream is None and reply.status not in (204, 304) and not head:
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if head or reply.stream is None:
        await send({"type": "http.response.body", "body": b"" if head else reply.body})
        return
    async for piece in reply.stream:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
