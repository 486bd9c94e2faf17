# ruff: noqa: S608 - composing SQL from validated names is what this module is for
"""Rollups: aggregates kept by dirty keys. A refreshed key is recomputed whole, so that it equals a rebuild.

Promote marks keys in its own transaction. A refresher locks some marks (skipping those another one has), recomputes
their keys from a snapshot taken after the locks, and removes the marks; a promote of the same key waits for that.
"""

from __future__ import annotations

from headgate.db import Connection, Database, Jsonb
from headgate.db.queries import load
from headgate.engine.manifest import App, Rollup

Q = load("headgate.engine.sql", "rollup.sql")


async def refresh(db: Database, app: App, *, limit: int = 200, rounds: int = 1000) -> int:
    """Recompute dirty keys of every rollup of `app`, `limit` a transaction, until none is left; returns how many."""
    done = 0
    for rollup in app.rollups:
        for _ in range(rounds):
            async with db.transaction() as conn:
                count = await _some(conn, app.name, rollup, limit)
            done += count
            if count < limit:
                break
    return done


async def _some(conn: Connection, app: str, rollup: Rollup, limit: int) -> int:
    name = f"{app}.{rollup.name}"
    marks = await (await conn.execute(Q.take, {"rollup": name, "limit": limit})).fetchall()
    if not marks:
        return 0
    keys = Jsonb([mark["key"] for mark in marks])
    await conn.execute(recompute_sql(rollup).encode(), {"keys": keys})
    await conn.execute(
        Q.forget, {"rollup": name, "marks": Jsonb([{"key": m["key"], "since": m["mark"]} for m in marks])}
    )
    return len(marks)


async def rebuild(db: Database, app: App, name: str) -> int:
    """Recompute the rollup `name` of `app` from nothing, in one transaction; returns its rows.

    Readers see the old rows until it commits; promotes that touch the rollup's source go on, their marks stay.
    """
    rollup = next(r for r in app.rollups if r.name == name)
    async with db.transaction() as conn:
        await conn.execute(Q.settings)
        await conn.execute(Q.forget_all, {"rollup": f"{app.name}.{rollup.name}"})  # waits for its refreshers
        await conn.execute(f"lock table {_relation(rollup.target)} in share row exclusive mode".encode())
        await conn.execute(f"delete from {_relation(rollup.target)}".encode())
        made = await conn.execute(
            f"insert into {_relation(rollup.target)} ({_columns(rollup)}) {_select(rollup)}".encode()
        )
        return made.rowcount


async def waiting(db: Database, app: App) -> dict[str, int]:
    """How many dirty keys each rollup of `app` has."""
    rows = await db.fetch_all(Q.waiting, {"names": [f"{app.name}.{r.name}" for r in app.rollups]})
    return {row["rollup"]: row["keys"] for row in rows}


def recompute_sql(rollup: Rollup) -> str:
    """One statement that makes the rows of `%(keys)s` (a JSON array of key objects) true; writes no equal row."""
    target, names = _relation(rollup.target), list(rollup.key)
    keys = ", ".join(f'"{n}"' for n in names)
    rows = ", ".join(f't."{n}"' for n in rollup.values)
    fresh = ", ".join(f'excluded."{n}"' for n in rollup.values)
    sets = ", ".join(f'"{n}" = excluded."{n}"' for n in rollup.values)
    match = " and ".join(f'f."{n}" = t."{n}"' for n in names)
    asked = " and ".join(f't."{n}" = k."{n}"' for n in names)
    return (
        f"with k as materialized (select {keys} from jsonb_populate_recordset(null::{target}, %(keys)s)),\n"
        f"fresh as materialized ({_select(rollup, ' join k on ' + _on(rollup))}),\n"
        f"gone as (delete from {target} t using k where {asked} and not exists (select from fresh f where {match}))\n"
        f"insert into {target} as t ({_columns(rollup)}) select * from fresh order by {keys}\n"
        f"on conflict ({keys}) do update set {sets} where ({rows}) is distinct from ({fresh})"
    )


def _on(rollup: Rollup) -> str:
    return " and ".join(
        f'({expression.replace("%", "%%")}) = k."{n}"' for n, expression in rollup.key.items()
    )


def _select(rollup: Rollup, join: str = "") -> str:
    """The aggregate over the source, grouped by the key; with `join`, text for a query that has parameters."""

    def escape(text: str) -> str:
        return text.replace("%", "%%") if join else text

    picked = ", ".join(f'{escape(e)} as "{n}"' for n, e in [*rollup.key.items(), *rollup.values.items()])
    known = " and ".join(f"({escape(e)}) is not null" for e in rollup.key.values())
    group = ", ".join(str(n) for n in range(1, len(rollup.key) + 1))
    return (
        f"select {picked} from {_relation(rollup.source)} r{join}"
        f" where ({escape(rollup.where)}) and {known} group by {group}"
    )


def _columns(rollup: Rollup) -> str:
    return ", ".join(f'"{n}"' for n in [*rollup.key, *rollup.values])


def _relation(name: str) -> str:
    schema, _, relation = name.partition(".")
    return f'"{schema}"."{relation}"'
