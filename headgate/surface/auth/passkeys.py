"""Passkeys: making one for the signed-in user, signing in with one, and the list of them.

A challenge is good for five minutes and one attempt, right or wrong. A session opened by a passkey is `aal1`, as on
hosted Supabase.
"""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlsplit

from headgate.base import log
from headgate.db import Connection, Jsonb, errors
from headgate.db.queries import load
from headgate.surface.auth import captcha, ceremonies, sessions, users
from headgate.surface.auth.ceremonies import CeremonyFailed, NewCredential, Party
from headgate.surface.auth.core import Core, Signed
from headgate.surface.auth.errors import AuthError, invalid
from headgate.surface.auth.exchange import Answer, AuthRequest, rfc3339
from headgate.surface.auth.users import Row, one

Q = load("headgate.surface.auth", "passkeys.sql")
CHALLENGE_S = 300
PASSKEYS_MAX = 10
NAME_MAX = 120
_log = log.get(__name__)


def party_of(core: Core) -> Party:
    """Whom the passkeys are for: the settings, else the site's own address."""
    site = urlsplit(core.site_url)
    host = core.settings.auth_passkey_rp_id or site.hostname or "localhost"
    given = [one.strip().rstrip("/") for one in core.settings.auth_passkey_origins.split(",") if one.strip()]
    port = f":{site.port}" if site.port else ""
    return Party(
        id=host,
        name=core.settings.auth_passkey_rp_name or host,
        origins=given or [f"{site.scheme}://{site.hostname}{port}"],
    )


def passkey_object(row: Row) -> dict[str, Any]:
    """A passkey as clients see it."""
    shown = {"id": str(row["id"]), "created_at": rfc3339(row["created_at"])}
    if row["friendly_name"]:
        shown["friendly_name"] = row["friendly_name"]
    if row["last_used_at"] is not None:
        shown["last_used_at"] = rfc3339(row["last_used_at"])
    return shown


async def registration_options(core: Core, request: AuthRequest) -> Answer:
    """POST /passkeys/registration/options: what the browser needs to make a passkey."""
    party = party_of(core)
    async with core.db.transaction() as conn:
        signed = await _manager(core, conn, request)
        held = await of_user(conn, signed.user["id"])
        _room(held)
        user, name = signed.user, signed.user["email"] or signed.user["phone"] or str(signed.user["id"])
        told = (user["raw_user_meta_data"] or {}).get("name")
        options, challenge = ceremonies.registration_options(
            party,
            user=str(user["id"]).encode(),
            name=name,
            display_name=told[:64] if isinstance(told, str) and told else name,
            exclude=[row["credential_id"] for row in held],
        )
        return Answer(body=await _begin(conn, "registration", options, challenge, user_id=user["id"]))


async def registration_verify(core: Core, request: AuthRequest) -> Answer:
    """POST /passkeys/registration/verify: the passkey is kept."""
    async with core.db.transaction() as conn:
        signed = await _manager(core, conn, request)
        challenge, credential = await _answered(conn, request, "registration", user_id=signed.user["id"])
    try:
        made = ceremonies.registered(party_of(core), credential, challenge=challenge)
    except CeremonyFailed as error:
        raise _failed(error) from None
    async with core.db.transaction() as conn:
        await conn.execute(users.Q.lock_user.encode(), {"id": signed.user["id"]})
        _room(await of_user(conn, signed.user["id"]))
        row = await _keep(conn, signed.user["id"], made)
        await core.audit(conn, "passkey_created", signed.user, request, passkey_id=str(row["id"]))
    return Answer(body=passkey_object(row))


async def authentication_options(core: Core, request: AuthRequest) -> Answer:
    """POST /passkeys/authentication/options: what the browser needs to sign in with a passkey."""
    await core.limits.take(core.limits.rates.sign_in, request.ip)
    await captcha.check(core, request)
    options, challenge = ceremonies.authentication_options(party_of(core))
    async with core.db.transaction() as conn:
        await conn.execute(Q.forget_expired.encode())
        return Answer(body=await _begin(conn, "authentication", options, challenge, user_id=None))


async def authentication_verify(core: Core, request: AuthRequest) -> Answer:
    """POST /passkeys/authentication/verify: a session for the passkey's user."""
    await core.limits.take(core.limits.rates.sign_in, request.ip)
    async with core.db.transaction() as conn:
        challenge, credential = await _answered(conn, request, "authentication", user_id=None)
    async with core.db.transaction() as conn:
        try:
            row, user = await _claimed(conn, credential)
            count, backed_up = ceremonies.asserted(
                party_of(core), credential, challenge=challenge,
                public_key=row["public_key"], count=row["sign_count"],
            )  # fmt: skip
        except CeremonyFailed as error:
            raise _failed(error) from None
        _may_sign_in(user)
        await conn.execute(Q.used.encode(), {"id": row["id"], "count": count, "backed_up": backed_up})
        await core.audit(conn, "login", user, request, passkey_id=str(row["id"]))
        return Answer(body=await sessions.open_session(core, conn, user, request, method="passkey"))


async def listed(core: Core, request: AuthRequest) -> Answer:
    """GET /passkeys: the user's passkeys, oldest first."""
    async with core.db.transaction() as conn:
        signed = await core.signed(conn, request)
        return Answer(body=[passkey_object(row) for row in await of_user(conn, signed.user["id"])])


async def rename(core: Core, request: AuthRequest) -> Answer:
    """PATCH /passkeys/{passkey_id} {friendly_name}."""
    async with core.db.transaction() as conn:
        signed = await core.signed(conn, request)
        passkey_id = known_id(request)
        name = request.text("friendly_name").strip()
        if not name:
            raise invalid("friendly_name is required")
        if len(name) > NAME_MAX:
            raise invalid(f"friendly_name must be {NAME_MAX} characters or less")
        row = await one(conn, Q.rename, id=passkey_id, user_id=signed.user["id"], name=name)
        if row is None:
            raise not_found()
        await core.audit(conn, "passkey_updated", signed.user, request, passkey_id=str(row["id"]))
        return Answer(body=passkey_object(row))


