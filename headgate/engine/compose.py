# ruff: noqa: S608 - composing SQL from validated names is what this module is for
"""The statements that promote composes for a `Table`: apply, validate, delete what a snapshot lacks. Text only.

Names come from the manifest, which admits plain SQL names alone, and are quoted all the same; columns of our own
start with `#`, which no name may. Parameters: $1 batch, $2 run, $3 and $4 first and last line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from headgate.engine.manifest import App, Column, Rollup, Source, Table


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a source's batches are promoted: composed statements, or the application's own function.

    `merge` does what `apply` does in one pass (PostgreSQL 17 and newer), where nothing else needs to know what
    changed; `count` then tells the rows that it did not write apart. `prepare` and `tables` are the application's own
    too.
    """

    apply: str | None = None
    merge: str | None = None
    count: str | None = None
    validate: str | None = None
    sweep: str | None = None
    function: str | None = None
    prepare: str | None = None
    tables: str | None = None


def plan(app: App, source: Source) -> Plan:
    """The plan of `source`; composed once per table."""
    if source.promote is not None:
        prepare = None if source.prepare is None else _relation(source.prepare)
        tables = None if source.parser is None else _relation(source.parser.tables)
        return Plan(function=_relation(source.promote), prepare=prepare, tables=tables)
    table = app.table(source.table or "")
    rollups = tuple(rollup for rollup in app.rollups if rollup.source == table.name)
    return _compose(app.name, _Frozen(table), tuple(_Frozen(r) for r in rollups), source.snapshot)


class _Frozen:
    """A manifest object as a cache key: the same object is the same key."""

    def __init__(self, value: Table | Rollup) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and other.value is self.value


@lru_cache(maxsize=256)
def _compose(app: str, table: _Frozen, rollups: tuple[_Frozen, ...], snapshot: bool) -> Plan:
    target = table.value
    assert isinstance(target, Table)  # noqa: S101 - narrows the type of the cache key
    kept = [r.value for r in rollups if isinstance(r.value, Rollup)]
    return Plan(
        apply=apply_sql(app, target, kept),
        merge=None if kept or target.history else merge_sql(target),
        count=count_sql(target),
        validate=validate_sql(target),
        sweep=sweep_sql(app, target, kept) if snapshot else None,
    )


def apply_sql(app: str, table: Table, rollups: Sequence[Rollup]) -> str:
    """One statement that makes a batch true: newest row per key, only where something differs, with history and
    dirty keys. Returns the counts as one jsonb object.
    """
    names = list(table.typed())
    rest = [n for n in names if n not in table.key]
    whole = bool(table.history or rollups)
    parts = [
        f"diff as materialized ({_diff(table, rest, old=bool(rollups))})",
        f"ins as (insert into {_relation(table.name)} as t ({_list(names)}) select {_list(names, 'd')}"
        f" from diff d where d.\"#act\" = 'i' returning {'t.*' if whole else '1'})",
    ]
    changed = ["ins"]
    if rest or table.deleted:
        parts.append(_update(table, rest, whole=whole))
        changed.append("upd")
    if table.history:
        parts += _history(table, names, changed)
    if rollups:
        parts.append(_dirty(app, rollups, [*changed, *(["old"] if "upd" in changed else [])]))
    updated = "(select count(*) from upd)" if "upd" in changed else "0"
    return (
        "with "
        + ",\n".join(parts)
        + "\nselect jsonb_build_object('upserted', n.ins + n.upd, 'inserted', n.ins, 'updated', n.upd,"
        " 'stale', n.total - n.keys + n.old, 'unchanged', n.keys - n.ins - n.upd - n.old, 'missing', n.missing)"
        "\nfrom (select (select count(*) from ins) as ins, "
        + updated
        + " as upd, count(*) as keys,"
        + " count(*) filter (where \"#act\" = 's') as old,"
        + f" count(*) filter (where {_missing(table)}) as missing,"
        + " (select count(*) from stage.rows where batch_id = $1 and line between $3 and $4) as total"
        + " from diff) n"
    )


def merge_sql(table: Table) -> str:
    """One MERGE that makes a batch true: newest row per key, only where something differs. Returns jsonb counts."""
    names = list(table.typed())
    rest = [n for n in names if n not in table.key]
    matched = ""
    if rest or table.deleted:
        sets = [f"{_name(n)} = s.{_name(n)}" for n in rest]
        conditions = [f"({_list(rest, 's')}) is distinct from ({_list(rest, 't')})" if rest else "false"]
        if table.deleted:
            sets.append(f"{_name(table.deleted)} = null")
            conditions.append(f"t.{_name(table.deleted)} is not null")
        guard = ""
        if table.version:
            v = _name(table.version)
            guard = f"(t.{v} is null or s.{v} >= t.{v}) and "
        matched = f" when matched and {guard}({' or '.join(conditions)}) then update set {', '.join(sets)}"
    missing = " or ".join(f"s.{_name(n)} is null" for n, c in table.typed().items() if c.required)
    return (
        f'with m as (merge into {_relation(table.name)} t using (select n.*, count(*) over () as "#keys"'
        f" from ({_newest(table)}) n) s on {_match(table.key, 't', 's')}{matched}"
        f" when not matched then insert ({_list(names)}) values ({_list(names, 's')})"
        f' returning merge_action() = \'INSERT\' as "#new", ({missing or "false"}) as "#missing", s."#keys")'
        " select jsonb_build_object('upserted', count(*), 'inserted', count(*) filter (where \"#new\"),"
        " 'updated', count(*) filter (where not \"#new\"), 'missing', count(*) filter (where \"#missing\"),"
        " 'keys', max(\"#keys\")) from m"
    )


