"""Batches that a check held back: a person looks, then releases or discards them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headgate.base.errors import PromoteError
from headgate.db import Connection, Database, errors
from headgate.engine.checks import Q
from headgate.engine.compose import plan
from headgate.engine.cursor import as_jsonb
from headgate.engine.jobs import Cancel, JobContext, Rejected
from headgate.engine.manifest import App
from headgate.engine.progress import RunReport
from headgate.engine.promote import Batch, Stopped, promote, stop_message
from headgate.engine.runs import recorded, start
from headgate.engine.stage import Q as STAGE


async def list_holds(db: Database, *, state: str | None = "waiting", limit: int = 50) -> list[dict[str, Any]]:
    """Holds, newest first; `state` None for all."""
    return await db.fetch_all(Q.list, {"state": state, "limit": limit})


async def release(
    db: Database, app: App, hold_id: int, *, by: str, job: JobContext | None = None
) -> RunReport:
    """Promote a held batch after all, as a run of its own in which `hold` checks only warn.

    The position moves on only if nothing else moved it meanwhile. Decision, rows and the end of `job` commit
    together. Raises PromoteError HG505 when the hold has been decided already, `Stopped` when a check of the action
    `stop` refuses the rows; the hold waits on then.
    """
    held = await db.fetch_one(Q.waiting, {"hold": hold_id})
    if held is None or held["state"] != "waiting":
        raise _decided(hold_id)
    source = app.source(held["source"])
    run, batch_id = await start(
        db, app, source, key=held["key"] or None, args={"hold": hold_id}, owner=held["owner"], job=job
    )
    forward = held["cursor_next"] if run.cursor == held["cursor_before"] else None

    async def decide(conn: Connection, totals: dict[str, Any]) -> None:
        try:
            await conn.execute(Q.decide, {"hold": hold_id, "state": "released", "by": by})
        except errors.DatabaseError as error:
            raise _decided(hold_id) if error.sqlstate == "HG505" else error from error
        if job is not None:
            await job.settle(conn, vars(RunReport.of(totals)))

    async with recorded(db, run):
        async with db.transaction() as conn:
            await _restage(conn, held, forward, batch_id=batch_id, run_id=run.id)
        async with db.transaction() as conn:
            batch = Batch(id=batch_id, meta=held["meta"], last=True, release=True)
            outcome = await promote(
                conn, run=run, source=source, plan=plan(app, source), batch=batch, settle=decide
            )
        if outcome.state == "failed":
            raise Stopped(stop_message(outcome.verdict), details={"run": run.id, "hold": hold_id})
    return RunReport.of(outcome.totals)


async def release_by_job(ctx: JobContext, apps: Sequence[App]) -> None:
    """The handler of `engine.release_hold` {hold, by}: what an administrator asked for through the console.

    Ends the job cancelled when the hold has been decided meanwhile, failed when the batch can not be promoted here.
    """
    hold_id = int(ctx.job.args["hold"])
    name = await ctx.db.fetch_value(Q.app, {"hold": hold_id})
    app = next((one for one in apps if one.name == name), None)
    if app is None:
        raise Rejected(f"Hold {hold_id} is of the application {name!r}, which this worker does not have.")
    try:
        await release(ctx.db, app, hold_id, by=str(ctx.job.args.get("by", "")), job=ctx)
    except Stopped as error:
        raise Rejected(error.message) from error
    except PromoteError as error:
        raise Cancel(error.message) if error.code == "HG505" else error from error


async def _restage(
    conn: Connection, held: dict[str, Any], forward: Any, *, batch_id: int, run_id: int
) -> None:
    hold_id = held["id"]
    try:
        row = await (await conn.execute(Q.restage, {"hold": hold_id, "batch": batch_id})).fetchone()
    except errors.DatabaseError as error:
        raise _decided(hold_id) if error.sqlstate == "HG505" else error from error
    rows = row["rows"] if row else 0
    params = {
        "batch": batch_id,
        "run": run_id,
        "number": 1,
        "name": f"hold {hold_id}",
        "seen": rows,
        "staged": rows,
        "rejected": 0,
        "bytes": 0,
        "meta": as_jsonb(held["meta"]),
        "next": as_jsonb(forward),
    }
    await conn.execute(STAGE.staged, params)


async def discard(db: Database, hold_id: int, *, by: str) -> None:
    """Throw a held batch away. Raises PromoteError HG505 when the hold has been decided already."""
    try:
        await db.execute(Q.decide, {"hold": hold_id, "state": "discarded", "by": by})
    except errors.DatabaseError as error:
        raise _decided(hold_id) if error.sqlstate == "HG505" else error from error


def _decided(hold_id: int) -> PromoteError:
    return PromoteError(
        f"Hold {hold_id} is not waiting for a decision.",
        code="HG505",
        hint="`control.holds` says who decided.",
    )
