"""pydantic models of what a request reads (Row) and what an insert or update may carry (Insert, Update)."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.db.catalog import QName
from headgate.db.codegen.model import Column, Source, Table, Type, modifier
from headgate.db.codegen.names import Names, attribute, class_name, docstring, quoted

TYPES = {
    "int2": "int", "int4": "int", "int8": "int", "oid": "int", "float4": "float", "float8": "float",
    "numeric": "Decimal", "bool": "bool", "json": "JsonValue", "jsonb": "JsonValue", "uuid": "UUID",
    "date": "dt.date", "time": "dt.time", "timestamp": "dt.datetime",
    "timestamptz": "dt.datetime", "void": "None", "record": "dict[str, JsonValue]",
}  # fmt: skip
TEXTS = {"varchar", "bpchar"}
#: Names that mean something else in a model or in its annotations.
RESERVED = frozenset((
    "construct", "copy", "dict", "from_orm", "json", "parse_file", "parse_obj", "parse_raw", "schema", "schema_json",
    "update_forward_refs", "validate", "payload", "int", "float", "bool", "str", "list", "dt", "Decimal", "UUID",
    "JsonValue", "Literal", "Field", "Annotated", "ClassVar", "frozenset", "None",
))  # fmt: skip
CLASSES = ("Row", "Insert", "Update", "Decimal", "UUID", "Literal", "Field", "Annotated", "Any", "Self", "ClassVar",
           "BaseModel", "ConfigDict", "JsonValue", "None", "True", "False")  # fmt: skip
HEAD = '''"""Made from the database's catalog by `headgate gen types --lang pydantic`. Do not edit."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator


class Row(BaseModel):
    """What a request reads: `EventsRow.model_validate(row)`."""

    model_config = ConfigDict(populate_by_name=True)


class Change(BaseModel):
    """What a request writes. Only the fields that were given are sent: `client.table("events").insert(x.payload())`."""

    model_config = ConfigDict(populate_by_name=True, extra="forbid")
    required_values: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def _refuse_nulls(self) -> Self:
        for name in self.model_fields_set & self.required_values:
            if getattr(self, name) is None:
                raise ValueError(f"{name} may be left out, but it cannot be null")
        return self

    def payload(self) -> dict[str, Any]:
        """The given fields, ready for JSON, under the names of the columns."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
'''


class _Writer:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.names = Names(CLASSES)

    def class_of(self, key: object, schema: str, name: str, suffix: str = "") -> str:
        """The class of an object; those of the first schema go without its name."""
        prefix = () if schema == self.source.schemas[0] else (schema,)
        return self.names.of((key, suffix), class_name(*prefix, name) + suffix)

    def type(self, oid: int, declared: str = "", *, checked: bool = False) -> str:
        """A PostgreSQL type as an annotation; `checked` adds the length that a text may have."""
        plain, depth = self.source.plain(oid)
        shown = self._plain(plain)
        length = modifier(declared)
        if checked and plain.name in TEXTS and length:
            shown = f"Annotated[str, Field(max_length={length[0]})]"
        return "list[" * depth + shown + "]" * depth

    def _plain(self, t: Type) -> str:
        if t.kind == "e" and not t.labels:
            return "str"
        if t.kind == "e" and t.schema in self.source.schemas:
            return self.class_of(("e", t.schema, t.name), t.schema, t.name)
        if t.kind == "e":
            return f"Literal[{', '.join(map(quoted, t.labels))}]"
        if t.kind == "c" and t.schema in self.source.schemas:
            if self.source.table(QName(t.schema, t.name)) is not None:
                return self.class_of(("t", t.schema, t.name), t.schema, t.name, "Row")
            return self.class_of(("c", t.schema, t.name), t.schema, t.name)
        return TYPES.get(t.name, "JsonValue" if t.kind in ("c", "p") else "str")

    def fields(self, columns: Sequence[tuple[str, str, bool, str | None]]) -> list[str]:
        """Fields by (column, annotation, whether it may be left out, comment)."""
        taken: set[str] = {"required_values"}
        lines = []
        for name, annotation, optional, comment in columns:
            field = attribute(name, taken, RESERVED)
            options = ["default=None"] if optional else []
            if field != name:
                options += [f"validation_alias={quoted(name)}", f"serialization_alias={quoted(name)}"]
            value = (
                f" = Field({', '.join(options)})"
                if len(options) > optional
                else " = None"
                if optional
                else ""
            )
            lines.append(f"    {field}: {annotation}{value}")
            if comment:
                lines.append(f"    {docstring(comment)}")
        return lines

    def row(self, table: Table) -> list[str]:
        """What a request reads."""
        columns = [
            (c.name, self.type(c.type) + ("" if c.not_null else " | None"), False, c.comment)
            for c in table.columns
        ]
        name = self.class_of(("t", *table.qname), table.schema, table.name, "Row")
        about = table.comment or f"A row of {table.schema}.{table.name}."
        return [f"class {name}(Row):", f"    {docstring(about)}", "", *self.fields(columns)]

    def change(self, table: Table, suffix: str) -> list[str]:
        """What an insert or update may carry; columns that only PostgreSQL writes are not among it."""
        columns, taken, never_null = [], {"required_values"}, []
        for c in (c for c in table.columns if c.writable and not c.made):
            optional = suffix == "Update" or c.optional
            field = attribute(c.name, taken, RESERVED)
            if optional and c.not_null:
                never_null.append(field)
            columns.append((c.name, self._written(c, optional=optional), optional, None))
        name = self.class_of(("t", *table.qname), table.schema, table.name, suffix)
        verb = "insert into" if suffix == "Insert" else "update of"
        lines = [
            f"class {name}(Change):",
            f'    """What an {verb} {table.schema}.{table.name} may carry."""',
            "",
        ]
        if never_null:
            shown = ", ".join(map(quoted, never_null))
            lines.append(f"    required_values: ClassVar[frozenset[str]] = frozenset(({shown},))")
        return [*lines, *self.fields(columns)]

    def _written(self, c: Column, *, optional: bool) -> str:
        return self.type(c.type, c.declared, checked=True) + (" | None" if optional or not c.not_null else "")


def render(source: Source) -> str:
    """The whole module."""
    writer, parts = _Writer(source), [HEAD]
    aliases = [
        f"{writer.class_of(('e', t.schema, t.name), t.schema, t.name)} = Literal[{', '.join(map(quoted, t.labels))}]"
        for t in source.of_kind("e") if t.labels
    ]  # fmt: skip
    parts += ["\n".join(aliases)] if aliases else []
    for t in source.of_kind("c"):
        fields = writer.fields([(n, f"{writer.type(o)} | None", False, None) for n, o in t.fields])
        name = writer.class_of(("c", t.schema, t.name), t.schema, t.name)
        about = docstring(t.comment or f"A value of {t.schema}.{t.name}.")
        parts.append("\n".join([f"class {name}(Row):", f"    {about}", "", *fields]))
    for table in (*source.tables(views=False), *source.tables(views=True)):
        parts.append("\n".join(writer.row(table)))
        parts += ["\n".join(writer.change(table, "Insert"))] if table.insertable else []
        parts += ["\n".join(writer.change(table, "Update"))] if table.updatable else []
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"
