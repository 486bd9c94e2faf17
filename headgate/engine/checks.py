# ruff: noqa: S608 - the ready-made checks are composed from numbers and quoted field names
"""Data-quality checks of a staged batch, inside the promote transaction and before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headgate.db import Connection, Jsonb
from headgate.db.queries import load
from headgate.engine.manifest import Check

Q = load("headgate.engine.sql", "checks.sql")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The strongest outcome of a batch's checks: `ok`, `hold` or `stop`, and which check said so."""

    action: str = "ok"
    check: str = ""
    message: str = ""
    finding: Any = None


async def judge(
    conn: Connection,
    checks: Sequence[Check],
    *,
    run_id: int,
    batch_id: int,
    meta: dict[str, Any],
    release: bool,
) -> Verdict:
    """Run `checks` in order on the batch; every finding is recorded, the first `stop` or `hold` decides.

    `release`: a person let this batch pass, so `hold` counts as `warn`. A check that finds nothing returns no row.
    """
    for check in checks:
        row = await (
            await conn.execute(check.sql, {"batch": batch_id, "run": run_id, "meta": Jsonb(meta)})
        ).fetchone()
        if row is None:
            continue
        await conn.execute(
            Q.record,
            {
                "run": run_id,
                "batch": batch_id,
                "name": check.name,
                "action": check.action,
                "message": check.message,
                "finding": _json(row),
            },
        )
        if check.action == "stop" or (check.action == "hold" and not release):
            return Verdict(action=check.action, check=check.name, message=check.message, finding=row)
    return Verdict()


def _json(row: dict[str, Any]) -> Jsonb:
    return Jsonb(
        {k: v if isinstance(v, (int, float, bool, str, list, dict)) else str(v) for k, v in row.items()}
    )


def min_rows(at_least: int, *, action: Any = "stop") -> Check:
    """The batch has at least this many rows."""
    return Check(
        name="min_rows",
        action=action,
        message=f"fewer than {at_least} rows",
        sql="select count(*) as rows from stage.rows where batch_id = %(batch)s and line > 0"
        f" having count(*) < {int(at_least)}",
    )


def max_rejected_share(share: float, *, action: Any = "hold") -> Check:
    """At most this share (0 to 1) of the lines were malformed."""
    return Check(
        name="max_rejected_share",
        action=action,
        message=f"more than {share:.0%} of the lines are malformed",
        sql="select seen, rejected from control.run_steps where id = %(batch)s"
        f" and rejected > {float(share)!r} * seen",
    )


def present(*fields: str, action: Any = "stop") -> Check:
    """Every row has these top-level fields, not null."""
    tests = " or ".join(
        "doc ->> '" + field.replace("'", "''").replace("%", "%%") + "' is null" for field in fields
    )
    return Check(
        name="present",
        action=action,
        message=f"a row lacks one of {', '.join(fields)}",
        sql=f"select line from stage.rows where batch_id = %(batch)s and line > 0 and ({tests}) order by line limit 1",
    )
