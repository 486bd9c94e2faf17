"""Whose account a provider's profile opens: an account that has the identity, one with the same address, or a new one.

An address links only when the provider vouches for it, and only to the account whose own address it is or that has it
from another provider that vouched for it. An account that never proved its address loses every other way in when
somebody proves it: a stranger may have made it.
"""

from __future__ import annotations

import uuid

from headgate.db import Connection, Jsonb
from headgate.db.queries import load
from headgate.surface.auth import users
from headgate.surface.auth.core import Core
from headgate.surface.auth.errors import AuthError
from headgate.surface.auth.exchange import AuthRequest
from headgate.surface.auth.hooks import before_user_created
from headgate.surface.auth.providers import Profile, Provider
from headgate.surface.auth.users import Row, one

Q = load("headgate.surface.auth", "linking.sql")


async def enter(
    core: Core, conn: Connection, request: AuthRequest, provider: Provider, profile: Profile
) -> Row:
    """The account of a profile, found, linked or made. Raises AuthError when there is none to be; nothing is to be
    kept then.
    """
    if not profile.email and not provider.email_optional:
        raise AuthError(422, "validation_failed", "Error getting user email from external provider")
    # Two callbacks of one person at once must not make two accounts.
    for name in sorted({f"{provider.name} {profile.subject}", *(email for email, _ in profile.emails)}):
        await conn.execute(Q.serialise.encode(), {"name": f"headgate auth {name}"})
    known = await one(conn, Q.identity, provider=provider.name, subject=profile.subject)
    if known is not None:
        user = await users.by_id(conn, known["user_id"])
        if user is None:
            raise AuthError(403, "user_banned", "User is banned")  # deleted softly: nobody may come in
        await _refresh(conn, user["id"], provider, profile)
        new = False
    else:
        if profile.email and not profile.verified and not core.settings.auth_autoconfirm:
            raise _unproved(provider)  # no row may hold an address for whom it might not belong to
        owner = await _owner(conn, profile)
        new = owner is None
        user = await _make(core, conn, request, provider, profile) if owner is None else owner
        await _add(conn, user["id"], provider, profile)
        if not new:
            await core.audit(
                conn, "identity_linked", user, request, provider=provider.name, provider_id=profile.subject
            )
    if users.is_banned(user):
        raise AuthError(403, "user_banned", "User is banned")
    return await _confirmed(core, conn, request, provider, profile, user_id=user["id"], new=new)


async def _owner(conn: Connection, profile: Profile) -> Row | None:
    """The account that a vouched-for address of the profile belongs to. Raises AuthError when there are several."""
    vouched = [email for email, verified in profile.emails if verified]
    if not vouched:
        return None
    rows = await (
        await conn.execute(Q.owners.encode(), {"emails": vouched, "primary": profile.email})
    ).fetchall()
    if not rows:
        return None
    if len({row["id"] for row in rows}) > 1 and not rows[0]["primary_of"]:
        raise AuthError(
            409, "conflict", "Multiple accounts with the same email address in the same linking domain"
        )
    return await users.by_id(conn, rows[0]["id"])


async def _make(
    core: Core, conn: Connection, request: AuthRequest, provider: Provider, profile: Profile
) -> Row:
    if not core.settings.auth_signups:
        raise AuthError(422, "signup_disabled", "Signups not allowed for this instance")
    taken = profile.email and await one(conn, users.Q.id_by_email, email=profile.email)
    email = None if taken else profile.email or None  # not vouched for, so it stays with whom it has
    await before_user_created(
        core, conn, request,
        {"email": email or "", "user_metadata": dict(profile.data), "app_metadata": {"provider": provider.name}},
    )  # fmt: skip
    return await users.create(
        conn,
        email=email,
        user_metadata=profile.data,
        email_confirmed=bool(email) and (profile.verified or core.settings.auth_autoconfirm),
        provider=provider.name,
    )


