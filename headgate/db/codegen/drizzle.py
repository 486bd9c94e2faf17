"""Drizzle's table and view declarations for TypeScript."""

from __future__ import annotations

import json
import re

from headgate.db.catalog import Column, Table
from headgate.db.codegen.model import Enum, Names, Source, kind_of, split_type

KINDS = {
    "int": "integer({0})", "bigint": "bigint({0}, {{ mode: 'number' }})", "float": "doublePrecision({0})",
    "numeric": "numeric({0})", "bool": "boolean({0})", "json": "jsonb({0})", "text": "text({0})", "uuid": "uuid({0})",
    "date": "date({0})", "timestamp": "timestamp({0})", "timestamptz": "timestamp({0}, {{ withTimezone: true }})",
    "time": "time({0})", "interval": "interval({0})",
}  # fmt: skip
IMPORTS = (
    "bigint, boolean, customType, date, doublePrecision, foreignKey, integer, interval, jsonb, numeric, pgEnum, "
    "pgSchema, pgTable, pgView, primaryKey, text, time, timestamp, uuid"
)
HEAD = f"""// The database's tables, made from its catalog by `headgate gen types --lang drizzle`. Do not edit.
import {{ {IMPORTS} }} from "drizzle-orm/pg-core"
import type {{ PgTableExtraConfigValue }} from "drizzle-orm/pg-core"

// Types that Drizzle has no word for come and go as text.
const raw = (name: string, type: string) =>
  customType<{{ data: string }}>({{ dataType: () => type }})(name)
"""


def camel(*names: str) -> str:
    """A name in camelCase that is an identifier."""
    words = [w for name in names for w in re.split(r"[^0-9A-Za-z]+", name) if w]
    joined = (
        "".join([words[0][0].lower() + words[0][1:], *(w[0].upper() + w[1:] for w in words[1:])])
        if words
        else "_"
    )
    return f"t{joined}" if joined[0].isdigit() or joined in RESERVED else joined


RESERVED = {"default", "class", "function", "enum", "export", "import", "new", "delete", "in", "case", "package", *(
    IMPORTS.split(", "))}  # fmt: skip


class _Writer:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.many = len(source.schemas) > 1
        self.names = Names()
        for schema in source.schemas:
            self.schema(schema)

    def name(self, schema: str, name: str) -> str:
        """The variable of a table, view or enum."""
        return self.names.of((schema, name), camel(schema, name) if self.many else camel(name))

    def enum_name(self, enum: Enum) -> str:
        """The variable of an enum."""
        wanted = camel(enum.schema, enum.name) if self.many else camel(enum.name)
        return self.names.of(enum.type, wanted + "Enum")

    def schema(self, schema: str) -> str:
        """The variable of a schema other than public."""
        return self.names.of(schema, camel(schema) + "Schema")

    def column(self, c: Column) -> str:
        """A column's type, with its array and null."""
        base = c.type if kind_of(split_type(c.type)[0]) != "other" else c.nominal
        plain, _, array = split_type(base)
        label = json.dumps(c.name)
        if (enum := self.source.enum(plain)) is not None:
            text = f"{self.enum_name(enum)}({label})"
        elif (made := KINDS.get(kind_of(plain))) is not None:
            text = made.format(label).replace("'", '"')
        else:
            text = f"raw({label}, {json.dumps(plain)})"
        text += ".array()" if array else ""
        return text if c.nullable else f"{text}.notNull()"

    def table(self, t: Table) -> list[str]:
        """A table with its keys."""
        maker = "pgTable" if t.schema == "public" else f"{self.schema(t.schema)}.table"
        lines = [f"export const {self.name(t.schema, t.name)} = {maker}({json.dumps(t.name)}, {{"]
        for c in t.columns.values():
            key = ".primaryKey()" if t.key == (c.name,) else ""
            lines.append(f"  {json.dumps(c.name)}: {self.column(c)}{key},")
        constraints = self._constraints(t)
        return (
            [*lines, "}, (table): PgTableExtraConfigValue[] => [", *constraints, "])"]
            if constraints
            else [*lines, "})"]
        )

    def _constraints(self, t: Table) -> list[str]:
        def columns(table: str, names: list[str]) -> str:
            return "[" + ", ".join(f"{table}[{json.dumps(n)}]" for n in names) + "]"

        lines = []
        if len(t.key) > 1:
            lines.append(f"  primaryKey({{ columns: {columns('table', list(t.key))} }}),")
        for r in self.source.foreign_keys(t):
            if r.foreign_is_view:
                continue
            other = "table" if r.self_reference else self.name(r.foreign.schema, r.foreign.name)
            here, there = (
                columns("table", [a for a, _ in r.columns]),
                columns(other, [b for _, b in r.columns]),
            )
            label = json.dumps(r.constraint)
            lines.append(f"  foreignKey({{ name: {label}, columns: {here}, foreignColumns: {there} }}),")
        return lines

    def view(self, t: Table) -> list[str]:
        """A view that is there already."""
        maker = "pgView" if t.schema == "public" else f"{self.schema(t.schema)}.view"
        lines = [f"export const {self.name(t.schema, t.name)} = {maker}({json.dumps(t.name)}, {{"]
        lines += [f"  {json.dumps(c.name)}: {self.column(c)}," for c in t.columns.values()]
        return [*lines, "}).existing()"]


def render(source: Source) -> str:
    """The whole module."""
    writer = _Writer(source)
    lines = [HEAD]
    used = {e.schema for e in source.enums} | set(source.schemas)
    lines += [
        f"export const {writer.schema(s)} = pgSchema({json.dumps(s)})" for s in sorted(used) if s != "public"
    ]
    for e in source.enums:
        maker = "pgEnum" if e.schema == "public" else f"{writer.schema(e.schema)}.enum"
        lines.append(
            f"export const {writer.enum_name(e)} = {maker}({json.dumps(e.name)}, {json.dumps(list(e.labels))})"
        )
    tables = [t for s in source.schemas for t in source.tables(s, views=False)]
    views = [t for s in source.schemas for t in source.tables(s, views=True)]
    for t in tables:
        lines += ["", *writer.table(t)]
    for t in views:
        lines += ["", *writer.view(t)]
    return "\n".join(lines) + "\n"
