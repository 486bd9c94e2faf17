"""The composition root: settings → pools → mounts → lifespan. The only place where parts are joined."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson
import structlog
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headgate import __version__
from headgate.base import metrics
from headgate.base.clock import monotonic
from headgate.base.errors import HeadgateError, ManifestError
from headgate.base.functions import Function
from headgate.base.ids import uuid7
from headgate.base.settings import Settings
from headgate.console.mount import Screens, console
from headgate.db import Database, errors
from headgate.db.keys import Keyring, ensure_jwt_secret
from headgate.engine.manifest import App, Services, installed_apps
from headgate.surface.auth.signing import SigningKeys
from headgate.surface.auth.tokens import LiveKeys, TokenError, Verifier, read_keys
from headgate.surface.callers import Callers
from headgate.surface.gateway import Surface, create_surface
from headgate.surface.rest.settings import RestSettings
from headgate.surface.services import Door, Shared, create_services

REST = "/rest/v1"
CONSOLE = "console"
#: Settings that no application sees.
_UNSHARED = {
    "database_url", "jwt_secret", "smtp_password", "auth_hook_secret",
    "storage_s3_secret_key", "auth_providers", "auth_captcha_secret",
}  # fmt: skip
#: Whoever watches `/health` hears of a database that does not answer within this time, and does not hang with it.
_HEALTH_S = 1.5
_EXPOSED = (
    "ETag",
    "X-Request-Id",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Retry-After",
)
_ABOUT = """Ticket-market analytics over collected listings. Prices are all-in, per ticket, in the unit of
`meta.currency`; times are UTC. Every answer's `meta` says as of when it is (`as_of`, `age_s`), what was promised
(`promise_s`), which share of the time asked for was observed (`coverage`), and whether nothing is missing
(`complete`)."""


def create_app(
    settings: Settings,
    db: Database,
    *,
    apps: Sequence[App] | None = None,
    publishable_key: str | None = None,
    extras: Mapping[str, Any] | None = None,
) -> ASGIApp:
    """The whole server as one ASGI application over an open pool; the caller opens and closes `db`.

    `apps=None` takes the installed applications that `settings.apps` names. `extras` reach every application's
    router beside the settings (`verify_token`: async token → claims or None).
    """
    chosen = _chosen(settings) if apps is None else apps
    secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else ""
    secret = secret or ensure_jwt_secret(settings.data_dir / "jwt_secret")
    keys = SigningKeys(db, secret, own_secret=not settings.jwt_secret)
    rest = _rest(settings, db, secret, keys.live)
    verifier = _verifier(secret, keys.live)
    callers = Callers(verifier, _key_roles(db))
    values = {
        **settings.model_dump(exclude=_UNSHARED),
        "verify_token": _claims_of(verifier),
        **(extras or {}),
    }
    parts = [Services(db=db, fetcher=None, app=one, settings=values) for one in chosen]
    shared = Shared(
        settings=settings, db=db, callers=callers, secret=secret, keys=keys, functions=_functions(parts)
    )
    door = Door(create_services(shared), origins=_origins(settings))
    app = FastAPI(
        title="Headgate",
        version=__version__,
        description=_ABOUT,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(rest, door, keys),
    )
    for part in parts:
        if part.app.api is not None:
            app.include_router(part.app.api(part))
    app.add_route("/health", _health(db))
    app.add_route("/metrics", _metrics(db))
    app.add_route("/", _front)
    app.mount("/console", console(_screens(chosen), publishable_key=publishable_key))
    crossed = CORSMiddleware(
        app,
        allow_origins=_origins(settings),
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=_EXPOSED,
        max_age=3600,
    )
    return Surfaced(Guard(crossed, max_body_bytes=settings.max_body_bytes), rest, door)


def _functions(parts: Sequence[Services]) -> dict[str, Function]:
    """Every application's functions by name. Raises ManifestError HG606 when two have one name."""
    found: dict[str, Function] = {}
    for part in parts:
        for name, make in part.app.functions.items():
            if name in found:
                raise ManifestError(
                    f"App {part.app.name!r}: another application has a function {name!r} already.",
                    code="HG606",
                )
            found[name] = make(part)
    return found


def _verifier(secret: str, live: LiveKeys) -> Verifier:
    """Checks the tokens that the services and the applications receive."""
    keys = read_keys(secret, is_base64=False)
    return Verifier(keys, anon_role="anon", audience=None, role_path="$.role", cache_max=10_000, live=live)


def _claims_of(verifier: Verifier) -> Callable[[str], Awaitable[Mapping[str, Any] | None]]:
    """For applications: a user's token → its claims with the role, or None."""

    async def verify(token: str) -> Mapping[str, Any] | None:
        try:
            claims: Mapping[str, Any] = orjson.loads(verifier.identify(token).claims)
        except TokenError:
            return None
        return claims

    return verify


def _rest(settings: Settings, db: Database, secret: str, live: LiveKeys) -> Surface:
    """The REST surface on the same database, over connections of its own. PostgREST's variables go before ours.

    The console's schema is always served: what is in it asks who calls.
    """
    schemas = [name.strip() for name in settings.rest_schemas.split(",") if name.strip()]
    ours = RestSettings(
        db_schemas=tuple(dict.fromkeys([*schemas, CONSOLE])),
        db_max_rows=settings.rest_max_rows or None,
        db_pool_size=settings.pool_size,
        jwt_secret=secret,
        max_body_bytes=settings.rest_max_body_bytes,
        statement_timeout_ms=settings.rest_statement_timeout_ms,
        server_cors_allowed_origins=() if "*" in _origins(settings) else tuple(_origins(settings)),
    )
    given = {f"pgrst.{k[6:].lower()}": v for k, v in os.environ.items() if k.startswith("PGRST_")}
    chosen = dataclasses.replace(ours.overlaid(given), db_uri=db.url)
    return create_surface(chosen, prefix=REST, resolve_key=_key_roles(db), live=live)


