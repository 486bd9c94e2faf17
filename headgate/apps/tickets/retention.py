"""Partitions ahead, sealing of ended days, and retention: three jobs over SQL functions of the same names.

Spans, polls and sealed days are kept for 4 months, hours for 6, days for ever.
"""

from __future__ import annotations

from datetime import UTC, timedelta

from headgate.base.clock import now
from headgate.db import errors
from headgate.engine.jobs import JobContext, Snooze
from headgate.engine.manifest import Handler, Services
from headgate.engine.schedule import Schedule

MONTHS_AHEAD = 3
SPAN_MONTHS = 4
HOUR_MONTHS = 6
#: A day is sealed when no usual late poll can touch it any more; a later one takes it apart and it is sealed again.
SEAL_AFTER = timedelta(days=2)
EVENT_DAYS_AT_ONCE = 5
_REFRESH_FIRST_S = 60.0


def partitions(services: Services) -> Handler:
    """`tickets.partitions`: make the partitions of this month and the next three."""

    async def handle(ctx: JobContext) -> None:
        made = await ctx.db.fetch_value("select tickets.ensure_partitions(null, %s)", [MONTHS_AHEAD])
        ctx.log.info("partitions ensured", made=made)

    return handle


def seal(services: Services) -> Handler:
    """`tickets.seal`: pack ended days into arrays, oldest first. Days with dirty hours wait for the next run."""

    async def handle(ctx: JobContext) -> None:
        before = (now() - SEAL_AFTER).astimezone(UTC).date()
        spans = 0
        while not ctx.cancelled.is_set():
            sealed = int(
                await ctx.db.fetch_value("select tickets.seal(%s, %s)", [before, EVENT_DAYS_AT_ONCE]) or 0
            )
            spans += sealed
            if not sealed:
                break
        ctx.log.info("days sealed", spans=spans)

    return handle


def retain(services: Services) -> Handler:
    """`tickets.retain`: drop what is past its keeping. Snoozes a minute while an hour in the range is dirty
    or readers hold what is to go.
    """

    async def handle(ctx: JobContext) -> None:
        try:
            report = await ctx.db.fetch_value(
                "select tickets.retain(now(), %s, %s)", [SPAN_MONTHS, HOUR_MONTHS]
            )
        except errors.LockNotAvailable as busy:
            raise Snooze(_REFRESH_FIRST_S, "readers hold what is to go") from busy
        if "waits_for" in report:
            raise Snooze(_REFRESH_FIRST_S)
        ctx.log.info("retention done", **report)

    return handle


JOBS = {"tickets.partitions": partitions, "tickets.seal": seal, "tickets.retain": retain}
SCHEDULES = (
    Schedule(name="tickets.partitions", kind="tickets.partitions", every_s=21_600.0),
    Schedule(name="tickets.seal", kind="tickets.seal", cron="20 4 * * *"),
    Schedule(name="tickets.retain", kind="tickets.retain", cron="50 4 * * *"),
)
