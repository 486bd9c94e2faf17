"""A join's bindings against the catalog: do table and columns exist, may the caller read them, what do values mean."""

from __future__ import annotations

from typing import Any

from headgate.db import SQL, Connection, Database, errors
from headgate.surface.realtime import policies
from headgate.surface.realtime.config import Asked, JoinError
from headgate.surface.realtime.filters import PATTERNS, Condition
from headgate.surface.realtime.subscriptions import Binding, Group

#: Values are made canonical in the form in which the feed writes them.
_FORM = {"datestyle": "ISO,YMD", "timezone": "UTC", "intervalstyle": "postgres", "bytea_output": "hex"}
_LITERAL = frozenset({"is", "like", "ilike", *PATTERNS})


async def bindings(db: Database, group: Group, asked: tuple[Asked, ...]) -> tuple[Binding, ...]:
    """The bindings of a channel. Raises JoinError with what is wrong."""
    if all(one.table is None for one in asked):
        return tuple(Binding.of(one, ()) for one in asked)
    async with db.as_role(group.claims, settings={**policies.SETTINGS, **_FORM}) as conn:
        return tuple([await _binding(conn, one) for one in asked])


async def _binding(conn: Connection, asked: Asked) -> Binding:
    if asked.table is None or asked.schema is None:
        return Binding.of(asked, asked.conditions)
    rules = await policies.rules(conn, asked.schema, asked.table)
    name = f"{asked.schema}.{asked.table}"
    if not rules.columns:
        raise JoinError(f"Unable to subscribe to changes: table {name} does not exist or may not be read")
    for column in {c.column for c in asked.conditions} | (asked.select or frozenset()):
        if column not in rules.columns:
            raise JoinError(
                f"Unable to subscribe to changes: {name} has no column {column!r} that may be read"
            )
    conditions = [await _canonical(conn, c, rules.types[c.column]) for c in asked.conditions]
    return Binding.of(asked, tuple(conditions))


async def _canonical(conn: Connection, condition: Condition, kind: str) -> Condition:
    """The condition with its values as PostgreSQL writes them."""
    if condition.operator in _LITERAL and condition.operator not in PATTERNS:
        return condition
    if condition.operator in PATTERNS:
        kind = "text"
    query = SQL(
        "select pg_catalog.format('%%s', value::{kind}) as text"
        " from unnest(%s::text[]) with ordinality as t (value, n) order by n"
    )
    try:
        async with conn.transaction():
            cast: Any = query.format(kind=SQL(kind))  # format_type quotes it
            if condition.operator in PATTERNS:
                await conn.execute("select '' operator(pg_catalog.~) %s", [condition.values[0]])
            rows = await (await conn.execute(cast, [list(condition.values)])).fetchall()
    except errors.Error as error:
        raise JoinError(
            f"Unable to subscribe to changes: the filter on {condition.column!r}: {error.diag.message_primary}"
        ) from None
    return condition.with_values(tuple(row["text"] for row in rows))