def _key_roles(db: Database) -> Callable[[str], Awaitable[str | None]]:
    """An opaque API key → the role it stands for, or None."""
    keyring = Keyring(db)

    async def role_of(key: str) -> str | None:
        found = await keyring.verify(key)
        return found.role if found else None

    return role_of


def _lifespan(
    surface: Surface, door: Door, keys: SigningKeys
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # What an application's router keeps running is in the router's own lifespan, merged into this one.
        await keys.start()
        await surface.start()
        await door.start()
        try:
            yield
        finally:
            await door.close()
            await surface.close()
            await keys.close()

    return lifespan


def _origins(settings: Settings) -> list[str]:
    return [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]


def _chosen(settings: Settings) -> list[App]:
    return installed_apps([name.strip() for name in settings.apps.split(",") if name.strip()])


def _screens(apps: Sequence[App]) -> list[Screens]:
    return [
        Screens(
            app=one.name,
            title=one.title,
            folder=one.pages,
            pages=tuple((screen.name, screen.title, screen.module) for screen in one.screens),
        )
        for one in apps
        if one.screens
    ]


def _health(db: Database) -> Any:
    async def health(_: Request) -> Response:
        try:
            async with asyncio.timeout(_HEALTH_S):
                await db.fetch_value("select 1")
        except (errors.Error, HeadgateError, OSError, TimeoutError):
            return JSONResponse({"status": "down", "database": "unreachable"}, status_code=503)
        return JSONResponse({"status": "up", "version": __version__})

    return health


def _metrics(db: Database) -> Any:
    async def counts(_: Request) -> Response:
        metrics.POOL_WAITING.set(db.waiting)
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")

    return counts


async def _front(_: Request) -> Response:
    return RedirectResponse("/console/")


_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:\-]{1,80}")
_TOO_LARGE = (
    b'{"success":false,"error":{"code":"VALIDATION_ERROR","message":"The body is too large.","details":null}}'
)


class _BodyTooLarge(Exception):
    pass


class Surfaced:
    """The whole server: REST and the services below their prefixes, with request ids, CORS and caps of their own;
    everything else is the application's.
    """

    def __init__(self, app: ASGIApp, rest: Surface, door: Door) -> None:
        self._app = app
        self.rest = rest
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or connection, or the lifespan."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path == REST or path.startswith(REST + "/")):
            service = self.door.serves(path) if scope["type"] in ("http", "websocket") else None
            await (self._app if service is None else self.door)(scope, receive, send)
            return
        status, started = 0, monotonic()

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.rest(scope, receive, watched)
        finally:
            metrics.REQUESTS.labels(REST, str(status)).inc()
            metrics.REQUEST_SECONDS.labels(REST).observe(monotonic() - started)


class Guard:
    """Around everything: a request id on every answer and log line, a cap on bodies, and the request metrics."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        exchange = _Exchange(
            receive, send, given if _REQUEST_ID.fullmatch(given) else str(uuid7()), self._max
        )
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        started = monotonic()
        try:
            length = headers.get(b"content-length", b"0")
            if length.isdigit() and int(length) > self._max:
                await exchange.refuse()
            else:
                await self._app(scope, exchange.receive, exchange.send)
        except _BodyTooLarge:
            await exchange.refuse()
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
            route = getattr(scope.get("route"), "path", None) or _part(scope["path"])
            metrics.REQUESTS.labels(route, str(exchange.status)).inc()
            metrics.REQUEST_SECONDS.labels(route).observe(monotonic() - started)


def _part(path: str) -> str:
    """Which part served a path that no typed endpoint did; few values, whatever clients ask for."""
    first = "/" + path.split("/", 2)[1]
    return first if first in {"/", "/health", "/metrics", "/console", "/rest", "/api"} else "other"


class _Exchange:
    """One request and its answer: the body counted, the request id added, the status remembered."""

    def __init__(self, receive: Receive, send: Send, request_id: str, max_body_bytes: int) -> None:
        self.request_id = request_id
        self.status = 0
        self._receive = receive
        self._send = send
        self._left = max_body_bytes
        self._refused = False

    async def receive(self) -> Message:
        """The next piece of the body. Raises once there is more of it than allowed."""
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise _BodyTooLarge
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on; in the place of any answer to a body that was too large, say just that."""
        if self._left < 0 and not self.status:
            await self.refuse()
        if self._refused:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            extra = (b"x-request-id", self.request_id.encode())
            message = {**message, "headers": [*message.get("headers", []), extra]}
        await self._send(message)

    async def refuse(self) -> None:
        """Answer 413, unless an answer has begun."""
        if self.status:
            return
        self.status, self._refused = 413, True
        headers = [
            (b"content-type", b"application/json"),
            (b"connection", b"close"),
            (b"x-request-id", self.request_id.encode()),
        ]
        await self._send({"type": "http.response.start", "status": 413, "headers": headers})
        await self._send({"type": "http.response.body", "body": _TOO_LARGE})
