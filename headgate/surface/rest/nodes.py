"""The planned request: names are catalog names, literals are indexes, nothing is SQL text yet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from headgate.db.catalog import Function, Handler, QName, Relationship, Table
from headgate.surface.rest.ast import EmbedPath, Field, Filter, JsonStep, Logic, Order
from headgate.surface.rest.media import Media
from headgate.surface.rest.ranges import Rows

SOURCE = "pgrst_source"  # the common table expression with the rows of a write or a call


@dataclass(frozen=True, slots=True)
class Coerced:
    """A field and what must be done to it: cast to JSON for a path, a data representation, a search vector."""

    name: str
    path: tuple[JsonStep, ...] = ()
    to_json: bool = False
    nominal: str = ""
    base: str = ""
    transform: str | None = None
    default: str | None = None
    full_row: bool = False
    search: bool = False  # wrap in to_tsvector


@dataclass(frozen=True, slots=True)
class Item:
    """A column of the result."""

    field: Coerced
    alias: str | None = None
    cast: str | None = None
    aggregate: str | None = None
    aggregate_cast: str | None = None


@dataclass(frozen=True, slots=True)
class Test:
    """A filter with its field resolved."""

    field: Coerced
    filter: Filter


@dataclass(frozen=True, slots=True)
class NullEmbed:
    """`resource=is.null` (or not) on an embedded resource, by the alias of its join."""

    alias: str
    negated: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Terms joined by and/or."""

    operator: str
    negated: bool
    terms: tuple[Where, ...]


Where = Test | NullEmbed | Group


@dataclass(frozen=True, slots=True)
class Sorted:
    """An order term; `relation` is the alias of the join that the field belongs to."""

    field: Coerced
    order: Order
    relation: str | None = None


@dataclass(frozen=True, slots=True)
class SpreadField:
    """A column of a spread resource as its parent selects it."""

    name: str
    aggregate: str | None = None
    aggregate_cast: str | None = None
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class JsonEmbed:
    """An embedded resource as one JSON column."""

    alias: str
    name: str
    array: bool
    empty: bool


@dataclass(frozen=True, slots=True)
class Spread:
    """An embedded resource whose columns become the parent's."""

    alias: str
    fields: tuple[SpreadField, ...]


@dataclass(slots=True)
class Node:
    """One resource of a read and those embedded in it."""

    name: str
    source: QName
    depth: int = 0
    alias: str | None = None
    hint: str | None = None
    join: Literal["inner", "left"] | None = None
    spread: Literal["one", "many"] | None = None
    source_alias: str | None = None
    relation: Relationship | None = None
    parent_alias: str | None = None
    join_alias: str = ""
    items: list[Item] = field(default_factory=list)
    where: list[Where] = field(default_factory=list)
    order: list[Sorted] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    selects: list[JsonEmbed | Spread] = field(default_factory=list)
    limit: int | None = None  # index of the literal
    offset: int | None = None
    rows: bool = False  # the outermost resource: its rows come with the request
    most: int | None = None  # at most so many
    skips: bool = False  # whether the first ones are left out
    max_rows: int | None = None
    extra_items: list[tuple[str | None, Item]] = field(
        default_factory=list
    )  # what a spread of many is ordered by
    spread_order: list[Sorted] = field(default_factory=list)
    legacy: bool = False
    raw_filters: list[Filter] = field(default_factory=list)
    raw_logic: list[Filter | Logic] = field(default_factory=list)
    raw_orders: tuple[Order, ...] = ()

    @property
    def label(self) -> str:
        """The key that the resource has in the result."""
        return self.alias or self.name


@dataclass(frozen=True, slots=True)
class Write:
    """The change a request makes, before its rows are read back."""

    kind: str
    target: QName
    columns: tuple[Coerced, ...]
    where: tuple[Where, ...]
    returning: tuple[str, ...]
    conflict: tuple[str, ...] | None
    resolution: str | None
    key: tuple[str, ...]
    defaults: bool
    body_is_object: bool
    has_body: bool


@dataclass(frozen=True, slots=True)
class Call:
    """The function a request calls. `arguments` are (parameter index, literals) of a call by GET or form."""

    function: Function
    parameters: tuple[int, ...]
    by_position: bool
    arguments: tuple[tuple[int, tuple[int, ...]], ...] | None
    returning: tuple[str, ...]
    filtered: tuple[str, ...]
    body_is_object: bool


BuiltIn = Literal["json", "single", "csv", "geojson", "none"]


@dataclass(frozen=True, slots=True)
class Body:
    """How rows become the body."""

    make: BuiltIn | Handler
    media: Media
    strip: bool = False


@dataclass(slots=True)
class Plan:
    """All that is needed to write SQL for a request and to answer it."""

    kind: str
    target: QName
    read: Node
    body: Body
    write: Write | None = None
    call: Call | None = None
    read_only: bool = False
    count: str | None = None
    counted_apart: bool = False
    max_rows: int | None = None
    location: bool = False
    table: Table | None = None
    warnings: tuple[tuple[str, str], ...] = ()


def widened(field_: Coerced, **changes: object) -> Coerced:
    """The field with some of it replaced."""
    return replace(field_, **changes)  # type: ignore[arg-type]


__all__ = [
    "SOURCE", "Body", "BuiltIn", "Call", "Coerced", "EmbedPath", "Field", "Group", "Item", "JsonEmbed", "Node",
    "NullEmbed", "Plan", "Rows", "Sorted", "Spread", "SpreadField", "Test", "Where", "Write", "widened",
]  # fmt: skip
