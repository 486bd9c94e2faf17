"""What keeps the ticket tables in order: rollups, partitions, sealing and retention, as jobs with a timetable."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headgate.apps.tickets import retention, rollups
from headgate.engine.manifest import Handler, Services

JOBS: Mapping[str, Callable[[Services], Handler]] = {**rollups.JOBS, **retention.JOBS}
SCHEDULES = (*rollups.SCHEDULES, *retention.SCHEDULES)