def count_sql(table: Table) -> str:
    """What became of a merged batch: rows left out as `stale`, keys now `current`, rows with something `missing`."""
    rest = [n for n in table.typed() if n not in table.key]
    return (
        f"with diff as ({_diff(table, rest, old=False)})"
        " select jsonb_build_object('stale', (select count(*) from stage.rows where batch_id = $1"
        " and line between $3 and $4 and line > 0) - count(*) filter (where \"#act\" <> 's'),"
        " 'current', count(*) filter (where \"#act\" <> 's'),"
        f" 'missing', count(*) filter (where {_missing(table)})) from diff"
    )


def _diff(table: Table, rest: list[str], *, old: bool) -> str:
    """The newest row per key of the batch, and what it is to the table: i(nsert), u(pdate), s(tale) or =."""
    cases = [f"when o.{_name(table.key[0])} is null then 'i'"]
    if table.version:
        v = _name(table.version)
        cases.append(f"when s.{v} < o.{v} or (s.{v} is null and o.{v} is not null) then 's'")
    differs = f"({_list(rest, 's')}) is distinct from ({_list(rest, 'o')})" if rest else "false"
    if table.deleted:
        differs += f" or o.{_name(table.deleted)} is not null"
    cases.append(f"when {differs} then 'u'")
    before = ', o as "#old"' if old else ""
    return (
        f"select s.*, case {' '.join(cases)} else '=' end as \"#act\"{before}\n"
        f"from ({_newest(table)}) s\n"
        f"left join {_relation(table.name)} o on {_match(table.key, 'o', 's')}"
    )


def _newest(table: Table) -> str:
    """The newest row per key of the batch, typed."""
    columns = ", ".join(f"{_value(n, c)} as {_name(n)}" for n, c in table.typed().items())
    order = [_name(k) for k in table.key]
    if table.version:
        order.append(f"{_name(table.version)} desc nulls last")
    return (
        f'select distinct on ({_list(table.key)}) x.* from (select line as "#line", {columns} from stage.rows'
        " where batch_id = $1 and line between $3 and $4 and line > 0) x"
        f' order by {", ".join(order)}, "#line" desc'
    )


def _update(table: Table, rest: list[str], *, whole: bool) -> str:
    sets = [f"{_name(n)} = d.{_name(n)}" for n in rest]
    if table.deleted:
        sets.append(f"{_name(table.deleted)} = null")
    guard = ""
    if table.version:
        v = _name(table.version)
        guard = f" and (t.{v} is null or d.{v} >= t.{v})"
    return (
        f"upd as (update {_relation(table.name)} t set {', '.join(sets)} from diff d"
        f" where d.\"#act\" = 'u' and {_match(table.key, 't', 'd')}{guard} returning {'t.*' if whole else '1'})"
    )


def _history(table: Table, names: list[str], changed: list[str]) -> list[str]:
    """Close the open version of what was updated, open one for each change."""
    history = _relation(table.history or "")
    opened = " union all ".join(
        f"select {_list(names, 'c')}, now(), '{'insert' if c == 'ins' else 'update'}', $2 from {c} c"
        for c in changed
    )
    parts = [
        f"opened as (insert into {history} ({_list(names)}, valid_from, operation, run_id) {opened} returning 1)"
    ]
    if "upd" in changed:
        parts.append(
            f"closed as (update {history} h set valid_to = now() from upd u"
            f" where {_match(table.key, 'h', 'u')} and h.valid_to is null returning 1)"
        )
    return parts


def _dirty(app: str, rollups: Iterable[Rollup], changed: Sequence[str]) -> str:
    """Mark every rollup key that a change touches, before and after, whether its row counts or not.

    In order, so that two promoters never deadlock.
    """
    marks = []
    for rollup in rollups:
        pairs = ", ".join(f"{_text(n)}, ({e})" for n, e in rollup.key.items())
        known = " and ".join(f"({e}) is not null" for e in rollup.key.values())
        for origin in changed:
            rows = '(select (d."#old").* from diff d where d."#act" = \'u\')' if origin == "old" else origin
            marks.append(
                f"select {_text(f'{app}.{rollup.name}')}::text as rollup, jsonb_build_object({pairs}) as key"
                f" from {rows} r where {known}"
            )
    return (
        "dirty as (insert into control.rollup_dirty (rollup, key) select distinct rollup, key from ("
        + " union all ".join(marks)
        + ") k order by rollup, key on conflict (rollup, key) do update set since = excluded.since returning 1)"
    )


