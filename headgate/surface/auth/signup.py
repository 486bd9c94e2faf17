"""Making an account: by e-mail or telephone with a password, or anonymous."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from headgate.base.clock import now
from headgate.db import Connection, errors
from headgate.surface.auth import captcha, contacts, hooks, sessions, users
from headgate.surface.auth.contacts import Challenge, Contact
from headgate.surface.auth.core import Core
from headgate.surface.auth.errors import AuthError, invalid
from headgate.surface.auth.exchange import Answer, AuthRequest
from headgate.surface.auth.users import Row, user_object


async def sign_up(core: Core, request: AuthRequest) -> Answer:
    """POST /signup. A session when accounts need no confirmation, else the user.

    An address that is taken gets the same answer as a new one (unless accounts confirm themselves, where hiding it
    would be in vain).
    """
    await core.limits.take(core.limits.rates.sign_in, request.ip)
    await captcha.check(core, request)
    if not core.settings.auth_signups:
        raise AuthError(422, "signup_disabled", "Signups not allowed for this instance")
    contact = contacts.contact_of(core, request, what="signups")
    if contact is None:
        return await _anonymous(core, request)
    password = request.text("password")
    if not password:
        raise invalid("Signup requires a valid password")
    core.passwords.check(password)
    challenge = contacts.challenge_of(request)
    data = request.mapping("data")
    if contact.phone or not core.settings.auth_autoconfirm:
        await core.limits.take_mail(contact.name)
    wanted = _Wanted(contact, await core.passwords.hash(password), await _same(core, contact, password), data)
    try:
        async with core.db.transaction() as conn:
            return await _account(core, conn, request, wanted, challenge)
    except errors.UniqueViolation:  # somebody else took it in the meantime
        async with core.db.transaction() as conn:
            return await _account(core, conn, request, wanted, challenge)


@dataclass(frozen=True)
class _Wanted:
    """The account that is asked for. `same`: an account that waits for confirmation has this password already."""

    contact: Contact
    hashed: str
    same: bool
    data: dict[str, Any]


async def _same(core: Core, contact: Contact, password: str) -> bool:
    """Whether a user who is not confirmed has this password; the work is the same for whoever has the address."""
    async with core.db.transaction() as conn:
        user = await contact.find(conn)
    waiting = user is not None and not users.is_confirmed(user)
    return await core.passwords.matches(password, user["encrypted_password"] if user and waiting else None)


async def _account(
    core: Core, conn: Connection, request: AuthRequest, wanted: _Wanted, challenge: Challenge
) -> Answer:
    contact, data = wanted.contact, wanted.data
    confirmed = bool(contact.email) and core.settings.auth_autoconfirm
    user = await contact.find(conn)
    if user is not None:
        await core.audit(conn, "user_repeated_signup", user, request, provider=contact.provider)
        if confirmed:
            raise AuthError(422, "user_already_exists", "User already registered")
        if not users.is_confirmed(user):
            if not wanted.same:
                await users.drop_password(conn, user)
            redirect_to = core.landing(request)
            await contacts.send_confirmation(
                core, conn, user, contact, redirect_to=redirect_to, challenge=challenge
            )
        return Answer(body=_pretended(contact, data))
    user = await users.create(
        conn, email=contact.email or None, phone=contact.phone or None, password_hash=wanted.hashed, user_metadata=data,
        email_confirmed=confirmed,
    )  # fmt: skip
    await hooks.before_user_created(core, conn, request, user_object(user))
    await core.audit(conn, "user_signedup", user, request, provider=contact.provider)
    if confirmed:
        session = await sessions.open_session(core, conn, user, request, method="password", provider="email")
        await core.audit(conn, "login", user, request, provider="email")
        return Answer(body=session)
    await contacts.send_confirmation(
        core, conn, user, contact, redirect_to=core.landing(request), challenge=challenge
    )
    return Answer(body=user_object(await users.existing(conn, user["id"])))


async def _anonymous(core: Core, request: AuthRequest) -> Answer:
    if not core.settings.auth_anonymous_users:
        raise AuthError(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
    async with core.db.transaction() as conn:
        user = await users.create(conn, user_metadata=request.mapping("data"), is_anonymous=True)
        await hooks.before_user_created(core, conn, request, user_object(user))
        await core.audit(conn, "user_signedup", user, request, provider="anonymous")
        return Answer(body=await sessions.open_session(core, conn, user, request, method="anonymous"))


def _pretended(contact: Contact, data: dict[str, Any]) -> dict[str, Any]:
    """What a new user with this contact would look like; nobody has this id."""
    made, moment = uuid.uuid4(), now()
    known: dict[str, Any] = {"email": contact.email} if contact.email else {"phone": contact.phone}
    checked = {"email_verified": False, "phone_verified": False}
    identity = {
        "id": uuid.uuid4(), "provider_id": str(made), "user_id": made, "provider": contact.provider,
        "identity_data": {"sub": str(made), **known, **checked}, "last_sign_in_at": moment, "created_at": moment,
        "updated_at": moment, "email": contact.email or None,
    }  # fmt: skip
    row: Row = {
        "id": made, "aud": users.AUDIENCE, "role": "authenticated", "email": contact.email, "phone": contact.phone,
        **dict.fromkeys(users.MOMENTS), "confirmation_sent_at": moment, "email_change": "", "phone_change": "",
        "raw_app_meta_data": {"provider": contact.provider, "providers": [contact.provider]},
        "raw_user_meta_data": {"sub": str(made), **known, **checked, **data},
        "factors": [], "identities": [identity], "created_at": moment, "updated_at": moment, "is_anonymous": False,
    }  # fmt: skip
    return user_object(row)
