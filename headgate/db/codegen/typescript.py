"""`Database` for supabase-js: the shape that `supabase gen types` prints, with the helper types beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from headgate.db.catalog import QName
from headgate.db.codegen.model import Column, Function, Source, Table, Type
from headgate.db.codegen.names import jsdoc, quoted

NUMBERS = ("int2", "int4", "int8", "float4", "float8", "numeric", "oid")
TEXTS = (
    "text", "varchar", "bpchar", "char", "name", "citext", "uuid", "date", "time", "timetz", "timestamp",
    "timestamptz", "interval", "bytea", "inet", "cidr", "macaddr", "macaddr8", "money", "tsvector",
    "tsquery", "xml", "bit", "varbit", "vector", "regclass", "regproc", "regtype", "pg_lsn", "jsonpath",
    "xid", "point", "line", "lseg", "box", "path", "polygon", "circle",
)  # fmt: skip
PSEUDO = {"void": "undefined", "record": "Record<string, unknown>"}
NONE = "[_ in never]: never"
HEAD = """// Made from the database's catalog by `headgate gen types --lang typescript`. Do not edit.

export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]
"""
HELPER = """
export type {name}<
  NameOrSchema extends keyof {all}<{default}> | {{ schema: SchemaName }},
  Name extends NameOrSchema extends {{ schema: infer S extends SchemaName }} ? keyof {all}<S> : never = never,
> = NameOrSchema extends {{ schema: infer S extends SchemaName }}
  ? Name extends keyof {all}<S> ? {pick}<{all}<S>[Name]> : never
  : NameOrSchema extends keyof {all}<{default}> ? {pick}<{all}<{default}>[NameOrSchema]> : never