def validate_sql(table: Table) -> str:
    """Reject every row of a batch that has a missing or uncastable value; returns how many."""
    problems = []
    for name, column in table.typed().items():
        raw = _raw(name, column)
        if column.required:
            problems.append(f"case when ({_value_or_raw(name, column)}) is null then '{name}: missing' end")
        if column.type not in ("text", "jsonb"):
            problems.append(f"'{name}: ' || control.cast_problem({raw}, {_text(column.type)})")
    problem = f"coalesce({', '.join(problems)})" if problems else "null"
    return (
        f"with judged as materialized (select line, doc, {problem} as problem from stage.rows"
        " where batch_id = $1 and line > 0),\n"
        "bad as (update stage.rows s set line = -s.line from judged j where j.problem is not null"
        " and s.batch_id = $1 and s.line = j.line returning 1),\n"
        "kept as (insert into control.rejects (run_id, batch_id, line, reason, raw, raw_bytes)"
        " select $2, $1, line, left(problem, 500), left(doc::text, 4096), octet_length(doc::text)"
        " from judged where problem is not null order by line"
        " limit greatest(1000 - (select count(*) from control.rejects where batch_id = $1), 0))\n"
        "select count(*) from bad"
    )


def sweep_sql(app: str, table: Table, rollups: Sequence[Rollup]) -> str:
    """Delete (or mark deleted) the rows that no batch of run $2 had; $1 is now the largest share that may go.

    A rejected row protects the row of its key. Returns {"deleted": n, "alive": rows before}.
    """
    typed = table.typed()
    relation, names = _relation(table.name), list(typed)
    steps = "(select id from control.run_steps where run_id = $2)"
    keys = ", ".join(f"{_value(k, typed[k])} as {_name(k)}" for k in table.key)
    raws = ", ".join(f"{_raw(k, typed[k])} as {_name(k)}" for k in table.key)
    raw_match = " and ".join(f"b.{_name(k)} = t.{_name(k)}::text" for k in table.key)
    absent = (
        f"not exists (select from present p where {_match(table.key, 'p', 't')})"
        f" and not exists (select from broken b where {raw_match})"
    )
    alive = f"t.{_name(table.deleted)} is null" if table.deleted else "true"
    action = (
        f"update {relation} t set {_name(table.deleted)} = now()"
        if table.deleted
        else f"delete from {relation} t"
    )
    parts = [
        f"present as materialized (select {keys} from stage.rows where batch_id in {steps} and line > 0)",
        f"broken as materialized (select {raws} from stage.rows where batch_id in {steps} and line < 0)",
        f"gone as ({action} where {alive} and {absent} returning t.*)",
    ]
    if table.history:
        history = _relation(table.history)
        parts += [
            f"closed as (update {history} h set valid_to = now() from gone g"
            f" where {_match(table.key, 'h', 'g')} and h.valid_to is null returning 1)",
            f"tomb as (insert into {history} ({_list(names)}, valid_from, valid_to, operation, run_id)"
            f" select {_list(names, 'g')}, now(), now(), 'delete', $2 from gone g returning 1)",
        ]
    if rollups:
        parts.append(_dirty(app, rollups, ["gone"]))
    return (
        "with "
        + ",\n".join(parts)
        + "\nselect jsonb_build_object('deleted', (select count(*) from gone),"
        + f" 'alive', (select count(*) from {relation} t where {alive}))"
    )


def _missing(table: Table) -> str:
    required = [n for n, c in table.typed().items() if c.required]
    return " or ".join(f"{_name(n)} is null" for n in required)


def _value(name: str, column: Column) -> str:
    """The typed value of a column in `doc`."""
    if column.type == "jsonb":
        return f"nullif({_json(name, column)}, 'null'::jsonb)"
    if column.type.endswith("[]"):
        return f"control.text_array({_json(name, column)})::{column.type}"
    raw = _raw(name, column)
    return raw if column.type == "text" else f"({raw})::{column.type}"


def _value_or_raw(name: str, column: Column) -> str:
    """Something that is null exactly when the value is, without casting it."""
    return _value(name, column) if column.type in ("jsonb", "text") else _raw(name, column)


def _raw(name: str, column: Column) -> str:
    """The text that will be cast; for an array, the literal of its text form."""
    if column.type.endswith("[]"):
        return f"control.text_array({_json(name, column)})::text"
    keys = column.keys(name)
    return "doc" + "".join(f" -> {_text(k)}" for k in keys[:-1]) + f" ->> {_text(keys[-1])}"


def _json(name: str, column: Column) -> str:
    return "doc" + "".join(f" -> {_text(k)}" for k in column.keys(name))


def _match(key: Sequence[str], left: str, right: str) -> str:
    return " and ".join(f"{left}.{_name(k)} = {right}.{_name(k)}" for k in key)


def _list(names: Iterable[str], alias: str = "") -> str:
    return ", ".join(f"{alias}.{_name(n)}" if alias else _name(n) for n in names)


def _name(name: str) -> str:
    return '"' + name + '"'


def _relation(name: str) -> str:
    schema, _, relation = name.partition(".")
    return f"{_name(schema)}.{_name(relation)}"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
