"""The services of the surface beside REST, each an ASGI application below its prefix, and the door before them.

The door gives every answer a request id and CORS headers, turns an unexpected failure into a 500 without details, and
counts. It knows nothing of what the services do; who calls is theirs to ask (`Shared.callers`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import structlog

from headgate.base import metrics
from headgate.base.clock import monotonic
from headgate.base.functions import Function
from headgate.base.settings import Settings
from headgate.db import Database
from headgate.surface.auth.service import AuthService
from headgate.surface.auth.signing import SigningKeys
from headgate.surface.callers import Callers
from headgate.surface.functions import FunctionsService
from headgate.surface.realtime.service import Realtime
from headgate.surface.storage.service import StorageService

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = structlog.get_logger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:\-]{1,128}")
_METHODS = b"GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD"
_DAY_S = b"86400"
#: Headers that pages of other origins may read, beside the few that every browser shows.
_EXPOSED = (
    b"Content-Range, Content-Disposition, Content-Encoding, Content-Length, ETag, Link, Location, Retry-After, "
    b"Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Expires, Upload-Length, Upload-Offset, "
    b"X-Relay-Error, X-Request-Id, X-Supabase-Api-Version, X-Total-Count, X-Transformations"
)


class Service(Protocol):
    """What stands below a prefix. `scope["path"]` is whole; `scope["state"]["request_id"]` is set for HTTP."""

    async def start(self) -> None:
        """Open what it needs; runs before the first request."""

    async def close(self) -> None:
        """Let go of it; runs after the last."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or one websocket."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What every service is made of. `secret` is the installation's JWT secret or key set, never logged; `keys` sign
    users' tokens.
    """

    settings: Settings
    db: Database
    callers: Callers
    secret: str
    keys: SigningKeys
    functions: Mapping[str, Function]


def create_services(shared: Shared) -> dict[str, Service]:
    """Every service by its prefix."""
    return {
        "/auth/v1": AuthService(shared),
        "/functions/v1": FunctionsService(
            shared.functions,
            shared.callers,
            timeout_s=shared.settings.function_timeout_s,
            max_body_bytes=shared.settings.max_body_bytes,
        ),
        "/realtime/v1": Realtime(shared.settings, shared.db, shared.callers),
        "/storage/v1": StorageService(shared),
    }


class Door:
    """All services behind one door; `serves` says whether a path is theirs."""

    def __init__(self, services: Mapping[str, Service], *, origins: Iterable[str]) -> None:
        self.services = dict(services)
        self._origins = frozenset(origin.encode() for origin in origins)

    async def start(self) -> None:
        """Start every service, in order."""
        for service in self.services.values():
            await service.start()

    async def close(self) -> None:
        """Close them, last started first."""
        for service in reversed(self.services.values()):
            await service.close()

    def serves(self, path: str) -> Service | None:
        """The service below whose prefix the path is."""
        second = path.find("/", 1)
        third = path.find("/", second + 1) if second > 0 else -1
        return self.services.get(path if third < 0 else path[:third])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or websocket for the service that `serves` its path."""
        service = self.serves(scope["path"])
        assert service is not None, scope["path"]  # noqa: S101 - who calls asked `serves` first
        if scope["type"] != "http":
            await service(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._allowed(scope))
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        started = monotonic()
        try:
            if exchange.preflight:
                await exchange.answer(204, b"")
            else:
                scope.setdefault("state", {})["request_id"] = exchange.request_id
                await service(scope, receive, exchange.send)
        except Exception:
            log.exception("service_failed", method=scope["method"], path=scope["path"])
            if exchange.status:
                raise  # the answer has begun; the server cuts the connection, so that it does not look whole
            await exchange.failed()
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
            prefix = "/".join(scope["path"].split("/", 3)[:3])
            metrics.REQUESTS.labels(prefix, str(exchange.status)).inc()
            metrics.REQUEST_SECONDS.labels(prefix).observe(monotonic() - started)

    def _allowed(self, scope: Scope) -> bytes | None:
        origin = next((v for k, v in scope["headers"] if k == b"origin"), None)
        if origin is None:
            return None
        if b"*" in self._origins:
            return b"*"
        return origin if origin in self._origins else None


class _Exchange:
    """One request and its answer, with the headers of the door."""

    def __init__(self, scope: Scope, send: Send, origin: bytes | None) -> None:
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else os.urandom(12).hex()
        self.status = 0
        self.preflight = scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
        self._asked = headers.get(b"access-control-request-headers", b"")
        self._origin = origin
        self._send = send

    def _headers(self) -> list[tuple[bytes, bytes]]:
        # Also without an Origin: a cache must not give a page of another origin what it kept for none.
        found = [(b"x-request-id", self.request_id.encode()), (b"vary", b"Origin")]
        if self._origin is None:
            return found
        found.append((b"access-control-allow-origin", self._origin))
        if self._origin != b"*":
            found.append((b"access-control-allow-credentials", b"true"))
        if not self.preflight:
            return [*found, (b"access-control-expose-headers", _EXPOSED)]
        found.append((b"access-control-allow-methods", _METHODS))
        found.append((b"access-control-max-age", _DAY_S))
        if self._asked:
            found.append((b"access-control-allow-headers", self._asked))
        return found

    async def send(self, message: Message) -> None:
        """Pass a message of the service on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", []), *self._headers()]}
        await self._send(message)

    async def answer(self, status: int, body: bytes) -> None:
        """Answer at once."""
        kind = [(b"content-type", b"application/json")] if body else []
        length = [(b"content-length", str(len(body)).encode())] if status != 204 else []
        await self.send({"type": "http.response.start", "status": status, "headers": [*kind, *length]})
        await self._send({"type": "http.response.body", "body": body})

    async def failed(self) -> None:
        """Say no more than where to look."""
        text = f"Internal error; the log has it under request id {self.request_id}"
        await self.answer(
            500,
            orjson.dumps(
                {
                    "code": 500,
                    "error_code": "unexpected_failure",
                    "msg": text,
                    "statusCode": "500",
                    "error": "internal",
                    "message": text,
                }
            ),
        )
