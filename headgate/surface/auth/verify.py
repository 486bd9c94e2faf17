"""Using codes and links: GET /verify sends the browser on with a session, POST /verify answers with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headgate.db import Connection, errors
from headgate.db.queries import load
from headgate.surface.auth import one_time, pkce, redirects, sessions, users
from headgate.surface.auth.contacts import Contact
from headgate.surface.auth.core import Core
from headgate.surface.auth.errors import AuthError, invalid
from headgate.surface.auth.exchange import Answer, AuthRequest, redirect
from headgate.surface.auth.one_time import Taken
from headgate.surface.auth.users import Row

Q = load("headgate.surface.auth", "verify.sql")
_BOTH = [one_time.CONFIRMATION, one_time.RECOVERY]
#: type of the request → kinds of code that it may use
_EMAIL_KINDS = {
    "signup": [one_time.CONFIRMATION],
    "invite": [one_time.CONFIRMATION],
    "magiclink": _BOTH,
    "recovery": [one_time.RECOVERY],
    "email": _BOTH,
    "email_change": [one_time.CHANGE_NEW, one_time.CHANGE_CURRENT],
}
_PHONE_KINDS = {"sms": [one_time.CONFIRMATION], "phone_change": [one_time.PHONE_CHANGE]}
HALF_WAY = "Confirmation link accepted. Please proceed to confirm link sent to the other email"


@dataclass(frozen=True)
class _Verified:
    """What a good code came to: the user and the identity that was proven, or that another code is waited for."""

    user: Row
    taken: Taken
    provider: str
    half_way: bool = False


async def verify_post(core: Core, request: AuthRequest) -> Answer:
    """POST /verify {type, token_hash | email, token | phone, token}."""
    rates = core.limits.rates
    await core.limits.take(rates.sign_in, request.ip)
    kind = request.text("type")
    kinds = {**_EMAIL_KINDS, **_PHONE_KINDS}.get(kind)
    if kinds is None:
        raise invalid("Verify requires a verification type" if not kind else "Invalid verification type")
    token_hash, token = request.text("token_hash"), request.text("token")
    if token_hash:
        if request.text("email") or request.text("phone"):
            raise invalid("Only the token_hash and type should be provided")
        if kind in _PHONE_KINDS:
            raise invalid("Verify with a token_hash requires an email type")
        return Answer(body=await _finish(core, request, kinds, Contact(), token_hash))
    contact = _contact(request, kind)
    if not token:
        raise invalid("Verify requires a token or a token hash")
    async with core.limits.failures((rates.code, contact.name)):
        body = await _finish(core, request, kinds, contact, token)
    return Answer(body=body)


def _contact(request: AuthRequest, kind: str) -> Contact:
    email, phone = request.text("email"), request.text("phone")
    if kind in _PHONE_KINDS and phone and not email:
        return Contact(phone=users.valid_phone(phone))
    if kind in _EMAIL_KINDS and email and not phone:
        return Contact(email=users.valid_email(email))
    raise invalid("Only an email address or phone number should be provided on verify")


async def _finish(
    core: Core, request: AuthRequest, kinds: list[str], contact: Contact, token: str
) -> dict[str, Any]:
    async with core.db.transaction() as conn:
        done = await _use(core, conn, request, kinds=kinds, contact=contact, token=token)
        if done.half_way:
            return {"msg": HALF_WAY, "code": 200}
        session = await sessions.open_session(
            core, conn, done.user, request, method="otp", provider=done.provider
        )
        await core.audit(conn, "login", done.user, request, provider=done.provider)
        return session


async def verify_get(core: Core, request: AuthRequest) -> Answer:
    """GET /verify?token=&type=&redirect_to=: on with tokens in the fragment, with `?code=` for a PKCE client, or
    with the error.
    """
    landing = core.landing(request)
    try:
        await core.limits.take(core.limits.rates.sign_in, request.ip)
        return redirect(redirects_for(landing, await _used_link(core, request)))
    except AuthError as error:
        told = {
            "error": "access_denied", "error_code": error.error_code, "error_description": error.msg,
        }  # fmt: skip
        return redirect(redirects.with_fragment(redirects.with_query(landing, told), told))


def redirects_for(landing: str, found: dict[str, str]) -> str:
    """The address with a code in its query or anything else in its fragment."""
    return (redirects.with_query if "code" in found else redirects.with_fragment)(landing, found)


async def _used_link(core: Core, request: AuthRequest) -> dict[str, str]:
    kind = request.query.get("type", "")
    kinds = _EMAIL_KINDS.get(kind)
    if kinds is None:
        raise invalid("Verify requires a verification type")
    token_hash = request.query.get("token_hash") or request.query.get("token", "")
    if not token_hash:
        raise invalid("Verify requires a token or a token hash")
    async with core.db.transaction() as conn:
        done = await _use(core, conn, request, kinds=kinds, contact=Contact(), token=token_hash)
        if done.half_way:
            return {"message": HALF_WAY}
        if users.is_banned(done.user):
            raise AuthError(403, "user_banned", "User is banned")
        if done.taken.pkce:
            return {"code": await pkce.issue(conn, user_id=done.user["id"], method=kind)}
        session = await sessions.open_session(
            core, conn, done.user, request, method="otp", provider=done.provider
        )
        await core.audit(conn, "login", done.user, request, provider=done.provider)
    return session_fragment(session, kind)


def session_fragment(session: dict[str, Any], kind: str) -> dict[str, str]:
    """The session as the fragment of an address, which browsers tell no server."""
    names = ("access_token", "expires_at", "expires_in", "refresh_token", "token_type")
    return {**{name: str(session[name]) for name in names}, "type": kind}


async def _use(
    core: Core, conn: Connection, request: AuthRequest, *, kinds: list[str], contact: Contact, token: str
) -> _Verified:
    """Take the code (of a contact, or by its hash) and do what it stands for. Raises AuthError 403 `otp_expired`."""
    if contact.name:
        taken = await one_time.take_code(core, conn, kinds=kinds, relates_to=contact.name, otp=token)
    else:
        taken = await one_time.take_hash(core, conn, kinds=kinds, token_hash=token)
    user = await users.by_id(conn, taken.user_id)
    if user is None:
        raise one_time.expired()
    if taken.kind in (one_time.CHANGE_NEW, one_time.CHANGE_CURRENT):
        return await _email_change(core, conn, request, user, taken)
    if taken.kind == one_time.PHONE_CHANGE:
        return await _phone_change(core, conn, request, user, taken)
    return await _confirm(core, conn, request, user, taken)


async def _confirm(core: Core, conn: Connection, request: AuthRequest, user: Row, taken: Taken) -> _Verified:
    """The address or number to which the code went is the user's."""
    provider = "email" if "@" in taken.relates_to else "phone"
    if taken.relates_to != user[provider]:
        raise one_time.expired()  # it was sent to what the user had before
    new = user[f"{provider}_confirmed_at"] is None
    if provider == "email":
        await conn.execute(Q.confirm_email.encode(), {"id": user["id"]})
        await users.ensure_email_identity(conn, user["id"], taken.relates_to, verified=True)
        await users.merge_metadata(conn, user["id"], {"email_verified": True})
    else:
        await conn.execute(Q.confirm_phone.encode(), {"id": user["id"]})
        await users.ensure_phone_identity(conn, user["id"], taken.relates_to, verified=True)
        await users.merge_metadata(conn, user["id"], {"phone_verified": True})
    if new:
        await core.audit(conn, "user_signedup", user, request, provider=provider)
    return _Verified(await users.existing(conn, user["id"]), taken, provider)


