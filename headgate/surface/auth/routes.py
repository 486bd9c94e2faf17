"""Every endpoint of the auth service: method, path below `/auth/v1` (`{name}` is one segment), handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from headgate.surface.auth import public
from headgate.surface.auth.core import Core
from headgate.surface.auth.exchange import Answer, AuthRequest

Handler = Callable[[Core, AuthRequest], Awaitable[Answer]]
Route = tuple[str, str, Handler]

ROUTES: tuple[Route, ...] = (
    ("GET", "/health", public.health),
    ("GET", "/settings", public.settings),
    ("GET", "/.well-known/jwks.json", public.jwks),
)
