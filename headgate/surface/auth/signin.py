"""Signing in by password, going on by refresh token, and logging out."""

from __future__ import annotations

from headgate.surface.auth import captcha, contacts, hooks, sessions, users
from headgate.surface.auth.core import Core
from headgate.surface.auth.errors import AuthError, invalid
from headgate.surface.auth.exchange import Answer, AuthRequest


async def by_password(core: Core, request: AuthRequest) -> Answer:
    """A session for an address or number and its password.

    Unknown users, users without a password and wrong passwords get the same answer after the same work.
    """
    rates = core.limits.rates
    await core.limits.take(rates.sign_in, request.ip)
    await captcha.check(core, request)
    contact = contacts.contact_of(core, request, what="logins")
    password = request.text("password")
    if contact is None:
        raise invalid("missing email or phone")
    counted = ((rates.account, f"{contact.name}\n{request.ip}"), (rates.account_everywhere, contact.name))
    async with core.limits.failures(*counted):
        async with core.db.transaction() as conn:
            user = await contact.find(conn)
        hashed = user["encrypted_password"] if user else None
        right = await core.passwords.matches(password, hashed)
        if user is not None:
            async with core.db.transaction() as conn:
                await hooks.password_attempt(core, conn, request, user_id=user["id"], valid=right)
        if not right or user is None:
            raise AuthError(400, "invalid_credentials", "Invalid login credentials")
    if users.is_banned(user):
        raise AuthError(400, "user_banned", "User is banned")
    known = user["email_confirmed_at"] if contact.email else user["phone_confirmed_at"]
    if known is None:
        what = "Email" if contact.email else "Phone"
        raise AuthError(400, f"{what.lower()}_not_confirmed", f"{what} not confirmed")
    async with core.db.transaction() as conn:
        session = await sessions.open_session(
            core, conn, await users.existing(conn, user["id"]), request, method="password", provider=contact.provider
        )  # fmt: skip
        await core.audit(conn, "login", user, request, provider=contact.provider)
    return Answer(body=session)


async def by_refresh_token(core: Core, request: AuthRequest) -> Answer:
    """The next session object for a refresh token."""
    await core.limits.take(core.limits.rates.refresh, request.ip)
    presented = request.text("refresh_token")
    if not presented:
        raise invalid("refresh_token is required")
    return Answer(body=await sessions.refresh_session(core, request, presented))


async def log_out(core: Core, request: AuthRequest) -> Answer:
    """POST /logout?scope=global|local|others. Refresh tokens of ended sessions end with them."""
    scope = request.query.get("scope") or "global"
    if scope not in ("global", "local", "others"):
        raise invalid(f"Unsupported logout scope {scope!r}")
    async with core.db.transaction() as conn:
        signed = await core.signed(conn, request)
        await sessions.end(conn, user_id=signed.user["id"], session_id=signed.session_id, scope=scope)
        await core.audit(conn, "logout", signed.user, request, scope=scope)
    return Answer(status=204, body=None)
