"""One request to the auth service as handlers see it, and their answers. Knows no endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import orjson

from headgate.base.clock import monotonic
from headgate.surface.auth.errors import AuthError, invalid
from headgate.surface.callers import Caller, CallerError

TEXT_MAX = 4096  # characters of a parameter that is one word or address


@dataclass(frozen=True, kw_only=True)
class AuthRequest:
    """What came in. `params` are those of the path, `caller` whoever asks or the reason why they cannot be known."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    query_string: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw_body: bytes = b""
    caller: Caller | CallerError
    ip: str = ""
    request_id: str = ""

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The query's parameters; of several with one name, the first. Raises AuthError on a NUL or too many."""
        try:
            pairs = parse_qsl(self.query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=100)
        except ValueError:
            raise invalid("Too many query parameters") from None
        found: dict[str, str] = {}
        for name, value in pairs:
            if "\0" in value:
                raise invalid("A query parameter holds a NUL character")
            found.setdefault(name, value)
        return found

    @cached_property
    def body(self) -> dict[str, Any]:
        """The JSON object of the body, `{}` without one. Raises AuthError `bad_json`."""
        if not self.raw_body.strip():
            return {}
        try:
            found = orjson.loads(self.raw_body)
        except orjson.JSONDecodeError as error:
            raise AuthError(400, "bad_json", f"Could not parse request body as JSON: {error}") from None
        if not isinstance(found, dict):
            raise AuthError(400, "bad_json", "Could not parse request body as JSON: it is not an object")
        _refuse_nul(found)
        return found

    @property
    def user_agent(self) -> str:
        """The header, shortened."""
        return self.headers.get("user-agent", "").replace("\0", "")[:512]

    @property
    def redirect_to(self) -> str:
        """Where the client asks to be sent afterwards: query, body or header; not checked yet."""
        asked = self.query.get("redirect_to") or self.headers.get("redirect_to") or ""
        return asked or self.text("redirect_to")

    def text(self, name: str, *, most: int = TEXT_MAX) -> str:
        """A text of the body, "" when missing or null. Raises AuthError when it is something else or too long."""
        value = self.body.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise invalid(f"{name} must be a string")
        if len(value) > most:
            raise invalid(f"{name} is too long")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """An object of the body, `{}` when missing or null. Raises AuthError when it is something else."""
        value = self.body.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise invalid(f"{name} must be an object")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean of the body. Raises AuthError when it is something else."""
        value = self.body.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise invalid(f"{name} must be true or false")
        return value


@dataclass(kw_only=True)
class Answer:
    """What goes back: JSON (None: no body) with a status and further headers."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The body as it is sent; times as RFC 3339."""
        return b"" if self.body is None else orjson.dumps(self.body, default=_plain)


def redirect(url: str, *, status: int = 303) -> Answer:
    """Send the browser to `url`, which the caller has checked."""
    return Answer(status=status, body=None, headers={"Location": url, "Cache-Control": "no-store"})


@contextlib.asynccontextmanager
async def evenly(seconds: float = 0.05) -> AsyncIterator[None]:
    """Let the block take this long at least, so that its duration does not tell what was found."""
    until = monotonic() + seconds
    try:
        yield
    finally:
        await asyncio.sleep(max(0.0, until - monotonic()))


def rfc3339(moment: datetime) -> str:
    """A moment as clients read it: `2026-01-02T03:04:05.678901Z`. A moment without a zone is in UTC."""
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return known.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    return rfc3339(value) if isinstance(value, datetime) else str(value)


def known_ip(text: str) -> str | None:
    """The text if it is an address (a unix socket has none)."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _refuse_nul(value: Any) -> None:
    """PostgreSQL's texts hold every character but this one."""
    if isinstance(value, str):
        if "\0" in value:
            raise invalid("The body holds a NUL character, which cannot be stored")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _refuse_nul(key)
            _refuse_nul(inner)
    elif isinstance(value, list):
        for inner in value:
            _refuse_nul(inner)
