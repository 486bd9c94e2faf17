"""The timetable: which jobs to enqueue when. Any worker ticks; each tick is fired once, missed ones once together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import floor
from typing import Any

from headgate.base import log
from headgate.base.errors import JobError
from headgate.db import Connection, Database, Jsonb
from headgate.engine.cron import Cron
from headgate.engine.jobs import Q

_log = log.get("headgate.schedule")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A line of the timetable: enqueue a job of `kind` by a cron expression or every so many seconds.

    Exactly one of `cron` (five fields, read in `timezone`) and `every_s`. While the job of the tick before waits or
    runs, a tick adds none. `at_start`: a tick is due also whenever a worker starts. Raises JobError HG307 when it is
    built wrong.
    """

    name: str
    kind: str
    cron: str | None = None
    every_s: float | None = None
    timezone: str = "UTC"
    args: Mapping[str, Any] = field(default_factory=dict)
    queue: str = "default"
    key: str | None = None
    priority: int = 0
    at_start: bool = False

    def __post_init__(self) -> None:
        if (self.cron is None) == (self.every_s is None) or (self.every_s is not None and self.every_s <= 0):
            raise JobError(
                f"The schedule `{self.name}` needs either `cron` or a positive `every_s`.",
                code="HG307",
                details={"schedule": self.name},
            )
        if self.cron is not None:
            Cron.parse(self.cron, self.timezone)


def next_tick(
    due: datetime, now: datetime, *, cron: str | None, every_s: float | None, timezone: str
) -> datetime:
    """The first tick after `now`. Intervals keep their phase: they are counted from the tick `due`."""
    if cron is not None:
        return Cron.parse(cron, timezone).after(max(due, now))
    step = every_s or 1.0
    missed = max(0, floor((now - due).total_seconds() / step))
    return due + timedelta(seconds=step * (missed + 1))


async def sync_schedules(conn: Connection, schedules: Sequence[Schedule], *, app: str = "") -> None:
    """Make the stored schedules of `app` those given. A schedule whose times did not change keeps its next tick.

    An interval's first tick is due at once; a cron's at its next moment; one `at_start` at once each time.
    """
    async with conn.transaction():
        row = await (await conn.execute(Q.now)).fetchone()
        now: datetime = row["now"] if row else datetime.now().astimezone()
        for line in schedules:
            first = Cron.parse(line.cron, line.timezone).after(now) if line.cron is not None else now
            stored = {**vars(line), "args": dict(line.args), "owner_app": app}
            await conn.execute(Q.put_schedule, (Jsonb(stored), first))
            if line.at_start:
                await conn.execute(Q.due_now, (line.name,))
        await conn.execute(Q.drop_schedules, (app, [line.name for line in schedules]))


async def tick(db: Database) -> int:
    """Fire every schedule that is due by the database's clock; how many this call fired."""
    fired = 0
    async with db.connection() as conn:
        for line in await (await conn.execute(Q.due_schedules)).fetchall():
            try:
                following = next_tick(
                    line["next_at"],
                    line["now"],
                    cron=line["cron"],
                    every_s=line["every_s"],
                    timezone=line["timezone"],
                )
            except JobError as error:
                _log.error("schedule.unreadable", schedule=line["name"], error=error.message)
                continue
            row = await (await conn.execute(Q.fire, (line["name"], line["next_at"], following))).fetchone()
            fired += bool(row and row["fired"])
    return fired


async def listing(conn: Connection) -> list[dict[str, Any]]:
    """Every schedule with its next and last tick."""
    return await (await conn.execute(Q.schedules)).fetchall()
