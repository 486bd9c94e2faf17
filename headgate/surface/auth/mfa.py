"""Second factors: enrolling an authenticator application, asking for its code, and the session that has given it.

A right code raises the session to `aal2`, ends the user's sessions that stayed below, and is never right again. Phone
and WebAuthn factors are refused by name: there is no provider for messages, and passkeys are a way in of their own.
"""

from __future__ import annotations

import time
import uuid
from typing import Any
from urllib.parse import urlsplit

from headgate.db import Connection, errors
from headgate.db.queries import load
from headgate.surface.auth import sessions, totp, users
from headgate.surface.auth.core import Core, Signed
from headgate.surface.auth.errors import AuthError, invalid
from headgate.surface.auth.exchange import Answer, AuthRequest, known_ip
from headgate.surface.auth.users import Row, one

Q = load("headgate.surface.auth", "mfa.sql")
CHALLENGE_S = 300
ENROL_S = 24 * 3600  # an enrolment that nobody finished is forgotten
FACTORS_MAX = 10
NAME_MAX = 120
#: Wrong codes of one factor within a quarter of an hour before further ones are not even looked at.
WRONG_MAX = 10
WRONG_WINDOW_S = 900
_NO_IP = "0.0.0.0"  # noqa: S104 - the table wants an address; this one is nobody's


async def enroll(core: Core, request: AuthRequest) -> Answer:
    """POST /factors: a new factor, `unverified` until its first code. Tells its secret once."""
    kind = request.text("factor_type")
    name = request.text("friendly_name", most=NAME_MAX).strip()
    issuer = request.text("issuer", most=NAME_MAX)
    async with core.db.transaction() as conn:
        signed = await core.signed(conn, request)
        _refuse_other_kinds(kind)
        await conn.execute(users.Q.lock_user.encode(), {"id": signed.user["id"]})
        await conn.execute(Q.forget_stale.encode(), {"user_id": signed.user["id"], "age_s": ENROL_S})
        await _room(conn, signed, name)
        secret, factor = totp.new_secret(), uuid.uuid4()
        values = {"id": factor, "user_id": signed.user["id"], "name": name, "secret": secret}
        await conn.execute(Q.insert.encode(), values)
        await core.audit(
            conn, "factor_in_progress", signed.user, request, factor_id=str(factor), factor_type="totp"
        )
    account = signed.user["email"] or signed.user["phone"] or str(signed.user["id"])
    address = totp.uri(
        secret, account=account, issuer=issuer or urlsplit(core.site_url).hostname or "headgate"
    )
    return Answer(body={
        "id": str(factor), "type": "totp", "friendly_name": name,
        "totp": {"qr_code": totp.qr_svg(address), "secret": secret, "uri": address},
    })  # fmt: skip


def _refuse_other_kinds(kind: str) -> None:
    if kind == "phone":
        raise AuthError(422, "mfa_phone_enroll_not_enabled", "MFA enroll is disabled for Phone")
    if kind == "webauthn":
        raise AuthError(422, "mfa_webauthn_enroll_not_enabled", "MFA enroll is disabled for WebAuthn")
    if kind != "totp":
        raise invalid("factor_type needs to be totp, phone, or webauthn")


async def _room(conn: Connection, signed: Signed, name: str) -> None:
    """Raises AuthError unless the user may have one more factor of this name."""
    listed = [
        dict(row)
        for row in await (await conn.execute(Q.of_user.encode(), {"user_id": signed.user["id"]})).fetchall()
    ]
    if name and any(row["friendly_name"] == name for row in listed):
        raise AuthError(
            422,
            "mfa_factor_name_conflict",
            f'A factor with the friendly name "{name}" for this user already exists',
        )
    if len(listed) >= FACTORS_MAX:
        raise AuthError(
            422,
            "too_many_enrolled_mfa_factors",
            "Maximum number of verified factors reached, unenroll to continue",
        )
    if signed.aal == "aal1" and any(row["status"] == "verified" for row in listed):
        raise AuthError(403, "insufficient_aal", "AAL2 required to enroll a new factor")


async def challenge(core: Core, request: AuthRequest) -> Answer:
    """POST /factors/{factor_id}/challenge: a challenge that one code within five minutes answers."""
    async with core.db.transaction() as conn:
        signed = await core.signed(conn, request)
        factor = await _factor(conn, request, signed.user)
        made = uuid.uuid4()
        values = {"id": made, "factor_id": factor["id"], "ip": known_ip(request.ip) or _NO_IP}
        await conn.execute(Q.forget_challenges.encode(), {"factor_id": factor["id"]})
        row = await one(conn, Q.insert_challenge, **values)
        await core.audit(
            conn,
            "challenge_created",
            signed.user,
            request,
            factor_id=str(factor["id"]),
            factor_status=factor["status"],
        )
    begun = row["epoch"] if row else time.time()
    return Answer(body={"id": str(made), "type": "totp", "expires_at": int(begun) + CHALLENGE_S})


async def verify(core: Core, request: AuthRequest) -> Answer:
    """POST /factors/{factor_id}/verify: the session with fresh tokens at `aal2`."""
    code = request.text("code", most=32).strip()
    async with core.db.transaction() as conn:
        signed = await core.signed(conn, request)
        factor = await _factor(conn, request, signed.user, lock=True)
        if not code:
            raise invalid("Code needs to be non-empty")
        asked = await _challenge(conn, factor, request)
        refused = await _judge(conn, factor, asked, code)
        if refused is None:
            answer = await _raise(core, conn, signed, factor, request, challenge_id=asked["id"])
    # outside, so that what was noted about a wrong code is kept
    if refused is not None:
        raise refused
    return Answer(body=answer)


