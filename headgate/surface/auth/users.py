"""Users: looking them up, making them, and the object that clients see. Checks no password."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from headgate.base.clock import now
from headgate.db import Connection, Jsonb
from headgate.db.queries import load
from headgate.surface.auth.errors import AuthError, invalid
from headgate.surface.auth.exchange import rfc3339

Row = Mapping[str, Any]
Q = load("headgate.surface.auth", "users.sql")
AUDIENCE = "authenticated"
# The local part and labels of an address as the HTML standard's <input type=email> takes them.
_EMAIL = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
_PHONE = re.compile(r"[1-9][0-9]{1,14}")
MOMENTS = (
    "email_confirmed_at", "phone_confirmed_at", "confirmation_sent_at", "confirmed_at", "recovery_sent_at",
    "email_change_sent_at", "phone_change_sent_at", "reauthentication_sent_at", "invited_at", "last_sign_in_at",
    "banned_until", "deleted_at",
)  # fmt: skip


def valid_email(text: str) -> str:
    """The address in lower case. Raises AuthError 400 when it is none."""
    email = text.strip().lower()
    if len(email) > 255 or not _EMAIL.fullmatch(email):
        raise invalid("Unable to validate email address: invalid format")
    return email


def valid_phone(text: str) -> str:
    """The number's digits, as the table keeps them. Raises AuthError 400 unless it is E.164."""
    phone = re.sub(r"[\s()-]", "", text).removeprefix("+")
    if not _PHONE.fullmatch(phone):
        raise invalid("Invalid phone number format (E.164 required)")
    return phone


async def one(conn: Connection, query: str, **params: Any) -> Row | None:
    """The first row of a query, or None."""
    return await (await conn.execute(query.encode(), params)).fetchone()


async def by_id(conn: Connection, user_id: object) -> Row | None:
    """The user's row with `identities` and `factors` as lists, or None; also when the id is no UUID."""
    try:
        known = uuid.UUID(str(user_id))
    except ValueError:
        return None
    return await one(conn, Q.user_by_id, id=known)


async def by_email(conn: Connection, email: str) -> Row | None:
    """The user with this address (in lower case), not counting those of single sign-on."""
    found = await one(conn, Q.id_by_email, email=email)
    return await by_id(conn, found["id"]) if found else None


async def by_phone(conn: Connection, phone: str) -> Row | None:
    """The user with this number (digits only)."""
    found = await one(conn, Q.id_by_phone, phone=phone)
    return await by_id(conn, found["id"]) if found else None


async def existing(conn: Connection, user_id: object) -> Row:
    """The user who was there a moment ago, as the database has them now. Raises AuthError 404 when they are gone."""
    found = await by_id(conn, user_id)
    if found is None:
        raise AuthError(404, "user_not_found", "User not found")
    return found


async def create(
    conn: Connection,
    *,
    email: str | None = None,
    phone: str | None = None,
    password_hash: str = "",
    user_metadata: Mapping[str, Any] | None = None,
    app_metadata: Mapping[str, Any] | None = None,
    email_confirmed: bool = False,
    phone_confirmed: bool = False,
    is_anonymous: bool = False,
    provider: str | None = None,
    user_id: uuid.UUID | None = None,
    role: str = "authenticated",
) -> Row:
    """A new user with identities for the address and the number that are given.

    `provider` is that of `app_metadata` when it is neither e-mail nor phone; its identity is then the caller's to add.
    Raises psycopg's UniqueViolation when the address or number is taken.
    """
    first = provider or ("email" if email else "phone" if phone else None)
    named = {"provider": first, "providers": [first]} if first else {}
    made = user_id or uuid.uuid4()
    values: dict[str, Any] = {
        "id": made, "aud": AUDIENCE, "role": role, "email": email or None, "phone": phone or None,
        "encrypted_password": password_hash, "email_confirmed": email_confirmed,
        "phone_confirmed": phone_confirmed, "is_anonymous": is_anonymous,
        "app_metadata": Jsonb({**named, **(app_metadata or {})}),
        "user_metadata": Jsonb({
            "sub": str(made), **({"email": email} if email else {}), **({"phone": phone} if phone else {}),
            "email_verified": email_confirmed, "phone_verified": phone_confirmed, **(user_metadata or {}),
        } if first and provider is None else dict(user_metadata or {})),
    }  # fmt: skip
    await conn.execute(Q.insert_user.encode(), values)
    if email and provider is None:
        await ensure_email_identity(conn, made, email, verified=email_confirmed)
    if phone and provider is None:
        await ensure_phone_identity(conn, made, phone, verified=phone_confirmed)
    return await existing(conn, made)


async def ensure_email_identity(conn: Connection, user_id: uuid.UUID, email: str, *, verified: bool) -> None:
    """The identity `email` of a user, with this address."""
    data = {"sub": str(user_id), "email": email, "email_verified": verified, "phone_verified": False}
    await _ensure_identity(conn, user_id, "email", data)