"""
HELPERS = """
type Schemas = Omit<Database, "__InternalSupabase">
type SchemaName = keyof Schemas
type Relations<S extends SchemaName> = Schemas[S]["Tables"] & Schemas[S]["Views"]
type BaseTables<S extends SchemaName> = Schemas[S]["Tables"]
type EnumsOf<S extends SchemaName> = Schemas[S]["Enums"]
type CompositesOf<S extends SchemaName> = Schemas[S]["CompositeTypes"]
type RowOf<T> = T extends { Row: infer R } ? R : never
type InsertOf<T> = T extends { Insert: infer I } ? I : never
type UpdateOf<T> = T extends { Update: infer U } ? U : never
type Itself<T> = T
"""
HELPER_TYPES = (
    ("Tables", "Relations", "RowOf"),
    ("TablesInsert", "Relations", "InsertOf"),
    ("TablesUpdate", "Relations", "UpdateOf"),
    ("Enums", "EnumsOf", "Itself"),
    ("CompositeTypes", "CompositesOf", "Itself"),
)


def key(name: str) -> str:
    """A property name, quoted where it is no identifier."""
    return name if re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_$]*", name) else quoted(name)


class _Writer:
    def __init__(self, source: Source) -> None:
        self.source = source

    def type(self, oid: int) -> str:
        """A PostgreSQL type as TypeScript."""
        plain, depth = self.source.plain(oid)
        shown = self._plain(plain)
        if depth and " | " in shown:
            shown = f"({shown})"
        return shown + "[]" * depth

    def _plain(self, t: Type) -> str:
        if t.kind == "e":
            if t.schema in self.source.schemas:
                return f'Database[{quoted(t.schema)}]["Enums"][{quoted(t.name)}]'
            return " | ".join(map(quoted, t.labels)) or "never"
        if t.kind == "c" and t.schema in self.source.schemas:
            table = self.source.table(QName(t.schema, t.name))
            if table is not None:
                part = "Views" if table.is_view else "Tables"
                return f'Database[{quoted(t.schema)}]["{part}"][{quoted(t.name)}]["Row"]'
            return f'Database[{quoted(t.schema)}]["CompositeTypes"][{quoted(t.name)}]'
        if t.kind in ("r", "m") or t.name in TEXTS:
            return "string"
        if t.name in NUMBERS:
            return "number"
        return {"bool": "boolean", "json": "Json", "jsonb": "Json", **PSEUDO}.get(t.name, "unknown")

    def value(self, c: Column) -> str:
        """The value of a column, null included."""
        return self.type(c.type) + ("" if c.not_null else " | null")

    def row(self, table: Table) -> list[str]:
        """The columns of a row, with what functions compute of it."""
        columns = [(c.name, self.value(c), c.comment) for c in table.columns]
        known = {c.name for c in table.columns}
        columns += [
            (name, f"{self.type(t)} | null", None)
            for name, t in self.source.computed(table)
            if name not in known
        ]
        return [line for name, t, text in sorted(columns) for line in (*jsdoc(text), f"{key(name)}: {t}")]

    def written(self, table: Table, *, update: bool) -> list[str]:
        """The columns of an insert or update; those that PostgreSQL always makes cannot be given."""
        lines = []
        for c in sorted(table.columns, key=lambda c: c.name):
            never = c.made or not c.writable
            mark = "?" if update or c.optional or never else ""
            lines.append(f"{key(c.name)}{mark}: {'never' if never else self.value(c)}")
        return lines

    def relationships(self, table: Table) -> list[str]:
        """What supabase-js infers the types of embeds from."""
        lines: list[str] = []
        for r in self.source.relationships.get(table.qname, ()):
            lines += [
                "{",
                f"  foreignKeyName: {quoted(r.constraint)}",
                f"  columns: [{', '.join(quoted(a) for a, _ in r.columns)}]",
                f"  isOneToOne: {'true' if r.kind == 'o2o' else 'false'}",
                f"  referencedRelation: {quoted(r.foreign.name)}",
                f"  referencedColumns: [{', '.join(quoted(b) for _, b in r.columns)}]",
                "},",
            ]
        return lines

    def table(self, table: Table) -> list[str]:
        """One entry of Tables or Views."""
        out = [*jsdoc(table.comment), f"{key(table.name)}: {{", *block("Row", self.row(table))]
        if table.insertable:
            out += block("Insert", self.written(table, update=False))
        if table.updatable:
            out += block("Update", self.written(table, update=True))
        relations = self.relationships(table)
        if not relations:
            return [*out, "  Relationships: []", "}"]
        return [*out, "  Relationships: [", *indent(relations, 4), "  ]", "}"]

    def function(self, overloads: list[Function]) -> list[str]:
        """One entry of Functions; overloads are alternatives."""
        docs = jsdoc("\n\n".join(f.comment for f in overloads if f.comment))
        if len(overloads) == 1:
            return [*docs, f"{key(overloads[0].name)}: {self._signature(overloads[0])}"]
        return [*docs, f"{key(overloads[0].name)}:", *(f"  | {self._signature(f)}" for f in overloads)]

    def _signature(self, f: Function) -> str:
        pairs = "; ".join(
            f"{key(a.name) if a.name else quoted('')}{'?' if a.optional else ''}: {self.type(a.type)}"
            for a in sorted(f.inputs, key=lambda a: a.name)
        )
        parts = [f"Args: {f'{{ {pairs} }}' if pairs else 'never'}", f"Returns: {self._returns(f)}"]
        to = self.source.row_of(f.returns)
        if to is not None:
            of = self.source.row_of(f.inputs[0].type) if len(f.inputs) == 1 else None
            one = "true" if not f.set or f.one else "false"
            parts.append(
                f"SetofOptions: {{ from: {quoted(of.name if of else '*')}; to: {quoted(to.name)}; "
                f"isOneToOne: {one}; isSetofReturn: {'true' if f.set else 'false'} }}"
            )
        return f"{{ {'; '.join(parts)} }}"

    def _returns(self, f: Function) -> str:
        table = self.source.row_of(f.returns)
        if f.outputs:
            shown = "{ " + "; ".join(f"{key(a.name)}: {self.type(a.type)}" for a in f.outputs) + " }"
        elif table is not None:
            shown = "{ " + "; ".join(f"{key(c.name)}: {self.value(c)}" for c in table.columns) + " }"
        else:
            shown = self.type(f.returns)
        return f"({shown})[]" if f.set and " | " in shown and shown[0] != "{" else shown + "[]" * f.set


def indent(lines: Iterable[str], by: int) -> list[str]:
    """Lines moved to the right."""
    return [" " * by + line for line in lines]


def block(name: str, lines: list[str]) -> list[str]:
    """A property with an object type, two to the right."""
    return [f"  {name}: {{", *indent(lines or [NONE], 4), "  }"]


def _schema(writer: _Writer, schema: str) -> list[str]:
    source = writer.source
    grouped: dict[str, list[Function]] = {}
    for f in source.functions(schema):
        grouped.setdefault(f.name, []).append(f)
    composites = []
    for t in source.of_kind("c", schema):
        fields = "; ".join(f"{key(n)}: {writer.type(o)} | null" for n, o in t.fields)
        composites += [*jsdoc(t.comment), f"{key(t.name)}: {{ {fields} }}"]
    enums = []
    for t in source.of_kind("e", schema):
        enums += [*jsdoc(t.comment), f"{key(t.name)}: {' | '.join(map(quoted, t.labels)) or 'never'}"]
    sections = {
        "Tables": [line for t in source.tables(schema, views=False) for line in writer.table(t)],
        "Views": [line for t in source.tables(schema, views=True) for line in writer.table(t)],
        "Functions": [line for fs in grouped.values() for line in writer.function(fs)],
        "Enums": enums,
        "CompositeTypes": composites,
    }
    return [line for name, lines in sections.items() for line in block(name, lines)]


def render(source: Source) -> str:
    """The whole module."""
    writer = _Writer(source)
    out = [HEAD, "export type Database = {", '  __InternalSupabase: { PostgrestVersion: "14.1" }']
    for schema in source.schemas:
        out += [f"  {key(schema)}: {{", *indent(_schema(writer, schema), 2), "  }"]
    out += ["}", HELPERS]
    default = quoted(source.schemas[0])
    out += [
        HELPER.format(name=n, all=a, pick=p, default=default).strip("\n") + "\n" for n, a, p in HELPER_TYPES
    ]
    out.append("export const Constants = {")
    for schema in source.schemas:
        enums = source.of_kind("e", schema)
        shown = ", ".join(f"{key(t.name)}: [{', '.join(map(quoted, t.labels))}]" for t in enums)
        out.append(f"  {key(schema)}: {{ Enums: {{ {shown} }} }},")
    return "\n".join([*out, "} as const", ""])
