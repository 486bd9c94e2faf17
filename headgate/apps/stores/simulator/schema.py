"""The simulator's GraphQL schema by API version, the scopes that types need, and what a query would cost."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from graphql import (
    ConstValueNode,
    DocumentNode,
    FieldDefinitionNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    InputValueDefinitionNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    build_ast_schema,
    get_named_type,
    parse,
    visit,
)
from graphql.language import REMOVE, BooleanValueNode, Visitor
from graphql.utilities import value_from_ast_untyped

VERSIONS = ("2025-10", "2026-01", "2026-04", "2026-07", "2026-10")
GROUPED_BY_DEFAULT_BEFORE = "2026-01"
SDL = Path(__file__).with_name("admin.graphql")

_ORDERS = ("read_orders", "read_marketplace_orders")
#: Any one of these scopes opens a type.
TYPE_SCOPES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("Order", "LineItem", "SalesAgreement", "Refund", "RefundLineItem", "OrderTransaction"), _ORDERS
    ),
    **dict.fromkeys(("OrderAgreement", "OrderEditAgreement", "RefundAgreement", "ReturnAgreement"), _ORDERS),
    "Sale": ("read_orders",),
    "Customer": ("read_customers",),
    "Product": ("read_products",),
    "ProductVariant": ("read_products",),
    "InventoryItem": ("read_inventory", "read_products"),
    "InventoryLevel": ("read_inventory",),
    "InventoryQuantity": ("read_inventory",),
    "Location": ("read_locations", "read_inventory", "read_markets_home"),
}
FIELD_SCOPES: dict[tuple[str, str], tuple[str, ...]] = {
    ("QueryRoot", "ordersCount"): _ORDERS,
    ("QueryRoot", "customersCount"): ("read_customers",),
    ("QueryRoot", "productsCount"): ("read_products",),
    ("QueryRoot", "productVariantsCount"): ("read_products",),
    ("InventoryItem", "inventoryLevel"): ("read_inventory",),
    ("InventoryItem", "inventoryLevels"): ("read_inventory",),
}
#: Types that a selection does not pay for.
FREE = {"MoneyBag", "MoneyV2", "PageInfo", "Count", "UserError", "BulkOperationUserError"}


def scopes_needed(parent: str, name: str, returns: str) -> tuple[str, ...]:
    """The scopes of which one must be granted to read a field; none where anyone may."""
    found = FIELD_SCOPES.get((parent, name))
    if found:
        return found
    return TYPE_SCOPES.get(returns.removesuffix("Connection"), ())


class _ForVersion(Visitor):
    def __init__(self, version: str) -> None:
        super().__init__()
        self.version = version

    def enter_field_definition(self, node: FieldDefinitionNode, *_: Any) -> Any:
        for directive in node.directives:
            since = directive.arguments[0].value
            if isinstance(since, StringValueNode) and since.value > self.version:
                return REMOVE
        return None

    def enter_input_value_definition(self, node: InputValueDefinitionNode, *_: Any) -> Any:
        if node.name.value == "groupObjects" and self.version < GROUPED_BY_DEFAULT_BEFORE:
            value: ConstValueNode = BooleanValueNode(value=True)
            node.default_value = value
        return None


@cache
def schema_for(version: str) -> GraphQLSchema:
    """The schema of one API version."""
    document = parse(SDL.read_text(encoding="utf-8"), no_location=True)
    return build_ast_schema(visit(document, _ForVersion(version)))


class Cost:
    """The points that a query may cost, from its text alone.

    Objects cost 1, amounts nothing, a mutation 10, a connection 2 and its nodes' cost for each node up to five, then
    for every tenth. Shopify's own formula is not public in full; this one has its habits: size asked for counts,
    nesting multiplies, and more than 1,000 points for one query are refused.
    """

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, variables: dict[str, Any]) -> None:
        self.schema = schema
        self.variables = variables
        found = document.definitions
        self.fragments = {d.name.value: d for d in found if isinstance(d, FragmentDefinitionNode)}

    def of(self, operation: OperationDefinitionNode) -> int:
        """The cost of one operation."""
        root = self.schema.get_root_type(operation.operation)
        base = 10 if operation.operation.value == "mutation" else 0
        return max(1, base + self._selected(root, operation.selection_set))

    def _selected(self, parent: Any, selections: SelectionSetNode | None) -> int:
        total, inline = 0, 0
        for node in selections.selections if selections else ():
            if isinstance(node, FieldNode):
                total += self._field(parent, node)
            elif isinstance(node, InlineFragmentNode):
                name = node.type_condition.name.value if node.type_condition else parent.name
                inline = max(inline, self._selected(self.schema.get_type(name), node.selection_set))
            elif isinstance(node, FragmentSpreadNode):
                fragment = self.fragments[node.name.value]
                of = self.schema.get_type(fragment.type_condition.name.value)
                total += self._selected(of, fragment.selection_set)
        return total + inline

    def _field(self, parent: Any, node: FieldNode) -> int:
        if not isinstance(parent, (GraphQLObjectType, GraphQLInterfaceType)):
            return 0
        known = parent.fields.get(node.name.value)
        named = get_named_type(known.type) if known else None
        if named is None or node.selection_set is None:
            return 0
        inner = self._selected(named, node.selection_set)
        if node.name.value == "nodes" and parent.name == "QueryRoot":
            return self._asked(node) * max(inner, 1)
        if named.name.endswith("Connection"):
            return 2 + self._size(node) * max(inner, 1)
        return inner if named.name in FREE or named.name.endswith("Edge") else 1 + inner

    def _asked(self, node: FieldNode) -> int:
        ids = value_from_ast_untyped(node.arguments[0].value, self.variables) if node.arguments else None
        return len(ids) if isinstance(ids, list) else 1

    def _size(self, node: FieldNode) -> int:
        for argument in node.arguments:
            if argument.name.value in ("first", "last"):
                size = value_from_ast_untyped(argument.value, self.variables)
                if isinstance(size, int):
                    return size if size <= 5 else 5 + -(-(size - 5) // 10)
        return 1
