"""Users as an administrator sees them: list, make, change, ban, delete. Only for `service_role` and its like."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from headgate.db import Connection, Jsonb, errors
from headgate.db.queries import load
from headgate.surface.auth import sessions, users
from headgate.surface.auth.core import Core
from headgate.surface.auth.errors import AuthError, invalid
from headgate.surface.auth.exchange import Answer, AuthRequest
from headgate.surface.auth.users import Row, one, user_object, valid_email, valid_phone

Q = load("headgate.surface.auth", "admin.sql")
PER_PAGE = 50
PER_PAGE_MAX = 1000
PAGE_MAX = 10_000_000
BAN_MAX_S = 290 * 365.25 * 86_400
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_ROLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_BCRYPT = re.compile(r"\$2[aby]\$(?:0[4-9]|1[0-6])\$[./A-Za-z0-9]{53}")
DUPLICATE = "A user with this email address has already been registered"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an administrator wants of a user; None where nothing was said."""

    email: str | None
    phone: str | None
    password: str | None
    password_hash: str | None
    email_confirm: bool
    phone_confirm: bool
    ban_s: float | None
    role: str | None
    user_metadata: dict[str, Any] | None
    app_metadata: dict[str, Any] | None

    @classmethod
    def of(cls, core: Core, request: AuthRequest) -> Wanted:
        """Read and check the body. Raises AuthError."""
        email, phone = request.text("email").strip(), request.text("phone").strip()
        password = request.text("password")
        kept = request.text("password_hash", most=255)
        if password:
            core.passwords.check(password)
        if kept and password:
            raise invalid("Only a password or a password hash should be provided")
        if kept and not _BCRYPT.fullmatch(kept):
            raise invalid("password_hash must be a bcrypt hash")
        role = request.text("role", most=63)
        if role and not _ROLE.fullmatch(role):
            raise invalid("role must be the name of a role")
        return cls(
            email=valid_email(email) if email else None,
            phone=valid_phone(phone) if phone else None,
            password=password or None,
            password_hash=kept or None,
            email_confirm=request.flag("email_confirm"),
            phone_confirm=request.flag("phone_confirm"),
            ban_s=_ban(request.text("ban_duration", most=64)),
            role=role or None,
            user_metadata=_object(request, "user_metadata"),
            app_metadata=_object(request, "app_metadata"),
        )


def _object(request: AuthRequest, name: str) -> dict[str, Any] | None:
    return None if request.body.get(name) is None else request.mapping(name)


def _ban(text: str) -> float | None:
    """Seconds of a duration such as `24h` or `1h30m`; 0 for `none`. Raises AuthError 400."""
    if not text:
        return None
    if text == "none":
        return 0.0
    pieces = _DURATION.findall(text)
    if "".join(pieces) != text:
        raise invalid(f"invalid format for ban duration: {text!r} is not like 24h, 1h30m or none")
    total = 0.0
    for piece in pieces:
        number = piece.rstrip("nsuµμmh")
        total += float(number) * _UNITS[piece[len(number) :]]
    if total > BAN_MAX_S:
        raise invalid("invalid format for ban duration: it is longer than 290 years")
    return total


async def list_users(core: Core, request: AuthRequest) -> Answer:
    """GET /admin/users?page&per_page&filter: newest first, with `Link` and `X-Total-Count`."""
    core.require_admin(request)
    page = _natural(request, "page", 1, most=PAGE_MAX)
    per_page = min(_natural(request, "per_page", PER_PAGE, most=10**9), PER_PAGE_MAX)
    wanted = request.query.get("filter", "")[:255]
    pattern = re.sub(r"([\\%_])", r"\\\1", wanted.lower())
    values = {
        "limit": per_page,
        "offset": (page - 1) * per_page,
        "filter": f"%{pattern}%" if wanted else None,
    }
    async with core.db.transaction() as conn:
        counted = await one(conn, Q.count, **values)
        rows = await (await conn.execute(Q.page.encode(), values)).fetchall()
        shown = [user_object(await users.existing(conn, row["id"])) for row in rows]
    total = counted["n"] if counted else 0
    headers = _paging(page, per_page, total, wanted)
    return Answer(body={"users": shown, "aud": users.AUDIENCE}, headers=headers)


