"""How requests leave the machine: one interface, and its real form on aiohttp. The only module that sends.

A transport sends exactly one request to a checked address and hands back the answer as a stream. It follows no
redirect, keeps no cookie, reads no proxy setting, decompresses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import aiohttp

from headgate.base.address import Resolver, SystemResolver, Target
from headgate.base.clock import monotonic
from headgate.base.guarded import CheckedConnector
from headgate.engine.fetch_errors import BrokenReply, FetchError, TimedOut

CHUNK = 64 * 1024


@dataclass(frozen=True)
class Caps:
    """Time limits of one request, in seconds, and the least pace of a body.

    In every `stall_s` seconds at least `stall_bytes` must arrive, so that a body in drips does not hold a worker.
    """

    connect_s: float = 10.0
    headers_s: float = 20.0
    read_s: float = 15.0
    stall_s: float = 10.0
    stall_bytes: int = 1024


@dataclass(frozen=True)
class Request:
    """One request to a checked target. Header names are lower case; `body` is sent as it is."""

    target: Target
    headers: Mapping[str, str] = field(default_factory=dict)
    caps: Caps = field(default_factory=Caps)
    method: str = "GET"
    body: bytes | None = None


class Answer(Protocol):
    """A status line, headers (lower-case names), and a body to be read once."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as sent, still compressed. Raises BrokenReply, TimedOut, FetchError."""
        ...


class Transport(Protocol):
    """Sends requests. Replaced in tests and replays."""

    def send(self, request: Request) -> contextlib.AbstractAsyncContextManager[Answer]:
        """Send `request`; the answer is valid inside the context. Raises FetchError and its kinds."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class AioTransport:
    """The real transport. `allow_private` holds the `host:port` pairs that may be on private addresses."""

    def __init__(
        self,
        *,
        allow_private: Collection[str] = frozenset(),
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow = frozenset(allow_private)
        self._system: SystemResolver | None = None
        if resolver is None:
            resolver = self._system = SystemResolver()
        self._resolver = resolver
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._system is not None:
            self._system.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = CheckedConnector(
                self._resolver,
                allow_private=self._allow,
                tls=self._tls,
                limit=0,  # jobs bound it; a common limit would let one slow host take every place
                keepalive_timeout=20,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                requote_redirect_url=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            )
        return self._session

    @contextlib.asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Answer]:
        """Send `request`. Time limits are those of `request.caps`; the caller bounds the whole."""
        caps = request.caps
        timeout = aiohttp.ClientTimeout(
            connect=caps.connect_s, sock_connect=caps.connect_s, sock_read=caps.read_s
        )
        where = request.target.key
        with _translated(where):
            async with asyncio.timeout(caps.connect_s + caps.headers_s):
                response = await self._open().request(
                    request.method,
                    request.target.url,
                    headers=request.headers,
                    data=request.body,
                    allow_redirects=False,
                    timeout=timeout,
                )
        try:
            yield _AioAnswer(response, where, caps)
        finally:
            # An answer that was not read to its end is cut, not drained.
            response.close()


class _AioAnswer:
    def __init__(self, response: aiohttp.ClientResponse, where: str, caps: Caps) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = joined(response.headers.items())
        self._response = response
        self._where = where
        self._caps = caps

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        started, arrived = monotonic(), 0
        with _translated(self._where):
            while chunk := await self._response.content.readany():
                arrived += len(chunk)
                if monotonic() - started >= self._caps.stall_s:
                    if arrived < self._caps.stall_bytes:
                        raise TimedOut(
                            f"{self._where} sent {arrived} bytes in {self._caps.stall_s:g} s: a stalled body."
                        )
                    started, arrived = monotonic(), 0
                yield chunk


def joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Header pairs as a dict with lower-case names; repeated fields are joined by a comma (RFC 9110, 5.3)."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


@contextlib.contextmanager
def _translated(where: str) -> Iterator[None]:
    """aiohttp's errors as ours. None of their texts is passed on: they may quote the URL."""
    try:
        yield
    except TimeoutError as error:
        raise TimedOut(f"{where} did not connect, answer or go on in time.") from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise FetchError(
            f"The TLS certificate of {where} is not valid.",
            hint="Nothing is fetched without a valid one. If this is so for every host, install ca-certificates.",
        ) from error
    except aiohttp.ClientConnectorDNSError as error:
        raise FetchError(f"The name of {where} does not resolve.") from error
    except aiohttp.ClientConnectorError as error:
        raise FetchError(f"No connection to {where}: {_reason(error.os_error)}.") from error
    except (aiohttp.ClientPayloadError, aiohttp.http_exceptions.HttpProcessingError) as error:
        raise BrokenReply(f"The reply of {where} is cut short or malformed.") from error
    except aiohttp.ServerDisconnectedError as error:
        raise BrokenReply(f"{where} closed the connection before answering.") from error
    except aiohttp.ClientResponseError as error:
        raise BrokenReply(f"The reply of {where} is not HTTP.") from error
    except (aiohttp.ClientError, OSError) as error:
        raise FetchError(f"The connection to {where} broke.") from error


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()[:80]
