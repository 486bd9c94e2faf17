"""Links that administrators make or send: for a sign-up, an invitation, a sign-in, a new password, a new address."""

from __future__ import annotations

import secrets
from typing import Any

from headgate.db import Connection, errors
from headgate.db.queries import load
from headgate.surface.auth import admin, contacts, hooks, one_time, users, verify
from headgate.surface.auth.contacts import Contact, Sending
from headgate.surface.auth.core import Core
from headgate.surface.auth.errors import AuthError, invalid
from headgate.surface.auth.exchange import Answer, AuthRequest
from headgate.surface.auth.one_time import Code
from headgate.surface.auth.users import Row, user_object, valid_email

Q = load("headgate.surface.auth", "admin.sql")
_CHANGES = {"email_change_current": one_time.CHANGE_CURRENT, "email_change_new": one_time.CHANGE_NEW}
TYPES = frozenset({"signup", "invite", "magiclink", "recovery", *_CHANGES})


async def invite(core: Core, request: AuthRequest) -> Answer:
    """POST /invite {email, data}: makes the user if need be, and sends the invitation."""
    core.require_admin(request)
    email = valid_email(request.text("email"))
    data = request.mapping("data")
    try:
        async with core.db.transaction() as conn:
            user = await users.by_email(conn, email) or await _new(
                core, conn, request, email=email, data=data
            )
            _unconfirmed(user)
            await conn.execute(Q.invited.encode(), {"id": user["id"]})
            sending = Sending(
                letter="invite", kind=one_time.CONFIRMATION, type="invite", redirect_to=core.landing(request)
            )
            await contacts.send(core, conn, user, Contact(email=email), sending)
            await core.audit(conn, "user_invited", None, request, user_id=str(user["id"]), user_email=email)
            return Answer(body=user_object(await users.existing(conn, user["id"])))
    except errors.UniqueViolation:
        raise AuthError(422, "email_exists", admin.DUPLICATE) from None


async def generate_link(core: Core, request: AuthRequest) -> Answer:
    """POST /admin/generate_link {type, email, password, data, new_email, redirect_to}: the user, the link and its
    parts; nothing is sent.
    """
    core.require_admin(request)
    kind = request.text("type", most=64)
    if kind not in TYPES:
        raise invalid(f"Invalid email action link type requested: {kind}")
    email = valid_email(request.text("email"))
    password = request.text("password")
    if password:
        core.passwords.check(password)
    hashed = await core.passwords.hash(password or secrets.token_urlsafe(48))
    try:
        async with core.db.transaction() as conn:
            user = await users.by_email(conn, email)
            if user is None and kind == "magiclink":
                kind = "signup"  # there is nobody to sign in yet
            user, code = await _code(core, conn, request, user, kind=kind, email=email, hashed=hashed)
            await core.audit(conn, _action(kind), None, request, user_id=str(user["id"]), user_email=email)
            user = await users.existing(conn, user["id"])
    except errors.UniqueViolation:
        raise AuthError(422, "email_exists", admin.DUPLICATE) from None
    return Answer(body={**user_object(user), **_told(core, request, kind, code)})


def _told(core: Core, request: AuthRequest, kind: str, code: Code) -> dict[str, Any]:
    redirect_to = core.landing(request)
    link_type = "email_change" if kind in _CHANGES else kind
    return {
        "action_link": one_time.link(core, code.token_hash, kind=link_type, redirect_to=redirect_to),
        "email_otp": code.otp, "hashed_token": code.token_hash, "redirect_to": redirect_to,
        "verification_type": kind,
    }  # fmt: skip


def _action(kind: str) -> str:
    return {"invite": "user_invited", "signup": "user_confirmation_requested"}.get(
        kind, "user_recovery_requested"
    )


async def _code(
    core: Core,
    conn: Connection,
    request: AuthRequest,
    user: Row | None,
    *,
    kind: str,
    email: str,
    hashed: str,
) -> tuple[Row, Code]:
    """The user, made if need be, and a fresh code of this kind."""
    if kind in ("signup", "invite"):
        data = request.mapping("data")
        if user is None:
            password = hashed if kind == "signup" else ""
            user = await _new(core, conn, request, email=email, data=data, hashed=password)
        elif data:
            await users.merge_metadata(conn, user["id"], data)
        _unconfirmed(user)
        if kind == "invite":
            await conn.execute(Q.invited.encode(), {"id": user["id"]})
        return user, await one_time.make(core, conn, user, one_time.CONFIRMATION, email)
    if user is None:
        raise AuthError(404, "user_not_found", "User with this email not found")
    if kind not in _CHANGES:
        return user, await one_time.make(core, conn, user, one_time.RECOVERY, email)
    wanted = valid_email(request.text("new_email"))
    if kind == "email_change_current" and not core.settings.auth_secure_email_change:
        raise invalid("Enable secure email change to generate link for current email")
    if await _owner(conn, wanted) not in (None, user["id"]):
        raise AuthError(422, "email_exists", admin.DUPLICATE)
    if user["email_change"] != wanted:
        await one_time.forget(conn, user["id"], *_CHANGES.values())
        await conn.execute(verify.Q.start_email_change.encode(), {"id": user["id"], "email": wanted})
    where = email if kind == "email_change_current" else wanted
    return user, await one_time.make(core, conn, user, _CHANGES[kind], where)


async def _owner(conn: Connection, email: str) -> object:
    """The id of the user who has this address, None if nobody has."""
    found = await users.one(conn, users.Q.id_by_email, email=email)
    return found["id"] if found else None


def _unconfirmed(user: Row) -> None:
    if users.is_confirmed(user):
        raise AuthError(422, "email_exists", admin.DUPLICATE)


async def _new(
    core: Core, conn: Connection, request: AuthRequest, *, email: str, data: dict[str, Any], hashed: str = ""
) -> Row:
    user = await users.create(conn, email=email, password_hash=hashed, user_metadata=data)
    await hooks.before_user_created(core, conn, request, user_object(user))
    return user
