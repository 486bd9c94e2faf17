"""A bulk query compiled once into plain functions, so that a million lines need no GraphQL executor each.

It reads the same table of fields as the executor and keeps Shopify's rules for bulk queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    parse,
    validate,
)
from graphql.execution.values import get_argument_values

from headgate.apps.stores.simulator.fields import FIELDS
from headgate.apps.stores.simulator.money import exponent, text
from headgate.apps.stores.simulator.nodes import Bag, Money, Node
from headgate.apps.stores.simulator.schema import scopes_needed

MAX_CONNECTIONS = 5
MAX_DEPTH = 3  # the root connection and two levels below it


class NotBulk(Exception):
    """The query breaks a rule of bulk operations; the message is Shopify's kind of user error."""


@dataclass
class Part:
    """One field of an object."""

    alias: str
    read: Any
    args: dict[str, Any]
    shape: Shape | None
    many: bool
    #: a connection lies somewhere within this object
    deep: bool = False
    #: makes the whole value at once, where that is quicker than going through `shape`
    quick: Callable[[Any], Any] | None = None


@dataclass
class Shape:
    """What is selected on a type: plain fields and connections, by the object's own kind."""

    compiler: Compiler
    type: Any
    selections: tuple[SelectionSetNode, ...]
    depth: int
    in_list: bool
    _by_kind: dict[str, tuple[list[Part], list[Part]]] = field(default_factory=dict)

    def of(self, kind: str) -> tuple[list[Part], list[Part]]:
        """Fields and connections for an object of `kind`."""
        found = self._by_kind.get(kind)
        if found is None:
            found = self._by_kind[kind] = self.compiler.parts(self, kind)
        return found

    def values(self, value: Any) -> dict[str, Any]:
        """The object's selected fields."""
        kind = value.kind if isinstance(value, Node) else _kind(value)
        found: dict[str, Any] = {}
        for part in self.of(kind)[0]:
            got = part.read(value, part.args)
            if part.quick is not None:
                got = None if got is None else part.quick(got)
            elif part.shape is not None and got is not None:
                got = [part.shape.values(x) for x in got] if part.many else part.shape.values(got)
            found[part.alias] = got
        return found


@dataclass(frozen=True)
class Line:
    """One line of the file before it is written."""

    depth: int
    values: dict[str, Any]


class Projection:
    """A bulk query, ready to turn root objects into lines."""

    def __init__(
        self, root: str, args: dict[str, Any], shape: Shape, scopes: list[tuple[str, tuple[str, ...]]]
    ) -> None:
        self.root = root
        self.args = args
        self.shape = shape
        self.scopes = scopes

    def lines(self, node: Any) -> Iterator[Line]:
        """The object's line and those of all below it, parents first."""
        yield from self._below(self.shape, node, None, 1)

    def _below(self, shape: Shape, node: Any, parent: str | None, depth: int) -> Iterator[Line]:
        values = shape.values(node)
        if parent is not None:
            values["__parentId"] = parent
        yield Line(depth, values)
        for below, child in self._children(shape, node):
            yield from self._below(below, child, values["id"], depth + 1)

    def _children(self, shape: Shape, node: Any) -> Iterator[tuple[Shape, Any]]:
        """What the connections of an object give, and those of objects within it."""
        fields, connections = shape.of(node.kind)
        for part in connections:
            below = cast(Shape, part.shape)
            for child in part.read(node, part.args).nodes:
                yield below, child
        for part in fields:
            if part.deep:
                within = part.read(node, part.args)
                if within is not None:
                    yield from self._children(cast(Shape, part.shape), within)


