"""What the generators read: tables, types, functions and keys of some schemas, as the catalog has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headgate.base.errors import DatabaseError
from headgate.db.catalog import QName, Relationship, load_catalog
from headgate.db.connect import connect
from headgate.db.pipeline import ConnectionLost, PipelinePool, PoolTimeout, ServerError
from headgate.db.queries import load

Q = load("headgate.db.codegen", "schema.sql")
BY_ARGUMENT = ("json", "jsonb", "text", "bytea", "xml")  # a lone argument without a name takes the whole body


@dataclass(frozen=True, slots=True)
class Type:
    """A type; `kind` is pg_type's: b base, c row, d domain, e enum, r range, m multirange, p pseudo."""

    schema: str
    name: str
    kind: str
    element: int | None = None
    base: int | None = None
    declared: str = ""
    not_null: bool = False
    default: str | None = None
    comment: str | None = None
    checks: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    relation: str | None = None
    fields: tuple[tuple[str, int], ...] = ()

    @property
    def built_in(self) -> bool:
        """Whether PostgreSQL itself has it."""
        return self.schema == "pg_catalog"


@dataclass(frozen=True, slots=True)
class Column:
    """`declared` is the type with its modifier; `identity` is a(lways), d (by default) or empty."""

    name: str
    type: int
    declared: str
    not_null: bool
    identity: str
    generated: str
    expression: str | None
    comment: str | None
    writable: bool

    @property
    def made(self) -> bool:
        """Whether only PostgreSQL writes it."""
        return self.identity == "a" or self.generated != ""

    @property
    def default(self) -> str | None:
        """The expression of its default, if it has one."""
        return None if self.generated else self.expression

    @property
    def optional(self) -> bool:
        """Whether an insert may leave it out."""
        return not self.not_null or self.expression is not None or self.identity != ""


@dataclass(frozen=True, slots=True)
class Constraint:
    """`kind` is pg_constraint's: p primary, u unique, f foreign, c check."""

    kind: str
    name: str
    columns: tuple[str, ...]
    expression: str | None = None
    foreign: QName | None = None
    foreign_columns: tuple[str, ...] = ()
    on_delete: str = "a"
    on_update: str = "a"
    deferrable: bool = False
    deferred: bool = False
    nulls_equal: bool = False


ACTIONS = {"r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table, partitioned table, foreign table, view or materialized view."""

    schema: str
    name: str
    kind: str
    comment: str | None
    insertable: bool
    updatable: bool
    partition: str | None
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...]

    @property
    def is_view(self) -> bool:
        """Whether it is a view or a materialized view."""
        return self.kind in ("v", "m")

    @property
    def qname(self) -> QName:
        """Its name with its schema."""
        return QName(self.schema, self.name)

    def of_kind(self, kind: str) -> list[Constraint]:
        """Its constraints of a kind."""
        return [c for c in self.constraints if c.kind == kind]

    @property
    def key(self) -> Constraint | None:
        """Its primary key."""
        return next(iter(self.of_kind("p")), None)


@dataclass(frozen=True, slots=True)
class Argument:
    """`mode` is pg_proc's: i, o, b (in and out), v (variadic), t (column of a table)."""

    name: str
    type: int
    mode: str
    optional: bool


@dataclass(frozen=True, slots=True)
class Function:
    """A function; `one` says that a set has one row at most."""

    schema: str
    name: str
    comment: str | None
    returns: int
    set: bool
    one: bool
    arguments: tuple[Argument, ...]

    @property
    def inputs(self) -> list[Argument]:
        """What a caller gives."""
        return [a for a in self.arguments if a.mode in "ibv"]

    @property
    def outputs(self) -> list[Argument]:
        """The columns of its rows, where it declares them."""
        return [a for a in self.arguments if a.mode in "obt"]