async def _email_change(
    core: Core, conn: Connection, request: AuthRequest, user: Row, taken: Taken
) -> _Verified:
    """Half of a change of address, or all of it when the other half was confirmed or is not asked for."""
    wanted = user["email_change"] if taken.kind == one_time.CHANGE_NEW else user["email"]
    if not user["email_change"] or taken.relates_to != wanted:
        raise one_time.expired()
    if await users.one(conn, Q.change_waits, id=user["id"]):
        await conn.execute(Q.change_half_way.encode(), {"id": user["id"]})
        return _Verified(user, taken, "email", half_way=True)
    try:
        async with conn.transaction():
            await conn.execute(Q.change_email.encode(), {"id": user["id"]})
    except errors.UniqueViolation:
        raise email_exists() from None
    await one_time.forget(conn, user["id"], one_time.RECOVERY, one_time.CONFIRMATION)
    await users.ensure_email_identity(conn, user["id"], user["email_change"], verified=True)
    await users.merge_metadata(conn, user["id"], {"email": user["email_change"], "email_verified": True})
    await core.audit(conn, "user_modified", user, request, change="email")
    return _Verified(await users.existing(conn, user["id"]), taken, "email")


async def _phone_change(
    core: Core, conn: Connection, request: AuthRequest, user: Row, taken: Taken
) -> _Verified:
    if not user["phone_change"] or taken.relates_to != user["phone_change"]:
        raise one_time.expired()
    try:
        async with conn.transaction():
            await conn.execute(Q.change_phone.encode(), {"id": user["id"]})
    except errors.UniqueViolation:
        raise AuthError(
            422, "phone_exists", "A user with this phone number has already been registered"
        ) from None
    await users.ensure_phone_identity(conn, user["id"], user["phone_change"], verified=True)
    await core.audit(conn, "user_modified", user, request, change="phone")
    return _Verified(await users.existing(conn, user["id"]), taken, "phone")


def email_exists() -> AuthError:
    """Another user has the address."""
    return AuthError(422, "email_exists", "A user with this email address has already been registered")
