"""What keeps the ticket tables in order: rollups, partitions, sealing and retention, as jobs with a timetable."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headgate.engine.jobs import JobContext
from headgate.engine.manifest import Handler, Services
from headgate.engine.schedule import Schedule


def refresh(services: Services) -> Handler:
    """`tickets.refresh`: recompute dirty hours until none is left or a worker wants to stop."""

    async def handle(ctx: JobContext) -> None:
        while not ctx.cancelled.is_set():
            if not await ctx.db.fetch_value("select tickets.refresh_rollups(200)"):
                return

    return handle


JOBS: Mapping[str, Callable[[Services], Handler]] = {"tickets.refresh": refresh}
SCHEDULES = (Schedule(name="tickets.refresh", kind="tickets.refresh", every_s=5.0, priority=5),)
