"""The signed-in user's own account: GET and PUT /user. Changes of address go through /verify."""

from __future__ import annotations

import uuid
from datetime import timedelta

from headgate.base.clock import now
from headgate.db import Connection, errors
from headgate.surface.auth import contacts, one_time, recovery, sessions, users, verify
from headgate.surface.auth.core import Core, Signed
from headgate.surface.auth.errors import AuthError, invalid
from headgate.surface.auth.exchange import Answer, AuthRequest
from headgate.surface.auth.users import user_object

Q = verify.Q
_FRESH = timedelta(days=1)  # a session this young needs no nonce for a new password


async def get_user(core: Core, request: AuthRequest) -> Answer:
    """GET /user: the user as the database has them now."""
    async with core.db.transaction() as conn:
        return Answer(body=user_object((await core.signed(conn, request)).user))


async def put_user(core: Core, request: AuthRequest) -> Answer:
    """PUT /user {data, password, email, phone, nonce, current_password}: all that is given is changed, or nothing."""
    email = users.valid_email(request.text("email")) if request.text("email") else ""
    phone = users.valid_phone(request.text("phone")) if request.text("phone") else ""
    password, data = request.text("password"), request.mapping("data")
    contacts.challenge_of(request)  # refused before anything is done
    if "password" in request.body and not password:
        raise invalid("Password cannot be empty")
    async with core.db.transaction() as conn:
        signed = await core.signed(conn, request)
    new_email = email if email and email != signed.user["email"] else ""
    new_phone = phone if phone and phone != signed.user["phone"] else ""
    if password or new_email or new_phone:
        _require_second_factor(signed)
    if new_phone and not core.mailer.texts:
        raise AuthError(
            400, "phone_provider_disabled", "Phone changes are disabled: there is no SMS provider"
        )
    hashed = (
        await _new_password(core, request, signed, password, named=bool(email or phone)) if password else ""
    )
    for address in filter(None, (new_email, new_phone)):
        await core.limits.take_mail(address)
    async with core.db.transaction() as conn:
        if hashed:
            await _set_password(core, conn, request, signed, hashed)
        if data:
            await users.merge_metadata(conn, signed.user["id"], data)
        if new_email:
            await _change_email(core, conn, request, signed.user["id"], email=new_email)
        if new_phone:
            await conn.execute(Q.start_phone_change.encode(), {"id": signed.user["id"], "phone": new_phone})
            await recovery.send_phone_change(core, conn, await users.existing(conn, signed.user["id"]))
        await core.audit(conn, "user_modified", signed.user, request)
        return Answer(body=user_object(await users.existing(conn, signed.user["id"])))


def _require_second_factor(signed: Signed) -> None:
    verified = any(factor["status"] == "verified" for factor in signed.user["factors"])
    if verified and signed.aal != "aal2":
        raise AuthError(
            401,
            "insufficient_aal",
            "AAL2 session is required to update email or password when MFA is enabled.",
        )


async def _new_password(
    core: Core, request: AuthRequest, signed: Signed, password: str, *, named: bool
) -> str:
    """The hash of a password that may be set. Raises AuthError; uses up the nonce if one is needed."""
    user = signed.user
    if user["is_anonymous"] and not named and not user["email"] and not user["phone"]:
        raise AuthError(
            422, "validation_failed",
            "Updating password of an anonymous user without an email or phone is not allowed",
        )  # fmt: skip
    if user["is_sso_user"]:
        raise AuthError(422, "user_sso_managed", "The user is managed by single sign-on")
    core.passwords.check(password)
    held, current = user["encrypted_password"], request.text("current_password")
    if held and core.settings.auth_password_current and not current:
        raise AuthError(
            400, "current_password_required", "Current password required when setting new password"
        )
    if held and current:
        async with core.limits.failures((core.limits.rates.code, str(user["id"]))):
            if not await core.passwords.matches(current, held):
                raise AuthError(400, "current_password_invalid", "Current password is invalid")
    if held and await core.passwords.matches(password, held):
        raise AuthError(422, "same_password", "New password should be different from the old password.")
    if core.settings.auth_password_reauthentication:
        await _require_nonce(core, request, signed)
    return await core.passwords.hash(password)


async def _require_nonce(core: Core, request: AuthRequest, signed: Signed) -> None:
    async with core.db.transaction() as conn:
        session = await users.one(conn, sessions.Q.session, id=signed.session_id)
        if session is None:
            raise sessions.session_gone()
        if session["created_at"] > now() - _FRESH:
            return
    nonce, user = request.text("nonce"), signed.user
    if not nonce:
        raise AuthError(400, "reauthentication_needed", "Password update requires reauthentication")
    try:
        async with (
            core.limits.failures((core.limits.rates.code, str(user["id"]))),
            core.db.transaction() as conn,
        ):
            await one_time.take_code(
                core, conn, kinds=[one_time.REAUTHENTICATION], relates_to=user["email"] or user["phone"] or "",
                otp=nonce, user_id=user["id"],
            )  # fmt: skip
    except AuthError as error:
        if error.error_code != "otp_expired":
            raise
        raise AuthError(422, "reauthentication_not_valid", "Nonce has expired or is invalid") from None


async def _set_password(
    core: Core, conn: Connection, request: AuthRequest, signed: Signed, hashed: str
) -> None:
    """Set it, and end every other session: whoever knew the old one is out."""
    await conn.execute(Q.set_password.encode(), {"id": signed.user["id"], "hash": hashed})
    await sessions.end(conn, user_id=signed.user["id"], session_id=signed.session_id, scope="others")
    await one_time.forget(conn, signed.user["id"], one_time.RECOVERY)
    await core.audit(conn, "user_updated_password", signed.user, request)


async def _change_email(
    core: Core, conn: Connection, request: AuthRequest, user_id: uuid.UUID, *, email: str
) -> None:
    """Begin a change of address; where accounts confirm themselves, do it at once."""
    await conn.execute(Q.start_email_change.encode(), {"id": user_id, "email": email})
    if not core.settings.auth_autoconfirm:
        user = await users.existing(conn, user_id)
        challenge = contacts.challenge_of(request)
        await recovery.send_email_change(
            core, conn, user, redirect_to=core.landing(request), challenge=challenge
        )
        return
    try:
        async with conn.transaction():
            await conn.execute(Q.change_email.encode(), {"id": user_id})
    except errors.UniqueViolation:
        raise verify.email_exists() from None
    await users.ensure_email_identity(conn, user_id, email, verified=True)
    await users.merge_metadata(conn, user_id, {"email": email})
