"""SQLAlchemy 2 models: classes for tables with a primary key, Table objects for the others and for views.

`Base.metadata.create_all` on an empty database makes the same tables again (without indexes, policies and grants).
"""

from __future__ import annotations

import re

from headgate.db.codegen.model import ACTIONS, Column, Constraint, Source, Table, Type, modifier
from headgate.db.codegen.names import Names, attribute, class_name, docstring, quoted, snake

#: PostgreSQL's name → (SQLAlchemy's type, Python's type).
PLAIN = {
    "bool": ("Boolean()", "bool"), "int2": ("SmallInteger()", "int"), "int4": ("Integer()", "int"),
    "int8": ("BigInteger()", "int"), "float4": ("REAL()", "float"),
    "float8": ("DOUBLE_PRECISION()", "float"), "text": ("Text()", "str"), "uuid": ("UUID()", "uuid.UUID"),
    "date": ("Date()", "dt.date"), "bytea": ("BYTEA()", "bytes"), "json": ("JSON()", "Any"),
    "jsonb": ("JSONB()", "Any"), "inet": ("INET()", "Any"), "cidr": ("CIDR()", "Any"),
    "macaddr": ("MACADDR()", "str"), "macaddr8": ("MACADDR8()", "str"), "money": ("MONEY()", "str"),
    "oid": ("OID()", "int"), "tsvector": ("TSVECTOR()", "str"), "tsquery": ("TSQUERY()", "str"),
    "citext": ("CITEXT()", "str"),
    **{n: (f"{n.upper()}()", "Range[Any]") for n in
       ("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange")},
    **{n: (f"{n.upper()}()", "Any") for n in
       ("int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange", "tstzmultirange")},
}  # fmt: skip
CORE = (
    "BigInteger", "Boolean", "CheckConstraint", "Column", "Computed", "Date", "ForeignKey",
    "ForeignKeyConstraint", "Identity", "Integer", "MetaData", "Numeric", "PrimaryKeyConstraint",
    "Sequence", "SmallInteger", "Table", "Text", "UniqueConstraint", "text",
)  # fmt: skip
DIALECT = (
    "ARRAY", "BIT", "BYTEA", "CHAR", "CIDR", "CITEXT", "DATEMULTIRANGE", "DATERANGE", "DOMAIN",
    "DOUBLE_PRECISION", "ENUM", "INET", "INT4MULTIRANGE", "INT4RANGE", "INT8MULTIRANGE", "INT8RANGE",
    "INTERVAL", "JSON", "JSONB", "MACADDR", "MACADDR8", "MONEY", "NUMMULTIRANGE", "NUMRANGE", "OID", "REAL",
    "Range", "TIME", "TIMESTAMP", "TSMULTIRANGE", "TSQUERY", "TSRANGE", "TSTZMULTIRANGE", "TSTZRANGE",
    "TSVECTOR", "UUID", "VARCHAR",
)  # fmt: skip
OTHER = ("Any", "Base", "Decimal", "DeclarativeBase", "Literal", "Mapped", "Native", "UserDefinedType", "dt",
         "mapped_column", "uuid", "views")  # fmt: skip
RESERVED = frozenset((*CORE, *DIALECT, *OTHER, "metadata", "registry", "type_annotation_map", "list", "str", "int",
                      "float", "bool", "bytes"))  # fmt: skip
NATIVE = '''class Native(UserDefinedType[Any]):
    """A type that SQLAlchemy has no word for; its values pass as the driver gives them."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        """The type in DDL."""
        return self.name'''
BASE = '''class Base(DeclarativeBase):
    """The tables of this module share one metadata."""


views = MetaData()  # apart, so that create_all makes no tables of them'''


def sql(expression: str) -> str:
    """An expression of PostgreSQL as `text(...)`; its colons are no parameters."""
    return f"text({quoted(re.sub(r'(?<!:):(?!:)', lambda _: chr(92) + ':', expression))})"


