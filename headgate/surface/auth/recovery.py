"""Sending codes and links: signing in without a password, forgotten passwords, sending again, reauthentication.

What is asked for an address gets the same answer whether anybody has it, in the same time.
"""

from __future__ import annotations

from headgate.db import Connection, errors
from headgate.surface.auth import captcha, contacts, hooks, one_time, users
from headgate.surface.auth.contacts import Challenge, Contact, Sending
from headgate.surface.auth.core import Core
from headgate.surface.auth.errors import AuthError, invalid
from headgate.surface.auth.exchange import Answer, AuthRequest, evenly
from headgate.surface.auth.users import Row, user_object


async def otp(core: Core, request: AuthRequest) -> Answer:
    """POST /otp and /magiclink. Sends a code (and a link) that signs in; makes the user unless told otherwise."""
    await core.limits.take(core.limits.rates.sign_in, request.ip)
    await captcha.check(core, request)
    contact = contacts.contact_of(core, request)
    if contact is None:
        raise invalid("One of email or phone must be set")
    challenge = contacts.challenge_of(request)
    data, create = request.mapping("data"), request.flag("create_user", default=True)
    await core.limits.take_mail(contact.name)
    async with evenly(), core.db.transaction() as conn:
        user = await contact.find(conn)
        if user is None and not create:
            raise AuthError(422, "otp_disabled", "Signups not allowed for otp")
        if user is None and core.settings.auth_signups:
            user = await _new_user(core, conn, request, contact, data=data)
        if user is not None and not users.is_banned(user):
            await users.drop_password(conn, user)
            await _send_sign_in(
                core, conn, user, contact, redirect_to=core.landing(request), challenge=challenge
            )
            await core.audit(conn, "user_recovery_requested", user, request, provider=contact.provider)
    return Answer(body={})


async def _new_user(
    core: Core, conn: Connection, request: AuthRequest, contact: Contact, *, data: dict[str, object]
) -> Row:
    confirmed = bool(contact.email) and core.settings.auth_autoconfirm
    try:
        async with conn.transaction():
            user = await users.create(
                conn, email=contact.email or None, phone=contact.phone or None, user_metadata=data,
                email_confirmed=confirmed,
            )  # fmt: skip
    except errors.UniqueViolation:
        found = await contact.find(conn)
        if found is None:
            raise
        return found
    await hooks.before_user_created(core, conn, request, user_object(user))
    await core.audit(conn, "user_signedup", user, request, provider=contact.provider)
    return user


async def _send_sign_in(
    core: Core, conn: Connection, user: Row, contact: Contact, *, redirect_to: str, challenge: Challenge
) -> None:
    if contact.phone or not users.is_confirmed(user):
        await contacts.send_confirmation(
            core, conn, user, contact, redirect_to=redirect_to, challenge=challenge
        )
        return
    sending = Sending(
        letter="magic_link",
        kind=one_time.RECOVERY,
        type="magiclink",
        redirect_to=redirect_to,
        challenge=challenge,
    )
    await contacts.send(core, conn, user, contact, sending)


async def recover(core: Core, request: AuthRequest) -> Answer:
    """POST /recover. Sends a link that signs in, so that a new password can be set."""
    await core.limits.take(core.limits.rates.sign_in, request.ip)
    await captcha.check(core, request)
    email = users.valid_email(request.text("email"))
    challenge = contacts.challenge_of(request)
    await core.limits.take_mail(email)
    async with evenly(), core.db.transaction() as conn:
        user = await users.by_email(conn, email)
        if user is not None and not users.is_banned(user):
            await users.drop_password(conn, user)
            sending = Sending(
                letter="recovery", kind=one_time.RECOVERY, type="recovery", redirect_to=core.landing(request),
                challenge=challenge,
            )  # fmt: skip
            await contacts.send(core, conn, user, Contact(email=email), sending)
            await core.audit(conn, "user_recovery_requested", user, request)
    return Answer(body={})


