"""One worker process: the applications' handlers and timetables joined with the queue and the fetcher."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from headgate.base.settings import Settings
from headgate.db import Database
from headgate.engine.fetch import Fetcher
from headgate.engine.holds import release_by_job
from headgate.engine.jobs import JobContext
from headgate.engine.manifest import App, Handler, Services
from headgate.engine.record import BodyRecorder
from headgate.engine.rollup import refresh
from headgate.engine.runs import abandon_runs, prune_runs
from headgate.engine.schedule import Schedule, sync_schedules
from headgate.engine.worker import Worker

#: How long the ledger keeps runs that ended.
KEEP_RUNS_S = 7 * 86_400.0
_CARE = "engine.care"
_ROLLUPS = "engine.rollups"
_RELEASE = "engine.release_hold"
_TIMETABLE = [
    Schedule(name=_CARE, kind=_CARE, every_s=60.0, priority=5),
    Schedule(name=_ROLLUPS, kind=_ROLLUPS, every_s=5.0, priority=5),
]


def services(db: Database, fetcher: Fetcher, app: App, settings: Settings | None = None) -> Services:
    """What the factories of `app` are given; its settings class is read from the environment here.

    `settings` are the process's; of them `data_dir` is passed on, where applications may keep keys.
    """
    values = dict(_mapping(app.settings() if app.settings is not None else {}))
    if settings is not None:
        values["data_dir"] = settings.data_dir
    return Services(db=db, fetcher=fetcher, app=app, settings=values)


def _mapping(values: Any) -> Mapping[str, Any]:
    return (
        values
        if isinstance(values, Mapping)
        else {name: getattr(values, name) for name in type(values).model_fields}
    )


def fetcher_for(db: Database, settings: Settings) -> Fetcher:
    """The fetcher that every source of this process shares."""
    allowed = frozenset(part.strip() for part in settings.allow_private_hosts.split(",") if part.strip())
    recorder = BodyRecorder(db) if settings.record_bodies else None
    return Fetcher(db, user_agent=settings.user_agent, allow_private=allowed, recorder=recorder)


async def run_worker(db: Database, apps: Sequence[App], settings: Settings, *, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then finish what runs. Stores each application's timetable first."""
    fetcher = fetcher_for(db, settings)

    async def refresh_rollups(ctx: JobContext) -> None:
        for app in apps:
            await refresh(ctx.db, app)

    async def release_hold(ctx: JobContext) -> None:
        await release_by_job(ctx, apps)

    handlers: dict[str, Handler] = {_CARE: _care, _ROLLUPS: refresh_rollups, _RELEASE: release_hold}
    async with db.connection() as conn:
        timetable = [s for s in _TIMETABLE if s.kind != _ROLLUPS or any(app.rollups for app in apps)]
        await sync_schedules(conn, timetable, app="engine")
    for app in apps:
        given = services(db, fetcher, app, settings)
        handlers.update({kind: factory(given) for kind, factory in app.jobs.items()})
        async with db.connection() as conn:
            await sync_schedules(conn, app.schedules, app=app.name)
    try:
        await Worker(db, handlers, concurrency=settings.concurrency).run(stop)
    finally:
        await fetcher.close()


async def _care(ctx: JobContext) -> None:
    """End runs whose process died, forget old runs and recorded bodies."""
    await abandon_runs(ctx.db)
    await prune_runs(ctx.db, keep_s=KEEP_RUNS_S)
    await BodyRecorder(ctx.db).sweep()
