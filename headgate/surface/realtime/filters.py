"""Filters of postgres_changes: `column=op.value`, joined by commas, decided on the text of a column as PostgreSQL
writes it. Values are made canonical by PostgreSQL itself when a client joins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

PATTERNS = ("match", "imatch")  # regular expressions are PostgreSQL's to decide
OPERATORS = ("eq", "neq", "lt", "lte", "gt", "gte", "in", "like", "ilike", "is", "isdistinct", *PATTERNS)
_PART = re.compile(rf"(?:^|,)\s*([^=,()]+)=(not\.)?({'|'.join(OPERATORS)})\.")
_NUMBERS = frozenset({"int2", "int4", "int8", "numeric", "float4", "float8", "oid"})
IN_MAX = 100


class FilterError(Exception):
    """The filter cannot be read or does not fit the table."""


@dataclass(frozen=True)
class Condition:
    """One condition. `values` has one text, or several for `in`."""

    column: str
    operator: str
    values: tuple[str, ...]
    negated: bool = False

    def with_values(self, values: tuple[str, ...]) -> Condition:
        """The same with canonical values."""
        return replace(self, values=values)


def read_filter(text: str) -> tuple[Condition, ...]:
    """The conditions of a filter; all must hold. Raises FilterError."""
    heads = [head for head in _PART.finditer(text) if not _inside(text, head.start())]
    if not heads or heads[0].start() != 0:
        raise FilterError("it must look like column=operator.value")
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return tuple(
        _condition(h.group(1).strip().strip('"'), h.group(3), text[h.end() : end], negated=bool(h.group(2)))
        for h, end in zip(heads, ends, strict=True)
    )


def _inside(text: str, at: int) -> bool:
    """Whether a place is between double quotes."""
    return len(re.findall(r'(?<!\\)(?:\\\\)*"', text[:at])) % 2 == 1


def _condition(column: str, operator: str, value: str, *, negated: bool) -> Condition:
    if operator == "in":
        if not (value.startswith("(") and value.endswith(")")):
            raise FilterError("in needs a list in parentheses")
        values = tuple(_items(value[1:-1]))
        if not values or len(values) > IN_MAX:
            raise FilterError(f"in takes 1 to {IN_MAX} values")
        return Condition(column, operator, values, negated)
    if operator == "is" and value.lower() not in ("null", "true", "false", "unknown"):
        raise FilterError("is takes null, true, false or unknown")
    if operator != "is" and len(value) > 1 and value[0] == value[-1] == '"':
        value = next(iter(_items(value)))
    return Condition(column, operator, (value.lower() if operator == "is" else value,), negated)


def _items(text: str) -> list[str]:
    """Values between commas; one in double quotes may hold commas, and backslashes before quotes."""
    found, at = [], 0
    pattern = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"\s*|([^,]*))(,|$)')
    while at <= len(text):
        hit = pattern.match(text, at)
        if hit is None:
            raise FilterError("quotes in the list do not match")
        quoted, plain, comma = hit.groups()
        found.append(re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain.strip())
        at = hit.end()
        if not comma:
            break
    return found


Test = Callable[[Mapping[str, str | None]], bool]


def compile_condition(condition: Condition, kind: str) -> Test:
    """A test of a row's texts by column name; `kind` is the column's type. A missing column fails every test."""
    column, holds = condition.column, _holds(condition, kind)
    negated = condition.negated

    def test(row: Mapping[str, str | None]) -> bool:
        if column not in row:
            return False
        found = holds(row[column])
        return found is not None and found is not negated

    return test


def _holds(condition: Condition, kind: str) -> Callable[[str | None], bool | None]:
    """Three-valued: None is SQL's unknown."""
    operator, value = condition.operator, condition.values[0]
    if operator == "is":
        return _is(value)
    if operator in ("like", "ilike"):
        fold = operator == "ilike"
        pattern = _tokens(value.lower() if fold else value)
        return lambda text: None if text is None else _like(text.lower() if fold else text, pattern)
    if operator in PATTERNS:
        return lambda text: (
            None if text is None else not condition.negated
        )  # decided later, where it is not null
    key = _key(kind)
    wanted = [key(one) for one in condition.values]
    if operator == "in":
        return lambda text: None if text is None else key(text) in wanted
    if operator == "isdistinct":
        return lambda text: text is None or key(text) != wanted[0]
    compare = _COMPARE[operator]
    return lambda text: None if text is None else compare(key(text), wanted[0])


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "neq": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
}


def _is(value: str) -> Callable[[str | None], bool | None]:
    if value in ("null", "unknown"):
        return lambda text: text is None
    letter = value[0]
    return lambda text: text == letter


def _key(kind: str) -> Callable[[str], Any]:
    """What to compare by: numbers as PostgreSQL orders them (NaN above all), times as text without the zone (UTC)."""
    if kind in _NUMBERS:
        return _number
    if kind in ("timestamptz", "timetz"):
        return lambda text: text.removesuffix("+00")
    return lambda text: text


def _number(text: str) -> Any:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return (2, Decimal(0))
    return (2, Decimal(0)) if found.is_nan() else (1, found)


def _tokens(pattern: str) -> list[str | None]:
    """LIKE as characters, `""` for any one, None for any run."""
    found: list[str | None] = []
    escaped = False
    for letter in pattern:
        if escaped or letter not in "%_\\":
            found.append(letter)
            escaped = False
        elif letter == "\\":
            escaped = True
        else:
            found.append(None if letter == "%" else "")
    return found


def _like(text: str, pattern: list[str | None]) -> bool:
    """Matches in text × pattern steps at worst: only the last run is ever tried again."""
    at = place = 0
    run, resume = -1, 0
    while at < len(text):
        token = pattern[place] if place < len(pattern) else "\0end"
        if token is None:
            run, resume = place, at
            place += 1
        elif token == "" or token == text[at]:
            at, place = at + 1, place + 1
        elif run >= 0:
            resume += 1
            at, place = resume, run + 1
        else:
            return False
    return all(token is None for token in pattern[place:])