def _natural(request: AuthRequest, name: str, default: int, *, most: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 12 or not 1 <= int(text) <= most:
        raise invalid(f"Bad Pagination Parameters: {name} is not a number from 1 to {most}")
    return int(text)


def _paging(page: int, per_page: int, total: int, wanted: str) -> dict[str, str]:
    pages = max(1, -(-total // per_page))
    more = {"filter": wanted} if wanted else {}

    def link(number: int, rel: str) -> str:
        # clients read the first parameter as the page
        return f'</admin/users?{urlencode({"page": number, "per_page": per_page, **more})}>; rel="{rel}"'

    links = ([link(page + 1, "next")] if page < pages else []) + [link(pages, "last")]
    return {"Link": ", ".join(links), "X-Total-Count": str(total)}


async def get_user(core: Core, request: AuthRequest) -> Answer:
    """GET /admin/users/{user_id}."""
    core.require_admin(request)
    async with core.db.transaction() as conn:
        return Answer(body=user_object(await find(conn, request)))


async def find(conn: Connection, request: AuthRequest) -> Row:
    """The user of the path. Raises AuthError 404."""
    try:
        known = uuid.UUID(request.params["user_id"])
    except ValueError:
        raise AuthError(404, "validation_failed", "user_id must be an UUID") from None
    user = await users.by_id(conn, known)
    if user is None:
        raise AuthError(404, "user_not_found", "User not found")
    return user


async def create_user(core: Core, request: AuthRequest) -> Answer:
    """POST /admin/users: a user with an address or a number, confirmed or not; no mail is sent."""
    core.require_admin(request)
    wanted = Wanted.of(core, request)
    if wanted.email is None and wanted.phone is None:
        raise invalid("Cannot create a user without either an email or phone")
    hashed = wanted.password_hash or await core.passwords.hash(wanted.password or secrets.token_urlsafe(48))
    user_id = _chosen_id(request)
    try:
        async with core.db.transaction() as conn:
            await _free(conn, wanted, user_id)
            user = await users.create(
                conn, email=wanted.email, phone=wanted.phone, password_hash=hashed,
                user_metadata=wanted.user_metadata, app_metadata=wanted.app_metadata,
                email_confirmed=wanted.email_confirm and wanted.email is not None,
                phone_confirmed=wanted.phone_confirm and wanted.phone is not None,
                user_id=user_id, role=wanted.role or "authenticated",
            )  # fmt: skip
            await _ban_for(conn, user["id"], wanted)
            await core.audit(conn, "user_signedup", None, request, **_traits(user))
            user = await users.existing(conn, user["id"])
    except errors.UniqueViolation:
        raise AuthError(422, "email_exists", DUPLICATE) from None
    return Answer(body=user_object(user))


def _chosen_id(request: AuthRequest) -> uuid.UUID | None:
    text = request.text("id", most=64)
    if not text:
        return None
    try:
        found = uuid.UUID(text)
    except ValueError:
        raise invalid("ID must conform to the uuid v4 format") from None
    if found.int == 0:
        raise invalid("ID cannot be a nil uuid")
    return found


async def _free(conn: Connection, wanted: Wanted, user_id: uuid.UUID | None, *, mine: object = None) -> None:
    """Raises AuthError 422 when the address, the number or the id is somebody's."""
    taken = await one(conn, users.Q.id_by_email, email=wanted.email) if wanted.email else None
    if taken is not None and taken["id"] != mine:
        raise AuthError(422, "email_exists", DUPLICATE)
    taken = await one(conn, users.Q.id_by_phone, phone=wanted.phone) if wanted.phone else None
    if taken is not None and taken["id"] != mine:
        raise AuthError(422, "phone_exists", "Phone number already registered by another user")
    if user_id is not None and await one(conn, Q.any_id, id=user_id) is not None:
        raise AuthError(422, "conflict", "A user with this id exists")


async def update_user(core: Core, request: AuthRequest) -> Answer:
    """PUT /admin/users/{user_id}: change what the body names. A new password ends the user's sessions."""
    core.require_admin(request)
    wanted = Wanted.of(core, request)
    hashed = await core.passwords.hash(wanted.password) if wanted.password else wanted.password_hash
    try:
        async with core.db.transaction() as conn:
            user = await find(conn, request)
            await conn.execute(users.Q.lock_user.encode(), {"id": user["id"]})
            await _free(conn, wanted, None, mine=user["id"])
            await _apply(conn, user, wanted, hashed)
            user = await users.existing(conn, user["id"])
            await core.audit(conn, "user_modified", None, request, **_traits(user))
    except errors.UniqueViolation:
        raise AuthError(422, "email_exists", DUPLICATE) from None
    return Answer(body=user_object(user))


async def _apply(conn: Connection, user: Row, wanted: Wanted, hashed: str | None) -> None:
    user_id = user["id"]
    await conn.execute(Q.update.encode(), {
        "id": user_id, "role": wanted.role, "hash": hashed, "email": wanted.email, "phone": wanted.phone,
        "confirm_email": wanted.email_confirm, "confirm_phone": wanted.phone_confirm,
    })  # fmt: skip
    email, phone = wanted.email or user["email"], wanted.phone or user["phone"]
    if email and (wanted.email or wanted.email_confirm):
        verified = wanted.email_confirm or (wanted.email is None and user["email_confirmed_at"] is not None)
        await users.ensure_email_identity(conn, user_id, email, verified=verified)
    if phone and (wanted.phone or wanted.phone_confirm):
        verified = wanted.phone_confirm or (wanted.phone is None and user["phone_confirmed_at"] is not None)
        await users.ensure_phone_identity(conn, user_id, phone, verified=verified)
    if wanted.user_metadata is not None:
        await users.merge_metadata(conn, user_id, wanted.user_metadata)
    if wanted.app_metadata is not None:
        await users.merge_app_metadata(conn, user_id, wanted.app_metadata)
    if hashed:
        await sessions.end(conn, user_id=user_id, session_id=None, scope="global")
    await _ban_for(conn, user_id, wanted)


async def _ban_for(conn: Connection, user_id: object, wanted: Wanted) -> None:
    if wanted.ban_s is not None:
        await conn.execute(Q.ban.encode(), {"id": user_id, "seconds": wanted.ban_s})


async def delete_user(core: Core, request: AuthRequest) -> Answer:
    """DELETE /admin/users/{user_id} {should_soft_delete}: gone, or kept as a row that says nothing of the person."""
    core.require_admin(request)
    soft = request.flag("should_soft_delete")
    try:
        async with core.db.transaction() as conn:
            user = await find(conn, request)
            await core.audit(conn, "user_deleted", None, request, **_traits(user))
            if soft:
                await _forget(conn, user)
            else:
                await conn.execute(Q.delete.encode(), {"id": user["id"]})
    except errors.ForeignKeyViolation:
        raise AuthError(
            422, "conflict", "Rows of other tables belong to this user; delete them first, or delete softly"
        ) from None
    return Answer(body={})


async def _forget(conn: Connection, user: Row) -> None:
    values = {"id": user["id"], "none": Jsonb({})}
    for query in (
        Q.forget_user,
        Q.forget_identities,
        Q.forget_tokens,
        Q.forget_factors,
        Q.forget_passkeys,
        Q.end,
    ):
        await conn.execute(query.encode(), values)


def _traits(user: Mapping[str, Any]) -> dict[str, str]:
    return {"user_id": str(user["id"]), "user_email": user["email"] or "", "user_phone": user["phone"] or ""}