def quick_money(node: FieldNode) -> Callable[[Bag], dict[str, Any]] | None:
    """A function for the usual selections of an amount, most of a file's weight; None for unusual ones."""
    sides: list[tuple[str, int, bool]] = []
    for side in node.selection_set.selections if node.selection_set else ():
        if not isinstance(side, FieldNode) or side.alias or side.selection_set is None:
            return None
        leaves = [x.name.value for x in _fields(side.selection_set) if not x.alias]
        if leaves not in (["amount"], ["amount", "currencyCode"]) or len(
            side.selection_set.selections
        ) != len(leaves):
            return None
        if side.name.value not in ("shopMoney", "presentmentMoney"):
            return None
        sides.append((side.name.value, int(side.name.value != "shopMoney"), len(leaves) == 2))
    plain = [(name, at) for name, at, code in sides if not code]
    coded = [(name, at) for name, at, code in sides if code]

    def make(bag: Bag) -> dict[str, Any]:
        amount, codes = bag
        found: dict[str, Any] = {n: {"amount": text(amount[i], exponent(codes[i]))} for n, i in plain}
        for n, i in coded:
            found[n] = {"amount": text(amount[i], exponent(codes[i])), "currencyCode": codes[i]}
        return found

    return make


def dump(values: dict[str, Any]) -> bytes:
    """A line as Shopify writes it: slashes escaped, a newline at the end."""
    return orjson.dumps(values).replace(b"/", b"\\/") + b"\n"


def _kind(value: Any) -> str:
    if isinstance(value, Bag):
        return "MoneyBag"
    return "MoneyV2" if isinstance(value, Money) else "Count"


