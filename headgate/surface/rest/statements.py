"""The one statement of a request: rows, their number, the body, and what functions set about the answer."""

from __future__ import annotations

from headgate.db.catalog import Function, Handler, QName
from headgate.surface.rest.nodes import SOURCE, Body, Call, Coerced, Plan, Write
from headgate.surface.rest.render import ReadRenderer, Sql, column, ident, name_of

ROWS = "_rows"
NULLABLE_SETTING = "nullif(current_setting('{}', true), '')"
INSERTED = NULLABLE_SETTING.format("pgrst.inserted")
# The columns that a statement returns: of a read or call in this order, of a write with the location before the body.
TOTAL, PAGE, BODY, HEADERS, STATUS, NEW, LOCATION = range(7)
WRITE_COLUMNS = (TOTAL, PAGE, LOCATION, BODY, HEADERS, STATUS, NEW)


def literal(text: str) -> str:
    """A text of the catalog as an SQL constant."""
    return "'" + text.replace("'", "''") + "'" if "\\" not in text else "E'" + text.replace("\\", "\\\\").replace(
        "'", "''"
    ) + "'"  # fmt: skip


def render(plan: Plan) -> tuple[str, Sql]:
    """The statement of a plan, and what fills its parameters."""
    sql = Sql()
    if plan.write is not None:
        text = _write(plan, plan.write, sql)
    elif plan.call is not None:
        text = _call(plan, plan.call, sql)
    else:
        text = _read(plan, sql)
    if (explained := plan.body.media.plan) is not None:
        options = ", ".join([f"FORMAT {explained.form.upper()}", *(o.upper() for o in explained.options)])
        text = f"EXPLAIN ({options}) {text}"
    return text, sql


def render_estimate(plan: Plan) -> tuple[str, Sql]:
    """The statement whose plan tells how many rows there are about."""
    sql = Sql()
    return f"EXPLAIN (FORMAT JSON) {ReadRenderer(sql).count(plan.read)}", sql


def _outer(plan: Plan, *, total: str, page: str, location: str, inserted: str, rows: str) -> str:
    function = plan.call.function if plan.call else None
    columns = (
        f"{total} AS total",
        f"{page} AS page",
        f"{body(plan.body, function)} AS body",
        f"{NULLABLE_SETTING.format('response.headers')} AS headers",
        f"{NULLABLE_SETTING.format('response.status')} AS status",
        f"{inserted} AS inserted",
        f"{location} AS location",
    )
    order = WRITE_COLUMNS if plan.write is not None else range(7)
    return f"SELECT {', '.join(columns[i] for i in order)} FROM ({rows}) {ROWS}"


def _counting(plan: Plan, renderer: ReadRenderer, page: str) -> tuple[str, str]:
    """The common table expression that counts, and the expression with the count."""
    if plan.count not in ("exact", "estimated"):
        return "", "null::text"
    if not plan.counted_apart:
        return "", page
    text = renderer.count(plan.read)
    if plan.count == "estimated" and plan.max_rows is not None and plan.kind == "read":
        text += f" LIMIT {plan.max_rows + 1}"
    return f", pgrst_count AS ({text})", "(SELECT count(*)::text FROM pgrst_count)"


def _read(plan: Plan, sql: Sql) -> str:
    renderer = ReadRenderer(sql)
    source = f"WITH {SOURCE} AS ({renderer.select(plan.read)})"
    page = f"count({ROWS})::text"
    counting, total = _counting(plan, renderer, page)
    rows = f"SELECT * FROM {SOURCE}"
    return f"{source}{counting} " + _outer(
        plan, total=total, page=page, location="null::text", inserted="null::text", rows=rows
    )


# ---------------------------------------------------------------- bodies


def body(how: Body, function: Function | None) -> str:
    """The expression that makes the body from the rows."""
    value = f"{ROWS}.pgrst_scalar" if function is not None and not function.composite else ROWS
    if isinstance(how.make, Handler):
        return _custom(how.make, function, value)
    if how.make == "none":
        return "''::text"
    if how.make == "csv":
        return _csv()
    if how.make == "geojson":
        features = f"coalesce(json_agg(ST_AsGeoJSON({ROWS})::json), '[]')"
        return f"json_build_object('type', 'FeatureCollection', 'features', {features})"
    listed = f"json_agg({value})"
    listed = f"json_strip_nulls({listed})" if how.strip else listed
    if how.make == "single":
        single_value = f"{ROWS}.pgrst_scalar" if function is not None and function.scalar else ROWS
        listed = f"json_agg({single_value})"
        listed = f"json_strip_nulls({listed})" if how.strip else listed
        return f"coalesce({listed}->0, 'null')"
    if function is not None and not function.returns_set:
        return f"coalesce({listed}->0, 'null')"
    return f"coalesce({listed}, '[]')"


