"""PKCE: the client's challenge kept with a sign-in under way, and the code that only its verifier redeems (RFC 7636).

A code is redeemed once, within five minutes. Wrong guesses do not use it up; three different errors tell a client
what to do, and none tells whose code it was.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from collections.abc import Mapping
from typing import Any

from headgate.db import Connection
from headgate.db.queries import load
from headgate.surface.auth.errors import AuthError, invalid

Q = load("headgate.surface.auth", "pkce.sql")
EXPIRY_S = 300
_CHALLENGE = re.compile(r"[A-Za-z0-9._~-]+")


def challenge_of(challenge: str, method: str) -> tuple[str, str] | None:
    """The challenge and its method as the table keeps them, None when the client sent neither.

    Raises AuthError 400 when one is missing, the challenge has not 43 to 128 of the allowed characters, or the
    method is neither `s256` nor `plain` (in any case).
    """
    if not challenge and not method:
        return None
    if not challenge or not method:
        raise invalid("PKCE flow requires code_challenge_method and code_challenge")
    if not 43 <= len(challenge) <= 128:
        raise invalid("code challenge has to be between 43 and 128 characters")
    if not _CHALLENGE.fullmatch(challenge):
        raise invalid(
            "code challenge can only contain alphanumeric characters, hyphens, periods, underscores and tildes"
        )
    if method.lower() not in ("s256", "plain"):
        raise invalid("Invalid code_challenge_method")
    return challenge, method.lower()


def answers(verifier: str, challenge: str, method: str) -> bool:
    """Whether the verifier is the one that the challenge was made from."""
    given = verifier
    if method == "s256":
        digest = hashlib.sha256(verifier.encode("utf-8", "surrogatepass")).digest()
        given = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), challenge.encode())


async def begin(
    conn: Connection,
    *,
    challenge: tuple[str, str] | None,
    method: str,
    provider: str = "email",
    user_id: uuid.UUID | None = None,
    context: Mapping[str, Any] | None = None,
    flow: uuid.UUID | None = None,
) -> uuid.UUID:
    """Keep a sign-in that is under way; its id (`flow`, or a new one).

    `method` is the claim that the session gets (`oauth`, `magiclink`, `recovery` …).
    `context`: referrer, invite_token, oauth_client_state_id, linking_target_id, email_optional.
    """
    flow = flow or uuid.uuid4()
    code, given = challenge or (None, None)
    values = {
        "referrer": None,
        "invite_token": None,
        "oauth_client_state_id": None,
        "linking_target_id": None,
    }
    await conn.execute(
        Q.begin.encode(),
        {
            **values, "email_optional": False, **(context or {}), "id": flow, "user_id": user_id,
            "auth_code": str(uuid.uuid4()) if challenge else None, "challenge": code, "challenge_method": given,
            "provider": provider, "method": method,
        },
    )  # fmt: skip
    return flow


async def issue(conn: Connection, *, user_id: uuid.UUID, method: str) -> str:
    """The code of the user's latest sign-in by `method`, for the redirect. Raises AuthError flow_state_not_found."""
    row = await (await conn.execute(Q.issue.encode(), {"user_id": user_id, "method": method})).fetchone()
    if row is None:
        raise AuthError(422, "flow_state_not_found", "No valid flow state found for user.")
    return str(row["auth_code"])


async def redeem(conn: Connection, *, code: str, verifier: str) -> Mapping[str, Any]:
    """The row of the sign-in that `code` ends, now used up in this transaction.

    Raises AuthError flow_state_not_found (404), flow_state_expired (422) or bad_code_verifier (400).
    """
    if not code or not verifier:
        raise invalid("invalid request: both auth code and code verifier should be non-empty")
    row = await (await conn.execute(Q.find_code.encode(), {"code": code, "expiry_s": EXPIRY_S})).fetchone()
    if row is None or row["user_id"] is None or row["code_challenge"] is None:
        raise AuthError(404, "flow_state_not_found", "invalid flow state, no valid flow state found")
    if row["expired"]:
        raise AuthError(422, "flow_state_expired", "invalid flow state, flow state has expired")
    if not answers(verifier, row["code_challenge"], row["code_challenge_method"]):
        raise AuthError(
            400, "bad_code_verifier", "code challenge does not match previously saved code verifier"
        )
    await conn.execute(Q.forget.encode(), {"id": row["id"]})
    return row
