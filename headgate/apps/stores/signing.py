"""Whether a request is Shopify's: shop domains, the hex HMAC of a query, the base64 HMAC of a body. Constant time.

Rules: https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/authorization-code-grant and
https://shopify.dev/docs/apps/build/webhooks/subscribe/https
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl, urlencode

_SHOP = re.compile(r"[a-z0-9][a-z0-9-]{0,59}\.myshopify\.com")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
LONGEST_QUERY = 4096


def is_shop(text: str) -> bool:
    """Whether this is exactly a shop's own host name."""
    return _SHOP.fullmatch(text) is not None


def shop_of(text: str) -> str | None:
    """The shop that a person means: `acme`, `acme.myshopify.com` or its address; None when it is no shop."""
    asked = text.strip().lower()
    asked = asked.removeprefix("https://").removeprefix("http://").split("/", 1)[0]
    if _NAME.fullmatch(asked):
        asked += ".myshopify.com"
    return asked if is_shop(asked) else None


def read_query(raw: bytes) -> dict[str, str] | None:
    """A query's parameters; None when one is there twice or the query is too long or malformed."""
    if len(raw) > LONGEST_QUERY:
        return None
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=40)
    except (UnicodeDecodeError, ValueError):
        return None
    found = dict(pairs)
    return found if len(found) == len(pairs) else None


def query_is_signed(query: dict[str, str], secrets: Sequence[str]) -> bool:
    """Whether `hmac` of the query is that of its other parameters, sorted by name.

    Libraries of Shopify's differ in how they write `%`, `&` and `=` inside values; both forms are unambiguous, so both
    are accepted.
    """
    given = query.get("hmac", "")
    rest = sorted((name, value) for name, value in query.items() if name not in ("hmac", "signature"))
    escaped = "&".join(f"{_escape(name, '%&=')}={_escape(value, '%&')}" for name, value in rest)
    return _any_equal(
        given.encode("utf-8", "replace"),
        (
            hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest().encode()
            for secret in secrets
            for message in (escaped, urlencode(rest))
        ),
    )


def body_is_signed(body: bytes, given: str, secrets: Sequence[str]) -> bool:
    """Whether `given` (base64) is the HMAC-SHA256 of these very bytes under one of the secrets."""
    return _any_equal(
        given.encode("utf-8", "replace"),
        (base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()) for secret in secrets),
    )


def sign_body(body: bytes, secret: str) -> str:
    """The header that Shopify would send with this body."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def _escape(text: str, characters: str) -> str:
    for character in characters:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _any_equal(given: bytes, wanted: Iterable[bytes]) -> bool:
    found = False
    for one in wanted:  # every one is compared, so that the time does not say which one matched
        found |= hmac.compare_digest(given, one)
    return found
