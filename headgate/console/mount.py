"""Serves the console: one shell, the design system, and each application's pages. Reads no data of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATIC = Path(__file__).parent / "static"

# Everything comes from this origin; no inline script or style, no framing, no plug-ins.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-cache"),
)


@dataclass(frozen=True)
class Screens:
    """An application's pages: its name, its folder of ES modules, and (name, title, module) of each page."""

    app: str
    title: str
    folder: Path
    pages: tuple[tuple[str, str, str], ...]


class _Headers:
    """Adds the security headers to every answer of the console."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *_HEADERS]}
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def console(screens: Sequence[Screens], *, publishable_key: str | None = None) -> Starlette:
    """The console as an ASGI application, to be mounted under any path."""
    manifest = {
        "apps": [
            {
                "name": one.app,
                "title": one.title,
                "pages": [
                    {"name": name, "title": title, "module": f"pages/{one.app}/{module}"}
                    for name, title, module in one.pages
                ],
            }
            for one in screens
        ],
        "key": publishable_key,
    }

    async def shell(_: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def contents(_: Request) -> Response:
        return JSONResponse(manifest)

    return Starlette(
        routes=[
            Route("/", shell),
            Route("/manifest.json", contents),
            Mount("/static", StaticFiles(directory=STATIC)),
            *(Mount(f"/pages/{one.app}", StaticFiles(directory=one.folder)) for one in screens),
        ],
        middleware=[Middleware(_Headers)],
    )
