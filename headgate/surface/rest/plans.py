"""Plans for the three kinds of request with rows (read, write, call), and the media type each is answered in."""

from __future__ import annotations

from headgate.db.catalog import Catalog, Function, QName, Table
from headgate.surface.rest import errors, media
from headgate.surface.rest.errors import RestError
from headgate.surface.rest.functions import find_function, takes_body
from headgate.surface.rest.nodes import Body, Call, Coerced, Node, NullEmbed, Plan, Test, Where, Write
from headgate.surface.rest.parse import Request
from headgate.surface.rest.payload import is_object
from headgate.surface.rest.plan import ReadPlanner, Resolver, find_table, nodes
from headgate.surface.rest.settings import RestSettings


def plan_request(request: Request, catalog: Catalog, settings: RestSettings) -> Plan:
    """The plan of a read, write or call. Raises RestError."""
    if request.kind == "call":
        return _plan_call(request, catalog, settings)
    table = find_table(catalog, request.target)
    read = ReadPlanner(catalog, settings, kind=request.kind).plan(request.target, request.query)
    if request.kind == "read":
        body = negotiate(request, catalog, settings, request.target, read)
        _check_preferences(request)
        plan = Plan("read", request.target, read, body, read_only=True, table=table)
        _count(plan, request, settings)
    else:
        write = _plan_write(request, catalog, table, read)
        _check_preferences(request)
        body = negotiate(request, catalog, settings, request.target, read)
        plan = Plan(request.kind, request.target, read, body, write=write, table=table)
        plan.location = request.kind == "create" and request.preferences.returning == "headers-only"
    plan.warnings = _warnings(read, settings)
    return plan


def _warnings(read: Node, settings: RestSettings) -> tuple[tuple[str, str], ...]:
    if not settings.url_use_legacy_target_names:
        return ()
    return tuple((n.name, n.alias) for n in nodes(read) if n.legacy and n.alias)


def _count(plan: Plan, request: Request, settings: RestSettings) -> None:
    plan.count, plan.max_rows = request.preferences.count, settings.db_max_rows
    plan.counted_apart = plan.max_rows is not None or not request.rows.everything


def _check_preferences(request: Request) -> None:
    if request.preferences.strict and request.preferences.invalid:
        raise errors.invalid_preferences(request.preferences.invalid)


# ---------------------------------------------------------------- media types


def negotiate(request: Request, catalog: Catalog, settings: RestSettings, name: QName, read: Node) -> Body:
    """How the rows become a body, by the first of the accepted types that can be made. Raises PGRST107."""
    whole_row = not read.children and len(read.items) == 1 and read.items[0].field.name == "*"
    for wanted in request.accept:
        body = _match(wanted, catalog, settings, name if whole_row else None)
        if body is None:
            continue
        if request.head or (
            request.kind not in ("read", "call") and request.preferences.returning != "representation"
        ):
            return Body("none", body.media)
        return body
    raise errors.not_acceptable([m.name for m in request.accept])


def _match(wanted: media.Media, catalog: Catalog, settings: RestSettings, name: QName | None) -> Body | None:
    if wanted.plan is not None:
        if not settings.db_plan_enabled:
            return None
        made = _match(wanted.plan.of, catalog, settings, name)
        return Body(made.make, wanted, made.strip) if made else None
    if wanted.single:
        return Body("single", wanted, wanted.stripped)
    if wanted.name == media.ARRAY_STRIPPED:
        return Body("json", wanted, strip=True)
    lowered = wanted.name.lower()
    if name is not None:
        for accepted in (media.ANY, lowered):
            if (handler := catalog.handlers.get((name, accepted))) is not None:
                return Body(handler, _resolved(handler.media))
    if (handler := catalog.handlers.get((None, lowered))) is not None:
        return Body(handler, _resolved(handler.media))
    if wanted.name in (media.JSON, media.ANY):
        return Body("json", media.Media(media.JSON))
    if wanted.name == media.CSV:
        return Body("csv", wanted)
    return Body("geojson", wanted) if wanted.name == media.GEOJSON else None


def _resolved(name: str) -> media.Media:
    return media.decode(media.BINARY if name == media.ANY else name)


# ---------------------------------------------------------------- writes