class _Writer:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.names = Names((*CORE, *DIALECT, *OTHER))
        self.tables = {t.qname for t in source.tables(views=False)}

    def _prefix(self, schema: str) -> tuple[str, ...]:
        return () if schema == self.source.schemas[0] else (schema,)

    def class_of(self, t: Table) -> str:
        """The class or variable of a table."""
        return self.names.of(t.qname, class_name(*self._prefix(t.schema), t.name))

    def variable_of(self, t: Type) -> str:
        """The variable of an enum or domain."""
        return self.names.of((t.kind, t.schema, t.name), snake(*self._prefix(t.schema), t.name) + "_type")

    def type(self, oid: int, declared: str) -> tuple[str, str]:
        """A column's type as (SQLAlchemy's, Python's)."""
        found = self.source.types[oid]
        if found.element is not None:
            inner, python = self.type(found.element, declared.removesuffix("[]"))
            return f"ARRAY({inner})", f"list[{python}]"
        if found.kind == "e" and found.schema in self.source.schemas:
            return self.variable_of(found), "str"
        if found.kind == "d" and found.schema in self.source.schemas and found.base is not None:
            return self.variable_of(found), self.type(found.base, found.declared)[1]
        return self._plain(found, declared)

    @staticmethod
    def _plain(t: Type, declared: str) -> tuple[str, str]:
        numbers = modifier(declared)
        shown = ", ".join(map(str, numbers))
        precision = f"precision={numbers[0]}" if numbers else ""
        zone = "timezone=True"
        sized = {
            "numeric": (f"Numeric({shown})", "Decimal"),
            "varchar": (f"VARCHAR({shown})", "str"),
            "bpchar": (f"CHAR({shown})", "str"),
            "bit": (f"BIT({shown})", "str"),
            "varbit": (f"BIT({shown}, varying=True)" if shown else "BIT(varying=True)", "str"),
            "time": (f"TIME({precision})", "dt.time"),
            "timetz": (f"TIME({', '.join(filter(None, (zone, precision)))})", "dt.time"),
            "timestamp": (f"TIMESTAMP({precision})", "dt.datetime"),
            "timestamptz": (f"TIMESTAMP({', '.join(filter(None, (zone, precision)))})", "dt.datetime"),
            "interval": (f"INTERVAL({precision})", "dt.timedelta"),
        }
        own_words = t.name == "interval" and not re.match(r"interval(\(|$)", declared)
        if t.built_in and not own_words and t.name in sized:
            return sized[t.name]
        if (t.built_in or t.name == "citext") and t.name in PLAIN:
            return PLAIN[t.name]
        return f"Native({quoted(declared)})", "Any"

    def column(self, t: Table, c: Column, name: str) -> str:
        """A column as an attribute of a class."""
        shown, python = self.type(c.type, c.declared)
        options = [quoted(c.name)] if name != c.name else []
        options += [shown, *self._options(t, c)]
        nullable = "" if c.not_null else " | None"
        return f"    {name}: Mapped[{python}{nullable}] = mapped_column({', '.join(options)})"

    def _options(self, t: Table, c: Column) -> list[str]:
        positional, named = [], []
        for k in t.of_kind("f"):
            if k.columns == (c.name,) and self._reachable(k) and k.foreign is not None:
                target = f"{k.foreign.schema}.{k.foreign.name}.{k.foreign_columns[0]}"
                positional.append(f"ForeignKey({quoted(target)}, {self._foreign(k)})")
        if c.identity:
            positional.append(f"Identity(always={c.identity == 'a'})")
        elif t.key is not None and c.name in t.key.columns:
            named.append("autoincrement=False")  # or SQLAlchemy makes a serial of it
        if c.generated:
            positional.append(f"Computed({sql(c.expression or '')}, persisted={c.generated == 's'})")
        elif c.expression is not None:
            named.append(f"server_default={sql(c.expression)}")
        if c.comment:
            named.append(f"comment={quoted(c.comment)}")
        return [*positional, *named]

    def _reachable(self, k: Constraint) -> bool:
        """Whether a key's other side is in this module; a name with a dot cannot be said in SQLAlchemy's strings."""
        return k.foreign in self.tables and not any(
            "." in n for n in (*(k.foreign or ()), *k.foreign_columns)
        )

    @staticmethod
    def _foreign(k: Constraint) -> str:
        options = [f"name={quoted(k.name)}"]
        options += [f"ondelete={quoted(ACTIONS[k.on_delete])}"] if k.on_delete in ACTIONS else []
        options += [f"onupdate={quoted(ACTIONS[k.on_update])}"] if k.on_update in ACTIONS else []
        options += ["deferrable=True"] if k.deferrable else []
        options += ['initially="DEFERRED"'] if k.deferred else []
        return ", ".join(options)

    def arguments(self, t: Table) -> list[str]:
        """The constraints of a table and its options."""
        lines = []
        for k in t.constraints:
            columns, name = ", ".join(map(quoted, k.columns)), f"name={quoted(k.name)}"
            late = (", deferrable=True" if k.deferrable else "") + (
                ', initially="DEFERRED"' if k.deferred else ""
            )
            if k.kind == "p":
                lines.append(f"PrimaryKeyConstraint({columns}, {name}{late})")
            elif k.kind == "u":
                nulls = ", postgresql_nulls_not_distinct=True" if k.nulls_equal else ""
                lines.append(f"UniqueConstraint({columns}, {name}{late}{nulls})")
            elif k.kind == "c" and k.expression is not None:
                lines.append(f"CheckConstraint({sql(k.expression)}, {name})")
            elif k.kind == "f" and len(k.columns) > 1 and self._reachable(k) and k.foreign is not None:
                there = ", ".join(
                    quoted(f"{k.foreign.schema}.{k.foreign.name}.{c}") for c in k.foreign_columns
                )
                lines.append(f"ForeignKeyConstraint([{columns}], [{there}], {self._foreign(k)})")
        return lines

    @staticmethod
    def options(t: Table) -> dict[str, str]:
        """The keyword options of a table."""
        found = {"schema": t.schema}
        if t.partition is not None:
            found["postgresql_partition_by"] = t.partition
        if t.comment:
            found["comment"] = t.comment
        return found

    def mapped(self, t: Table) -> list[str]:
        """A table as a class."""
        lines = [f"class {self.class_of(t)}(Base):"]
        lines += [f"    {docstring(t.comment)}", ""] if t.comment else []
        options = ", ".join(f"{quoted(k)}: {quoted(v)}" for k, v in self.options(t).items())
        lines += [f"    __tablename__ = {quoted(t.name)}", "    __table_args__ = ("]
        lines += [f"        {line}," for line in self.arguments(t)]
        lines += [f"        {{{options}}},", "    )", ""]
        taken: set[str] = set()
        return [*lines, *(self.column(t, c, attribute(c.name, taken, RESERVED)) for c in t.columns)]

    def unmapped(self, t: Table) -> list[str]:
        """A table without a key, or a view, as a Table object."""
        where = "views" if t.is_view else "Base.metadata"
        lines = [f"{self.class_of(t)} = Table(", f"    {quoted(t.name)},", f"    {where},"]
        for c in t.columns:
            options = [quoted(c.name), self.type(c.type, c.declared)[0], *self._options(t, c)]
            lines.append(f"    Column({', '.join(options)}, nullable={not c.not_null}),")
        lines += [f"    {line}," for line in self.arguments(t)]
        return [*lines, *(f"    {k}={quoted(v)}," for k, v in self.options(t).items()), ")"]

    def types(self) -> list[str]:
        """The enums and domains, and the sequences that no identity column owns."""
        lines = []
        for t in self.source.of_kind("e"):
            labels = "".join(f"{quoted(label)}, " for label in t.labels)
            place = f"name={quoted(t.name)}, schema={quoted(t.schema)}, metadata=Base.metadata"
            lines.append(f"{self.variable_of(t)} = ENUM({labels}{place})")
        for t in self.source.of_kind("d"):
            base = self.type(t.base or 0, t.declared)[0]
            options = [quoted(t.name), base, f"schema={quoted(t.schema)}", "metadata=Base.metadata"]
            options += [f"default={sql(t.default)}"] if t.default is not None else []
            options += ["not_null=True"] if t.not_null else []
            options += [f"check={sql(' AND '.join(f'({c})' for c in t.checks))}"] if t.checks else []
            lines.append(f"{self.variable_of(t)} = DOMAIN({', '.join(options)})")
        return lines + [
            f"Sequence({quoted(s.name)}, schema={quoted(s.schema)}, metadata=Base.metadata)"
            for s in self.source.sequences
        ]


