"""What row-level security lets a caller see, decided on the images of rows instead of on the table's present content.

The policies come from the catalog and are evaluated by PostgreSQL itself, under the caller's role and claims, on the
image that would be sent. So a row that has been changed or deleted since is judged by what it was, a DELETE can be
judged at all, and nothing that the caller may not see is sent because a newer version may be seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from headgate.db import SQL, Composed, Connection, Database, Identifier

Row = Mapping[str, Any]
_STATEMENT_TIMEOUT = "5s"
_UID = r"\( SELECT auth\.uid\(\) AS uid\)|auth\.uid\(\)"
_OWNER = re.compile(rf'^\((?:({_UID}) = ("?)(\w+)\2|("?)(\w+)\4 = ({_UID}))\)$')

_FACTS = """
select row_security_active(c.oid) as active,
  has_schema_privilege(n.oid, 'usage') as usage,
  has_table_privilege(c.oid, %(privilege)s) as whole,
  array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    and has_column_privilege(c.oid, a.attnum, 'select')) as columns,
  (select coalesce(json_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)), '{}') from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as types,
  (select coalesce(json_agg(json_build_object('permissive', p.polpermissive,
      'test', pg_get_expr(case when %(command)s = 'a' then coalesce(p.polwithcheck, p.polqual) else p.polqual end,
        p.polrelid),
      'reads', array(select coalesce(a.attname::text, '*') from pg_depend d left join pg_attribute a
          on a.attrelid = c.oid and a.attnum = d.refobjsubid and a.attnum > 0
        where d.classid = 'pg_policy'::regclass and d.objid = p.oid and d.refclassid = 'pg_class'::regclass
          and d.refobjid = c.oid and d.deptype = 'n'))), '[]')
    from pg_policy p where p.polrelid = c.oid and p.polcmd in (%(command)s::"char", '*')
      and (0 = any (p.polroles) or exists (select from unnest(p.polroles) r where pg_has_role(r, 'usage')))) as policies
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %(schema)s and c.relname = %(table)s"""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What applies to one role on one table. `test` is the SQL condition of all policies together.

    `test` is None where every row may be seen; `never` says that none may. `reads` are the columns that the policies
    read, None for all of them. `owner` is the column that must equal auth.uid(), where that is the whole rule.
    """

    columns: frozenset[str]
    types: Mapping[str, str]
    never: bool = False
    test: str | None = None
    reads: frozenset[str] | None = frozenset()
    owner: str | None = None

    def decidable(self, image: Row) -> bool:
        """Whether the image has every column that the policies read."""
        if self.never or self.test is None:
            return True
        return all(name in image for name in (self.types if self.reads is None else self.reads))


async def rules(conn: Connection, schema: str, table: str, *, command: str = "r") -> Rules:
    """The rules of the connection's present role for reading (`r`) or inserting (`a`)."""
    values = {"schema": schema, "table": table, "command": command}
    values["privilege"] = "insert" if command == "a" else "select"
    row = await (await conn.execute(_FACTS, values)).fetchone()
    if row is None or not row["usage"]:
        return Rules(columns=frozenset(), types={}, never=True)
    columns = frozenset(row["columns"])
    allowed = row["whole"] or (command == "r" and columns)
    found: dict[str, Any] = {"columns": columns, "types": row["types"]}
    if not allowed:
        return Rules(**found, never=True)
    return Rules(**found, **_joined(row["policies"])) if row["active"] else Rules(**found)


def _joined(policies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Permissive policies are alternatives; each restrictive one must hold as well."""
    tests = {
        kind: [p["test"] or "true" for p in policies if p["permissive"] is kind] for kind in (True, False)
    }
    if not tests[True]:
        return {"never": True}
    if "true" in tests[True] and not tests[False]:
        return {}
    reads = frozenset(name for p in policies for name in p["reads"])
    test = " and ".join(
        ["(" + " or ".join(f"({t})" for t in tests[True]) + ")", *(f"({t})" for t in tests[False])]
    )
    owner = _OWNER.match(tests[True][0]) if len(tests[True]) == 1 and not tests[False] else None
    return {
        "test": test,
        "reads": None if "*" in reads else reads,
        "owner": (owner.group(3) or owner.group(5)) if owner else None,
    }


async def evaluate(
    conn: Connection, rules: Rules, schema: str, table: str, images: Sequence[Row]
) -> list[bool]:
    """Which of the images the rules let the connection's present role see. An undecidable image is not seen."""
    if rules.never:
        return [False] * len(images)
    if rules.test is None:
        return [True] * len(images)
    chosen = [number for number, image in enumerate(images) if rules.decidable(image)]
    seen = [False] * len(images)
    if not chosen:
        return seen
    if rules.reads is not None and not rules.reads:
        row = await (await conn.execute(f"select ({rules.test}) as seen".encode())).fetchone()
        for number in chosen:
            seen[number] = bool(row and row["seen"])
        return seen
    wanted = rules.reads
    documents = [
        images[n] if wanted is None else {k: v for k, v in images[n].items() if k in wanted} for n in chosen
    ]
    query: Composed = SQL(
        "select headgate_number from jsonb_array_elements(%s::jsonb) with ordinality"
        " as headgate_row(headgate_document, headgate_number),"
        " lateral jsonb_populate_record(null::{table}, headgate_document) as {name} where "
    ).format(table=identifier(schema, table), name=identifier(table)) + SQL(rules.test.replace("%", "%%"))
    for row in await (await conn.execute(query, [orjson.dumps(documents).decode()])).fetchall():
        seen[chosen[row["headgate_number"] - 1]] = True
    return seen


def identifier(*parts: str) -> Identifier:
    """A quoted name for a query with placeholders, where the driver reads a percent sign as one."""
    return Identifier(*(part.replace("%", "%%") for part in parts))


@dataclass(frozen=True)
class Rights:
    """What a caller may do on a channel."""

    read_broadcast: bool = True
    write_broadcast: bool = True
    read_presence: bool = True
    write_presence: bool = True


_SETTINGS = {"search_path": "", "statement_timeout": _STATEMENT_TIMEOUT}


async def channel_rights(db: Database, claims: Mapping[str, Any], topic: str) -> Rights:
    """What the policies on realtime.messages let the caller do on the private channel `topic`."""
    images = [{"topic": topic, "extension": kind, "private": True} for kind in ("broadcast", "presence")]
    defaults: dict[str, Any] = {"payload": {}, "event": None, "id": "00000000-0000-0000-0000-000000000000"}
    rows = [{**_BLANK, **defaults, **image} for image in images]
    found = []
    async with db.as_role(claims, settings={**_SETTINGS, "realtime.topic": topic}) as conn:
        for command in ("r", "a"):
            applied = await rules(conn, "realtime", "messages", command=command)
            found.append(await evaluate(conn, applied, "realtime", "messages", rows))
    (hear, see), (say, show) = found
    return Rights(hear, say, see, show)


_BLANK = dict.fromkeys(("updated_at", "inserted_at", "binary_payload", "expires_at"), None)
SETTINGS = _SETTINGS
