"""Who belongs to a brand, as an operator arranges it, with the database's own rights. Owners use public.stores_…."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from headgate.base.errors import SettingsError
from headgate.db import Database, errors
from headgate.db.queries import load

Q = load("headgate.apps.stores", "members.sql")
ROLES = ("owner", "admin", "viewer")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


async def listed(db: Database, brand: UUID | None) -> list[dict[str, Any]]:
    """Members and open invitations of one brand or of all: brand, brand_id, who, role, state, since."""
    return await db.fetch_all(Q.listed, {"brand": brand})


async def add(db: Database, brand: UUID, email: str, role: str) -> str:
    """Make the holder of an address a member with this role; where nobody has confirmed it yet, invite it.

    `member` or `invited`. Raises SettingsError HG120 for what is no address, HG122 for the last owner in another role.
    """
    if not _ADDRESS.fullmatch(email) or len(email) > 320:
        raise SettingsError(f"{email!r} is no e-mail address.", code="HG120", hint="Use name@example.com.")
    return str(await _changed(db, Q.add, {"brand": brand, "email": email.lower(), "role": role}))


async def remove(db: Database, brand: UUID, email: str) -> None:
    """End a membership or withdraw an invitation. Raises SettingsError HG120 for nobody, HG122 for the last owner."""
    if not await _changed(db, Q.remove, {"brand": brand, "email": email.lower()}):
        raise SettingsError(f"{email!r} is no member of this brand, and not invited.", code="HG120")


async def _changed(db: Database, query: str, params: dict[str, Any]) -> Any:
    try:
        return await db.fetch_value(query, params)
    except errors.Error as error:
        if error.sqlstate != "PT409":
            raise
        raise SettingsError(
            "This is the last owner of the brand.", code="HG122", hint="Make somebody else an owner first."
        ) from None
