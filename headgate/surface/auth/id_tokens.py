"""ID tokens of other parties: signature by their published keys, then issuer, audience, times and nonce (OpenID
Connect Core 1.0, 3.1.3.7). Only asymmetric algorithms: a public key never serves as a shared secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from headgate.surface.auth.tokens import FAMILIES, TOKEN_MAX

ALGORITHMS = tuple(f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512))
SKEW_S = 60
SUBJECT_MAX = 255
KEYS_MAX = 64


class BadIdToken(Exception):
    """The token is not to be believed. The text is for the log; clients hear no more than that it is bad."""


class UnknownKey(BadIdToken):
    """No key at hand fits; a newer key set may have it."""


def peek(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims of a token, believed by nobody yet. Raises BadIdToken."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > TOKEN_MAX:
        raise BadIdToken("not a JWT")
    try:
        header, claims = (orjson.loads(_unbase64(part)) for part in parts[:2])
    except (ValueError, binascii.Error):
        raise BadIdToken("not a JWT") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise BadIdToken("not a JWT")
    return header, claims


def _unbase64(text: str) -> bytes:
    if not text.isascii():
        raise ValueError("not base64url")
    return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)


def verified(token: str, keys: Sequence[Any]) -> Mapping[str, Any]:
    """The claims of a token signed by one of `keys` (JWKs as mappings). Raises BadIdToken, UnknownKey."""
    from joserfc import jws
    from joserfc.errors import JoseError

    header, _ = peek(token)
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise BadIdToken(f"signed with {str(algorithm)[:20]!r}")
    if "crit" in header or "b64" in header:
        raise BadIdToken("a critical header that nobody here understands")
    fitting = [key for raw in keys[:KEYS_MAX] if (key := _fitting(raw, algorithm, kid)) is not None]
    if not fitting:
        raise UnknownKey("no key fits")
    for key in fitting:
        try:
            payload = jws.deserialize_compact(token, key, algorithms=[algorithm]).payload
            claims = orjson.loads(payload)
        except (JoseError, ValueError, TypeError):
            continue
        if isinstance(claims, dict):
            return claims
    raise UnknownKey("no key has signed it")


def _fitting(raw: Any, algorithm: str, kid: Any) -> Any:
    from joserfc.errors import JoseError

    if not isinstance(raw, Mapping) or raw.get("use") not in (None, "sig"):
        return None
    if raw.get("alg") not in (None, algorithm) or (kid is not None and raw.get("kid") not in (None, kid)):
        return None
    if raw.get("kty") != {"RS": "RSA", "PS": "RSA", "ES": "EC"}[algorithm[:2]]:
        return None
    if (
        raw.get("kty") == "EC"
        and raw.get("crv") != {"256": "P-256", "384": "P-384", "512": "P-521"}[algorithm[2:]]
    ):
        return None
    public = {name: value for name, value in raw.items() if name in ("kty", "crv", "x", "y", "n", "e", "kid")}
    try:
        return FAMILIES[algorithm[:2]].import_key(public)
    except (JoseError, ValueError, TypeError):
        return None


def check(
    claims: Mapping[str, Any],
    *,
    issuers: Collection[str],
    audiences: Collection[str],
    now: float | None = None,
) -> str:
    """The subject, when issuer, audience and times hold. Raises BadIdToken. The nonce is the caller's to check."""
    moment = time.time() if now is None else now
    if claims.get("iss") not in issuers:
        raise BadIdToken("wrong issuer")
    _check_audience(claims, audiences)
    expires, issued = _seconds(claims, "exp"), _seconds(claims, "iat")
    if expires is None or issued is None:
        raise BadIdToken("exp or iat is missing")
    if moment - SKEW_S > expires:
        raise BadIdToken("expired")
    if moment + SKEW_S < max(issued, _seconds(claims, "nbf") or 0):
        raise BadIdToken("from the future")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_MAX or "\0" in subject:
        raise BadIdToken("no subject")
    return subject


def _check_audience(claims: Mapping[str, Any], audiences: Collection[str]) -> None:
    given = claims.get("aud")
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list) or not any(isinstance(one, str) and one in audiences for one in listed):
        raise BadIdToken("wrong audience")
    # A token for several parties says for whom it was issued, and that must be us.
    if len(listed) > 1 and claims.get("azp") not in audiences:
        raise BadIdToken("issued for another party")


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadIdToken(f"{name} is no number")
    return float(value)


def same_text(given: Any, wanted: str) -> bool:
    """Whether `given` is the text `wanted`, in equal time."""
    return isinstance(given, str) and hmac.compare_digest(given.encode(), wanted.encode())


def fits_access_token(claims: Mapping[str, Any], algorithm: str, access_token: str) -> bool:
    """Whether `at_hash`, if the token has one, is the access token's (OpenID Connect Core 1.0, 3.1.3.6)."""
    told = claims.get("at_hash")
    if told is None or not access_token:
        return True
    digest = hashlib.new(f"sha{algorithm[2:]}", access_token.encode()).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    return same_text(told, half)
