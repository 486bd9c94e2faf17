"""`Database` for supabase-js: the shape that `supabase gen types` prints, with the helper types beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from headgate.db.catalog import Column, Function, QName, Table
from headgate.db.codegen.model import Source, kind_of, optional_on_insert, split_type

KINDS = {
    "int": "number", "bigint": "number", "float": "number", "numeric": "number", "bool": "boolean", "json": "Json",
    "void": "undefined", "record": "Record<string, unknown>", "other": "unknown",
}  # fmt: skip
STRINGS = ("inet", "cidr", "macaddr", "money", "tsvector", "tsquery", "xml", "vector", "bit", "bit varying")
NONE = "[_ in never]: never"
HELPERS = """
type WithoutInternals = Omit<Database, "__InternalSupabase">
type SchemaName = keyof WithoutInternals
type Relations<S extends SchemaName> = WithoutInternals[S]["Tables"] & WithoutInternals[S]["Views"]

export type Tables<
  NameOrSchema extends keyof Relations<{default}> | { schema: SchemaName },
  Name extends NameOrSchema extends { schema: infer S extends SchemaName } ? keyof Relations<S> : never = never,
> = NameOrSchema extends { schema: infer S extends SchemaName }
  ? Name extends keyof Relations<S> ? Relations<S>[Name] extends { Row: infer R } ? R : never : never
  : NameOrSchema extends keyof Relations<{default}>
    ? Relations<{default}>[NameOrSchema] extends { Row: infer R } ? R : never
    : never

export type TablesInsert<
  NameOrSchema extends keyof Relations<{default}> | { schema: SchemaName },
  Name extends NameOrSchema extends { schema: infer S extends SchemaName } ? keyof Relations<S> : never = never,
> = NameOrSchema extends { schema: infer S extends SchemaName }
  ? Name extends keyof Relations<S> ? Relations<S>[Name] extends { Insert: infer I } ? I : never : never
  : NameOrSchema extends keyof Relations<{default}>
    ? Relations<{default}>[NameOrSchema] extends { Insert: infer I } ? I : never
    : never

export type TablesUpdate<
  NameOrSchema extends keyof Relations<{default}> | { schema: SchemaName },
  Name extends NameOrSchema extends { schema: infer S extends SchemaName } ? keyof Relations<S> : never = never,
> = NameOrSchema extends { schema: infer S extends SchemaName }
  ? Name extends keyof Relations<S> ? Relations<S>[Name] extends { Update: infer U } ? U : never : never
  : NameOrSchema extends keyof Relations<{default}>
    ? Relations<{default}>[NameOrSchema] extends { Update: infer U } ? U : never
    : never

export type Enums<Name extends keyof WithoutInternals[{default}]["Enums"]> =
  WithoutInternals[{default}]["Enums"][Name]
