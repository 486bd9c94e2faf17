"""`price_gte=100&order=price.asc`: suffix filters and ordering over columns that an endpoint allows by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from headgate.apps.tickets.api_errors import invalid
from headgate.db import SQL, Composed, Identifier, Placeholder

_OPERATORS = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "like",
    "in": "in",
}
_MAX_IN = 100
_MAX_TEXT = 200


def _integer(text: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _number(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError from error
    if not math.isfinite(value) or abs(value) > 10**15:
        raise ValueError
    return value


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _text(text: str) -> str:
    if len(text) > _MAX_TEXT or "\x00" in text:
        raise ValueError
    return text


def _time(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "integer": (_integer, "a whole number"),
    "number": (_number, "a number"),
    "boolean": (_boolean, "true or false"),
    "text": (_text, f"text of at most {_MAX_TEXT} characters"),
    "date": (date.fromisoformat, "a date (YYYY-MM-DD)"),
    "time": (_time, "a time (ISO 8601)"),
}

Columns = Mapping[str, str]


@dataclass(frozen=True)
class Narrowing:
    """SQL to append after `from …`: a where clause and an order, with their parameters."""

    where: Composed
    order: Composed
    params: dict[str, Any]


def narrow(
    query: Iterable[tuple[str, str]], columns: Columns, *, known: frozenset[str], order: str
) -> Narrowing:
    """Read the filters among `query` (name, value pairs) and the ordering.

    `columns` maps what may be filtered to a kind of `READERS`; `known` are the endpoint's other parameters, which
    are left alone; `order` is the default, `column.asc|desc` with commas. Raises VALIDATION_ERROR naming the rest.
    """
    params: dict[str, Any] = {}
    clauses: list[Composed] = []
    for name, value in query:
        if name == "order":
            order = value
        elif name not in known:
            clauses.append(_clause(name, value, columns, params))
    where = SQL("where ") + SQL(" and ").join(clauses) if clauses else Composed([])
    return Narrowing(where, _order(order, columns), params)


def _clause(name: str, value: str, columns: Columns, params: dict[str, Any]) -> Composed:
    column, _, operator = name.rpartition("_")
    if column not in columns or operator not in _OPERATORS:
        raise invalid(
            f"There is no parameter {name[:80]!r} here.",
            parameter=name[:80],
            columns=sorted(columns),
            suffixes=[f"_{word}" for word in _OPERATORS],
        )
    kind = columns[column]
    slot = f"f{len(params)}"
    if operator == "like":
        if kind != "text":
            raise invalid(f"{name}: only text columns can be compared by pattern.", parameter=name)
        params[slot] = _read(name, "text", value)
        return SQL("{}::text ilike {}").format(Identifier(column), Placeholder(slot))
    if operator == "in":
        words = value.split(",")
        if len(words) > _MAX_IN:
            raise invalid(f"{name}: at most {_MAX_IN} values.", parameter=name)
        params[slot] = [_read(name, kind, word.strip()) for word in words]
        return SQL("{} = any({})").format(Identifier(column), Placeholder(slot))
    params[slot] = _read(name, kind, value)
    return SQL("{} {} {}").format(Identifier(column), SQL(_OPERATORS[operator]), Placeholder(slot))


def _read(name: str, kind: str, value: str) -> Any:
    reader, wanted = READERS[kind]
    try:
        return reader(value)
    except (ValueError, KeyError, OverflowError) as error:
        raise invalid(f"{name}: {value[:80]!r} is not {wanted}.", parameter=name) from error


def _order(text: str, columns: Columns) -> Composed:
    terms: list[Composed] = []
    for term in text.split(","):
        column, _, direction = term.strip().partition(".")
        if column not in columns or direction not in {"", "asc", "desc"}:
            raise invalid(
                f"order: {term[:80]!r} is not column.asc or column.desc.",
                parameter="order",
                columns=sorted(columns),
            )
        terms.append(
            SQL("{} {} nulls last").format(Identifier(column), SQL("desc" if direction == "desc" else "asc"))
        )
    return SQL("order by ") + SQL(", ").join(terms)


def documented(columns: Columns) -> list[dict[str, Any]]:
    """The OpenAPI parameters of the filters, for `openapi_extra`."""
    schemas: dict[str, dict[str, Any]] = {
        "integer": {"type": "integer"},
        "number": {"type": "number"},
        "boolean": {"type": "boolean"},
        "text": {"type": "string", "maxLength": _MAX_TEXT},
        "date": {"type": "string", "format": "date"},
        "time": {"type": "string", "format": "date-time"},
    }
    found: list[dict[str, Any]] = []
    for column, kind in columns.items():
        for operator, sign in _OPERATORS.items():
            if operator == "like" and kind != "text":
                continue
            schema = {"type": "string"} if operator == "in" else schemas[kind]
            found.append(
                {
                    "name": f"{column}_{operator}",
                    "in": "query",
                    "required": False,
                    "schema": schema,
                    "description": f"`{column}` {sign} the value"
                    + (" (commas between)" if operator == "in" else ""),
                }
            )
    return found