def _custom(handler: Handler, function: Function | None, value: str) -> str:
    if function is not None and function.scalar:
        return f"{name_of(handler.function)}({value})"
    if handler.target is None:
        return f"{name_of(handler.function)}({ROWS})"
    return f"{name_of(handler.function)}({ROWS}::{name_of(handler.target)})"


def _csv() -> str:
    header = (
        "(SELECT coalesce(string_agg(names.k, ','), '') FROM (SELECT json_object_keys(one.r)::text AS k "
        f"FROM (SELECT row_to_json(first) AS r FROM {SOURCE} AS first LIMIT 1) one) names)"
    )
    line = f"substring({ROWS}::text, 2, length({ROWS}::text) - 2)"
    return f"{header} || E'\\n' || coalesce(string_agg({line}, E'\\n'), '')"


# ---------------------------------------------------------------- writes


def _write(plan: Plan, w: Write, sql: Sql) -> str:
    renderer = ReadRenderer(sql)
    change = {"create": _insert, "upsert": _insert, "update": _update, "delete": _delete}[w.kind](w, renderer)
    counts_new = w.kind == "upsert" or w.resolution == "merge-duplicates"
    rows = f"SELECT * FROM {SOURCE}" if plan.body.make == "none" else renderer.select(plan.read)
    page = f"count({ROWS})::text"
    return f"WITH {SOURCE} AS ({change}) " + _outer(
        plan,
        total="null::text",
        page=page,
        location=_location(w, page) if plan.location else "null::text",
        inserted=INSERTED if counts_new else "null::text",
        rows=rows,
    )


def _location(w: Write, page: str) -> str:
    keys = ", ".join(literal(k) for k in w.key) or "null"
    pairs = "jsonb_build_array(pair.key, coalesce('eq.' || pair.value, 'is.null'))"
    return (
        f"CASE WHEN {page} = '1' THEN (SELECT jsonb_agg({pairs})::text "
        f"FROM (SELECT row_to_json(one) AS r FROM {SOURCE} AS one LIMIT 1) data "
        f"CROSS JOIN json_each_text(data.r) AS pair WHERE pair.key IN ({keys})) END"
    )


def _body_rows(
    columns: tuple[Coerced, ...], sql: Sql, *, is_object: bool, defaults: bool, one: bool = False
) -> str:
    """`FROM … pgrst_body`: the JSON body as typed rows, with column defaults for what is missing."""
    kind = "jsonb" if defaults else "json"
    payload = f"FROM (SELECT {sql.param('body')}::{kind} AS data) pgrst_payload, "
    document = "pgrst_payload.data"
    if defaults:
        pairs = ", ".join(f"{literal(c.name)}, {c.default}" for c in columns if c.default is not None)
        filled = f"jsonb_build_object({pairs})"
        if is_object:
            payload += f"LATERAL (SELECT {filled} || pgrst_payload.data AS data) pgrst_filled, "
        else:
            payload += (
                f"LATERAL (SELECT jsonb_agg({filled} || member) AS data "
                "FROM jsonb_array_elements(pgrst_payload.data) member) pgrst_filled, "
            )
        document = "pgrst_filled.data"
    shown = ", ".join(
        f"{c.transform}({ident(c.name)}) AS {ident(c.name)}" if c.transform else ident(c.name)
        for c in columns
    )
    if columns:
        typed = ", ".join(f"{ident(c.name)} {c.nominal}" for c in columns)
        rows = f"{kind}_to_record{'' if is_object else 'set'}({document}) AS _({typed}){' LIMIT 1' if one else ''}"
    else:
        rows = "(VALUES (1)) _" if is_object else f"{kind}_array_elements({document}) _"
    return f"{payload}LATERAL (SELECT {shown} FROM {rows}) pgrst_body"


def _returning(w: Write) -> str:
    shown = ", ".join(column(w.target, c) for c in w.returning) or "1"
    return f" RETURNING {shown}"


def _mark(step: str) -> str:
    """Counts rows inserted (+1) and rows found (-1), as a condition that is always true."""
    least = "0" if step == "+" else "-1"
    return f"set_config('pgrst.inserted', (coalesce({INSERTED}::int, 0) {step} 1)::text, true) <> '{least}'"


