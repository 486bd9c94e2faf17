"""The refresher: a job that recomputes dirty hours until none is left. What is recomputed, and how, is SQL."""

from __future__ import annotations

from headgate.engine.jobs import JobContext
from headgate.engine.manifest import Handler, Services
from headgate.engine.schedule import Schedule

#: Polls that mark an hour held by the refresher wait for its transaction, so it takes few at a time.
HOURS_AT_ONCE = 25

_REFRESH = "select tickets.refresh_rollups(%s)"


def refresh(services: Services) -> Handler:
    """`tickets.refresh`: recompute dirty hours, oldest first, until none is left or the worker wants to stop.

    Any number may run at once, and one that dies leaves its hours dirty for the next.
    """

    async def handle(ctx: JobContext) -> None:
        done = 0
        while not ctx.cancelled.is_set():
            hours = int(await ctx.db.fetch_value(_REFRESH, [HOURS_AT_ONCE]) or 0)
            done += hours
            if not hours:
                break
        if done:
            ctx.log.info("rollups refreshed", hours=done)

    return handle


JOBS = {"tickets.refresh": refresh}
SCHEDULES = (Schedule(name="tickets.refresh", kind="tickets.refresh", every_s=5.0, priority=5),)
