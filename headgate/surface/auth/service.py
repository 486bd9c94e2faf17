"""The auth service: GoTrue's interface below `/auth/v1`. Routes a request to its handler and words the answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

import structlog
from pydantic import SecretStr

from headgate.base.errors import DatabaseError
from headgate.base.tasks import ended
from headgate.db import errors as database_errors
from headgate.surface.auth import hooks
from headgate.surface.auth.core import Core
from headgate.surface.auth.errors import NEW_SHAPE, VERSION_HEADER, AuthError, is_new
from headgate.surface.auth.exchange import Answer, AuthRequest
from headgate.surface.auth.limits import Limits
from headgate.surface.auth.mail import Mailer
from headgate.surface.auth.outside import Outside
from headgate.surface.auth.passwords import Passwords
from headgate.surface.auth.providers import read_providers
from headgate.surface.auth.registry import Registry
from headgate.surface.auth.routes import ROUTES, Route
from headgate.surface.auth.upkeep import keep_tidy
from headgate.surface.callers import Caller, CallerError

if TYPE_CHECKING:
    from headgate.surface.services import Receive, Scope, Send, Shared

PREFIX = "/auth/v1"
#: Where browsers, providers and verifiers of tokens come without an API key, also when one is required.
OPEN = frozenset({"/health", "/.well-known/jwks.json", "/verify", "/authorize", "/callback"})
#: What HEAD may ask for as well; elsewhere GET may use something up, and scanners of mail send HEAD first.
HEADED = frozenset({"/health", "/settings", "/.well-known/jwks.json"})
log = structlog.get_logger(__name__)
_PART = re.compile(r"\{(\w+)\}")


class AuthService:
    """Serves GoTrue's interface on one database."""

    def __init__(self, shared: Shared, routes: Iterable[Route] = ROUTES) -> None:
        chosen = shared.settings
        outside = Outside(allow_private=chosen.allow_private_hosts.split(","), user_agent=chosen.user_agent)
        self.core = Core(
            settings=chosen,
            db=shared.db,
            keys=shared.keys,
            passwords=Passwords(shared.settings),
            limits=Limits(shared.db, shared.settings),
            mailer=Mailer(shared.settings, shared.db, outside),
            outside=outside,
            providers=Registry(read_providers(_clear(chosen.auth_providers)), outside),
        )
        self.core.claims_hook = hooks.claims_hook(chosen)
        self._upkeep: asyncio.Task[None] | None = None
        self._callers = shared.callers
        self._max_body = shared.settings.max_body_bytes
        self._routes = [(_pattern(path), method, handler) for method, path, handler in routes]

    async def start(self) -> None:
        """Begin to deliver mail and to forget what ended."""
        await self.core.mailer.start()
        self._upkeep = asyncio.create_task(keep_tidy(self.core.db, self.core.settings))

    async def close(self) -> None:
        """Stop what runs beside requests."""
        await ended(self._upkeep)
        await self.core.mailer.close()
        await self.core.outside.close()
        self.core.passwords.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; every failure that we know becomes an answer."""
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in reversed(scope["headers"])}
        version = headers.get(VERSION_HEADER, "")
        answer: Answer | AuthError
        try:
            answer = await self._answer(scope, receive, headers)
        except AuthError as error:
            answer = error
        except database_errors.DataError as error:
            log.info("auth_value_refused", sqlstate=error.sqlstate)
            answer = AuthError(400, "validation_failed", "A value of the request cannot be stored")
        except database_errors.IntegrityError as error:  # such as a user who was deleted in the meantime
            log.info("auth_conflict", sqlstate=error.sqlstate)
            answer = AuthError(409, "conflict", "Somebody else changed this at the same time; try again")
        except (database_errors.OperationalError, DatabaseError, OSError) as error:
            log.warning("auth_database_lost", reason=str(error))
            answer = AuthError(
                503, "request_timeout", "The database does not answer", headers={"Retry-After": "1"}
            )
        await _send(send, scope["method"], answer, version)

    async def _answer(self, scope: Scope, receive: Receive, headers: dict[str, str]) -> Answer:
        path = scope["path"].removeprefix(PREFIX) or "/"
        handler, params = self._find(scope["method"], path)
        caller = await self._caller(scope)
        if isinstance(caller, CallerError) and caller.code == "PGRST302" and path not in OPEN:
            raise AuthError(401, "no_authorization", caller.message)
        client = scope.get("client") or ("", 0)
        request = AuthRequest(
            method=scope["method"],
            path=path,
            params=params,
            query_string=scope["query_string"],
            headers=headers,
            raw_body=await self._body(receive, headers),
            caller=caller,
            ip=str(client[0]),
            request_id=scope.get("state", {}).get("request_id", ""),
        )
        return await handler(self.core, request)

    async def _caller(self, scope: Scope) -> Caller | CallerError:
        try:
            return await self._callers.of(scope["headers"], scope["query_string"])
        except CallerError as error:
            return error

    def _find(
        self, method: str, path: str
    ) -> tuple[Callable[[Core, AuthRequest], Awaitable[Answer]], dict[str, str]]:
        allowed: list[str] = []
        for pattern, verb, handler in self._routes:
            found = pattern.fullmatch(path)
            if found is not None and (verb == method or (method == "HEAD" and path in HEADED)):
                return handler, found.groupdict()
            if found is not None:
                allowed.append(verb)
        if allowed:
            raise AuthError(
                405, "validation_failed", "Method not allowed", headers={"Allow": ", ".join(allowed)}
            )
        raise AuthError(404, "validation_failed", "404 page not found")

    async def _body(self, receive: Receive, headers: dict[str, str]) -> bytes:
        declared = headers.get("content-length", "0")
        too_large = AuthError(
            413, "request_entity_too_large", f"The body is longer than {self._max_body} bytes"
        )
        if declared.isdigit() and int(declared) > self._max_body:
            raise too_large
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body:
                raise too_large
            if not message.get("more_body"):
                return b"".join(parts)


async def _send(send: Send, method: str, answer: Answer | AuthError, version: str) -> None:
    if isinstance(answer, AuthError):
        body, kind = answer.body(version), "application/json"
    else:
        body = answer.encoded()
        kind = answer.headers.get("Content-Type", "application/json")
    headers = {"Content-Length": str(len(body)), "Cache-Control": "no-store", **answer.headers}
    if answer.status in (204, 304):
        headers.pop("Content-Length")
    elif body:
        headers["Content-Type"] = kind
    if is_new(version):
        headers["X-Supabase-Api-Version"] = NEW_SHAPE
    raw = [(k.encode(), v.encode("latin-1", "replace")) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})


def _clear(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(_PART.sub(r"(?P<\1>[^/\\x00]+)", path) + "/?")
