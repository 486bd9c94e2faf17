"""SQLAlchemy 2 classes for tables with a primary key, and Table objects for views and the rest."""

from __future__ import annotations

import json

from headgate.db.catalog import Column, Table
from headgate.db.codegen.model import Names, Source, class_name, kind_of, python_name, split_type

# Kind → (SQLAlchemy's type, Python's type).
KINDS = {
    "int": ("Integer", "int"), "bigint": ("BigInteger", "int"), "float": ("Float", "float"),
    "numeric": ("Numeric", "Decimal"), "bool": ("Boolean", "bool"), "json": ("JSONB", "Any"), "text": ("Text", "str"),
    "uuid": ("Uuid", "uuid.UUID"), "date": ("Date", "datetime.date"), "bytes": ("LargeBinary", "bytes"),
    "timestamp": ("DateTime", "datetime.datetime"), "timestamptz": ("DateTime(timezone=True)", "datetime.datetime"),
    "time": ("Time", "datetime.time"), "interval": ("Interval", "datetime.timedelta"),
}  # fmt: skip
HEAD = '''"""The database's tables, made from its catalog by `headgate gen types --lang sqlalchemy`. Do not edit."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any, Optional

from sqlalchemy import (
    BigInteger, Boolean, Column, Date, DateTime, Enum, Float, ForeignKeyConstraint, Integer, Interval, LargeBinary,
    Numeric, Table, Text, Time, Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType


class Base(DeclarativeBase):
    """The classes of this module share one metadata."""


class Raw(UserDefinedType[Any]):
    """A type that SQLAlchemy has no word for; its values pass as the driver gives them."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        """The type's name in DDL."""
        return self.name
'''


def _types(source: Source, column: Column) -> tuple[str, str]:
    base = column.type if kind_of(split_type(column.type)[0]) != "other" else column.nominal
    plain, _, array = split_type(base)
    if (enum := source.enum(plain)) is not None:
        labels = ", ".join(json.dumps(label) for label in enum.labels)
        shown, python = (
            f"Enum({labels}, name={json.dumps(enum.name)}, schema={json.dumps(enum.schema)})",
            "str",
        )
    else:
        shown, python = KINDS.get(kind_of(plain), (f"Raw({json.dumps(plain)})", "Any"))
    return (f"ARRAY({shown})", f"list[{python}]") if array else (shown, python)


def _foreign_keys(source: Source, table: Table) -> list[str]:
    lines = []
    for r in source.foreign_keys(table):
        if r.foreign_is_view or r.table_is_view:
            continue
        here = json.dumps([a for a, _ in r.columns])
        there = json.dumps([f"{r.foreign.schema}.{r.foreign.name}.{b}" for _, b in r.columns])
        lines.append(f"ForeignKeyConstraint({here}, {there}, name={json.dumps(r.constraint)})")
    return lines


def _class(source: Source, table: Table, name: str) -> list[str]:
    keys = "".join(f"{k}, " for k in _foreign_keys(source, table))
    taken = {"metadata", "registry", "Base"}
    lines = [
        f"class {name}(Base):",
        f"    __tablename__ = {json.dumps(table.name)}",
        f"    __table_args__ = ({keys}{{'schema': {json.dumps(table.schema)}}},)".replace(
            "'schema'", '"schema"'
        ),
        "",
    ]
    for c in table.columns.values():
        shown, python = _types(source, c)
        identifier = python_name(c.name, taken)
        options = [] if identifier == c.name else [json.dumps(c.name)]
        options.append(shown)
        options += ["primary_key=True"] if c.name in table.key else []
        mapped = f"Optional[{python}]" if c.nullable else python
        lines.append(f"    {identifier}: Mapped[{mapped}] = mapped_column({', '.join(options)})")
    return lines


def _plain(source: Source, table: Table, name: str) -> list[str]:
    lines = [f"{name} = Table(", f"    {json.dumps(table.name)},", "    Base.metadata,"]
    lines += [
        f"    Column({json.dumps(c.name)}, {_types(source, c)[0]}, nullable={c.nullable}),"
        for c in table.columns.values()
    ]
    return [*lines, f"    schema={json.dumps(table.schema)},", ")"]


def render(source: Source) -> str:
    """The whole module."""
    parts, names = [HEAD], Names()
    for schema in source.schemas:
        prefix = () if len(source.schemas) == 1 else (schema,)
        for table in (*source.tables(schema, views=False), *source.tables(schema, views=True)):
            name = names.of((schema, table.name), class_name(*prefix, table.name))
            mapped = table.key and not table.is_view
            parts.append("\n".join(_class(source, table, name) if mapped else _plain(source, table, name)))
    return "\n\n\n".join(parts) + "\n"
