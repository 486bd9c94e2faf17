"""The schema cache: what tables, keys, functions and media types the exposed schemas have. Reads only the catalog."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any, NamedTuple

import orjson

from headgate.db.pipeline import PipelinePool, Step


class QName(NamedTuple):
    """A name in a schema."""

    schema: str
    name: str


@dataclass(frozen=True, slots=True)
class Column:
    """`type` is the base type of a domain; `nominal` is the type as declared, with its modifier."""

    name: str
    type: str
    nominal: str
    nullable: bool
    default: str | None = None
    description: str | None = None
    max_length: int | None = None
    enum: tuple[str, ...] = ()
    generated: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table, view, materialized view or foreign table."""

    schema: str
    name: str
    description: str | None
    kind: str
    key: tuple[str, ...]
    columns: Mapping[str, Column]
    insertable: bool
    updatable: bool
    deletable: bool

    @property
    def is_view(self) -> bool:
        """Whether it is a view or a materialized view."""
        return self.kind in ("v", "m")


@dataclass(frozen=True, slots=True)
class Junction:
    """The table in the middle of a many-to-many relationship; columns are (end, junction)."""

    table: QName
    constraint: str
    constraint2: str
    columns: tuple[tuple[str, str], ...]
    columns2: tuple[tuple[str, str], ...]


RANK = {"o2m": 0, "m2o": 1, "o2o": 2, "m2m": 3, "computed": 4}


