"""Calls to identity providers and CAPTCHA services: the surface's only door to other machines.

Every address is checked against server-side request forgery, nothing is followed by redirect, and a reply is read
within a time limit and a size cap. What a provider says wrong is an OutsideError, never an answer of ours as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from headgate.base import address
from headgate.base.errors import UnsafeAddress

if TYPE_CHECKING:
    import aiohttp

TOTAL_S = 10.0
MAX_BYTES = 512 * 1024  # of one reply; discovery documents, key sets and tokens are a tenth of it


class OutsideError(Exception):
    """The other side did not give a usable answer. `status` is its HTTP status, 0 without one.

    `document` is what a reply of 400 or above said, if it was a JSON object. The text names no secret.
    """

    def __init__(self, message: str, *, status: int = 0, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.document = document or {}


class Outside:
    """A guarded client. `allow_private` holds the `host:port` pairs that may be on private addresses."""

    def __init__(self, *, allow_private: Collection[str] = frozenset(), user_agent: str = "headgate") -> None:
        self._allow = frozenset(entry.strip().lower() for entry in allow_private if entry.strip())
        self._agent = user_agent
        self._resolver: address.SystemResolver | None = None
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._resolver is not None:
            self._resolver.close()
            self._resolver = None

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON document at `url`. Raises OutsideError."""
        return await self._call("GET", url, headers=headers or {})

    async def post(
        self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The JSON answer to a form. Raises OutsideError."""
        return await self._call("POST", url, headers=headers or {}, data=dict(form))

    async def send(self, url: str, body: bytes, *, headers: Mapping[str, str]) -> Any:
        """The JSON answer to a body of the caller's own type, None when the answer is empty. Raises OutsideError."""
        try:
            return await self._call("POST", url, headers=headers, data=body)
        except OutsideError as error:
            if 200 <= error.status < 300:
                return None
            raise

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # aiohttp costs memory that an installation without providers need not spend
            import aiohttp

            from headgate.base.guarded import CheckedConnector

            self._resolver = address.SystemResolver(threads=4)
            self._session = aiohttp.ClientSession(
                connector=CheckedConnector(self._resolver, allow_private=self._allow, limit=32),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=TOTAL_S),
                trust_env=False,
                headers={"user-agent": self._agent, "accept": "application/json"},
            )
        return self._session

    async def _call(self, method: str, url: str, **options: Any) -> Any:
        try:
            target = address.parse(url, self._allow)
        except UnsafeAddress as error:
            raise OutsideError(f"The address may not be called: {error.message}") from None
        session = self._open()
        import aiohttp

        try:
            async with session.request(method, target.url, allow_redirects=False, **options) as response:
                body = await _read(response)
                status = response.status
        except UnsafeAddress as error:
            raise OutsideError(f"The address may not be called: {error.message}") from None
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise OutsideError(f"{target.key} did not answer ({type(error).__name__}).") from None
        return _document(target.key, status, body)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    async for piece in response.content.iter_chunked(16 * 1024):
        found += piece
        if len(found) > MAX_BYTES:
            response.close()
            raise OutsideError("The answer is larger than any that is expected.", status=response.status)
    return bytes(found)


def _document(where: str, status: int, body: bytes) -> Any:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not 200 <= status < 300:
        told = document if isinstance(document, dict) else {}
        raise OutsideError(f"{where} answered with status {status}.", status=status, document=told)
    if document is None:
        raise OutsideError(f"{where} answered with something that is no JSON.", status=status)
    return document