class Compiler:
    """Checks a bulk query against the schema and the rules, and compiles it."""

    def __init__(self, schema: GraphQLSchema, text: str) -> None:
        self.schema = schema
        try:
            self.document: DocumentNode = parse(text)
        except GraphQLError as error:
            raise NotBulk(f"Invalid bulk query: {error.message}") from None
        errors = validate(schema, self.document)
        if errors:
            raise NotBulk(f"Invalid bulk query: {errors[0].message}")
        found = self.document.definitions
        self.fragments = {d.name.value: d for d in found if isinstance(d, FragmentDefinitionNode)}
        self.operations = [d for d in found if isinstance(d, OperationDefinitionNode)]
        self.connections = 0
        self.scopes: list[tuple[str, tuple[str, ...]]] = []

    def compile(self) -> Projection:
        """The projection; raises NotBulk."""
        if len(self.operations) != 1 or self.operations[0].operation is not OperationType.QUERY:
            raise NotBulk("Bulk queries must be one query operation.")
        roots = [s for s in self.operations[0].selection_set.selections if isinstance(s, FieldNode)]
        if len(roots) != 1 or len(self.operations[0].selection_set.selections) != 1:
            raise NotBulk("Bulk queries must contain exactly one top-level field.")
        root_type = cast(GraphQLObjectType, self.schema.query_type)
        name = roots[0].name.value
        definition = root_type.fields[name]
        if not get_named_type(definition.type).name.endswith("Connection"):
            raise NotBulk("Bulk queries must contain a connection field as the top-level field.")
        self._need("QueryRoot", name, definition.type)
        args = get_argument_values(definition, roots[0], {})
        shape = self._connection(definition.type, roots[0], depth=1, in_list=False)
        self._check(shape)
        return Projection(name, args, shape, self.scopes)

    def _need(self, parent: str, name: str, returns: Any) -> None:
        needed = scopes_needed(parent, name, get_named_type(returns).name)
        if needed:
            self.scopes.append((name, needed))

    def _connection(self, type_: Any, node: FieldNode, *, depth: int, in_list: bool) -> Shape:
        if in_list:
            raise NotBulk(
                "Queries that contain a connection field within a list field are not currently supported."
            )
        self.connections += 1
        if self.connections > MAX_CONNECTIONS:
            raise NotBulk(f"Bulk queries cannot contain more than {MAX_CONNECTIONS} connections.")
        if depth > MAX_DEPTH:
            raise NotBulk("Bulk queries cannot contain connections with a nesting depth greater than 2.")
        connection = get_named_type(type_)
        item = get_named_type(connection.fields["nodes"].type)
        found = []
        for selected in _fields(node.selection_set):
            if selected.name.value == "nodes" and selected.selection_set:
                found.append(selected.selection_set)
            elif selected.name.value == "edges":
                found += [
                    s.selection_set
                    for s in _fields(selected.selection_set)
                    if s.name.value == "node" and s.selection_set
                ]
        if not found:
            raise NotBulk(f"The connection {node.name.value} must select edges {{ node }} or nodes.")
        return Shape(self, item, tuple(found), depth, in_list=False)

    def _check(self, shape: Shape) -> None:
        """Compile all of it now, so that a broken rule is told when the operation is asked for."""
        kinds = self.schema.get_possible_types(shape.type) if is_abstract_type(shape.type) else [shape.type]
        kinds = [k for k in kinds if k.name in FIELDS]
        before, widest = self.connections, self.connections
        for kind in kinds:
            self.connections = before
            fields, connections = shape.of(kind.name)
            nested = connections or any(p.deep for p in fields)
            if nested and not any(p.alias == "id" for p in fields):
                raise NotBulk("The parent of a nested connection must select the id field without an alias.")
            for part in (*fields, *connections):
                if part.shape is not None:
                    self._check(part.shape)
            widest = max(widest, self.connections)
        self.connections = widest

    def parts(self, shape: Shape, kind: str) -> tuple[list[Part], list[Part]]:
        """Fields and connections that `shape` selects on an object of `kind`."""
        type_ = cast(GraphQLObjectType, self.schema.get_type(kind))
        fields: dict[str, Part] = {}
        connections: list[Part] = []
        for selections in shape.selections:
            for node in self._on(selections, type_):
                alias = node.alias.value if node.alias else node.name.value
                if node.name.value == "__typename":
                    fields[alias] = Part(alias, lambda n, a, kind=kind: kind, {}, None, many=False)
                    continue
                part = self._part(shape, type_, node, alias)
                if get_named_type(type_.fields[node.name.value].type).name.endswith("Connection"):
                    connections.append(part)
                else:
                    fields[alias] = part
        return list(fields.values()), connections

    def _part(self, shape: Shape, type_: GraphQLObjectType, node: FieldNode, alias: str) -> Part:
        name = node.name.value
        definition = type_.fields[name]
        self._need(type_.name, name, definition.type)
        named, args = get_named_type(definition.type), get_argument_values(definition, node, {})
        bare = definition.type.of_type if is_non_null_type(definition.type) else definition.type
        many = is_list_type(bare)
        below: Shape | None = None
        if named.name.endswith("Connection"):
            below = self._connection(definition.type, node, depth=shape.depth + 1, in_list=shape.in_list)
        elif not is_leaf_type(named) and node.selection_set:
            below = Shape(self, named, (node.selection_set,), shape.depth, in_list=shape.in_list or many)
        deep = below is not None and not named.name.endswith("Connection") and self._deep(below)
        quick = quick_money(node) if named.name == "MoneyBag" else None
        return Part(alias, FIELDS[type_.name][name], args, below, many=many, deep=deep, quick=quick)

    def _deep(self, shape: Shape) -> bool:
        kinds = self.schema.get_possible_types(shape.type) if is_abstract_type(shape.type) else [shape.type]
        parts = [shape.of(k.name) for k in kinds if k.name in FIELDS]
        return any(connections or any(p.deep for p in fields) for fields, connections in parts)

    def _on(self, selections: SelectionSetNode, type_: GraphQLObjectType) -> Iterator[FieldNode]:
        for node in selections.selections:
            if isinstance(node, FieldNode):
                yield node
                continue
            if isinstance(node, FragmentSpreadNode):
                fragment = self.fragments[node.name.value]
                condition, inner = fragment.type_condition.name.value, fragment.selection_set
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition.name.value if node.type_condition else type_.name
                inner = node.selection_set
            else:
                continue
            if condition == type_.name or condition in {i.name for i in type_.interfaces}:
                yield from self._on(inner, type_)


def _fields(selections: SelectionSetNode | None) -> Iterator[FieldNode]:
    for node in selections.selections if selections else ():
        if isinstance(node, FieldNode):
            yield node