async def _judge(conn: Connection, factor: Row, asked: Row, code: str) -> AuthError | None:
    """Note the attempt; None when the code is right, for the first time, and not one guess of too many."""
    window = {"factor_id": factor["id"], "window_s": WRONG_WINDOW_S}
    tried = await one(conn, Q.wrong_codes, **window)
    if tried is not None and tried["n"] >= WRONG_MAX:
        return AuthError(429, "over_request_rate_limit", "Too many wrong codes; wait a quarter of an hour")
    step = totp.step_of(factor["secret"] or "", code)
    last = await one(conn, Q.last_step, factor_id=factor["id"])
    if step is None or (last is not None and last["step"] is not None and step <= last["step"]):
        await conn.execute(
            Q.note_wrong.encode(), {"id": uuid.uuid4(), "factor_id": factor["id"], "ip": asked["ip_address"]}
        )
        return AuthError(422, "mfa_verification_failed", "Invalid TOTP code entered")
    await conn.execute(Q.note_right.encode(), {"id": asked["id"], "step": f"step:{step}"})
    return None


async def _raise(
    core: Core,
    conn: Connection,
    signed: Signed,
    factor: Row,
    request: AuthRequest,
    *,
    challenge_id: uuid.UUID,
) -> dict[str, Any]:
    user_id = signed.user["id"]
    await conn.execute(Q.set_verified.encode(), {"id": factor["id"]})
    await sessions.raise_aal(conn, signed.session_id, aal="aal2", factor_id=factor["id"], method="totp")
    await conn.execute(Q.end_lower_sessions.encode(), {"user_id": user_id})
    await conn.execute(Q.forget_unverified.encode(), {"user_id": user_id, "kind": factor["factor_type"]})
    await core.audit(
        conn, "verification_attempted", signed.user, request,
        factor_id=str(factor["id"]), challenge_id=str(challenge_id), factor_type=factor["factor_type"],
    )  # fmt: skip
    return await sessions.renew(core, conn, await users.existing(conn, user_id), signed.session_id)


async def _challenge(conn: Connection, factor: Row, request: AuthRequest) -> Row:
    try:
        known = uuid.UUID(request.text("challenge_id", most=64))
    except ValueError:
        raise invalid("challenge_id must be an UUID") from None
    found = await one(conn, Q.challenge, id=known, factor_id=factor["id"], age_s=CHALLENGE_S)
    if found is None or found["otp_code"] is not None:
        raise AuthError(422, "mfa_factor_not_found", "MFA factor with the provided challenge ID not found")
    if found["verified_at"] is not None or str(found["ip_address"]).partition("/")[0] != (
        known_ip(request.ip) or _NO_IP
    ):
        raise AuthError(422, "mfa_ip_address_mismatch", "Challenge and verify IP addresses mismatch.")
    if found["expired"]:
        told = (
            f"MFA challenge {known} has expired, verify against another challenge or create a new challenge."
        )
        raise AuthError(422, "mfa_challenge_expired", told)
    return found


async def unenroll(core: Core, request: AuthRequest) -> Answer:
    """DELETE /factors/{factor_id}: the factor is gone, and sessions raised by it are at `aal1` again."""
    async with core.db.transaction() as conn:
        signed = await core.signed(conn, request)
        factor = await _factor(conn, request, signed.user, lock=True)
        if factor["status"] == "verified" and signed.aal != "aal2":
            raise AuthError(422, "insufficient_aal", "AAL2 required to unenroll verified factor")
        await remove(conn, factor)
        await core.audit(
            conn, "factor_unenrolled", signed.user, request,
            factor_id=str(factor["id"]), factor_status=factor["status"],
        )  # fmt: skip
    return Answer(body={"id": str(factor["id"])})


async def remove(conn: Connection, factor: Row) -> None:
    """Take a factor away; sessions that it raised fall back to `aal1`."""
    await conn.execute(Q.delete.encode(), {"id": factor["id"]})
    if factor["status"] == "verified":
        await conn.execute(Q.lower_sessions.encode(), {"id": factor["id"]})


async def of_user(conn: Connection, user: Row, factor_id: str, *, lock: bool = False) -> Row:
    """The user's factor by its id. Raises AuthError 404."""
    try:
        known = uuid.UUID(factor_id)
    except ValueError:
        raise AuthError(404, "validation_failed", "factor_id must be an UUID") from None
    found = await one(conn, Q.lock if lock else Q.one, id=known, user_id=user["id"])
    if found is None:
        raise AuthError(404, "mfa_factor_not_found", "Factor not found")
    return found


async def _factor(conn: Connection, request: AuthRequest, user: Row, *, lock: bool = False) -> Row:
    return await of_user(conn, user, request.params["factor_id"], lock=lock)


async def rename(conn: Connection, factor: Row, name: str) -> None:
    """Give a factor another name. Raises AuthError 422 when the user has one of that name."""
    try:
        async with conn.transaction():
            await conn.execute(Q.rename.encode(), {"id": factor["id"], "name": name})
    except errors.UniqueViolation:
        raise AuthError(
            422,
            "mfa_factor_name_conflict",
            f'A factor with the friendly name "{name}" for this user already exists',
        ) from None
