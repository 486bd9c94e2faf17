"""API keys kept in the database, known to the surface before it serves a request. Decides nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from headgate.db import errors
from headgate.db.keys import PREFIXES, Keyring
from headgate.surface.gateway import Receive, Scope, Send, Surface

KNOWN_MAX = 10_000
_STARTS = tuple(PREFIXES.values())


class KnownKeys:
    """An ASGI application around a surface. `known` is the mapping that the surface's settings hold as `api_keys`.

    A key counts for as long as the keyring says so; while the database is away, what was known stays known, and
    the surface's own answer says what is wrong.
    """

    def __init__(self, surface: Surface, keyring: Keyring, known: dict[str, str]) -> None:
        self.surface = surface
        self.keyring = keyring
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look up the request's key, then serve it."""
        if scope["type"] == "http":
            for key in set(_keys(scope["headers"])):
                await self._learn(key)
        await self.surface(scope, receive, send)

    async def _learn(self, key: str) -> None:
        try:
            found = await self.keyring.verify(key)
        except (errors.Error, OSError):
            return
        if found is None:
            self._known.pop(key, None)
            return
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[key] = found.role


def _keys(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[str]:
    """What looks like a key of ours in `apikey` or `Authorization: Bearer`."""
    for name, value in headers:
        text = value.decode("latin-1")
        if name == b"authorization" and text[:7].lower() == "bearer ":
            text = text[7:].strip()
        elif name != b"apikey":
            continue
        if text.startswith(_STARTS):
            yield text