async def delete(core: Core, request: AuthRequest) -> Answer:
    """DELETE /passkeys/{passkey_id}."""
    async with core.db.transaction() as conn:
        signed = await _manager(core, conn, request)
        await remove(conn, signed.user["id"], known_id(request))
        passkey = request.params["passkey_id"]
        await core.audit(conn, "passkey_deleted", signed.user, request, passkey_id=passkey)
    return Answer(status=204, body=None)


async def of_user(conn: Connection, user_id: object) -> list[Row]:
    """The passkeys of a user, oldest first."""
    return list(await (await conn.execute(Q.of_user.encode(), {"user_id": user_id})).fetchall())


async def remove(conn: Connection, user_id: object, passkey_id: uuid.UUID) -> None:
    """Delete the user's passkey. Raises AuthError 404."""
    if await one(conn, Q.delete, id=passkey_id, user_id=user_id) is None:
        raise not_found()


def known_id(request: AuthRequest) -> uuid.UUID:
    """The passkey's id in the path. Raises AuthError 404."""
    try:
        return uuid.UUID(request.params["passkey_id"])
    except ValueError:
        raise not_found() from None


def not_found() -> AuthError:
    """No passkey of this user has this id."""
    return AuthError(404, "validation_failed", "Passkey not found")


async def _manager(core: Core, conn: Connection, request: AuthRequest) -> Signed:
    """The signed-in user, who must have given the second factor if they have one."""
    signed = await core.signed(conn, request)
    if signed.user["is_sso_user"]:
        raise AuthError(422, "validation_failed", "SSO users cannot register passkeys")
    if signed.aal != "aal2" and any(one["status"] == "verified" for one in signed.user["factors"]):
        told = "AAL2 session is required to manage passkeys when MFA is enabled"
        raise AuthError(403, "insufficient_aal", told)
    return signed


def _room(held: list[Row]) -> None:
    if len(held) >= PASSKEYS_MAX:
        raise AuthError(422, "too_many_passkeys", "Maximum number of passkeys reached")


async def _begin(
    conn: Connection, kind: str, options: dict[str, Any], challenge: bytes, *, user_id: uuid.UUID | None
) -> dict[str, Any]:
    data = Jsonb({"challenge": ceremonies.encoded(challenge), "rpId": options.get("rpId")})
    values = {"kind": kind, "user_id": user_id, "data": data, "age_s": CHALLENGE_S}
    row = await one(conn, Q.begin, **values)
    assert row is not None  # noqa: S101 - an insert that returns its row
    return {"challenge_id": str(row["id"]), "options": options, "expires_at": int(row["epoch"])}


async def _answered(
    conn: Connection, request: AuthRequest, kind: str, *, user_id: uuid.UUID | None
) -> tuple[bytes, dict[str, Any]]:
    """The challenge that the request answers, used up now, and the credential. Raises AuthError."""
    told = request.text("challenge_id", most=64)
    if not told:
        raise invalid("challenge_id is required")
    credential = request.mapping("credential")
    if not credential:
        raise invalid("credential is required")
    try:
        known = uuid.UUID(told)
    except ValueError:
        raise invalid("challenge_id must be a valid UUID") from None
    row = await one(conn, Q.consume, id=known, kind=kind, user_id=user_id)
    if row is None:
        raise AuthError(400, "webauthn_challenge_not_found", "Challenge not found or already used")
    if row["expired"]:
        raise AuthError(400, "webauthn_challenge_expired", "Challenge has expired")
    try:
        return ceremonies.decoded(row["session_data"].get("challenge")), credential
    except CeremonyFailed as error:
        raise _failed(error) from None


async def _claimed(conn: Connection, credential: dict[str, Any]) -> tuple[Row, Row]:
    """The passkey that an assertion names, locked, and its user. Raises CeremonyFailed, the same for every reason."""
    credential_id, handle = ceremonies.signed_by(credential)
    row = await one(conn, Q.by_credential, credential_id=credential_id)
    user = await users.by_id(conn, row["user_id"]) if row else None
    if row is None or user is None:
        raise CeremonyFailed("no such passkey")
    if handle not in (str(user["id"]).encode(), user["id"].bytes):
        raise CeremonyFailed("the user handle is of somebody else")
    return row, user


def _may_sign_in(user: Row) -> None:
    if user["email"] and user["email_confirmed_at"] is None:
        raise AuthError(403, "email_not_confirmed", "Email not confirmed")
    if user["phone"] and user["phone_confirmed_at"] is None and not user["email"]:
        raise AuthError(403, "phone_not_confirmed", "Phone not confirmed")


def _failed(error: CeremonyFailed) -> AuthError:
    _log.info("auth.passkey_refused", reason=str(error)[:200])
    return AuthError(400, "webauthn_verification_failed", "Credential verification failed")


async def _keep(conn: Connection, user_id: object, made: NewCredential) -> Row:
    values = {
        "user_id": user_id, "credential_id": made.id, "public_key": made.public_key, "aaguid": made.aaguid,
        "count": made.count, "transports": Jsonb(made.transports), "eligible": made.backup_eligible,
        "backed_up": made.backed_up,
    }  # fmt: skip
    try:
        async with conn.transaction():
            row = await one(conn, Q.insert, **values)
    except errors.UniqueViolation:
        raise AuthError(422, "webauthn_credential_exists", "This credential is already registered") from None
    assert row is not None  # noqa: S101 - an insert that returns its row
    return row
