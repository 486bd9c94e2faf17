"""Requests straight into the surface's ASGI interface, and tokens for them. No socket, no server process."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from joserfc import jwt
from joserfc.jwk import OctKey

from headgate.surface.gateway import Surface

SECRET = "a-secret-for-tests-that-is-long-enough"


@dataclass(frozen=True)
class Reply:
    """What came back; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def token(role: str, **claims: Any) -> str:
    """A token that the surface under test accepts, unless the claims say otherwise."""
    payload = {"role": role, "exp": int(time.time()) + 86_400, **claims}
    return jwt.encode({"alg": "HS256"}, payload, OctKey.import_key(SECRET))


class Rest:
    """A client of one surface; `bearer` is sent with every request."""

    def __init__(self, surface: Surface, bearer: str | None = None) -> None:
        self.surface = surface
        self.bearer = bearer

    def as_user(self, role: str, **claims: Any) -> Rest:
        """The same surface for somebody else."""
        return Rest(self.surface, token(role, **claims))

    async def send(
        self, method: str, target: str, *, headers: dict[str, str] | None = None, data: Any = None
    ) -> Reply:
        """One request; `target` is a path with a query string below the prefix; JSON unless `data` is bytes."""
        path, _, query = target.partition("?")
        sent = {
            "accept": "application/json",
            **({"authorization": f"Bearer {self.bearer}"} if self.bearer else {}),
        }
        body = data if isinstance(data, bytes) else b"" if data is None else json.dumps(data).encode()
        if data is not None:
            sent["content-type"] = "application/json"
        sent.update({k.lower(): v for k, v in (headers or {}).items()})
        raw = quote(self.surface.prefix + path, safe="/%").encode()
        scope = {
            "type": "http", "method": method, "path": self.surface.prefix + path, "raw_path": raw,
            "query_string": quote(query, safe="=&(),.*!:>-\"'%+;{}@|").encode(),
            "headers": [(k.encode(), v.encode("latin-1", "replace")) for k, v in sent.items()],
        }  # fmt: skip
        messages: list[Any] = []
        read: list[bool] = []

        async def receive() -> dict[str, Any]:
            if read:
                await asyncio.Event().wait()
            read.append(True)
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            await asyncio.sleep(0)
            messages.append(message)

        await self.surface(scope, receive, send)
        found = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in messages[0]["headers"]}
        return Reply(messages[0]["status"], found, b"".join(m.get("body", b"") for m in messages[1:]))

    async def get(self, target: str, **headers: str) -> Reply:
        """GET; header names with underscores for dashes."""
        return await self.send("GET", target, headers=_named(headers))

    async def post(self, target: str, data: Any, **headers: str) -> Reply:
        """POST."""
        return await self.send("POST", target, data=data, headers=_named(headers))

    async def patch(self, target: str, data: Any, **headers: str) -> Reply:
        """PATCH."""
        return await self.send("PATCH", target, data=data, headers=_named(headers))

    async def delete(self, target: str, **headers: str) -> Reply:
        """DELETE."""
        return await self.send("DELETE", target, headers=_named(headers))


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {k.replace("_", "-"): v for k, v in headers.items()}
