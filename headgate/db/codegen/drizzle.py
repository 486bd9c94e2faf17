"""Drizzle's declarations for TypeScript: tables with keys and defaults, views, enums, sequences."""

from __future__ import annotations

import re

from headgate.db.codegen.model import ACTIONS, Column, Constraint, Source, Table, Type, modifier
from headgate.db.codegen.names import Names, camel, jsdoc, quoted
from headgate.db.codegen.typescript import key

#: PostgreSQL's name → Drizzle's function and fixed options. Times and big numbers come as text or bigint: exact.
PLAIN = {
    "bool": ("boolean", ""), "int2": ("smallint", ""), "int4": ("integer", ""),
    "int8": ("bigint", 'mode: "bigint"'), "float4": ("real", ""), "float8": ("doublePrecision", ""),
    "text": ("text", ""), "uuid": ("uuid", ""), "date": ("date", 'mode: "string"'), "json": ("json", ""),
    "jsonb": ("jsonb", ""), "inet": ("inet", ""), "cidr": ("cidr", ""), "macaddr": ("macaddr", ""),
    "macaddr8": ("macaddr8", ""),
}  # fmt: skip
SIZED = {
    "varchar": ("varchar", "length"), "bpchar": ("char", "length"), "time": ("time", "precision"),
    "timestamp": ("timestamp", "precision"), "timetz": ("time", "precision"),
    "timestamptz": ("timestamp", "precision"), "vector": ("vector", "dimensions"),
    "bit": ("bit", "dimensions"),
}  # fmt: skip
PG_CORE = (
    "bigint", "bit", "boolean", "char", "check", "cidr", "customType", "date", "doublePrecision",
    "foreignKey", "inet", "integer", "interval", "json", "jsonb", "macaddr", "macaddr8", "numeric",
    "pgEnum", "pgMaterializedView", "pgSchema", "pgSequence", "pgTable", "pgView", "primaryKey", "real",
    "smallint", "text", "time", "timestamp", "unique", "uuid", "varchar", "vector",
)  # fmt: skip
KEYWORDS = (
    "await", "break", "case", "catch", "class", "const", "continue", "debugger", "default", "delete", "do",
    "else", "enum", "export", "extends", "false", "finally", "for", "function", "if", "import", "in",
    "instanceof", "interface", "let", "new", "null", "package", "private", "protected", "public", "return",
    "static", "super", "switch", "this", "throw", "true", "try", "typeof", "undefined", "var", "void",
    "while", "with", "yield", "arguments", "eval", "implements",
)  # fmt: skip
NATIVE = """// Types that Drizzle has no word for come and go as text.
const native = (name: string, type: string) => customType<{ data: string }>({ dataType: () => type })(name)"""
BYTES = 'const bytea = customType<{ data: Uint8Array }>({ dataType: () => "bytea" })'


def sql(expression: str) -> str:
    """An expression of PostgreSQL as a template of Drizzle."""
    return "sql`" + re.sub(r"([\\`]|\$\{)", r"\\\1", expression) + "`"