@dataclass(frozen=True, slots=True)
class Relationship:
    """How `table` reaches `foreign`: kind is o2m, m2o, o2o, m2m or computed; columns are (here, there)."""

    table: QName
    foreign: QName
    kind: str
    self_reference: bool
    constraint: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    parent: bool = False
    junction: Junction | None = None
    table_is_view: bool = False
    foreign_is_view: bool = False
    function: QName | None = None
    single: bool = False

    @property
    def to_one(self) -> bool:
        """Whether at most one row is on the other side."""
        return self.kind in ("m2o", "o2o") or (self.kind == "computed" and self.single)

    def order(self) -> tuple[Any, ...]:
        """Relationships are listed in this order where a request is ambiguous."""
        j = self.junction
        inner = (j.table, j.constraint, j.constraint2, j.columns, j.columns2) if j else ()
        return (
            self.kind == "computed", self.function or ("", ""), self.table, self.foreign, self.self_reference,
            RANK[self.kind], self.constraint, self.columns, self.parent, inner,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameter:
    """An input of a function; `wide` is its type without a length."""

    name: str
    type: str
    wide: str
    required: bool
    variadic: bool


@dataclass(frozen=True, slots=True)
class Function:
    """A function that can be called by name."""

    oid: int
    schema: str
    name: str
    description: str | None
    parameters: tuple[Parameter, ...]
    returns: QName
    returns_type: str
    returns_set: bool
    composite: bool
    alias: bool
    volatility: str
    variadic: bool
    settings: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[tuple[str, str], ...] = ()

    @property
    def scalar(self) -> bool:
        """Whether it returns one value that is no row."""
        return not self.returns_set and not self.composite

    @property
    def void(self) -> bool:
        """Whether it returns nothing."""
        return self.scalar and self.returns == ("pg_catalog", "void")


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that makes the body of a media type from rows; `target` is None for any row."""

    function: QName
    target: QName | None
    media: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """One consistent reading of the catalog, and indexes over it."""

    schemas: tuple[str, ...]
    version: int
    tables: Mapping[QName, Table]
    relationships: Mapping[tuple[QName, str], tuple[Relationship, ...]]
    functions: Mapping[QName, tuple[Function, ...]]
    representations: Mapping[tuple[str, str], str]
    handlers: Mapping[tuple[QName | None, str], Handler]
    role_settings: Mapping[str, Mapping[str, str]]
    reads_request: bool


def _queries() -> dict[str, str]:
    text = files("headgate.db").joinpath("catalog.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.M)
    return dict(zip(parts[1::2], (p.strip() for p in parts[2::2]), strict=True))


QUERIES = _queries()
LOADED = (
    "tables",
    "foreign_keys",
    "keys",
    "views",
    "functions",
    "computed",
    "representations",
    "handlers",
    "roles",
)


def identifiers(items: Iterable[str]) -> bytes:
    """An array literal of quoted identifiers, as `regnamespace[]` reads it."""
    quoted = ('"' + i.replace('"', '""') + '"' for i in items)
    escaped = ('"' + q.replace("\\", "\\\\").replace('"', '\\"') + '"' for q in quoted)
    return ("{" + ",".join(escaped) + "}").encode()


async def load_catalog(pool: PipelinePool, schemas: Sequence[str], extra: Sequence[str] = ()) -> Catalog:
    """Read the catalog over one connection. Schemas that do not exist are left out.

    Raises ServerError or ConnectionLost.
    """
    wanted = list(dict.fromkeys([*schemas, *extra]))
    there = await pool.run([[Step(b"select nspname::text from pg_catalog.pg_namespace")]], shared=False)
    known = {(there[0].get_value(i, 0) or b"").decode() for i in range(there[0].ntuples)}
    exposed = [s for s in wanted if s in known and s in schemas]
    searched = [s for s in extra if s in known]
    takes = {"tables": 1, "views": 2, "functions": 1, "handlers": 1}
    arguments = (identifiers(exposed), identifiers(searched))
    steps = [Step(b"select pg_catalog.set_config('search_path', '', true)")]
    steps += [Step(f"select ({QUERIES[n]})::text".encode(), arguments[: takes.get(n, 0)]) for n in LOADED]
    results = await pool.run([steps], shared=False)
    raw = {n: orjson.loads(r.get_value(0, 0) or b"null") for n, r in zip(LOADED, results[1:], strict=True)}
    return build(tuple(schemas), raw)


def build(schemas: tuple[str, ...], raw: dict[str, Any]) -> Catalog:
    """Make the cache from what the queries returned."""
    tables = {QName(t["schema"], t["name"]): _table(t) for t in raw["tables"]}
    dependencies = list(_dependencies(raw["views"], raw["keys"], schemas))
    for name in [n for n, t in tables.items() if t.is_view]:
        key = [
            view_columns[0]
            for d in dependencies
            if d.kind == "p" and d.view == name
            for _, view_columns in d.columns
        ]
        tables[name] = replace(tables[name], key=tuple(key))
    found = [_foreign_key(k) for k in raw["foreign_keys"]]
    found += list(_through_views(found, dependencies))
    found += list(_many_to_many(tables, found))
    found += list(_inverse(found))
    exposed = {n: t for n, t in tables.items() if n.schema in schemas}
    return Catalog(
        schemas=schemas,
        version=raw["roles"]["version"],
        tables=exposed,
        relationships=_index(found, [_computed(c) for c in raw["computed"]], schemas),
        functions=_functions(raw["functions"]),
        representations={(s, t): f for s, t, f in raw["representations"]},
        handlers=_handlers(raw["handlers"]),
        role_settings=raw["roles"]["settings"],
        reads_request=raw["roles"]["reads_request"],
    )


def _table(raw: dict[str, Any]) -> Table:
    columns = {
        c["name"]: Column(
            c["name"], c["type"], c["nominal"], c["nullable"], c["default"], c["description"], c["max_length"],
            tuple(c["enum"] or ()), c["generated"],
        )
        for c in raw["columns"] or ()
    }  # fmt: skip
    writes = raw["writes"]
    return Table(
        raw["schema"], raw["name"], raw["description"], raw["kind"], tuple(raw["key"] or ()), columns,
        bool(writes & 8), bool(writes & 4), bool(writes & 16),
    )  # fmt: skip


def _pairs(raw: Any) -> tuple[tuple[str, str], ...]:
    return tuple((a, b) for a, b in raw)


def _foreign_key(raw: dict[str, Any]) -> Relationship:
    kind = "o2o" if raw["unique"] else "m2o"
    return Relationship(
        QName(*raw["table"]), QName(*raw["foreign"]), kind, raw["self"], raw["name"], _pairs(raw["columns"])
    )


def _computed(raw: dict[str, Any]) -> Relationship:
    return Relationship(
        QName(*raw["table"]), QName(*raw["foreign"]), "computed", raw["self"],
        function=QName(*raw["function"]), single=raw["to_one"],
    )  # fmt: skip


# ---------------------------------------------------------------- keys seen through views

NODE = re.compile(r"\\.|[{}]|:resno (\d+)|:resorigtbl (\d+)|:resorigcol (\d+)", re.S)


class Dependency(NamedTuple):
    """A key of `table` whose columns all come out of `view`; columns are (of the table, those of the view)."""

    table: QName
    view: QName
    constraint: str
    kind: str
    columns: tuple[tuple[str, tuple[str, ...]], ...]


def _origins(rule: str) -> Iterator[tuple[int, int, int]]:
    """(column, table oid, column there) for the outermost target list of a view's stored rule."""
    depth, number, table = 0, 0, 0
    for found in NODE.finditer(rule):
        mark = found.group()
        if mark == "{":
            depth += 1
        elif mark == "}":
            depth -= 1
        elif depth != 2 or mark.startswith("\\"):
            continue
        elif found.group(1):
            number = int(found.group(1))
        elif found.group(2):
            table = int(found.group(2))
        elif number and table:
            yield number, table, int(found.group(3))


def _dependencies(views: list[Any], keys: list[Any], schemas: Sequence[str]) -> Iterator[Dependency]:
    origins = {v["oid"]: list(_origins(v["rule"])) for v in views}

    def sources(view: int, number: int, seen: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        for column, table, there in origins[view]:
            if column == number:
                yield table, there
                if table in origins and table not in seen:
                    yield from sources(table, there, (*seen, table))

    by_table: dict[int, list[Any]] = {}
    for key in keys:
        by_table.setdefault(key["oid"], []).append(key)
    for view in views:
        if view["schema"] not in schemas:
            continue
        shown: dict[tuple[int, int], list[str]] = {}
        for number in sorted({n for n, _, _ in origins[view["oid"]]}):
            for source in dict.fromkeys(sources(view["oid"], number, (view["oid"],))):
                shown.setdefault(source, []).append(view["columns"][str(number)])
        for key in (k for oid in {t for t, _ in shown} for k in by_table.get(oid, ())):
            columns = [shown.get((key["oid"], n)) for n in key["numbers"]]
            if all(columns):
                pairs = tuple((c, tuple(v or ())) for c, v in zip(key["columns"], columns, strict=True))
                yield Dependency(
                    QName(*key["table"]), QName(view["schema"], view["name"]), key["name"], key["kind"], pairs
                )


def _choices(columns: Sequence[tuple[str, tuple[str, ...]]]) -> list[tuple[str, ...]]:
    """Every way to pick one column of the view for each column of the key."""
    picks: list[tuple[str, ...]] = [()]
    for _, options in columns:
        picks = [(*p, o) for p in picks for o in options]
    return picks


def _through_views(found: list[Relationship], dependencies: list[Dependency]) -> Iterator[Relationship]:
    index: dict[tuple[QName, str, str], list[Dependency]] = {}
    for d in dependencies:
        index.setdefault((d.table, d.constraint, d.kind), []).append(d)
    for r in found:
        here = index.get((r.table, r.constraint, "f"), [])
        there = index.get((r.foreign, r.constraint, "f_ref"), [])
        from_views = [(d.view, pick) for d in here for pick in _choices(d.columns)]
        to_views = [(d.view, pick) for d in there for pick in _choices(d.columns)]
        for view, pick in from_views:
            pairs = tuple((v, f) for v, (_, f) in zip(pick, r.columns, strict=True))
            yield replace(r, table=view, columns=pairs, self_reference=False, table_is_view=True)
        for view, pick in to_views:
            pairs = tuple((c, v) for v, (c, _) in zip(pick, r.columns, strict=True))
            yield replace(r, foreign=view, columns=pairs, self_reference=False, foreign_is_view=True)
        for view, pick in from_views:
            for other, other_pick in to_views:
                yield replace(
                    r, table=view, foreign=other, columns=tuple(zip(pick, other_pick, strict=True)),
                    self_reference=view == other, table_is_view=True, foreign_is_view=True,
                )  # fmt: skip


def _many_to_many(tables: Mapping[QName, Table], found: list[Relationship]) -> Iterator[Relationship]:
    by_table: dict[QName, list[Relationship]] = {}
    for r in found:
        if r.kind == "m2o":
            by_table.setdefault(r.table, []).append(r)
    for table, group in by_table.items():
        key = set(tables[table].key) if table in tables else set()
        for a in group:
            for b in group:
                used = {c for c, _ in a.columns} | {c for c, _ in b.columns}
                if a.constraint == b.constraint or not used <= key:
                    continue
                junction = Junction(
                    table, a.constraint, b.constraint,
                    tuple((f, c) for c, f in a.columns), tuple((f, c) for c, f in b.columns),
                )  # fmt: skip
                yield Relationship(
                    a.foreign, b.foreign, "m2m", a.foreign == b.foreign, junction=junction,
                    table_is_view=a.foreign_is_view, foreign_is_view=b.foreign_is_view,
                )  # fmt: skip


def _inverse(found: list[Relationship]) -> Iterator[Relationship]:
    for r in found:
        if r.kind not in ("m2o", "o2o"):
            continue
        yield replace(
            r, table=r.foreign, foreign=r.table, kind="o2m" if r.kind == "m2o" else "o2o",
            columns=tuple((f, c) for c, f in r.columns), parent=r.kind == "o2o" and not r.parent,
            table_is_view=r.foreign_is_view, foreign_is_view=r.table_is_view,
        )  # fmt: skip


def _index(
    found: list[Relationship], computed: list[Relationship], schemas: Sequence[str]
) -> dict[tuple[QName, str], tuple[Relationship, ...]]:
    """By table and schema of the other side; a computed relationship replaces detected ones of its name."""
    replaced = {(r.table, r.function) for r in computed}
    kept = [r for r in found if (r.table, r.foreign) not in replaced] + computed
    index: dict[tuple[QName, str], list[Relationship]] = {}
    for r in kept:
        hidden = r.junction is not None and r.junction.table.schema not in schemas
        if r.table.schema in schemas and r.foreign.schema in schemas:
            target = r.function.schema if r.function else r.foreign.schema
            entry = index.setdefault((r.table, target), [])
            if not hidden:
                entry.append(r)
    return {k: tuple(sorted(set(v), key=Relationship.order)) for k, v in index.items()}


def _functions(raw: list[Any]) -> dict[QName, tuple[Function, ...]]:
    grouped: dict[QName, list[Function]] = {}
    for f in raw:
        parameters = tuple(
            Parameter(p["name"], p["type"], p["wide"], p["required"], p["variadic"]) for p in f["parameters"]
        )
        function = Function(
            f["oid"], f["schema"], f["name"], f["description"], parameters,
            QName(f["returns_schema"], f["returns_name"]), f["returns_type"], f["set"], f["composite"], f["alias"],
            f["volatility"], f["variadic"], f["settings"] or {},
            tuple((o["name"] or "", o["type"]) for o in f["outputs"] or ()),
        )  # fmt: skip
        grouped.setdefault(QName(function.schema, function.name), []).append(function)

    def fewest(f: Function) -> tuple[Any, ...]:
        return len(f.parameters), f.description or "", [(p.name, p.type, p.required) for p in f.parameters]

    return {n: tuple(sorted(fs, key=fewest)) for n, fs in grouped.items()}


def _handlers(raw: list[Any]) -> dict[tuple[QName | None, str], Handler]:
    handlers = {}
    for h in raw:
        target = None if h["target"][1] == "anyelement" else QName(*h["target"])
        handlers[target, h["media"]] = Handler(QName(*h["function"]), target, h["media"])
    return handlers