async def _add(conn: Connection, user_id: uuid.UUID, provider: Provider, profile: Profile) -> uuid.UUID:
    values = {
        "user_id": user_id,
        "provider": provider.name,
        "subject": profile.subject,
        "data": Jsonb(dict(profile.data)),
    }
    row = await one(conn, Q.add, **values)
    assert row is not None  # noqa: S101 - an insert that returns its row
    await users.merge_metadata(conn, user_id, profile.data)
    await users.refresh_providers(conn, user_id)
    found: uuid.UUID = row["id"]
    return found


async def _refresh(conn: Connection, user_id: uuid.UUID, provider: Provider, profile: Profile) -> None:
    values = {"provider": provider.name, "subject": profile.subject, "data": Jsonb(dict(profile.data))}
    await conn.execute(Q.refresh.encode(), values)
    await users.merge_metadata(conn, user_id, profile.data)
    await users.refresh_providers(conn, user_id)


async def _confirmed(
    core: Core, conn: Connection, request: AuthRequest, provider: Provider, profile: Profile,
    *, user_id: uuid.UUID, new: bool,
) -> Row:  # fmt: skip
    """Let in who has proved an address, or needs none. Raises AuthError 422 that says how to prove it."""
    user = await users.existing(conn, user_id)
    proved = (user["email"], True) in profile.emails
    if user["email"] and user["email_confirmed_at"] is None and proved:
        await _take_over(conn, user, provider, profile)
        await core.audit(conn, "user_signedup", user, request, provider=provider.name)
        return await users.existing(conn, user_id)
    if users.is_confirmed(user) or (not profile.email and provider.email_optional):
        action = "user_signedup" if new else "login"
        await core.audit(conn, action, user, request, provider=provider.name)
        return user
    raise _unproved(provider)


def _unproved(provider: Provider) -> AuthError:
    told = f"Unverified email with {provider.name}. Verify the email with {provider.name} in order to sign in"
    return AuthError(422, "provider_email_needs_verification", told)


async def _take_over(conn: Connection, user: Row, provider: Provider, profile: Profile) -> None:
    """The address is proved: confirm it, and shut every way in that its maker may have left open."""
    values = {"user_id": user["id"], "provider": provider.name, "subject": profile.subject}
    await conn.execute(Q.forget_password.encode(), values)
    for query in (
        Q.drop_identities,
        Q.drop_sessions,
        Q.drop_factors,
        Q.drop_passkeys,
        Q.drop_one_time_tokens,
    ):
        await conn.execute(query.encode(), values)
    await users.merge_metadata(conn, user["id"], profile.data)
    await users.refresh_providers(conn, user["id"])


async def link(
    core: Core,
    conn: Connection,
    request: AuthRequest,
    provider: Provider,
    profile: Profile,
    *,
    target: uuid.UUID,
) -> Row:
    """Add the profile to an account whose owner asked for it. Raises AuthError 422 when it is somebody's already."""
    await conn.execute(Q.serialise.encode(), {"name": f"headgate auth {provider.name} {profile.subject}"})
    user = await users.by_id(conn, target)
    if user is None:
        raise AuthError(422, "user_not_found", "Linking target user not found")
    if users.is_banned(user):
        raise AuthError(403, "user_banned", "User is banned")
    known = await one(conn, Q.identity, provider=provider.name, subject=profile.subject)
    if known is not None:
        mine = known["user_id"] == user["id"]
        told = "Identity is already linked" if mine else "Identity is already linked to another user"
        raise AuthError(422, "identity_already_exists", told)
    identity = await _add(conn, user["id"], provider, profile)
    await core.audit(
        conn, "identity_linked", user, request,
        identity_id=str(identity), provider=provider.name, provider_id=profile.subject,
    )  # fmt: skip
    if user["is_anonymous"] and not user["email"] and profile.verified:
        taken = await one(conn, users.Q.id_by_email, email=profile.email)
        if taken is not None:
            raise AuthError(422, "email_exists", "A user with this email address has already been registered")
        await conn.execute(Q.becomes_known.encode(), {"user_id": user["id"], "email": profile.email})
    return await users.existing(conn, user["id"])
