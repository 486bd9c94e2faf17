"""The job that holds alert rules against new polls. All decisions are in `tickets.evaluate_alerts()`."""

from __future__ import annotations

from headgate.base import log
from headgate.engine.jobs import Handler, JobContext
from headgate.engine.manifest import Services

KIND = "tickets.evaluate_alerts"
_BATCH = 500
_LOG = log.get(__name__)


def handler(services: Services) -> Handler:
    """A job handler that evaluates every rule whose event has a newer accepted poll."""
    del services

    async def evaluate(ctx: JobContext) -> None:
        async with ctx.transaction() as conn:
            row = await (
                await conn.execute("select tickets.evaluate_alerts(%s) as fired", (_BATCH,))
            ).fetchone()
            fired = row["fired"] if row else 0
            await ctx.settle(conn, {"fired": fired})
        if fired:
            _LOG.info("alerts fired", count=fired)

    return evaluate