@dataclass(frozen=True)
class Source:
    """All that types are made from."""

    schemas: tuple[str, ...]
    types: Mapping[int, Type]
    all_tables: tuple[Table, ...]
    all_functions: tuple[Function, ...]
    sequences: tuple[QName, ...] = ()
    relationships: Mapping[QName, tuple[Relationship, ...]] = field(default_factory=dict)

    def tables(self, schema: str | None = None, *, views: bool | None = None) -> Iterator[Table]:
        """Tables in the order of the schemas asked for, then by name; only views, or none, if told."""
        for one in self.schemas if schema is None else (schema,):
            for table in self.all_tables:
                if table.schema == one and views in (None, table.is_view):
                    yield table

    def of_kind(self, kind: str, schema: str | None = None) -> Iterator[Type]:
        """Types of the schemas asked for: e enums, d domains, c composite types that are no tables."""
        for one in self.schemas if schema is None else (schema,):
            for found in self.types.values():
                if found.schema == one and found.kind == kind and found.relation in (None, "c"):
                    yield found

    def functions(self, schema: str) -> Iterator[Function]:
        """Functions that a request can call: every argument named, or one alone that takes the body."""
        for f in self.all_functions:
            if f.schema != schema:
                continue
            unnamed = [a for a in f.inputs if not a.name]
            lone = len(f.inputs) == 1 and (
                self.types[f.inputs[0].type].name in BY_ARGUMENT or self.row_of(f.inputs[0].type) is not None
            )
            if not unnamed or lone:
                yield f

    def table(self, name: QName) -> Table | None:
        """The table or view of that name, if asked for."""
        return next((t for t in self.all_tables if t.qname == name), None)

    def row_of(self, oid: int) -> Table | None:
        """The table whose rows a type stands for."""
        found = self.types[oid]
        return self.table(QName(found.schema, found.name)) if found.kind == "c" else None

    def plain(self, oid: int) -> tuple[Type, int]:
        """A type without domains and arrays, and how many arrays were around it."""
        depth, found = 0, self.types[oid]
        while found.base is not None or found.element is not None:
            depth += found.base is None
            found = self.types[found.base or found.element or 0]
        return found, depth

    def computed(self, table: Table) -> list[tuple[str, int]]:
        """Values that functions compute of a row and requests can select: (name, type)."""
        return [
            (f.name, f.returns)
            for f in self.all_functions
            if len(f.inputs) == 1 and self.row_of(f.inputs[0].type) is table and f.schema == table.schema
            and not f.set and not f.outputs and self.types[f.returns].kind not in ("c", "p")
        ]  # fmt: skip


async def read_source(url: str, schemas: Sequence[str]) -> Source:
    """Read the catalog. Raises DatabaseError HG214 for a schema that is not there, HG200 where nothing answers."""
    chosen = tuple(dict.fromkeys(schemas))
    pool = PipelinePool(url, size=1, application_name="headgate-gen")
    try:
        catalog = await load_catalog(pool, chosen)
    except (ConnectionLost, ServerError, PoolTimeout) as error:
        raise DatabaseError(
            f"The catalog could not be read: {error}", hint="See `headgate doctor`."
        ) from None
    finally:
        await pool.close()
    async with await connect(url) as conn:
        known = {
            row["nspname"]
            for row in await (await conn.execute("select nspname from pg_catalog.pg_namespace")).fetchall()
        }
        if missing := [name for name in chosen if name not in known]:
            raise DatabaseError(f"There is no schema {missing[0]!r} in the database.", code="HG214")
        await conn.execute("set search_path to ''")
        raw = {}
        for name in ("types", "tables", "functions", "sequences"):
            row = await (await conn.execute(getattr(Q, name), {"schemas": list(chosen)})).fetchone()
            raw[name] = next(iter((row or {"": []}).values()))
    relations: dict[QName, list[Relationship]] = {}
    for (table, _), found in catalog.relationships.items():
        relations.setdefault(table, []).extend(
            r for r in found if r.kind == "m2o" or (r.kind == "o2o" and not r.parent)
        )
    return Source(
        chosen,
        {t.pop("oid"): _type(t) for t in raw["types"]},
        tuple(_table(t) for t in raw["tables"]),
        tuple(_function(f) for f in raw["functions"]),
        tuple(QName(*s) for s in raw["sequences"]),
        {name: tuple(sorted(found, key=Relationship.order)) for name, found in relations.items()},
    )


def _type(raw: dict[str, Any]) -> Type:
    for name in ("checks", "labels"):
        raw[name] = tuple(raw[name] or ())
    fields = tuple((n, t) for n, t in raw["fields"] or ())
    return Type(**{**raw, "declared": raw["declared"] or "", "fields": fields})


def _table(raw: dict[str, Any]) -> Table:
    writes = raw.pop("writes")
    columns = tuple(Column(**c) for c in raw.pop("columns"))
    constraints = tuple(_constraint(c) for c in raw.pop("constraints"))
    return Table(
        **raw,
        insertable=bool(writes & 8),
        updatable=bool(writes & 4),
        columns=columns,
        constraints=constraints,
    )


def _constraint(raw: dict[str, Any]) -> Constraint:
    for name in ("columns", "foreign_columns"):
        raw[name] = tuple(raw[name] or ())
    raw["foreign"] = QName(*raw["foreign"]) if raw["foreign"] else None
    return Constraint(**{**raw, "nulls_equal": bool(raw["nulls_equal"])})


def _function(raw: dict[str, Any]) -> Function:
    return Function(**{**raw, "arguments": tuple(Argument(**a) for a in raw["arguments"])})


def modifier(declared: str) -> tuple[int, ...]:
    """The numbers in a declared type: `numeric(8,2)` has (8, 2)."""
    found = re.search(r"\((\d+(?:,-?\d+)*)\)", declared)
    return tuple(int(n) for n in found.group(1).split(",")) if found else ()
