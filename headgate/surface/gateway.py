"""The door of the surface: CORS, request ids, a cap on bodies, API keys; then the REST service. Bare ASGI."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from functools import lru_cache
from typing import Any

import orjson
import structlog

from headgate.db import errors as database_errors
from headgate.surface.auth.tokens import LiveKeys
from headgate.surface.rest.errors import database_down
from headgate.surface.rest.parse import Incoming
from headgate.surface.rest.respond import Answer
from headgate.surface.rest.service import RestService
from headgate.surface.rest.settings import RestSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = structlog.get_logger(__name__)
METHODS = "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD"
EXPOSED = (
    "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, "
    "Transfer-Encoding, Range-Unit"
)
ALWAYS_ALLOWED = "Accept, Accept-Language, Content-Language"
ASKED_METHOD = b"access-control-request-method"
DAY_S = "86400"
_STARTED = os.urandom(6).hex()  # with a number behind it, an id of this process alone
_numbers = itertools.count(int.from_bytes(os.urandom(4), "big"))
WATCH_EVERY_S = 0.025  # a call that runs through two of these is stopped when its client goes away


Resolver = Callable[[str], Awaitable[str | None]]  # API key → role


class TooLarge(Exception):
    """The body is longer than allowed."""


class Calls:
    """Calls that run; one that takes long is stopped when its client goes away.

    One timer for all of them, as most calls are over before it would be worth to listen for their client.
    """

    def __init__(self) -> None:
        self._new: dict[asyncio.Task[Any], Receive] = {}  # since the last look
        self._seen: dict[asyncio.Task[Any], Receive] = {}  # at the last look
        self._watchers: dict[asyncio.Task[Any], asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, work: Coroutine[Any, Any, Answer], receive: Receive) -> Answer:
        """Its answer; 499 when its client went away."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._new[task] = receive
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WATCH_EVERY_S, self._look)
        try:
            return await work
        except asyncio.CancelledError:
            watcher = self._watchers.get(task)
            if watcher is not None and watcher.done():
                return Answer(499, [("Content-Length", "0")])
            raise
        finally:
            if self._new.pop(task, None) is None and self._seen.pop(task, None) is None:
                self._watchers.pop(task).cancel()

    def _look(self) -> None:
        for task, receive in self._seen.items():
            self._watchers[task] = asyncio.create_task(_stop_with_client(task, receive))
        self._seen, self._new = self._new, {}
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WATCH_EVERY_S, self._look) if self._seen else None


async def _stop_with_client(task: asyncio.Task[Any], receive: Receive) -> None:
    await _gone(receive)
    task.cancel("the client is gone")