async def resend(core: Core, request: AuthRequest) -> Answer:
    """POST /resend {type: signup|email_change|sms|phone_change}. Sends once more what is waited for."""
    await core.limits.take(core.limits.rates.sign_in, request.ip)
    await captcha.check(core, request)
    kind = request.text("type")
    if kind not in ("signup", "email_change", "sms", "phone_change"):
        raise invalid("Missing one of these types: signup, email_change, sms, phone_change")
    contact = contacts.contact_of(core, request)
    if contact is None or bool(contact.email) != (kind in ("signup", "email_change")):
        raise invalid("Type provided requires an email address" if kind in ("signup", "email_change") else
                      "Type provided requires a phone number")  # fmt: skip
    challenge = contacts.challenge_of(request)
    await core.limits.take_mail(contact.name)
    async with evenly(), core.db.transaction() as conn:
        user = await contact.find(conn)
        if user is not None:
            redirect_to = core.landing(request)
            await _send_again(
                core, conn, user, contact, kind=kind, redirect_to=redirect_to, challenge=challenge
            )
    return Answer(body={})


async def _send_again(
    core: Core,
    conn: Connection,
    user: Row,
    contact: Contact,
    *,
    kind: str,
    redirect_to: str,
    challenge: Challenge,
) -> None:
    if kind in ("signup", "sms"):
        if not users.is_confirmed(user):
            await contacts.send_confirmation(
                core, conn, user, contact, redirect_to=redirect_to, challenge=challenge
            )
    elif kind == "email_change" and user["email_change"]:
        await send_email_change(core, conn, user, redirect_to=redirect_to, challenge=challenge)
    elif kind == "phone_change" and user["phone_change"]:
        await send_phone_change(core, conn, user)


async def send_email_change(
    core: Core, conn: Connection, user: Row, *, redirect_to: str, challenge: Challenge
) -> None:
    """Ask the new address, and the old one if there is one and settings say so, to confirm the change."""
    kinds = [(one_time.CHANGE_NEW, str(user["email_change"]))]
    if core.settings.auth_secure_email_change and user["email"]:
        kinds.append((one_time.CHANGE_CURRENT, str(user["email"])))
    await one_time.forget(conn, user["id"], one_time.CHANGE_NEW, one_time.CHANGE_CURRENT)
    for kind, address in kinds:
        sending = Sending(
            letter="email_change",
            kind=kind,
            type="email_change",
            redirect_to=redirect_to,
            challenge=challenge,
        )
        await contacts.send(core, conn, user, Contact(email=address), sending)


async def send_phone_change(core: Core, conn: Connection, user: Row) -> None:
    """Send the new number a code."""
    sending = Sending(letter="", kind=one_time.PHONE_CHANGE, type="phone_change", redirect_to="")
    await contacts.send(core, conn, user, Contact(phone=user["phone_change"]), sending)


async def reauthenticate(core: Core, request: AuthRequest) -> Answer:
    """GET /reauthenticate. Sends the signed-in user a nonce for setting a new password."""
    async with core.db.transaction() as conn:
        signed = await core.signed(conn, request)
    user = signed.user
    contact = Contact(email=user["email"] or "") if user["email"] else Contact(phone=user["phone"] or "")
    if not contact.name:
        raise invalid("Reauthentication requires the user to have an email or a phone number")
    confirmed = user["email_confirmed_at"] if contact.email else user["phone_confirmed_at"]
    if confirmed is None:
        what = "Email" if contact.email else "Phone"
        raise AuthError(422, f"{what.lower()}_not_confirmed", f"Please verify your {what.lower()} first.")
    if contact.phone and not core.mailer.texts:
        raise AuthError(400, "phone_provider_disabled", "There is no SMS provider")
    await core.limits.take_mail(contact.name)
    async with core.db.transaction() as conn:
        sending = Sending(
            letter="reauthentication", kind=one_time.REAUTHENTICATION, type="reauthentication", redirect_to=""
        )
        await contacts.send(core, conn, user, contact, sending)
        await core.audit(conn, "user_reauthenticate_requested", user, request)
    return Answer(body={})
