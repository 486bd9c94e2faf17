"""What the generators read: the catalog, with enums and composite types beside it, and PostgreSQL's types by kind."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from headgate.db.catalog import Catalog, Column, Function, QName, Relationship, Table, load_catalog
from headgate.db.pipeline import PipelinePool, Step

ENUMS = b"""
select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
  'type', pg_catalog.format_type(t.oid, null), 'schema', n.nspname, 'name', t.typname,
  'labels', (select pg_catalog.jsonb_agg(e.enumlabel order by e.enumsortorder)
             from pg_catalog.pg_enum e where e.enumtypid = t.oid)) order by n.nspname, t.typname), '[]')::text
from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace where t.typtype = 'e'
"""
COMPOSITES = b"""
select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
  'type', pg_catalog.format_type(t.oid, null), 'schema', n.nspname, 'name', t.typname,
  'fields', (select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
               a.attname, pg_catalog.format_type(a.atttypid, null)) order by a.attnum)
             from pg_catalog.pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped)
  ) order by n.nspname, t.typname), '[]')::text
from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
join pg_catalog.pg_class c on c.oid = t.typrelid and c.relkind = 'c'
where n.nspname not in ('pg_catalog', 'information_schema')
"""
SYSTEM_TYPES = {
    "smallint": "int", "integer": "int", "bigint": "bigint", "oid": "int",
    "real": "float", "double precision": "float", "numeric": "numeric",
    "boolean": "bool", "json": "json", "jsonb": "json", "void": "void", "record": "record",
    "text": "text", "character varying": "text", "character": "text", "citext": "text", "name": "text",
    '"char"': "text",
    "uuid": "uuid", "date": "date", "bytea": "bytes",
    "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
    "time without time zone": "time", "time with time zone": "time", "interval": "interval",
}  # fmt: skip


@dataclass(frozen=True)
class Enum:
    """An enum type; `type` is how the catalog spells it."""

    type: str
    schema: str
    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Composite:
    """A composite type that is no table; fields are (name, type)."""

    type: str
    schema: str
    name: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Source:
    """All that types are made from."""

    catalog: Catalog
    enums: tuple[Enum, ...]
    composites: tuple[Composite, ...]

    @property
    def schemas(self) -> tuple[str, ...]:
        """The schemas asked for, in order."""
        return self.catalog.schemas

    def tables(self, schema: str, *, views: bool) -> list[Table]:
        """The tables or the views of a schema, by name."""
        found = [t for n, t in sorted(self.catalog.tables.items()) if n.schema == schema]
        return [t for t in found if t.is_view == views]

    def functions(self, schema: str) -> list[Function]:
        """The functions of a schema that can be called through the surface, by name and parameters."""
        return [f for n, fs in sorted(self.catalog.functions.items()) if n.schema == schema for f in fs]

    def foreign_keys(self, table: Table) -> list[Relationship]:
        """What a table or view refers to."""
        known = self.catalog.relationships.get((QName(table.schema, table.name), table.schema), ())
        return [r for r in known if r.kind == "m2o" or (r.kind == "o2o" and not r.parent)]

    def enum(self, type_name: str) -> Enum | None:
        """The enum of that spelling."""
        return next((e for e in self.enums if e.type == type_name), None)

    def composite(self, type_name: str) -> Composite | None:
        """The composite type of that spelling."""
        return next((c for c in self.composites if c.type == type_name), None)


async def read_source(url: str, schemas: Sequence[str]) -> Source:
    """Read what the generators need. Raises ServerError or ConnectionLost."""
    pool = PipelinePool(url, size=1, application_name="headgate-gen")
    try:
        catalog = await load_catalog(pool, schemas)
        path = Step(b"select pg_catalog.set_config('search_path', '', true)")
        _, enums, composites = await pool.run([[path, Step(ENUMS), Step(COMPOSITES)]])
    finally:
        await pool.close()
    found, composed = (orjson.loads(r.get_value(0, 0) or b"[]") for r in (enums, composites))
    return Source(
        catalog,
        tuple(Enum(e["type"], e["schema"], e["name"], tuple(e["labels"])) for e in found),
        tuple(
            Composite(c["type"], c["schema"], c["name"], tuple((n, t) for n, t in c["fields"] or ()))
            for c in composed
        ),
    )


def split_type(name: str) -> tuple[str, str, bool]:
    """A type as (name without modifier, modifier, whether it is an array)."""
    array = name.endswith("[]")
    plain = name.removesuffix("[]")
    found = re.fullmatch(r"(.*?)\(([^)]*)\)(.*)", plain)
    return (found.group(1) + found.group(3), found.group(2), array) if found else (plain, "", array)


def kind_of(name: str) -> str:
    """What sort of value a type without modifier holds; `other` for what is not known here."""
    return SYSTEM_TYPES.get(name, "other")


def optional_on_insert(column: Column) -> bool:
    """Whether an insert may leave the column out."""
    return column.nullable or column.default is not None or column.generated


def python_name(name: str, taken: set[str]) -> str:
    """A name as a Python identifier of its own among `taken`."""
    clean = re.sub(r"\W", "_", name) or "_"
    if clean[0].isdigit() or clean[0] == "_" or keyword.iskeyword(clean) or clean in RESERVED:
        clean = f"f_{clean.lstrip('_')}" if clean[0] in "_0123456789" else f"{clean}_"
    while clean in taken:
        clean += "_"
    taken.add(clean)
    return clean


RESERVED = {
    "model_config", "model_fields", "metadata", "registry", "copy", "json", "dict", "schema", "validate", "construct",
}  # fmt: skip


class Names:
    """Gives every object of the database a name of its own; the second of two equal ones gets a number."""

    def __init__(self) -> None:
        self._given: dict[object, str] = {}
        self._taken: set[str] = set()

    def of(self, key: object, wanted: str) -> str:
        """The name for `key`: `wanted` where that is free."""
        if key not in self._given:
            name, number = wanted, 2
            while name in self._taken:
                name, number = f"{wanted}{number}", number + 1
            self._taken.add(name)
            self._given[key] = name
        return self._given[key]


def class_name(*parts: str) -> str:
    """A name in CamelCase that is an identifier."""
    words = [w for part in parts for w in re.split(r"[^0-9A-Za-z]+", part) if w]
    joined = "".join(w[0].upper() + w[1:] for w in words) or "Unnamed"
    return joined if not joined[0].isdigit() else f"T{joined}"
