"""What a request says, as frozen values: the shape that plans are cached by, apart from the values in it.

Literals are not here: a node holds the index of its literal in `Values`, so two requests of one shape are equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

# Operators that take one literal, and how SQL spells them.
PLAIN_OPERATORS = {
    "neq": "<>", "cs": "@>", "cd": "<@", "ov": "&&", "sl": "<<", "sr": ">>", "nxr": "&<", "nxl": "&>",
    "adj": "-|-",
}  # fmt: skip
# Operators that also take any(...) and all(...).
QUANTIFIED_OPERATORS = {
    "eq": "=", "gte": ">=", "gt": ">", "lte": "<=", "lt": "<", "like": "like", "ilike": "ilike",
    "match": "~", "imatch": "~*",
}  # fmt: skip
TEXT_SEARCH = {
    "fts": "to_tsquery", "plfts": "plainto_tsquery", "phfts": "phraseto_tsquery", "wfts": "websearch_to_tsquery",
}  # fmt: skip
IS_VALUES = {
    "null": "NULL", "not_null": "NOT NULL", "true": "TRUE", "false": "FALSE", "unknown": "UNKNOWN",
}  # fmt: skip

EmbedPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JsonStep:
    """One `->key`, `->>key`, `->3` or `->>3`."""

    arrow: Literal["->", "->>"]
    key: str
    is_index: bool


@dataclass(frozen=True, slots=True)
class Field:
    """A column and the path into it."""

    name: str
    path: tuple[JsonStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """`field=[not.]operator[(modifier)].value`; `value` is an index into the literals.

    `modifier` is any or all, the text-search language, or the keyword after `is`.
    """

    field: Field
    operator: str
    negated: bool = False
    modifier: str | None = None
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Logic:
    """`[not.]and(…)` or `[not.]or(…)`."""

    operator: Literal["and", "or"]
    terms: tuple[Filter | Logic, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """One term of `order`; `relation` is set where the field belongs to an embedded resource."""

    field: Field
    direction: Literal["ASC", "DESC"] | None = None
    nulls: Literal["NULLS FIRST", "NULLS LAST"] | None = None
    relation: str | None = None


@dataclass(frozen=True, slots=True)
class Selected:
    """A column of `select`: `alias:name->path::cast.aggregate()::aggregate_cast`."""

    field: Field
    alias: str | None = None
    cast: str | None = None
    aggregate: str | None = None
    aggregate_cast: str | None = None


@dataclass(frozen=True, slots=True)
class Embed:
    """A resource of `select`: `alias:name!hint!join(…)` or `...name(…)`."""

    name: str
    alias: str | None
    hint: str | None
    join: Literal["inner", "left"] | None
    spread: bool
    select: tuple[Selected | Embed, ...]


Select = tuple[Selected | Embed, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """The query string without its literals."""

    select: Select = (Selected(Field("*")),)
    filters: tuple[tuple[EmbedPath, Filter], ...] = ()
    logic: tuple[tuple[EmbedPath, Filter | Logic], ...] = ()
    orders: tuple[tuple[EmbedPath, tuple[Order, ...]], ...] = ()
    ranges: tuple[tuple[EmbedPath, int | None, int | None], ...] = ()  # path, index of limit, index of offset
    columns: frozenset[str] | None = None
    on_conflict: tuple[str, ...] | None = None
    arguments: tuple[tuple[str, int], ...] = ()  # name and literal of the parameters of a function
    filter_fields: frozenset[str] = frozenset()


@dataclass(slots=True)
class Values:
    """The literals of one request, in the order in which the shape refers to them."""

    items: list[bytes | None] = field(default_factory=list)

    def add(self, text: str) -> int:
        """Keep a literal and return its index. PostgreSQL's text holds no NUL, so none is kept."""
        return self.add_bytes(text.replace("\0", "").encode("utf-8", "surrogatepass"))

    def add_bytes(self, data: bytes | None) -> int:
        """Keep a literal as it is and return its index."""
        self.items.append(data)
        return len(self.items) - 1
