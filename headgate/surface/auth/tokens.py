"""Verifying JSON Web Tokens: HS, RS, PS and ES algorithms, a secret, a JWK or a JWKS with key ids. Issues none."""

from __future__ import annotations

import base64
import binascii
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

from headgate.base.errors import SettingsError
from headgate.surface.auth.claims import ClaimsError, check_claims, claim_at

FAMILIES: dict[str, type[Any]] = {"HS": OctKey, "RS": RSAKey, "PS": RSAKey, "ES": ECKey}
ALGORITHMS = [f"{family}{bits}" for family in FAMILIES for bits in (256, 384, 512)]
TOKEN_MAX = 16_384  # characters; a longer one is no token of ours


class TokenError(Exception):
    """The token is not let in. `code` is PostgREST's; 300 is our own misconfiguration."""

    def __init__(self, code: str, message: str, details: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking: the database role, and the claims as `request.jwt.claims` holds them."""

    role: str
    claims: bytes
    anonymous: bool


def _unbase64(text: str) -> bytes:
    padded = text.replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)


def _import(raw: Any, place: str) -> Key:
    """A configured key. Raises SettingsError HG106, which says what is wrong with it but not what it is."""
    kinds: dict[str, type[Any]] = {"oct": OctKey, "RSA": RSAKey, "EC": ECKey}
    if not isinstance(raw, dict):
        raise _malformed(place, "it is not an object")
    kind = kinds.get(str(raw.get("kty")))
    if kind is None:
        raise _malformed(place, "its `kty` is none of oct, RSA and EC")
    if kind is OctKey and not isinstance(raw.get("k"), str):
        raise _malformed(place, "it has no text `k`")
    try:
        key: Key = kind.import_key(dict(raw))
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise _malformed(place, f"it cannot be read ({type(error).__name__})") from None
    return key


def _malformed(place: str, why: str) -> SettingsError:
    return SettingsError(
        f"The configured JWT {place} is malformed: {why}.",
        code="HG106",
        hint="Correct HEADGATE_JWT_SECRET: a secret, a JWK or a JWKS.",
    )


def read_keys(secret: str, *, is_base64: bool) -> list[Key]:
    """The keys of a setting: a JWKS, a JWK, a plain secret or one in base64. Raises SettingsError HG106."""
    try:
        document = orjson.loads(secret)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict):
        if "keys" not in document:
            return [_import(document, "key")]
        listed = document["keys"]
        if not isinstance(listed, list) or not listed:
            raise _malformed("key set", "`keys` is no list of keys")
        return [_import(raw, f"key number {number}") for number, raw in enumerate(listed, start=1)]
    return [OctKey.import_key(_unbase64(secret.strip()) if is_base64 else secret.encode())]


class LiveKeys:
    """Keys that change while the process runs. `version` counts changes; `on_miss` hears of unknown key ids."""

    def __init__(self) -> None:
        self.keys: tuple[Key, ...] = ()
        self.version = 0
        self.on_miss: Callable[[], None] | None = None

    def replace(self, keys: Iterable[Key]) -> None:
        """Take these keys in the place of all others; what others let in counts no longer."""
        self.keys = tuple(keys)
        self.version += 1


class Verifier:
    """Checks tokens against keys; tokens already checked are remembered, their claims are checked each time."""

    def __init__(
        self,
        keys: list[Key] | None,
        *,
        anon_role: str | None,
        audience: str | None,
        role_path: str,
        cache_max: int,
        live: LiveKeys | None = None,
    ) -> None:
        self.keys = keys
        self.live = live
        self._version = live.version if live is not None else 0
        self.anon_role = anon_role
        self.audience = audience
        self.role_path = role_path
        self.cache_max = cache_max
        self._seen: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._identities: OrderedDict[str, tuple[Identity, float]] = OrderedDict()
        self._anonymous = self._identify({}) if anon_role else None

    def identify(self, token: str | None) -> Identity:
        """The identity of a bearer token, or the anonymous one where there is none. Raises TokenError."""
        if token is None:
            if self._anonymous is None:
                raise TokenError("PGRST302", "Anonymous access is disabled")
            return self._anonymous
        if self.live is not None and self.live.version != self._version:
            self._forget(self.live.version)
        known = self._identities.get(token)
        if known is not None and known[1] > time.time():
            return known[0]
        claims = self.verify(token)
        try:
            check_claims(claims, audience=self.audience)
        except ClaimsError as error:
            raise TokenError("PGRST303", str(error)) from None
        identity = self._identify(claims)
        self._remember(token, identity, claims)
        return identity

    def _forget(self, version: int) -> None:
        """Check every token again: a key may have been revoked."""
        self._seen.clear()
        self._identities.clear()
        self._version = version

    def _remember(self, token: str, identity: Identity, claims: Mapping[str, Any]) -> None:
        """Known until it expires, but for a minute at most, since other claims depend on the time as well."""
        if self.cache_max <= 0:
            return
        until = min(time.time() + 60, float(claims.get("exp") or time.time() + 60))
        self._identities[token] = (identity, until)
        while len(self._identities) > self.cache_max:
            self._identities.popitem(last=False)

    def _identify(self, claims: Mapping[str, Any]) -> Identity:
        role = claim_at(claims, self.role_path) or self.anon_role
        if role is None:
            raise TokenError("PGRST302", "Anonymous access is disabled")
        return self.identity(role, claims)

    def identity(self, role: str, claims: Mapping[str, Any]) -> Identity:
        """The identity for a role, with the role among the claims."""
        return Identity(role, orjson.dumps({**claims, "role": role}), role == self.anon_role)

    def verify(self, token: str) -> Mapping[str, Any]:
        """The claims of a token whose signature holds. Raises TokenError."""
        if self.keys is None:
            raise TokenError("PGRST300", "Server lacks JWT secret")
        if not token:
            raise TokenError("PGRST301", "Empty JWT is sent in Authorization header")
        if (claims := self._seen.get(token)) is not None:
            self._seen.move_to_end(token)
            return claims
        if token.count(".") != 2:
            raise TokenError("PGRST301", f"Expected 3 parts in JWT; got {token.count('.') + 1}")
        if len(token) > TOKEN_MAX:
            raise TokenError("PGRST301", "JWT cryptographic operation failed")
        claims = self._claims(self._payload(token, self._header(token)))
        if self.cache_max > 0:
            self._seen[token] = claims
            while len(self._seen) > self.cache_max:
                self._seen.popitem(last=False)
        return claims

    @staticmethod
    def _header(token: str) -> Mapping[str, Any]:
        try:
            header = orjson.loads(_unbase64(token.partition(".")[0]))
        except (ValueError, binascii.Error):
            header = None
        if not isinstance(header, dict):
            raise TokenError("PGRST301", "JWT cryptographic operation failed")
        return header

    def _payload(self, token: str, header: Mapping[str, Any]) -> bytes:
        algorithm = str(header.get("alg"))
        if algorithm == "none":
            raise TokenError(
                "PGRST301",
                "Wrong or unsupported encoding algorithm",
                "JWT is unsecured but expected 'alg' was not 'none'",
            )
        if algorithm not in ALGORITHMS:
            raise TokenError("PGRST301", "JWT cryptographic operation failed")
        kid = header.get("kid")
        fitting = [
            k
            for k in (*(self.keys or ()), *(self.live.keys if self.live else ()))
            if isinstance(k, FAMILIES[algorithm[:2]])
            and (kid is None or k.get("kid") is None or k.get("kid") == kid)
            and k.get("alg") in (None, algorithm)
        ]
        if not fitting:
            if kid is not None and self.live is not None and self.live.on_miss is not None:
                self.live.on_miss()
            raise self._no_key("No suitable key was found to decode the JWT")
        for key in fitting:
            try:
                return jws.deserialize_compact(token, key, algorithms=[algorithm]).payload
            except (JoseError, ValueError, TypeError):
                continue
        raise self._no_key("None of the keys was able to decode the JWT")

    @staticmethod
    def _no_key(details: str) -> TokenError:
        return TokenError("PGRST301", "No suitable key or wrong key type", details)

    @staticmethod
    def _claims(payload: bytes) -> Mapping[str, Any]:
        try:
            claims = orjson.loads(payload)
        except orjson.JSONDecodeError:
            claims = None
        if not isinstance(claims, dict):
            raise TokenError("PGRST303", "Parsing claims failed")
        return claims
