"""Second factors and passkeys of any user, for administrators."""

from __future__ import annotations

from headgate.db import Connection
from headgate.surface.auth import admin, mfa, passkeys
from headgate.surface.auth.core import Core
from headgate.surface.auth.errors import invalid
from headgate.surface.auth.exchange import Answer, AuthRequest
from headgate.surface.auth.users import Row, factor_object, one


async def list_factors(core: Core, request: AuthRequest) -> Answer:
    """GET /admin/users/{user_id}/factors: an array, without secrets."""
    core.require_admin(request)
    async with core.db.transaction() as conn:
        user = await admin.find(conn, request)
        return Answer(body=[factor_object(factor) for factor in user["factors"]])


async def update_factor(core: Core, request: AuthRequest) -> Answer:
    """PUT /admin/users/{user_id}/factors/{factor_id} {friendly_name}."""
    core.require_admin(request)
    name = request.text("friendly_name", most=mfa.NAME_MAX).strip()
    if not name:
        raise invalid("friendly_name is required")
    async with core.db.transaction() as conn:
        user, factor = await _factor(conn, request)
        await mfa.rename(conn, factor, name)
        await core.audit(
            conn, "factor_updated", None, request, user_id=str(user["id"]), factor_id=str(factor["id"])
        )
        found = await one(conn, mfa.Q.one, id=factor["id"], user_id=user["id"])
        assert found is not None  # noqa: S101 - locked by this transaction
        return Answer(body=factor_object(found))


async def delete_factor(core: Core, request: AuthRequest) -> Answer:
    """DELETE /admin/users/{user_id}/factors/{factor_id}: the factor as it was."""
    core.require_admin(request)
    async with core.db.transaction() as conn:
        user, factor = await _factor(conn, request)
        await mfa.remove(conn, factor)
        await core.audit(
            conn, "factor_deleted", None, request, user_id=str(user["id"]), factor_id=str(factor["id"])
        )
    return Answer(body=factor_object(factor))


async def _factor(conn: Connection, request: AuthRequest) -> tuple[Row, Row]:
    user = await admin.find(conn, request)
    return user, await mfa.of_user(conn, user, request.params["factor_id"], lock=True)


async def list_passkeys(core: Core, request: AuthRequest) -> Answer:
    """GET /admin/users/{user_id}/passkeys: an array."""
    core.require_admin(request)
    async with core.db.transaction() as conn:
        user = await admin.find(conn, request)
        return Answer(body=[passkeys.passkey_object(row) for row in await passkeys.of_user(conn, user["id"])])


async def delete_passkey(core: Core, request: AuthRequest) -> Answer:
    """DELETE /admin/users/{user_id}/passkeys/{passkey_id}."""
    core.require_admin(request)
    async with core.db.transaction() as conn:
        user = await admin.find(conn, request)
        passkey_id = passkeys.known_id(request)
        await passkeys.remove(conn, user["id"], passkey_id)
        await core.audit(
            conn, "passkey_deleted", None, request, user_id=str(user["id"]), passkey_id=str(passkey_id)
        )
    return Answer(status=204, body=None)
