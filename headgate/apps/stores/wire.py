"""POST and other small exchanges with a shop's own server, over the engine's guarded transport. Knows no GraphQL.

Only `https://<shop>.myshopify.com`, or the simulator that the settings name, is ever asked. No redirect is followed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

from headgate.apps.stores.settings import StoresSettings
from headgate.base import address
from headgate.engine.fetch_errors import TimedOut, TooLarge
from headgate.engine.transport import AioTransport, Request, Transport

MAX_BYTES = 20_000_000


@dataclass(frozen=True)
class Answered:
    """Status, headers (lower-case names) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; None when it is none, as when a page for browsers came instead."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


class Wire:
    """Exchanges of one process with shops.

    `keep=False`: each exchange has a connection of its own, for rare ones of whoever cannot call `close`.
    """

    def __init__(
        self, settings: StoresSettings, transport: Transport | None = None, *, keep: bool = True
    ) -> None:
        self._allow = frozenset({_place(settings.simulator_url)} if settings.simulator_url else ())
        self._transport = transport or (AioTransport(allow_private=self._allow) if keep else None)

    async def close(self) -> None:
        """Close every connection."""
        if self._transport is not None:
            await self._transport.close()

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float = 20.0,
    ) -> Answered:
        """One exchange of at most `timeout_s` seconds and 20 MB. Raises FetchError when no whole answer came."""
        target = address.parse(url, self._allow)
        sent = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "headgate"}
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        parts, size = [], 0
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._opened() as transport,
                transport.send(Request(target, sent, method=method, body=body)) as answer,
            ):
                async for chunk in answer.chunks():
                    size += len(chunk)
                    if size > MAX_BYTES:
                        raise TooLarge(f"{target.key} sent more than {MAX_BYTES} bytes.")
                    parts.append(chunk)
                return Answered(answer.status, answer.headers, b"".join(parts))
        except TimeoutError:
            raise TimedOut(f"{target.key} did not answer whole within {timeout_s:g} s.") from None

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[Transport]:
        if self._transport is not None:
            yield self._transport
            return
        async with AioTransport(allow_private=self._allow) as once:
            yield once

    async def post_json(self, url: str, value: Any, headers: Mapping[str, str] | None = None) -> Answered:
        """POST a JSON value."""
        sent = {"content-type": "application/json", **(headers or {})}
        return await self.send("POST", url, headers=sent, body=orjson.dumps(value))

    async def post_form(self, url: str, values: Mapping[str, str]) -> Answered:
        """POST a form, as OAuth's token endpoint takes it."""
        sent = {"content-type": "application/x-www-form-urlencoded"}
        return await self.send("POST", url, headers=sent, body=urlencode(values).encode())


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