"""


def key(name: str) -> str:
    """A property name, quoted where it is no identifier."""
    return name if re.fullmatch(r"[A-Za-z_$][\w$]*", name) else json.dumps(name, ensure_ascii=False)


class _Writer:
    def __init__(self, source: Source) -> None:
        self.source = source

    def type(self, name: str) -> str:
        """A PostgreSQL type as TypeScript."""
        plain, _, array = split_type(name)
        shown = self._plain(plain)
        return f"{f'({shown})' if ' | ' in shown else shown}[]" if array else shown

    def _plain(self, name: str) -> str:
        if (enum := self.source.enum(name)) is not None:
            if enum.schema in self.source.schemas:
                return f"Database[{json.dumps(enum.schema)}]['Enums'][{json.dumps(enum.name)}]".replace(
                    "'", '"'
                )
            return " | ".join(json.dumps(label) for label in enum.labels)
        composite = self.source.composite(name)
        if composite is not None and composite.schema in self.source.schemas:
            return f'Database[{json.dumps(composite.schema)}]["CompositeTypes"][{json.dumps(composite.name)}]'
        kind = kind_of(name)
        if kind == "other" and name in STRINGS:
            return "string"
        return KINDS.get(kind, "string")

    def column(self, column: Column) -> str:
        """The value of a column, null included."""
        shown = self.type(column.type if kind_of(split_type(column.type)[0]) != "other" else column.nominal)
        return f"{shown} | null" if column.nullable else shown

    def row(self, table: Table) -> list[str]:
        """The columns of a row."""
        return [f"{key(c.name)}: {self.column(c)}" for c in self._sorted(table)]

    def written(self, table: Table, *, update: bool) -> list[str]:
        """The columns of an insert or update; those that PostgreSQL always makes cannot be given."""
        lines = []
        for c in self._sorted(table):
            mark = "?" if update or optional_on_insert(c) else ""
            lines.append(f"{key(c.name)}{mark}: {'never' if c.generated else self.column(c)}")
        return lines

    @staticmethod
    def _sorted(table: Table) -> list[Column]:
        return sorted(table.columns.values(), key=lambda c: c.name)

    def relationships(self, table: Table) -> list[str]:
        """What supabase-js infers the types of embeds from."""
        lines = []
        for r in self.source.foreign_keys(table):
            lines += [
                "{",
                f"  foreignKeyName: {json.dumps(r.constraint)}",
                f"  columns: {json.dumps([a for a, _ in r.columns])}",
                f"  isOneToOne: {'true' if r.kind == 'o2o' else 'false'}",
                f"  referencedRelation: {json.dumps(r.foreign.name)}",
                f"  referencedColumns: {json.dumps([b for _, b in r.columns])}",
                "},",
            ]
        return lines

    def table(self, table: Table) -> list[str]:
        """One entry of Tables or Views."""
        out = [f"{key(table.name)}: {{", *block("Row", self.row(table))]
        if table.insertable:
            out += block("Insert", self.written(table, update=False))
        if table.updatable:
            out += block("Update", self.written(table, update=True))
        relations = self.relationships(table)
        out += (
            ["  Relationships: [", *indent(relations, 4), "  ]", "}"]
            if relations
            else ["  Relationships: []", "}"]
        )
        return out

    def function(self, overloads: list[Function]) -> list[str]:
        """One entry of Functions; overloads are alternatives."""
        shown = [self._signature(f) for f in overloads]
        name = key(overloads[0].name)
        if len(shown) == 1:
            return [f"{name}: {shown[0]}"]
        return [f"{name}:", *(f"  | {s}" for s in shown)]

    def _signature(self, f: Function) -> str:
        named = [p for p in f.parameters if p.name]
        pairs = "; ".join(f"{key(p.name)}{'' if p.required else '?'}: {self.type(p.type)}" for p in named)
        if f.parameters and not named:
            pairs = f'"": {self.type(f.parameters[0].type)}'
        return f"{{ Args: {f'{{ {pairs} }}' if pairs else 'never'}; Returns: {self._returns(f)} }}"

    def _returns(self, f: Function) -> str:
        table = self.source.catalog.tables.get(f.returns)
        if f.outputs:
            shown = "{ " + "; ".join(f"{key(n)}: {self.type(t)}" for n, t in f.outputs) + " }"
        elif f.composite and table is not None:
            shown = "{ " + "; ".join(self.row(table)) + " }"
        else:
            shown = self.type(f.returns_type)
        if not f.returns_set:
            return shown
        return f"({shown})[]" if " | " in shown and not shown.startswith("{") else f"{shown}[]"


def indent(lines: Iterable[str], by: int) -> list[str]:
    """Lines moved to the right."""
    return [" " * by + line for line in lines]


def block(name: str, lines: list[str]) -> list[str]:
    """A property with an object type, two to the right."""
    return [f"  {name}: {{", *indent(lines or [NONE], 4), "  }"]


def render(source: Source) -> str:
    """The whole module."""
    writer = _Writer(source)
    out = [
        "export type Json =",
        "  | string",
        "  | number",
        "  | boolean",
        "  | null",
        "  | { [key: string]: Json | undefined }",
        "  | Json[]",
        "",
        "export type Database = {",
        "  __InternalSupabase: {",
        '    PostgrestVersion: "14.1"',
        "  }",
    ]
    for schema in source.schemas:
        out += [f"  {key(schema)}: {{", *indent(_schema(writer, source, schema), 2), "  }"]
    out.append("}")
    constants = [
        f"  {key(s)}: {{ Enums: {{ "
        + ", ".join(f"{key(e.name)}: {json.dumps(list(e.labels))}" for e in source.enums if e.schema == s)
        + " } },"
        for s in source.schemas
    ]
    helpers = HELPERS.replace("{default}", json.dumps(source.schemas[0]))
    return "\n".join([*out, helpers, "export const Constants = {", *constants, "} as const", ""])


def _schema(writer: _Writer, source: Source, schema: str) -> list[str]:
    tables = [line for t in source.tables(schema, views=False) for line in writer.table(t)]
    views = [line for t in source.tables(schema, views=True) for line in writer.table(t)]
    grouped: dict[QName, list[Function]] = {}
    for f in source.functions(schema):
        grouped.setdefault(QName(f.schema, f.name), []).append(f)
    functions = [line for fs in grouped.values() for line in writer.function(fs)]
    enums = [
        f"{key(e.name)}: {' | '.join(json.dumps(label) for label in e.labels)}"
        for e in source.enums
        if e.schema == schema
    ]
    composites = [
        f"{key(c.name)}: {{ {'; '.join(f'{key(n)}: {writer.type(t)} | null' for n, t in c.fields)} }}"
        for c in source.composites
        if c.schema == schema
    ]
    sections = {
        "Tables": tables,
        "Views": views,
        "Functions": functions,
        "Enums": enums,
        "CompositeTypes": composites,
    }
    return [line for name, lines in sections.items() for line in block(name, lines)]