class _Writer:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.names = Names(
            (*PG_CORE, *KEYWORDS, "sql", "native", "bytea", "table", "PgTableExtraConfigValue")
        )
        self.tables = {t.qname for t in source.tables(views=False)}
        for schema in self.schemas():
            self.schema(schema)

    def schemas(self) -> list[str]:
        """Schemas that need a variable: all but public."""
        return [s for s in self.source.schemas if s != "public"]

    def schema(self, schema: str) -> str:
        """The variable of a schema."""
        return self.names.of(schema, camel(schema) + "Schema")

    def name(self, schema: str, name: str, kind: str = "") -> str:
        """The variable of a table, view, enum or sequence."""
        prefix = () if schema == self.source.schemas[0] else (schema,)
        return self.names.of((kind, schema, name), camel(*prefix, name) + kind)

    def maker(self, schema: str, word: str) -> str:
        """The function that makes a `word` (Table, View, Enum …) in a schema."""
        return f"pg{word}" if schema == "public" else f"{self.schema(schema)}.{word[0].lower()}{word[1:]}"

    def type(self, oid: int, declared: str, label: str) -> str:
        """A column's type; `label` is its name as a literal."""
        found = self.source.types[oid]
        if found.element is not None:
            return self.type(found.element, declared.removesuffix("[]"), label) + ".array()"
        if found.kind == "e" and found.labels and found.schema in self.source.schemas:
            return f"{self.name(found.schema, found.name, 'Enum')}({label})"
        if found.built_in or found.name == "vector":
            return self._built_in(found, declared, label)
        return f"native({label}, {quoted(declared)})"

    @staticmethod
    def _built_in(t: Type, declared: str, label: str) -> str:
        numbers = modifier(declared)
        if t.name in PLAIN:
            function, options = PLAIN[t.name]
            return f"{function}({label}, {{ {options} }})" if options else f"{function}({label})"
        if t.name == "numeric":
            named = zip(("precision", "scale"), numbers, strict=False)
            options = ", ".join(f"{n}: {v}" for n, v in named)
            return f"numeric({label}, {{ {options} }})" if options else f"numeric({label})"
        if t.name in SIZED and (numbers or t.name not in ("vector", "bit")):
            function, word = SIZED[t.name]
            parts = [f"{word}: {numbers[0]}"] if numbers else []
            parts += ["withTimezone: true"] if t.name in ("timetz", "timestamptz") else []
            parts += ['mode: "string"'] if function == "timestamp" else []
            return f"{function}({label}, {{ {', '.join(parts)} }})" if parts else f"{function}({label})"
        if t.name == "interval" and declared == "interval":
            return f"interval({label})"
        return f"bytea({label})" if t.name == "bytea" else f"native({label}, {quoted(declared)})"

    def column(self, c: Column) -> list[str]:
        """A column with what PostgreSQL fills it with."""
        text = self.type(c.type, c.declared, quoted(c.name))
        if c.not_null:
            text += ".notNull()"
        if c.identity:
            text += ".generatedAlwaysAsIdentity()" if c.identity == "a" else ".generatedByDefaultAsIdentity()"
        elif c.generated:
            text += f".generatedAlwaysAs({sql(c.expression or '')})"
        elif c.expression is not None:
            text += f".default({sql(c.expression)})"
        return [*jsdoc(c.comment, "  "), f"  {key(c.name)}: {text},"]

    def table(self, t: Table) -> list[str]:
        """A table with its keys."""
        lines = [*jsdoc(t.comment), f"export const {self.name(*t.qname)} = {self.maker(t.schema, 'Table')}("]
        lines[-1] += f"{quoted(t.name)}, {{"
        lines += [line for c in t.columns for line in self.column(c)]
        constraints = [line for k in t.constraints if (line := self._constraint(t, k))]
        if not constraints:
            return [*lines, "})"]
        return [*lines, "}, (table): PgTableExtraConfigValue[] => [", *(f"  {k}," for k in constraints), "])"]

    def _constraint(self, t: Table, k: Constraint) -> str:
        columns = self._columns("table", k.columns)
        name = quoted(k.name)
        if k.kind == "p":
            return f"primaryKey({{ name: {name}, columns: [{columns}] }})"
        if k.kind == "u":
            return f"unique({name}).on({columns}){'.nullsNotDistinct()' if k.nulls_equal else ''}"
        if k.kind == "c":
            return f"check({name}, {sql(k.expression or '')})"
        if k.foreign is None or k.foreign not in self.tables:
            return ""
        other = "table" if k.foreign == t.qname else self.name(*k.foreign)
        there = self._columns(other, k.foreign_columns)
        text = f"foreignKey({{ name: {name}, columns: [{columns}], foreignColumns: [{there}] }})"
        for word, action in (("onDelete", k.on_delete), ("onUpdate", k.on_update)):
            text += f".{word}({quoted(ACTIONS[action].lower())})" if action in ACTIONS else ""
        return text

    @staticmethod
    def _columns(table: str, names: tuple[str, ...]) -> str:
        return ", ".join(f"{table}[{quoted(n)}]" for n in names)

    def view(self, t: Table) -> list[str]:
        """A view that is there already."""
        maker = self.maker(t.schema, "MaterializedView" if t.kind == "m" else "View")
        lines = [*jsdoc(t.comment), f"export const {self.name(*t.qname)} = {maker}({quoted(t.name)}, {{"]
        return [*lines, *(line for c in t.columns for line in self.column(c)), "}).existing()"]


def render(source: Source) -> str:
    """The whole module."""
    writer = _Writer(source)
    lines = [f"export const {writer.schema(s)} = pgSchema({quoted(s)})" for s in writer.schemas()]
    for e in (t for t in source.of_kind("e") if t.labels):
        labels = ", ".join(map(quoted, e.labels))
        lines += jsdoc(e.comment)
        maker, name = writer.maker(e.schema, "Enum"), writer.name(e.schema, e.name, "Enum")
        lines.append(f"export const {name} = {maker}({quoted(e.name)}, [{labels}])")
    for s in source.sequences:
        name = writer.name(s.schema, s.name, "Sequence")
        lines.append(f"export const {name} = {writer.maker(s.schema, 'Sequence')}({quoted(s.name)})")
    for t in source.tables(views=False):
        lines += ["", *writer.table(t)]
    for t in source.tables(views=True):
        lines += ["", *writer.view(t)]
    body = "\n".join(lines) + "\n"
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', body)
    extra = [
        text
        for word, text in (("native(", NATIVE), ("bytea(", BYTES))
        if re.search(rf"\b{re.escape(word)}", bare)
    ]
    used = set(re.findall(r"\w+", bare)) | ({"customType"} if extra else set())
    head = ["// Made from the database's catalog by `headgate gen types --lang drizzle`. Do not edit."]
    head += ['import { sql } from "drizzle-orm"'] if "sql" in used else []
    head.append(f'import {{ {", ".join(n for n in PG_CORE if n in used)} }} from "drizzle-orm/pg-core"')
    if "PgTableExtraConfigValue" in used:
        head.append('import type { PgTableExtraConfigValue } from "drizzle-orm/pg-core"')
    return "\n".join([*head, "", *extra, *([""] if extra else []), body])
