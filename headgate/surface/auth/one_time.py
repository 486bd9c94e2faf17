"""Codes and links that are sent and work once: made, kept as a keyed hash, taken. Sends nothing.

The hash in a link is an HMAC of address and code under the installation's secret. So whoever knows an address and
guesses codes cannot make links, and guesses at codes are counted per account.
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from headgate.db import Connection
from headgate.db.queries import load
from headgate.surface.auth.errors import AuthError
from headgate.surface.auth.signing import derive
from headgate.surface.auth.users import Row, one

if TYPE_CHECKING:
    from headgate.surface.auth.core import Core

Q = load("headgate.surface.auth", "one_time.sql")
PKCE = "pkce_"  # before the hash when the link is to end in a code for the client's verifier
CONFIRMATION = "confirmation_token"
RECOVERY = "recovery_token"
CHANGE_NEW = "email_change_token_new"
CHANGE_CURRENT = "email_change_token_current"
REAUTHENTICATION = "reauthentication_token"
PHONE_CHANGE = "phone_change_token"


@dataclass(frozen=True)
class Code:
    """What was made: the digits for a person, and the hash that a link carries."""

    otp: str
    token_hash: str


@dataclass(frozen=True)
class Taken:
    """A code or link that was good: whose, of which kind, for which address, and whether a PKCE client asked."""

    user_id: uuid.UUID
    kind: str
    relates_to: str
    pkce: bool


async def make(
    core: Core, conn: Connection, user: Row, kind: str, relates_to: str, *, pkce: bool = False
) -> Code:
    """A new code of this kind for the user, sent to `relates_to`; the one before it works no longer."""
    otp = f"{secrets.randbelow(10**core.settings.auth_otp_length):0{core.settings.auth_otp_length}}"
    token_hash = (PKCE if pkce else "") + _hash(core, relates_to, otp)
    values = {
        "id": uuid.uuid4(), "user_id": user["id"], "type": kind, "hash": token_hash, "relates_to": relates_to,
    }  # fmt: skip
    await conn.execute(Q.keep.encode(), values)
    note: str = getattr(Q, f"note_{kind}")
    await conn.execute(note.encode(), {"id": user["id"], "hash": token_hash})
    return Code(otp, token_hash)


def link(core: Core, token_hash: str, *, kind: str, redirect_to: str) -> str:
    """The address that uses the code; `kind` is the type that `/verify` is told, `redirect_to` has been checked."""
    query = urlencode({"token": token_hash, "type": kind, "redirect_to": redirect_to})
    return f"{core.auth_url}/verify?{query}"


async def take_code(
    core: Core,
    conn: Connection,
    *,
    kinds: list[str],
    relates_to: str,
    otp: str,
    user_id: uuid.UUID | None = None,
) -> Taken:
    """Use up a code that was sent to an address or number. Raises AuthError 403 `otp_expired`."""
    plain = _hash(core, relates_to, otp)
    return await _take(core, conn, kinds, [plain, PKCE + plain], user_id)


async def take_hash(core: Core, conn: Connection, *, kinds: list[str], token_hash: str) -> Taken:
    """Use up a code by the hash of its link. Raises AuthError 403 `otp_expired`."""
    return await _take(core, conn, kinds, [token_hash], None)


async def forget(conn: Connection, user_id: object, *kinds: str) -> None:
    """Let codes of these kinds work no longer."""
    await conn.execute(Q.forget.encode(), {"user_id": user_id, "types": list(kinds)})


def expired() -> AuthError:
    """What is told about every code that is not good, whatever the reason."""
    return AuthError(403, "otp_expired", "Token has expired or is invalid")


async def _take(
    core: Core, conn: Connection, kinds: list[str], hashes: list[str], user_id: uuid.UUID | None
) -> Taken:
    found = await one(
        conn, Q.take, hashes=hashes, types=kinds, user_id=user_id, expiry_s=core.settings.auth_otp_expiry_s
    )  # fmt: skip
    if found is None or found["expired"]:
        raise expired()
    await conn.execute(Q.clear.encode(), {"id": found["user_id"], "type": found["token_type"]})
    return Taken(
        found["user_id"], found["token_type"], found["relates_to"], found["token_hash"].startswith(PKCE)
    )


def _hash(core: Core, relates_to: str, otp: str) -> str:
    key = derive(core.keys.secret, "headgate one-time codes")
    return hmac.digest(key, f"{relates_to}\n{otp}".encode("utf-8", "replace"), "sha256").hex()
