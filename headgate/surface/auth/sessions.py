"""Sessions: opening one, its access and refresh tokens, rotation with reuse detection, and ending it.

A refresh token is kept as a hash only. Its successor is derived from it and the installation's secret, so that a
client whose answer got lost is told the same successor again, and a stolen database signs nobody in.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
import uuid
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

from headgate.db import Connection
from headgate.db.queries import load
from headgate.surface.auth import users
from headgate.surface.auth.errors import AuthError
from headgate.surface.auth.exchange import AuthRequest, known_ip
from headgate.surface.auth.signing import derive
from headgate.surface.auth.users import Row, one, user_object

if TYPE_CHECKING:
    from headgate.surface.auth.core import Core

Q = load("headgate.surface.auth", "sessions.sql")
_STORED = "sha256:"
_HOPS = 16  # rotations within the reuse interval that a late client may have missed


async def open_session(
    core: Core,
    conn: Connection,
    user: Row,
    request: AuthRequest,
    *,
    method: str,
    aal: str = "aal1",
    factor_id: uuid.UUID | None = None,
    provider: str | None = None,
) -> dict[str, Any]:
    """Sign the user in: a new session and the object that clients get. `method` goes into `amr` (`password`, `otp` …).

    `provider` is the identity whose `last_sign_in_at` is set. Raises AuthError 403 `user_banned`.
    """
    if users.is_banned(user):
        raise AuthError(403, "user_banned", "User is banned")
    session_id = uuid.uuid4()
    await conn.execute(Q.insert_session.encode(), {
        "id": session_id, "user_id": user["id"], "aal": aal, "factor_id": factor_id,
        "user_agent": request.user_agent, "ip": known_ip(request.ip), "max_s": core.settings.auth_session_max_s,
    })  # fmt: skip
    await add_amr(conn, session_id, method)
    await conn.execute(Q.touch_sign_in.encode(), {"id": user["id"]})
    if provider:
        await conn.execute(Q.touch_identity.encode(), {"id": user["id"], "provider": provider})
    refresh = secrets.token_urlsafe(32)
    await _keep(conn, refresh, user["id"], session_id, parent=None)
    return await issue(core, conn, await users.existing(conn, user["id"]), session_id, refresh)


async def add_amr(conn: Connection, session_id: uuid.UUID, method: str) -> None:
    """Note that the session was authenticated by `method` just now."""
    await conn.execute(
        Q.upsert_amr.encode(), {"id": uuid.uuid4(), "session_id": session_id, "method": method}
    )


async def raise_aal(
    conn: Connection, session_id: uuid.UUID, *, aal: str, factor_id: uuid.UUID | None, method: str
) -> None:
    """Give a session another assurance level after a second factor; the next access token says so."""
    await conn.execute(Q.set_aal.encode(), {"id": session_id, "aal": aal, "factor_id": factor_id})
    await add_amr(conn, session_id, method)


async def renew(core: Core, conn: Connection, user: Row, session_id: uuid.UUID) -> dict[str, Any]:
    """Fresh tokens for a session that goes on, such as after a second factor; its other refresh tokens end."""
    await conn.execute(Q.revoke_family.encode(), {"session_id": session_id})
    refresh = secrets.token_urlsafe(32)
    await _keep(conn, refresh, user["id"], session_id, parent=None)
    return await issue(core, conn, user, session_id, refresh)


async def issue(
    core: Core, conn: Connection, user: Row, session_id: uuid.UUID, refresh: str
) -> dict[str, Any]:
    """The session object: a new access token, the given refresh token, and the user."""
    issued = int(time.time())
    lifetime = core.settings.auth_jwt_expiry_s
    token = core.keys.sign(await access_claims(core, conn, user, session_id, issued=issued))
    return {
        "access_token": token, "token_type": "bearer", "expires_in": lifetime, "expires_at": issued + lifetime,
        "refresh_token": refresh, "user": user_object(user),
    }  # fmt: skip


async def access_claims(
    core: Core, conn: Connection, user: Row, session_id: uuid.UUID, *, issued: int
) -> dict[str, Any]:
    """What an access token of this session says, after the hook for custom claims. Raises AuthError when it ended."""
    session = await one(conn, Q.session, id=session_id)
    if session is None:
        raise session_gone()
    claims: dict[str, Any] = {
        "iss": core.issuer, "sub": str(user["id"]), "aud": user["aud"] or users.AUDIENCE,
        "exp": issued + core.settings.auth_jwt_expiry_s, "iat": issued,
        "email": user["email"] or "", "phone": user["phone"] or "",
        "app_metadata": user["raw_app_meta_data"] or {}, "user_metadata": user["raw_user_meta_data"] or {},
        "role": user["role"] or "authenticated", "aal": session["aal"] or "aal1", "amr": session["amr"],
        "session_id": str(session_id), "is_anonymous": user["is_anonymous"],
    }  # fmt: skip
    if core.claims_hook is not None:
        method = session["amr"][0]["method"] if session["amr"] else "unknown"
        claims = await core.claims_hook(conn, claims, method)
    return claims


def session_gone() -> AuthError:
    """A token whose session was ended."""
    return AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")


# ------------------------------------------------------------------------------------------ rotation


async def refresh_session(core: Core, request: AuthRequest, presented: str) -> dict[str, Any]:
    """Exchange a refresh token for the next session object.

    Within the reuse interval a used token gives its successor again; later it ends the whole session, since two
    hold it. Raises AuthError 400 `refresh_token_not_found`, `refresh_token_already_used`, `session_expired`,
    `session_not_found` or `user_banned`.
    """
    async with core.db.transaction() as conn:
        found = await one(conn, Q.lock_refresh, stored=_hash(presented), clear=_clear(presented))
        if found is None:
            raise AuthError(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
        user = await _valid(core, conn, found)
        successor = await _successor(core, conn, found, presented)
        if successor is not None:
            values = {"id": found["session_id"], "user_agent": request.user_agent, "ip": known_ip(request.ip)}
            await conn.execute(Q.touch_session.encode(), values)
            return await issue(core, conn, user, found["session_id"], successor)
        await conn.execute(Q.revoke_family.encode(), {"session_id": found["session_id"]})
        await core.audit(conn, "token_revoked", user, request, reason="refresh token reuse")
    raise AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")


async def _valid(core: Core, conn: Connection, found: Row) -> Row:
    """The user of a refresh token whose session may go on. Raises AuthError."""
    limits = {"max_s": core.settings.auth_session_max_s, "idle_s": core.settings.auth_session_idle_s}
    session = (
        await one(conn, Q.lock_session, id=found["session_id"], **limits) if found["session_id"] else None
    )
    user = await users.by_id(conn, session["user_id"]) if session else None
    if session is None or user is None:
        raise AuthError(400, "session_not_found", "Invalid Refresh Token: No Valid Session Found")
    if users.is_banned(user):
        raise AuthError(400, "user_banned", "Invalid Refresh Token: User Banned")
    if session["over"]:
        raise AuthError(400, "session_expired", "Invalid Refresh Token: Session Expired")
    if session["idle"]:
        raise AuthError(400, "session_expired", "Invalid Refresh Token: Session Expired (Inactivity)")
    return user


async def _successor(core: Core, conn: Connection, found: Row, presented: str) -> str | None:
    """The refresh token that follows; None when this one was used too long ago."""
    following = _next(core, presented)
    if not found["revoked"]:
        await conn.execute(Q.revoke_refresh.encode(), {"id": found["id"]})
        await _keep(conn, following, found["user_id"], found["session_id"], parent=found["token"])
        return following
    if found["age_s"] > core.settings.auth_refresh_reuse_s:
        return None
    active = await one(conn, Q.active_refresh, session_id=found["session_id"])
    for _ in range(_HOPS if active else 0):
        if active is not None and active["token"] == _hash(following):
            return following
        following = _next(core, following)
    return None


def _next(core: Core, token: str) -> str:
    key = derive(core.keys.secret, "headgate refresh tokens")
    return urlsafe_b64encode(hmac.digest(key, token.encode(), "sha256")).decode().rstrip("=")


def _hash(token: str) -> str:
    return _STORED + hashlib.sha256(token.encode()).hexdigest()


def _clear(token: str) -> str:
    """The token as hosted Supabase keeps it, for sessions that came from there; never one of our hashes."""
    return "" if token.startswith(_STORED) or len(token) > 255 or "\0" in token else token


async def _keep(
    conn: Connection, token: str, user_id: object, session_id: object, *, parent: str | None
) -> None:
    values = {"token": _hash(token), "user_id": str(user_id), "session_id": session_id, "parent": parent}
    await conn.execute(Q.insert_refresh.encode(), values)


# ------------------------------------------------------------------------------------------ ending


async def end(conn: Connection, *, user_id: object, session_id: object, scope: str) -> None:
    """Log out: `global` every session of the user, `local` this one, `others` all but this one."""
    query = {"global": Q.end_all, "local": Q.end_session, "others": Q.end_others}[scope]
    await conn.execute(query.encode(), {"user_id": user_id, "id": session_id})