async def ensure_phone_identity(conn: Connection, user_id: uuid.UUID, phone: str, *, verified: bool) -> None:
    """The identity `phone` of a user, with this number."""
    data = {"sub": str(user_id), "phone": phone, "email_verified": False, "phone_verified": verified}
    await _ensure_identity(conn, user_id, "phone", data)


async def _ensure_identity(
    conn: Connection, user_id: uuid.UUID, provider: str, data: Mapping[str, Any]
) -> None:
    await one(
        conn, Q.upsert_identity, provider_id=str(user_id), user_id=user_id, provider=provider, data=Jsonb(data)
    )  # fmt: skip
    await refresh_providers(conn, user_id)


async def refresh_providers(conn: Connection, user_id: uuid.UUID) -> None:
    """Let `app_metadata.providers` list the user's identities; `provider` stays, or is the first of them."""
    found = await one(conn, Q.providers, id=user_id)
    names = list(found["names"]) if found else []
    user = await existing(conn, user_id)
    kept = (user["raw_app_meta_data"] or {}).get("provider")
    first = kept if kept in names else (names[0] if names else kept)
    data = {"provider": first, "providers": names or ([first] if first else [])}
    if first:
        await merge_app_metadata(conn, user_id, data)


async def merge_metadata(conn: Connection, user_id: object, data: Mapping[str, Any]) -> None:
    """Put `data` over `user_metadata`; a null takes its key away."""
    await conn.execute(Q.merge_metadata.encode(), {"id": user_id, "data": Jsonb(dict(data))})


async def merge_app_metadata(conn: Connection, user_id: object, data: Mapping[str, Any]) -> None:
    """Put `data` over `app_metadata`; a null takes its key away."""
    await conn.execute(Q.merge_app_metadata.encode(), {"id": user_id, "data": Jsonb(dict(data))})


async def drop_password(conn: Connection, user: Row) -> None:
    """Let no password open an account whose address nobody has proven yet.

    Whoever chose it may not be whoever will prove the address; they set one of their own then.
    """
    await conn.execute(Q.drop_password.encode(), {"id": user["id"]})


def is_banned(user: Row) -> bool:
    """Whether the user may not sign in at the moment."""
    until = user["banned_until"]
    return until is not None and until > now()


def is_confirmed(user: Row) -> bool:
    """Whether the user's address or number is known to be theirs."""
    return user["email_confirmed_at"] is not None or user["phone_confirmed_at"] is not None


def user_object(user: Row) -> dict[str, Any]:
    """The user as clients see it. Holds no hash and no token."""
    shown: dict[str, Any] = {
        "id": str(user["id"]), "aud": user["aud"] or AUDIENCE, "role": user["role"] or "authenticated",
        "email": user["email"] or "", "phone": user["phone"] or "",
    }  # fmt: skip
    shown |= {name: rfc3339(user[name]) for name in MOMENTS if user[name] is not None}
    if user["email_change"]:
        shown["new_email"] = user["email_change"]
    if user["phone_change"]:
        shown["new_phone"] = user["phone_change"]
    shown["app_metadata"] = user["raw_app_meta_data"] or {}
    shown["user_metadata"] = user["raw_user_meta_data"] or {}
    if user["factors"]:
        shown["factors"] = [factor_object(factor) for factor in user["factors"]]
    shown["identities"] = [identity_object(identity) for identity in user["identities"]]
    shown["created_at"] = _moment(user["created_at"])
    shown["updated_at"] = _moment(user["updated_at"])
    shown["is_anonymous"] = user["is_anonymous"]
    return shown


def identity_object(identity: Mapping[str, Any]) -> dict[str, Any]:
    """An identity as clients see it."""
    shown = {
        "identity_id": str(identity["id"]), "id": identity["provider_id"], "user_id": str(identity["user_id"]),
        "identity_data": identity["identity_data"], "provider": identity["provider"],
        "last_sign_in_at": _moment(identity["last_sign_in_at"]), "created_at": _moment(identity["created_at"]),
        "updated_at": _moment(identity["updated_at"]),
    }  # fmt: skip
    return {**shown, "email": identity["email"]} if identity.get("email") else shown


def factor_object(factor: Mapping[str, Any]) -> dict[str, Any]:
    """A second factor as clients see it, without its secret."""
    shown = {
        "id": str(factor["id"]), "friendly_name": factor["friendly_name"] or "",
        "factor_type": factor["factor_type"], "status": factor["status"],
        "created_at": _moment(factor["created_at"]), "updated_at": _moment(factor["updated_at"]),
    }  # fmt: skip
    if factor.get("phone"):
        shown["phone"] = factor["phone"]
    if factor.get("last_challenged_at"):
        shown["last_challenged_at"] = _moment(factor["last_challenged_at"])
    return shown


def _moment(value: Any) -> str | None:
    """RFC 3339, of a time or of the text that PostgreSQL's JSON has for it."""
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return rfc3339(value if value.tzinfo else value.replace(tzinfo=UTC))
