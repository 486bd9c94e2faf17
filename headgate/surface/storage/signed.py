"""Signed URLs: a JWT over one path, with a key derived from the installation's secret for this use alone.

So it is no token for anything else, and no user's token can stand in for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any

import orjson

from headgate.surface.storage.errors import StorageError, invalid

_HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
_LONGEST_S = 100 * 365 * 86_400
_TOKEN_MAX = 8192
UPLOAD_S = 2 * 3600  # how long a signed upload URL is good, as on hosted Supabase


class Signer:
    """Makes and checks the tokens of signed URLs."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"headgate storage: signed urls", "sha256")

    def sign(self, path: str, expires_s: int, *, use: str, **claims: Any) -> str:
        """A token for `path` (bucket/name) and one use: `read` or `upload`."""
        now = int(time.time())
        payload = orjson.dumps({"url": path, "use": use, **claims, "iat": now, "exp": now + expires_s})
        body = f"{_HEADER}.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}"
        return f"{body}.{self._mac(body)}"

    def check(self, token: str, path: str, *, use: str) -> Mapping[str, Any]:
        """The claims of a good token for just this path and use. Raises StorageError."""
        if not token or len(token) > _TOKEN_MAX or not token.isascii():
            raise _bad("The signature is missing or malformed")
        body, _, mac = token.rpartition(".")
        if not hmac.compare_digest(mac.encode(), self._mac(body).encode()):
            raise _bad("signature verification failed")
        try:
            payload = body.partition(".")[2]
            claims: dict[str, Any] = orjson.loads(
                base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
            )
        except (binascii.Error, ValueError):
            raise _bad("The signature is malformed") from None
        if claims.get("exp", 0) <= time.time():
            raise _bad('"exp" claim timestamp check failed')
        if claims.get("url") != path or claims.get("use") != use:
            raise _bad("The url is not the one that was signed")
        return claims

    def _mac(self, body: str) -> str:
        raw = hmac.digest(self._key, body.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bad(message: str) -> StorageError:
    return StorageError(400, "InvalidJWT", message)


def seconds(given: Any) -> int:
    """`expiresIn`, a number or its text. Raises StorageError."""
    if isinstance(given, str) and given.strip().isdigit() and len(given) < 13:
        given = int(given)
    if not isinstance(given, int) or isinstance(given, bool) or not 0 < given <= _LONGEST_S:
        raise invalid("expiresIn must be a number of seconds greater than 0")
    return given