def _insert(w: Write, renderer: ReadRenderer) -> str:
    names = ", ".join(ident(c.name) for c in w.columns)
    merge = w.resolution == "merge-duplicates"
    text = f"INSERT INTO {name_of(w.target)}{f'({names})' if w.columns else ''} SELECT "
    text += ", ".join(f"pgrst_body.{ident(c.name)}" for c in w.columns) + " "
    text += _body_rows(w.columns, renderer.sql, is_object=w.body_is_object, defaults=w.defaults)
    conditions = [_mark("+")] if merge else []
    if w.kind == "upsert":
        conditions += [renderer.where(QName("", "pgrst_body"), t) for t in w.where]
    if conditions:
        text += f" WHERE {' AND '.join(conditions)}"
    if w.conflict:
        text += f" ON CONFLICT({', '.join(ident(c) for c in w.conflict)}) "
        if merge and w.columns:
            pairs = ", ".join(f"{ident(c.name)} = EXCLUDED.{ident(c.name)}" for c in w.columns)
            text += f"DO UPDATE SET {pairs} WHERE {_mark('-')}"
        else:
            text += "DO NOTHING"
    return text + _returning(w)


def _conditions(w: Write, renderer: ReadRenderer) -> str:
    tests = [renderer.where(w.target, t) for t in w.where]
    return f" WHERE {' AND '.join(tests)}" if tests else ""


def _update(w: Write, renderer: ReadRenderer) -> str:
    if not w.columns:
        shown = ", ".join(column(QName("", w.target.name), c) for c in w.returning) or "null"
        return f"SELECT {shown} FROM {name_of(w.target)} WHERE false"
    pairs = ", ".join(f"{ident(c.name)} = pgrst_body.{ident(c.name)}" for c in w.columns)
    rows = _body_rows(w.columns, renderer.sql, is_object=w.body_is_object, defaults=w.defaults)
    return f"UPDATE {name_of(w.target)} SET {pairs} {rows}{_conditions(w, renderer)}{_returning(w)}"


def _delete(w: Write, renderer: ReadRenderer) -> str:
    return f"DELETE FROM {name_of(w.target)}{_conditions(w, renderer)}{_returning(w)}"


# ---------------------------------------------------------------- calls


def _call(plan: Plan, call: Call, sql: Sql) -> str:
    renderer = ReadRenderer(sql)
    function = call.function
    source = f"WITH {SOURCE} AS ({_called(call, sql)})"
    page = f"count({ROWS})::text" if function.returns_set else "'1'::text"
    counting, total = _counting(plan, renderer, page)
    return f"{source}{counting} " + _outer(
        plan, total=total, page=page, location="null::text", inserted="null::text",
        rows=renderer.select(plan.read),
    )  # fmt: skip


def _called(call: Call, sql: Sql) -> str:
    function, lateral = call.function, ""
    if call.by_position:
        only = function.parameters[0]
        arguments = f"{sql.param('bytes' if only.type == 'bytea' else 'body')}::{only.type}"
    elif call.arguments is not None:
        arguments = ", ".join(_argument(call, i, given, sql) for i, given in call.arguments)
    elif call.parameters:
        chosen = [function.parameters[i] for i in call.parameters]
        columns = tuple(Coerced(p.name, nominal=p.wide) for p in chosen)
        lateral = _body_rows(columns, sql, is_object=call.body_is_object, defaults=False, one=True)
        lateral = f"{lateral}, LATERAL "
        arguments = ", ".join(
            f"{'VARIADIC ' if p.variadic else ''}{ident(p.name)} := pgrst_body.{ident(p.name)}"
            for p in chosen
        )
    else:
        arguments = ""
    called = f"{name_of(QName(function.schema, function.name))}({arguments})"
    if not function.composite:
        return f"SELECT pgrst_call.pgrst_scalar {lateral or 'FROM '}(SELECT {called} pgrst_scalar) pgrst_call"
    names = call.returning
    if names and names != ("*",):
        names = tuple(sorted({*names, *call.filtered}))
    shown = ", ".join(column(QName("", "pgrst_call"), n) for n in names) or "*"
    return f"SELECT {shown} {lateral or 'FROM '}{called} pgrst_call"


def _argument(call: Call, place: int, given: tuple[int, ...], sql: Sql) -> str:
    p = call.function.parameters[place]

    def slot(index: int) -> str:
        return sql.param(index if index >= 0 else ("argument", index, 0))

    if p.variadic:
        values = f"ARRAY[{', '.join(f'{slot(i)}::text' for i in given)}]"
        return f"VARIADIC {ident(p.name)} := {values}::{p.wide}"
    return f"{ident(p.name)} := {slot(given[-1])}::{p.wide}"