def _plan_write(request: Request, catalog: Catalog, table: Table, read: Node) -> Write:
    query, resolver, kind = request.query, Resolver(catalog), request.kind
    prefer = request.preferences
    where: list[Where] = [resolver.test(request.target, f) for path, f in query.filters if not path]
    where += [resolver.logic(request.target, t) for _, t in query.logic]
    conflict: tuple[str, ...] | None = None
    resolution = prefer.resolution if kind == "create" else None
    if kind == "upsert":
        _check_upsert(request, table)
        resolution, conflict = "merge-duplicates", table.key
    elif resolution is not None:
        conflict = query.on_conflict if query.on_conflict is not None else table.key
    payload = request.payload
    columns = sorted(payload.columns) if payload else []
    returned = prefer.returning not in (None, "minimal")
    return Write(
        kind=kind,
        target=request.target,
        columns=tuple(_written(resolver, table, name) for name in columns),
        where=tuple(where),
        returning=tuple(needed_columns(read, table.key)) if returned else (),
        conflict=conflict,
        resolution=resolution,
        key=table.key,
        defaults=prefer.missing == "default" and kind in ("create", "update"),
        body_is_object=payload is not None and is_object(payload.raw),
        has_body=payload is not None,
    )


def _written(resolver: Resolver, table: Table, name: str) -> Coerced:
    column = table.columns.get(name)
    if column is None:
        message = f"Could not find the '{name}' column of '{table.name}' in the schema cache"
        raise RestError(400, "PGRST204", message)
    return resolver.written(resolver.column(column))


def _check_upsert(request: Request, table: Table) -> None:
    query = request.query
    plain = all(
        f.operator == "eq" and not f.negated and f.modifier is None for p, f in query.filters if not p
    )
    if query.logic or not table.key or query.filter_fields != frozenset(table.key) or not plain:
        raise RestError(*errors.INVALID_FILTERS)


def needed_columns(read: Node, key: tuple[str, ...]) -> list[str]:
    """The columns that must come back for the result, its embeds and the Location header."""
    names = {i.field.name for i in read.items}
    if "*" in names:
        return ["*"]
    for child in read.children:
        r = child.relation
        if r is None:
            continue
        if r.kind == "computed":
            return ["*"]
        pairs = r.junction.columns if r.junction else r.columns
        names |= {a for a, _ in pairs}
    return sorted(names | set(key))


# ---------------------------------------------------------------- calls


def _plan_call(request: Request, catalog: Catalog, settings: RestSettings) -> Plan:
    by_get, content = request.call_by_get, request.content.name
    function = call_target(request, catalog)
    source = QName(function.schema, function.returns.name if function.composite else function.name)
    planner = ReadPlanner(catalog, settings, kind="call")
    read = planner.plan(source, request.query)
    body = negotiate(request, catalog, settings, source, read)
    _check_preferences(request)
    if (
        request.preferences.max_affected is not None
        and request.preferences.strict
        and not function.returns_set
    ):
        raise RestError(*errors.MAX_AFFECTED_RPC)
    plan = Plan(
        "call", request.target, read, body,
        call=_call(request, function, read, form=not by_get and content == media.FORM),
        read_only=by_get or function.volatility != "v",
    )  # fmt: skip
    _count(plan, request, settings)
    plan.warnings = _warnings(read, settings)
    return plan


def call_target(request: Request, catalog: Catalog) -> Function:
    """The function that the request names. Raises PGRST202 and 203."""
    by_get = request.call_by_get or request.kind == "call_info"
    if by_get:
        keys = frozenset(n for n, _ in request.query.arguments)
    else:
        keys = request.payload.columns if request.payload else frozenset()
    return find_function(catalog, request.target, keys, request.content.name, post=not by_get)


def _call(request: Request, function: Function, read: Node, *, form: bool) -> Call:
    given: list[tuple[str, int]] | None = None
    payload = request.payload
    if request.call_by_get:
        given = list(request.query.arguments)
    elif form and payload is not None and payload.arguments is not None:
        given = [(n, -1 - i) for i, (n, _) in enumerate(payload.arguments)]
    keys = {n for n, _ in given} if given is not None else (payload.columns if payload else frozenset())
    by_position = len(function.parameters) == 1 and function.parameters[0].name == ""
    if by_position and not takes_body(function, request.content.name):
        by_position = False
    chosen = tuple(i for i, p in enumerate(function.parameters) if p.name in keys)
    arguments = None
    if given is not None:
        arguments = tuple((i, tuple(v for n, v in given if n == function.parameters[i].name)) for i in chosen)
    filtered = {n for w in read.where for n in _fields(w)}
    return Call(
        function=function,
        parameters=chosen,
        by_position=by_position,
        arguments=arguments,
        returning=tuple(needed_columns(read, ())),
        filtered=tuple(sorted(filtered)),
        body_is_object=payload is not None and is_object(payload.raw),
    )


def _fields(where: Where) -> list[str]:
    if isinstance(where, Test):
        return [where.field.name]
    if isinstance(where, NullEmbed):
        return [where.alias]
    return [n for t in where.terms for n in _fields(t)]
