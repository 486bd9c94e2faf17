"""A request as a plan: every name looked up in the catalog, every default decided. Writes no SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from headgate.db.catalog import Catalog, Column, QName, Table
from headgate.surface.rest import errors
from headgate.surface.rest.ast import (
    TEXT_SEARCH,
    Embed,
    EmbedPath,
    Field,
    Filter,
    Logic,
    Order,
    Query,
    Select,
    Selected,
)
from headgate.surface.rest.errors import RestError
from headgate.surface.rest.hints import nearest_name
from headgate.surface.rest.nodes import (
    SOURCE,
    Coerced,
    Group,
    Item,
    JsonEmbed,
    Node,
    NullEmbed,
    Sorted,
    Spread,
    SpreadField,
    Test,
    Where,
    widened,
)
from headgate.surface.rest.relations import find_relationship
from headgate.surface.rest.settings import RestSettings

STAR = Item(Coerced("*"))


def find_table(catalog: Catalog, name: QName) -> Table:
    """The table or view, or PGRST205 with the nearest name as a hint."""
    if (table := catalog.tables.get(name)) is not None:
        return table
    near = nearest_name((t.name for t in catalog.tables if t.schema == name.schema), name.name)
    hint = f"Perhaps you meant the table '{name.schema}.{near}'" if near else None
    message = f"Could not find the table '{name.schema}.{name.name}' in the schema cache"
    raise RestError(404, "PGRST205", message, hint=hint)


# ---------------------------------------------------------------- fields


class Resolver:
    """Finds columns and the representations that a cast to or from their domain asks for."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def column(self, column: Column) -> Coerced:
        """A column of the catalog as a field."""
        return Coerced(column.name, nominal=column.nominal, base=column.type, default=column.default)

    def known(self, source: QName, name: str) -> Coerced:
        """A column by name; one that is not in the catalog has no type."""
        table = self.catalog.tables.get(source)
        column = table.columns.get(name) if table else None
        return self.column(column) if column else Coerced(name)

    def field(self, source: QName, asked: Field) -> Coerced:
        """A field with its path; what is not JSON yet is made JSON for it."""
        found = self.known(source, asked.name)
        return widened(found, path=asked.path, to_json=found.nominal not in ("json", "jsonb"))

    def represented(self, found: Coerced, source: str, target: str, *, input_type: str) -> Coerced:
        """The field, passed through the function that represents `source` as `target`."""
        function = self.catalog.representations.get((source, target))
        return widened(found, transform=function, nominal=input_type) if function else found

    def output(self, source: QName, asked: Field) -> Coerced:
        """A field as the result shows it."""
        found = self.field(source, asked)
        return self.represented(found, found.nominal, "json", input_type=found.nominal)

    def written(self, found: Coerced) -> Coerced:
        """A field as a JSON body gives it."""
        return self.represented(found, "json", found.nominal, input_type="json")

    def test(self, source: QName, asked: Filter) -> Test:
        """A filter on a field as the query string gives its literal."""
        found = self.field(source, asked.field)
        found = self.represented(found, "text", found.nominal, input_type="text")
        if asked.operator in TEXT_SEARCH and found.base not in ("", "tsvector"):
            found = widened(found, search=True)
        return Test(found, asked)

    def logic(self, source: QName, asked: Filter | Logic) -> Where:
        """A tree of filters."""
        if isinstance(asked, Filter):
            return self.test(source, asked)
        return Group(asked.operator, asked.negated, tuple(self.logic(source, t) for t in asked.terms))


# ---------------------------------------------------------------- the tree


