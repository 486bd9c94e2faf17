"""pydantic models of rows, and TypedDicts of what an insert or update may carry."""

from __future__ import annotations

import json
import keyword

from headgate.db.catalog import Column, Table
from headgate.db.codegen.model import (
    Names,
    Source,
    class_name,
    kind_of,
    optional_on_insert,
    python_name,
    split_type,
)

KINDS = {
    "int": "int", "bigint": "int", "float": "float", "numeric": "Decimal", "bool": "bool", "json": "Json",
    "uuid": "uuid.UUID", "date": "datetime.date", "timestamp": "datetime.datetime", "timestamptz": "datetime.datetime",
    "time": "datetime.time", "void": "None", "other": "Any", "record": "dict[str, Any]",
}  # fmt: skip
HEAD = '''"""Rows of the database, made from its catalog by `headgate gen types --lang python`. Do not edit."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any, Literal, NotRequired, Optional, TypeAlias, TypedDict

from pydantic import BaseModel, Field

# On the wire numbers that do not fit a float, dates and times are JSON texts or numbers; pydantic reads both.
Json: TypeAlias = Any
'''


def _type(source: Source, name: str) -> str:
    plain, _, array = split_type(name)
    enum = source.enum(plain)
    shown = (
        f"Literal[{', '.join(json.dumps(label) for label in enum.labels)}]"
        if enum
        else KINDS.get(kind_of(plain), "str")
    )
    return f"list[{shown}]" if array else shown


def _column(source: Source, column: Column) -> str:
    base = column.type if kind_of(split_type(column.type)[0]) != "other" else column.nominal
    shown = _type(source, base)
    return f"Optional[{shown}]" if column.nullable else shown


def _row(source: Source, table: Table, name: str) -> list[str]:
    taken: set[str] = set()
    lines = [f"class {name}(BaseModel):"]
    for c in table.columns.values():
        identifier = python_name(c.name, taken)
        alias = "" if identifier == c.name else f" = Field(alias={json.dumps(c.name)})"
        lines.append(f"    {identifier}: {_column(source, c)}{alias}")
    return lines if len(lines) > 1 else [*lines, "    pass"]


def _written(source: Source, table: Table, name: str, *, update: bool) -> list[str]:
    pairs = []
    for c in table.columns.values():
        if c.generated:
            continue
        shown = _column(source, c)
        pairs.append((c.name, f"NotRequired[{shown}]" if update or optional_on_insert(c) else shown))
    if all(n.isidentifier() and not n.startswith("__") and not keyword.iskeyword(n) for n, _ in pairs):
        body = [f"    {n}: {t}" for n, t in pairs] or ["    pass"]
        return [f"class {name}(TypedDict):", *body]
    listed = ", ".join(f"{json.dumps(n)}: {json.dumps(t)}" for n, t in pairs)
    return [f"{name} = TypedDict({json.dumps(name)}, {{{listed}}})"]


def render(source: Source) -> str:
    """The whole module."""
    parts, names = [HEAD], Names()
    for e in source.enums:
        labels = ", ".join(json.dumps(label) for label in e.labels)
        parts.append(f"{names.of(e.type, class_name(e.schema, e.name))}: TypeAlias = Literal[{labels}]")
    for schema in source.schemas:
        for table in (*source.tables(schema, views=False), *source.tables(schema, views=True)):
            name = names.of((schema, table.name), class_name(schema, table.name))
            parts.append("\n".join(_row(source, table, name)))
            if table.insertable:
                parts.append("\n".join(_written(source, table, f"{name}Insert", update=False)))
            if table.updatable:
                parts.append("\n".join(_written(source, table, f"{name}Update", update=True)))
    return "\n\n\n".join(parts) + "\n"
