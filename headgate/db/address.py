"""Reads a database URL: what the driver gets, what a person may be told, whether a pooler is in between."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from headgate.base.errors import DatabaseError

TRANSACTION_POOLER_PORT = "6543"  # Supabase's pooler in transaction mode listens there
_OFF = frozenset({"0", "off", "false", "no"})


@dataclass(frozen=True)
class Address:
    """One database, as the driver wants it (`conninfo`, with the password) and as a person may see it
    (`place`).

    `prepare` is False where server-side prepared statements would break, behind a pooler in transaction mode:
    port 6543, `?prepare=off` or `?pgbouncer=true` in the URL.
    """

    conninfo: str = field(repr=False)
    place: str
    prepare: bool


def read(url: str, *, prepare: bool | None = None, dbname: str | None = None) -> Address:
    """Read `url` (a PostgreSQL URL or `key=value` string); `prepare` and `dbname` overrule what it says.

    Raises DatabaseError HG202 if the URL cannot be read; the message never repeats the URL.
    """
    bare, extra = _split_own_parameters(url)
    try:
        parts = conninfo_to_dict(bare)
    except ProgrammingError as error:
        raise DatabaseError(
            f"The database URL cannot be read: {_harmless(str(error))}.",
            code="HG202",
            hint="Write it as postgresql://user:password@host:5432/name and percent-encode special signs.",
        ) from None
    if dbname is not None:
        parts["dbname"] = dbname
    if prepare is None:
        pooled = str(parts.get("port", "")) == TRANSACTION_POOLER_PORT
        prepare = not (pooled or extra.get("prepare") in _OFF or extra.get("pgbouncer") == "true")
        if extra.get("prepare") not in (None, *_OFF):
            prepare = True
    return Address(make_conninfo("", **parts), _place(parts), prepare)


def _harmless(reason: str) -> str:
    """libpq's reason without what it quotes from the URL, which may be the password; option names may stay."""
    if re.match(r"invalid (URI query parameter|connection option)", reason):
        return reason.strip()
    return re.sub(r'"[^"]*"?', "(its text)", reason).strip()


def _split_own_parameters(url: str) -> tuple[str, dict[str, str]]:
    """The URL without the parameters that libpq does not know, and those parameters."""
    if "://" not in url:
        return url, {}
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    own = {key: value.lower() for key, value in query if key in ("prepare", "pgbouncer")}
    if not own:
        return url, {}
    rest = urlencode([pair for pair in query if pair[0] not in own])
    return urlunsplit(parts._replace(query=rest)), own


def _place(parts: Mapping[str, Any]) -> str:
    """`database "x" as "y" at host:port`, from what was given."""
    host = parts.get("host") or parts.get("hostaddr") or "the local socket"
    port = parts.get("port") or 5432
    user = f' as "{parts["user"]}"' if parts.get("user") else ""
    return f'database "{parts.get("dbname") or parts.get("user") or "(default)"}"{user} at {host}:{port}'
