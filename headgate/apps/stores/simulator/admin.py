"""The Admin GraphQL endpoint of one shop: parse, validate, charge, execute; scopes on every field."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLResolveInfo,
    OperationDefinitionNode,
    execute,
    get_named_type,
    get_operation_ast,
    parse,
    validate,
)

from headgate.apps.stores.simulator.fields import FIELDS
from headgate.apps.stores.simulator.nodes import Bag, Items, Money, Node, type_name
from headgate.apps.stores.simulator.roots import by_id, count, expand, selectors, table_of, window
from headgate.apps.stores.simulator.schema import Cost, schema_for, scopes_needed
from headgate.apps.stores.simulator.selection import (
    BadSearch,
    decode_cursor,
    encode_cursor,
    page,
    read_search,
)
from headgate.apps.stores.simulator.shop import Shop

MAX_COST = 1000


@dataclass
class Bucket:
    """The points of one app at one shop: `restore_rate` come back each second of real time."""

    maximum: float = 20_000.0
    restore_rate: float = 1000.0
    available: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self.available, self._at = self.maximum, time.monotonic()

    def refill(self) -> None:
        """Add what came back since the last look."""
        now = time.monotonic()
        self.available = min(self.maximum, self.available + (now - self._at) * self.restore_rate)
        self._at = now

    def take(self, points: float) -> bool:
        """Take points, if there are enough."""
        self.refill()
        if points > self.available:
            return False
        self.available -= points
        return True

    def status(self) -> dict[str, Any]:
        """As `extensions.cost.throttleStatus`."""
        return {
            "maximumAvailable": self.maximum,
            "currentlyAvailable": int(self.available),
            "restoreRate": self.restore_rate,
        }


@dataclass
class Call:
    """One request: who asks, with which rights, and what happened so far."""

    shop: Shop
    version: str
    scopes: frozenset[str]
    actions: dict[str, Callable[[Call, dict[str, Any]], Any]]
    base_url: str = ""
    app: str = ""
    objects: int = 0
    warnings: list[dict[str, Any]] = field(default_factory=list)
    deny_all: bool = False
    cut: bool = False


@dataclass
class Page:
    """One page of a connection."""

    nodes: list[Any]
    cursors: list[str]
    has_next: bool
    has_previous: bool


class Admin:
    """Executes queries. Parsed documents are remembered."""

    def __init__(self) -> None:
        self._documents: OrderedDict[tuple[str, str], tuple[DocumentNode | None, list[GraphQLError]]] = (
            OrderedDict()
        )

    def prepare(self, version: str, text: str) -> tuple[DocumentNode | None, list[GraphQLError]]:
        """The parsed and validated query, or why not."""
        key = (version, text)
        if key not in self._documents:
            try:
                document = parse(text)
                self._documents[key] = (document, validate(schema_for(version), document))
            except GraphQLError as error:
                self._documents[key] = (None, [error])
            if len(self._documents) > 256:
                self._documents.popitem(last=False)
        return self._documents[key]

    def answer(self, call: Call, given: dict[str, Any], bucket: Bucket) -> tuple[dict[str, Any], bool]:
        """The response document, and whether it was refused for want of points."""
        text, variables = given.get("query"), given.get("variables") or {}
        if not isinstance(text, str) or not isinstance(variables, dict):
            return {"errors": [{"message": "Required parameter missing or invalid: query"}]}, False
        document, errors = self.prepare(call.version, text)
        if document is None or errors:
            return {"errors": [_shown(e) for e in errors]}, False
        operation = get_operation_ast(document, given.get("operationName"))
        if operation is None:
            return {"errors": [{"message": "An operation name is required"}]}, False
        try:
            cost = Cost(schema_for(call.version), document, variables).of(operation)
        except (TypeError, ValueError) as error:
            return {"errors": [{"message": str(error)}]}, False
        if cost > MAX_COST:
            return _too_dear(cost), False
        if not bucket.take(cost):
            return throttled(cost, bucket), True
        return self._run(call, document, operation, variables, cost=cost, bucket=bucket), False

    def _run(
        self, call: Call, document: DocumentNode, operation: OperationDefinitionNode, variables: dict[str, Any],
        *, cost: int, bucket: Bucket,
    ) -> dict[str, Any]:  # fmt: skip
        name = operation.name.value if operation.name else None
        result = execute(
            schema_for(call.version), document, None, call, variables, name, resolve, resolve_type
        )
        if not isinstance(result, ExecutionResult):
            raise TypeError("a resolver was asynchronous")
        actual = min(cost, call.objects + (10 if operation.operation.value == "mutation" else 0))
        bucket.available = min(bucket.maximum, bucket.available + cost - actual)
        found: dict[str, Any] = {"data": result.data}
        if result.errors:
            found["errors"] = [_shown(e) for e in result.errors]
        found["extensions"] = {
            "cost": {"requestedQueryCost": cost, "actualQueryCost": actual, "throttleStatus": bucket.status()}
        }
        if call.warnings:
            found["extensions"]["search"] = call.warnings
        return found


def throttled(cost: int, bucket: Bucket) -> dict[str, Any]:
    """The answer for want of points."""
    return {
        "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}],
        "extensions": {
            "cost": {"requestedQueryCost": cost, "actualQueryCost": None, "throttleStatus": bucket.status()}
        },
    }


def _too_dear(cost: int) -> dict[str, Any]:
    message = f"Query cost is {cost}, which exceeds the single query max cost limit ({MAX_COST})."
    extensions = {"code": "MAX_COST_EXCEEDED", "cost": cost, "maxCost": MAX_COST}
    return {"errors": [{"message": message, "extensions": extensions}]}


def _shown(error: GraphQLError) -> dict[str, Any]:
    found: dict[str, Any] = {**error.formatted}
    return found


def denied(name: str, scopes: tuple[str, ...]) -> GraphQLError:
    """The error of a field whose scope is not granted."""
    needed = " or ".join(f"`{s}` access scope" for s in scopes)
    return GraphQLError(
        f"Access denied for {name} field. Required access: {needed}.",
        extensions={"code": "ACCESS_DENIED", "requiredAccess": f"{needed}."},
    )


# --- resolving ------------------------------------------------------------
def resolve_type(value: Any, _info: GraphQLResolveInfo, _type: Any) -> str | None:
    """Which type an interface's or a union's value has."""
    if isinstance(value, dict):
        found: str | None = value.get("__typename")
        return found
    return type_name(value)


def resolve(source: Any, info: GraphQLResolveInfo, **args: Any) -> Any:
    """Any field of any type."""
    call: Call = info.context
    parent, name = info.parent_type.name, info.field_name
    returns = get_named_type(info.return_type).name
    needed = scopes_needed(parent, name, returns)
    if needed and (call.deny_all or not call.scopes & set(needed)):
        raise denied(name, needed)
    try:
        value = _value(source, call, parent, name, args)
    except BadSearch as error:
        raise GraphQLError(str(error), extensions={"code": "BAD_REQUEST"}) from None
    except ValueError as error:
        raise GraphQLError(str(error), extensions={"code": "RESOURCE_NOT_FOUND"}) from None
    if isinstance(value, Items):
        value = items_page(value, args)
    _charge(call, value)
    return value


def _charge(call: Call, value: Any) -> None:
    if isinstance(value, Page):
        call.objects += 2 + len(value.nodes)
    elif isinstance(value, Node):
        call.objects += 1
    elif isinstance(value, list):
        call.objects += sum(isinstance(x, Node) for x in value)


def _value(source: Any, call: Call, parent: str, name: str, args: dict[str, Any]) -> Any:
    if parent in ("QueryRoot", "Mutation"):
        return root(call, name, args)
    if isinstance(source, Page):
        return page_field(source, name)
    if isinstance(source, dict):
        return source.get(name)
    if isinstance(source, (Node, Bag, Money, tuple)):
        return FIELDS[parent][name](source, args)
    return None


def page_field(source: Page, name: str) -> Any:
    """`nodes`, `edges` and `pageInfo` of a page."""
    if name == "nodes":
        return source.nodes
    if name == "edges":
        return [{"cursor": c, "node": n} for c, n in zip(source.cursors, source.nodes, strict=True)]
    return {
        "hasNextPage": source.has_next, "hasPreviousPage": source.has_previous,
        "startCursor": source.cursors[0] if source.cursors else None,
        "endCursor": source.cursors[-1] if source.cursors else None,
    }  # fmt: skip


def items_page(found: Items, args: dict[str, Any]) -> Page:
    """A page of what is all at hand."""
    numbered = [(0, n) for n in range(len(found.nodes))]
    part = page(numbered, args)
    return Page(
        [found.nodes[n] for _, n in part.items],
        [encode_cursor(i) for i in part.items],
        part.has_next,
        part.has_previous,
    )


def table_page(call: Call, name: str, args: dict[str, Any]) -> Page:
    """A page of orders, customers or products."""
    search = read_search(args.get("query"))
    if search.ignored:
        call.warnings.append({"path": [name], "query": args.get("query"), "warnings": [
            {"field": key, "message": "Invalid search field for this query.", "code": "invalid_field"}
            for key in search.ignored
        ]})  # fmt: skip
    selector = selectors(call.shop)[table_of(name)]
    sort = args.get("sortKey") or "ID"
    found = selector.sorted(search, sort, since=window(call.shop, name, call.scopes))
    if name != table_of(name):
        return flat_page(call, name, found, args)
    part = page(found, args)
    nodes = [expand(call.shop, name, n) for _, n in part.items]
    return Page(
        [n for rows in nodes for n in rows],
        [encode_cursor(i) for i, rows in zip(part.items, nodes, strict=True) if rows],
        part.has_next, part.has_previous,
    )  # fmt: skip


def flat_page(call: Call, name: str, found: list[tuple[int, int]], args: dict[str, Any]) -> Page:
    """A page of variants or inventory items: several for each product, in the order of their ids."""
    numbered = []
    for _, index in found:
        row = call.shop.products.get(index)
        numbered += [(0, v.key) for v in row.variants] if row is not None else []
    part = page(numbered, args)
    nodes = []
    for _, key in part.items:
        index, slot = divmod(key, 8)
        nodes.append(expand(call.shop, name, index)[slot])
    return Page(nodes, [encode_cursor(i) for i in part.items], part.has_next, part.has_previous)


def root(call: Call, name: str, args: dict[str, Any]) -> Any:
    """A field of the query or mutation root."""
    if name in call.actions:
        return call.actions[name](call, args)
    if name in ("orders", "customers", "products", "productVariants", "inventoryItems"):
        return table_page(call, name, args)
    if name.endswith("Count"):
        table = "products" if name == "productVariantsCount" else name.removesuffix("Count")
        if name == "productVariantsCount":
            return sum(len(p.variants) for p in call.shop.products), "EXACT"
        return count(call.shop, table, args, call.scopes)
    if name == "shop":
        return Node("Shop", call.shop, None)
    if name == "locations":
        return items_page(
            Items([Node("Location", call.shop, n) for n in range(call.shop.options.locations)]), args
        )
    if name == "nodes":
        return [one(call, id_) for id_ in args["ids"]]
    return one(call, args["id"])


def one(call: Call, id_: str) -> Any:
    """Any object by its global id."""
    for kind in ("BulkOperation", "WebhookSubscription"):
        if id_.startswith(f"gid://shopify/{kind}/"):
            name = kind[0].lower() + kind[1:]
            found = call.actions[name](call, {"id": id_}) if name in call.actions else None
            return {**found, "__typename": kind} if found else None
    found = by_id(call.shop, id_, call.scopes)
    if found is not None:
        needed = scopes_needed("", "node", found.kind)
        if needed and not call.scopes & set(needed):
            raise denied("node", needed)
    return found


__all__ = ["Admin", "Bucket", "Call", "Page", "decode_cursor"]
