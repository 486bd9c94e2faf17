"""Who calls a service: the API key and the user's token of a request, read the same way by every service.

A user's token outranks the key. Clients without a session send the key as their bearer, so a bearer that is a known
key means the key's role.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import orjson

from headgate.surface.auth.tokens import TokenError, Verifier

Resolver = Callable[[str], Awaitable[str | None]]  # opaque API key → role


class CallerError(Exception):
    """Not let in: HTTP status 401; `code` is PostgREST's, each service says it in its own words."""

    status = 401

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The database role and claims to act under (`Database.as_role(caller.claims)`).

    `token` is the user's or the key's JWT, None for an opaque key or nobody; `user` says whether it is a user's;
    `key_role` is the role of the API key that came along, None without a known one.
    """

    role: str
    claims: Mapping[str, Any] = field(default_factory=dict)
    token: str | None = None
    key_role: str | None = None

    @property
    def user(self) -> str | None:
        """The user's id, the claim `sub`."""
        found = self.claims.get("sub")
        return found if isinstance(found, str) else None


def is_token(text: str) -> bool:
    """Whether the text has the three parts of a JWT; an opaque key has not."""
    return text.count(".") == 2


class Callers:
    """Reads callers from requests."""

    def __init__(self, verifier: Verifier, resolve_key: Resolver, *, key_required: bool = False) -> None:
        self.verifier = verifier
        self._resolve = resolve_key
        self._key_required = key_required

    async def of(self, headers: Iterable[tuple[bytes, bytes]], query: bytes = b"") -> Caller:
        """The caller of a request: `Authorization`, else the header or query parameter `apikey`; else `anon`.

        Raises CallerError when a token is bad, a key unknown, or a key is missing where one is required.
        """
        first: dict[bytes, str] = {}
        for name, value in headers:
            first.setdefault(name.lower(), value.decode("latin-1"))
        key = first.get(b"apikey") or _parameter(query, "apikey")
        kind, _, bearer = first.get(b"authorization", "").partition(" ")
        token = bearer.strip() if kind.lower() == "bearer" else ""
        key_role = (await self.by(key)).role if key and (key != token) else None
        if not token:
            if not key and self._key_required:
                raise CallerError("PGRST302", "No API key found in request")
            return await self.by(key) if key else self._anonymous()
        caller = await self.by(token)
        if caller.key_role is not None or caller.user is None:
            return caller
        if key_role is None and self._key_required:
            raise CallerError("PGRST302", "No API key found in request")
        return Caller(role=caller.role, claims=caller.claims, token=token, key_role=key_role)

    async def by(self, credential: str) -> Caller:
        """The caller who holds this key or token."""
        if not is_token(credential):
            role = await self._resolve(credential)
            if role is None:
                raise CallerError("PGRST301", "Invalid API key")
            return Caller(role=role, claims={"role": role}, key_role=role)
        try:
            identity = self.verifier.identify(credential)
        except TokenError as error:
            raise CallerError(error.code, error.message) from None
        claims = {**orjson.loads(identity.claims), "role": identity.role}
        key_role = None if "sub" in claims else identity.role
        return Caller(role=identity.role, claims=claims, token=credential, key_role=key_role)

    def _anonymous(self) -> Caller:
        try:
            identity = self.verifier.identify(None)
        except TokenError as error:
            raise CallerError(error.code, error.message) from None
        return Caller(role=identity.role, claims={"role": identity.role})


def _parameter(query: bytes, name: str) -> str | None:
    if name.encode() not in query:
        return None
    return parse_qs(query.decode("latin-1")).get(name, [None])[0]