class ReadPlanner:
    """Plans one read. `kind` is that of the request: rows of writes and calls come from a common table."""

    def __init__(self, catalog: Catalog, settings: RestSettings, *, kind: str) -> None:
        self.catalog = catalog
        self.settings = settings
        self.kind = kind
        self.resolver = Resolver(catalog)
        self.mutates = kind not in ("read", "call")
        self.schema = ""

    def plan(self, source: QName, query: Query) -> Node:
        """The tree for `source`. Raises PGRST108, 118, 120, 123, 127, 200 and 201."""
        self.schema = source.schema
        root = Node(source.name, source, rows=not self.mutates)
        self._select(root, query.select, source.schema)
        self._attach(root, query)
        self._relate(root, None, source.schema)
        self._resolve(root, source)
        self._expand_stars(root, aggregated=False)
        for step in (
            self._aliases,
            self._related_orders,
            self._null_filters,
            self._join_selects,
            self._aggregates,
        ):
            self._each(root, step)
        self._hoist(root)
        self._each(root, self._spread_orders)
        if not self.mutates and self.settings.db_max_rows is not None:
            self._each(root, self._cap)
        return root

    def _each(self, node: Node, step: Callable[[Node], None]) -> None:
        """Apply a step to the children first."""
        for child in node.children:
            self._each(child, step)
        step(node)

    def _select(self, node: Node, select: Select, schema: str) -> None:
        for part in select:
            if isinstance(part, Embed):
                child = Node(
                    part.name, QName(schema, part.name), node.depth + 1, part.alias, part.hint, part.join,
                    "one" if part.spread else None,
                )  # fmt: skip
                self._select(child, part.select, schema)
                node.children.append(child)
            else:
                node.items.append(self._item(part))

    @staticmethod
    def _item(part: Selected) -> Item:
        return Item(
            Coerced(part.field.name, part.field.path),
            part.alias,
            part.cast,
            part.aggregate,
            part.aggregate_cast,
        )

    # -- filters, orders and ranges find their resource

    def _at(self, root: Node, path: EmbedPath) -> Node:
        node = root
        for name in path:
            node = self._child(node, name)
        return node

    def _child(self, node: Node, name: str) -> Node:
        legacy = self.settings.url_use_legacy_target_names
        by_name = next((c for c in node.children if name in (c.name, c.alias)), None)
        child = by_name if legacy else next((c for c in node.children if c.label == name), None)
        if child is None:
            renamed = (by_name.name, by_name.alias) if by_name is not None and by_name.alias else None
            raise errors.not_embedded(name, renamed)
        if child.name == name and child.alias is not None and child.alias != name:
            child.legacy = True
        return child

    def _attach(self, root: Node, query: Query) -> None:
        for path, filter_ in query.filters:
            if path or not self.mutates:
                self._at(root, path).raw_filters.append(filter_)
        for path, orders in query.orders:
            node = self._at(root, path)
            node.raw_orders = node.raw_orders or orders
        if not self.mutates:
            for path, limit, offset in query.ranges:
                node = self._at(root, path)
                node.limit, node.offset = limit, offset
        for path, logic in query.logic:
            if path or not self.mutates:
                self._at(root, path).raw_logic.append(logic)

    # -- relationships

    def _relate(self, node: Node, parent: Node | None, schema: str) -> None:
        if parent is None:
            if self.kind != "read":
                node.source_alias, node.source = node.source.name, QName("", SOURCE)
        else:
            origin = parent.source.name
            if node.depth == 1 and parent.source_alias:
                origin = parent.source_alias
            r = find_relationship(self.catalog, schema, origin, node.name, node.hint)
            node.relation, node.source = r, r.foreign
            node.join_alias = f"{r.table.name}_{node.label}_{node.depth}"
            node.parent_alias = parent.source_alias
            if r.kind != "m2m":
                node.source_alias = f"{r.foreign.name}_{node.depth}"
            if node.spread and not r.to_one:
                node.spread = "many"
        for child in node.children:
            self._relate(child, node, schema)

    def _table_of(self, node: Node, root: QName) -> QName:
        return root if node.source == ("", SOURCE) else node.source

    def _resolve(self, node: Node, root: QName) -> None:
        source, resolver = self._table_of(node, root), self.resolver
        node.items = [
            widened_item(i, field=resolver.output(source, Field(i.field.name, i.field.path)))
            for i in node.items
        ]
        node.where = [resolver.test(source, f) for f in node.raw_filters]
        node.where += [resolver.logic(source, t) for t in node.raw_logic]
        node.order = [
            Sorted(
                Coerced(o.field.name, o.field.path) if o.relation else resolver.field(source, o.field),
                o,
                o.relation,
            )
            for o in node.raw_orders
        ]
        for child in node.children:
            self._resolve(child, root)

    # -- the columns of the result

    def _expand_stars(self, node: Node, *, aggregated: bool) -> None:
        source = node.source
        if source == ("", SOURCE):
            source = QName(self.schema, node.source_alias or "")
        aggregated = aggregated or any(i.aggregate for i in node.items) or node.spread == "many"
        table = self.catalog.tables.get(source)
        columns = list(table.columns.values()) if table else []
        represented = any((c.nominal, "json") in self.catalog.representations for c in columns)
        counted = node.spread is not None
        starred = any(
            i.field.name == "*" and (i.aggregate is None or (counted and i.aggregate == "count"))
            for i in node.items
        )
        if starred and (aggregated or represented):
            node.items = [new for i in node.items for new in self._expanded(i, columns, counted)]
        for child in node.children:
            self._expand_stars(child, aggregated=aggregated)

    def _expanded(self, item: Item, columns: list[Column], spread: bool) -> list[Item]:
        if item.field.name != "*" or item.field.path:
            return [item]
        if item.aggregate is None:
            out = []
            for column in columns:
                found = self.resolver.column(column)
                found = self.resolver.represented(found, found.nominal, "json", input_type=found.nominal)
                out.append(widened_item(item, field=found))
            return out
        if spread and item.aggregate == "count":
            return [widened_item(item, field=widened(item.field, full_row=True))]
        return [item]

    def _aliases(self, node: Node) -> None:
        node.items = [self._aliased(i, spread=node.spread is not None) for i in node.items]

    @staticmethod
    def _aliased(item: Item, *, spread: bool) -> Item:
        if item.alias is not None:
            return item
        if item.aggregate is not None:
            return widened_item(item, alias=item.aggregate) if spread else item
        if item.field.path:
            keys = [s.key for s in item.field.path if not s.is_index]
            return widened_item(item, alias=keys[-1] if keys else item.field.name)
        return widened_item(item, alias=item.field.name) if item.field.transform else item

    def _related_orders(self, node: Node) -> None:
        for place, term in enumerate(node.order):
            if term.relation is None:
                continue
            child = next((c for c in node.children if c.label == term.relation), None)
            if child is None:
                raise errors.not_embedded(term.relation)
            if child.relation is None or not child.relation.to_one:
                raise errors.order_not_to_one(node.source.name, child.label)
            node.order[place] = Sorted(term.field, term.order, child.join_alias)

    def _null_filters(self, node: Node) -> None:
        if node.children:
            node.where = [self._null_filter(w, node) for w in node.where]

    def _null_filter(self, where: Where, node: Node) -> Where:
        if isinstance(where, Group):
            return Group(
                where.operator, where.negated, tuple(self._null_filter(t, node) for t in where.terms)
            )
        if not isinstance(where, Test) or where.field.path:
            return where
        child = next((c for c in node.children if c.label == where.field.name), None)
        if child is None:
            return where
        asked = where.filter
        if asked.operator == "is" and asked.modifier == "NULL":
            return NullEmbed(child.join_alias, asked.negated)
        return where

    def _join_selects(self, node: Node) -> None:
        node.selects = [self._join_select(c) for c in node.children]

    @staticmethod
    def _join_select(child: Node) -> JsonEmbed | Spread:
        if child.spread is None:
            array = child.relation is not None and not child.relation.to_one
            return JsonEmbed(child.join_alias, child.label, array, _selects_nothing(child))
        fields = [SpreadField(i.alias or i.field.name) for i in child.items]
        for inner in child.selects:
            fields += [SpreadField(inner.name)] if isinstance(inner, JsonEmbed) else inner.fields
        return Spread(child.join_alias, tuple(fields))

    def _aggregates(self, node: Node) -> None:
        if not self.settings.db_aggregates_enabled and any(i.aggregate for i in node.items):
            raise RestError(*errors.AGGREGATES_OFF)

    def _hoist(self, node: Node) -> dict[tuple[str, str], Item]:
        """Aggregates of a spread to-one resource are computed by its parent."""
        below: dict[tuple[str, str], Item] = {}
        for child in node.children:
            below.update(self._hoist(child))
        to_one = node.spread == "one"
        own: dict[tuple[str, str], Item] = {}
        if to_one:
            for place, item in enumerate(node.items):
                if item.aggregate is not None:
                    own[node.join_alias, item.alias or item.field.name] = item
                    node.items[place] = widened_item(item, aggregate=None, aggregate_cast=None)
            own.update({(node.join_alias, name): item for (_, name), item in below.items()})
        elif node.children:
            node.selects = [self._hoisted(s, below) for s in node.selects]
        return own

    @staticmethod
    def _hoisted(select: JsonEmbed | Spread, below: dict[tuple[str, str], Item]) -> JsonEmbed | Spread:
        if isinstance(select, JsonEmbed):
            return select
        fields = []
        for f in select.fields:
            item = below.get((select.alias, f.name))
            fields.append(SpreadField(f.name, item.aggregate, item.aggregate_cast, item.alias) if item else f)
        return Spread(select.alias, tuple(fields))

    def _spread_orders(self, node: Node) -> None:
        if node.spread != "many":
            return
        inner = any(isinstance(s, Spread) and any(f.aggregate for f in s.fields) for s in node.selects)
        if inner or any(i.aggregate for i in node.items):
            raise errors.not_implemented(
                "Aggregates are not implemented for one-to-many or many-to-many spreads."
            )
        for number, term in enumerate(node.order, 1):
            alias = f"{node.join_alias}_{term.field.name}_{number}"
            node.extra_items.append((term.relation, Item(term.field, alias)))
            plain = Order(Field(alias), term.order.direction, term.order.nulls)
            node.spread_order.append(Sorted(Coerced(alias), plain))
        node.order = []

    def _cap(self, node: Node) -> None:
        node.max_rows = self.settings.db_max_rows


def widened_item(item: Item, **changes: Any) -> Item:
    """The column with some of it replaced."""
    return replace(item, **changes)


def _selects_nothing(node: Node) -> bool:
    return not node.items and all(_selects_nothing(c) for c in node.children)


def nodes(node: Node) -> list[Node]:
    """The resource and all embedded in it."""
    return [node] + [n for c in node.children for n in nodes(c)]