def render(source: Source) -> str:
    """The whole module."""
    writer = _Writer(source)
    parts = [BASE]
    types = writer.types()
    parts += ["\n".join(types)] if types else []
    for t in (*source.tables(views=False), *source.tables(views=True)):
        mapped = t.key is not None and not t.is_view
        parts.append("\n".join(writer.mapped(t) if mapped else writer.unmapped(t)))
    body = "\n\n\n".join(parts) + "\n"
    if "Native(" in body:
        body = f"{NATIVE}\n\n\n{body}"
    return _head(body) + body


def _head(body: str) -> str:
    """The imports that a module needs, and no others."""
    used = set(re.findall(r"\w+", re.sub(r'"(?:[^"\\]|\\.)*"', '""', body)))
    core, dialect = ([n for n in names if n in used] for names in (CORE, DIALECT))
    lines = [
        '"""Made from the database\'s catalog by `headgate gen types --lang sqlalchemy`. Do not edit."""',
        "",
    ]
    lines += ["import datetime as dt"] if "dt" in used else []
    lines += ["import uuid"] if "uuid" in used else []
    lines += ["from decimal import Decimal"] if "Decimal" in used else []
    lines += ["from typing import Any"] if "Any" in used else []
    lines += ["", f"from sqlalchemy import {', '.join(core)}"]
    lines += [f"from sqlalchemy.dialects.postgresql import {', '.join(dialect)}"] if dialect else []
    orm = [n for n in ("DeclarativeBase", "Mapped", "mapped_column") if n in used]
    lines.append(f"from sqlalchemy.orm import {', '.join(orm)}")
    lines += ["from sqlalchemy.types import UserDefinedType"] if "Native" in used else []
    return "\n".join([*lines, "", "", ""])