class Surface:
    """An ASGI application for everything below `prefix`."""

    def __init__(
        self,
        settings: RestSettings,
        *,
        prefix: str = "/rest/v1",
        resolve_key: Resolver | None = None,
        live: LiveKeys | None = None,
    ) -> None:
        self.settings = settings
        self.prefix = prefix
        self._raw_prefix = prefix.encode()
        self.rest = RestService(settings, live)
        self.resolve_key = resolve_key
        self._calls = Calls()

    async def start(self) -> None:
        """Connect and read the catalog."""
        await self.rest.start()

    async def close(self) -> None:
        """Close the connections."""
        await self.rest.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan where this is the outermost application."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = Incoming(scope["method"], "", scope["query_string"], scope["headers"])
        request_id = _request_id(incoming)
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        if raw.startswith(self._raw_prefix):
            raw = raw[len(self._raw_prefix) :]
        incoming.path = raw.decode("latin-1") or "/"
        origin = incoming.header(b"origin")
        if origin is not None and incoming.method == "OPTIONS" and ASKED_METHOD in incoming.first:
            answer = self._preflight(origin, incoming)
        else:
            answer = await self._answer(incoming, receive, request_id)
            if origin is not None:
                answer.headers += self._cors(origin)
            if self.settings.server_cors_allowed_origins:
                answer.headers.append(
                    ("Vary", "Origin")
                )  # also without one: a cache must tell the answers apart
        answer.headers += self._trace(incoming, request_id)
        start = [(encode(k), encode(v)) for k, v in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": start})
        await send({"type": "http.response.body", "body": b"" if incoming.method == "HEAD" else answer.body})

    async def _answer(self, incoming: Incoming, receive: Receive, request_id: str) -> Answer:
        try:
            incoming.body = await _body(receive, incoming, self.settings.max_body_bytes)
            if self.resolve_key is not None:
                await self._find_role(incoming, self.resolve_key)
            if incoming.path.startswith("/rpc/"):
                return await self._calls.run(self.rest.handle(incoming), receive)
            return await self.rest.handle(incoming)
        except TooLarge:
            return _failure(413, "PGRST102", f"The body is longer than {self.settings.max_body_bytes} bytes")
        except (database_errors.Error, OSError) as error:
            log.warning("api_key_unread", request_id=request_id, reason=str(error))
            return self.rest.refused(database_down())
        except Exception:
            log.exception("rest_failed", request_id=request_id, method=incoming.method, path=incoming.path)
            return _failure(500, "PGRSTX00", f"Internal error; the log has it under request id {request_id}")

    async def _find_role(self, incoming: Incoming, resolve: Resolver) -> None:
        """Note the role of an opaque API key, in `apikey` or as the bearer."""
        bearer = (incoming.header(b"authorization") or "").removeprefix("Bearer ").strip()
        key = incoming.header(b"apikey") or ""
        asked = bearer if bearer and not _is_token(bearer) else key
        if not asked or _is_token(asked) or (_is_token(bearer) and not self.rest.settings.api_key_required):
            return
        if (role := await resolve(asked)) is not None:
            incoming.key_known = True
            if not _is_token(bearer):  # a token of a user outranks the key, which then only opens the door
                incoming.key_role = role

    def _allowed(self, origin: str) -> str | None:
        origins = self.settings.server_cors_allowed_origins
        if not origins:
            return "*"
        return origin if origin in origins else None

    def _cors(self, origin: str) -> list[tuple[str, str]]:
        allowed = self._allowed(origin)
        if allowed is None:
            return []
        found = [("Access-Control-Allow-Origin", allowed), ("Access-Control-Expose-Headers", EXPOSED)]
        return found if allowed == "*" else [*found, ("Access-Control-Allow-Credentials", "true")]

    def _preflight(self, origin: str, incoming: Incoming) -> Answer:
        allowed = self._allowed(origin)
        if allowed is None:
            return Answer(200, [("Content-Length", "0")])
        asked = incoming.header(b"access-control-request-headers") or ""
        names = ", ".join(
            ["Authorization", *(p.strip() for p in asked.split(",") if p.strip()), ALWAYS_ALLOWED]
        )
        found = [
            ("Access-Control-Allow-Origin", allowed),
            ("Access-Control-Allow-Methods", METHODS),
            ("Access-Control-Allow-Headers", names),
            ("Access-Control-Max-Age", DAY_S),
            ("Content-Length", "0"),
        ]
        if allowed != "*":
            found.append(("Access-Control-Allow-Credentials", "true"))
        return Answer(200, found)

    def _trace(self, incoming: Incoming, request_id: str) -> list[tuple[str, str]]:
        name = self.settings.server_trace_header
        if name is not None:
            return [(name, incoming.header(name.lower().encode()) or "")]
        return [("X-Request-Id", request_id)]


@lru_cache(maxsize=2048)
def encode(text: str) -> bytes:
    """A header part as bytes; line ends would start another header."""
    return text.replace("\r", " ").replace("\n", " ").encode("latin-1", "replace")


def _request_id(incoming: Incoming) -> str:
    given = incoming.header(b"x-request-id")
    if given is not None and 0 < len(given) <= 128 and given.isprintable():
        return given
    return f"{_STARTED}{next(_numbers):012x}"


def _is_token(text: str) -> bool:
    return text.count(".") == 2


async def _gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive, incoming: Incoming, most: int) -> bytes:
    declared = incoming.first.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > most:
        raise TooLarge
    message = await receive()
    body: bytes = message.get("body", b"")
    if len(body) > most:
        raise TooLarge
    if not message.get("more_body"):
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise TooLarge
    return b"".join(parts)


def _failure(status: int, code: str, message: str) -> Answer:
    body = orjson.dumps({"code": code, "details": None, "hint": None, "message": message})
    headers = [("Content-Type", "application/json; charset=utf-8"), ("Content-Length", str(len(body)))]
    return Answer(status, headers, body)


def create_surface(
    settings: RestSettings,
    *,
    prefix: str = "/rest/v1",
    resolve_key: Resolver | None = None,
    live: LiveKeys | None = None,
) -> Surface:
    """The surface for a database, with a look-up of opaque API keys and signing keys that rotate.

    `start` before use and `close` after.
    """
    return Surface(settings, prefix=prefix, resolve_key=resolve_key, live=live)
