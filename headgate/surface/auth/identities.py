"""The ways in of a signed-in user: adding one at a provider and taking one away. Off unless manual linking is on."""

from __future__ import annotations

import uuid

from headgate.db import Connection, errors
from headgate.db.queries import load
from headgate.surface.auth import oauth, users
from headgate.surface.auth.core import Core
from headgate.surface.auth.errors import AuthError
from headgate.surface.auth.exchange import Answer, AuthRequest
from headgate.surface.auth.users import Row, one

Q = load("headgate.surface.auth", "identities.sql")


def require_manual_linking(core: Core) -> None:
    """Raises AuthError 404 when it is off."""
    if not core.settings.auth_manual_linking:
        raise AuthError(404, "manual_linking_disabled", "Manual linking is disabled")


async def authorize(core: Core, request: AuthRequest) -> Answer:
    """GET /user/identities/authorize?provider=…: to the provider, to come back with one more identity."""
    require_manual_linking(core)
    async with core.db.transaction() as conn:
        signed = await core.signed(conn, request)
    return oauth.went(request, await oauth.begin(core, request, target=signed.user["id"]))


async def delete(core: Core, request: AuthRequest) -> Answer:
    """DELETE /user/identities/{identity_id}: one way in less; the last one stays."""
    require_manual_linking(core)
    async with core.db.transaction() as conn:
        user_id = (await core.signed(conn, request)).user["id"]
        await conn.execute(users.Q.lock_user.encode(), {"id": user_id})
        user = await users.existing(conn, user_id)
        try:
            known = uuid.UUID(request.params["identity_id"])
        except ValueError:
            raise AuthError(404, "validation_failed", "identity_id must be an UUID") from None
        if len(user["identities"]) <= 1:
            told = "User must have at least 1 identity after unlinking"
            raise AuthError(422, "single_identity_not_deletable", told)
        row = await one(conn, Q.delete, id=known, user_id=user_id)
        if row is None:
            raise AuthError(422, "identity_not_found", "Identity doesn't exist")
        await _settle(conn, user, row)
        await users.refresh_providers(conn, user_id)
        await core.audit(
            conn, "identity_unlinked", user, request,
            identity_id=str(known), provider=row["provider"], provider_id=row["provider_id"],
        )  # fmt: skip
    return Answer(body={})


async def _settle(conn: Connection, user: Row, gone: Row) -> None:
    """The user's number or address goes with the identity that it came from, unless another one has it as well.

    Raises AuthError 422 when the address that would take its place is somebody else's.
    """
    if gone["provider"] == "phone":
        await conn.execute(Q.forget_phone.encode(), {"user_id": user["id"]})
        return
    if not user["email"] or (gone["email"] or "") != user["email"]:
        return
    try:
        async with conn.transaction():
            await conn.execute(Q.settle_email.encode(), {"user_id": user["id"]})
    except errors.UniqueViolation:
        told = "Unable to unlink identity due to email conflict"
        raise AuthError(422, "email_conflict_identity_not_deletable", told) from None
