"""The application's job handlers: plan, poll, sweep a catalogue, and the upkeep of what they make.

State changes are SQL functions (`migrations/`); a handler asks, calls and enqueues, in the caller's transaction.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from headgate.apps.tickets import ticketmaster
from headgate.apps.tickets.settings import TicketsSettings, host_key
from headgate.db import Connection, Database
from headgate.db.queries import load
from headgate.engine.fetch import BreakerOpen, RateLimited
from headgate.engine.jobs import JobContext, NewJob, Snooze, enqueue, enqueue_many, set_lane
from headgate.engine.limits import set_host
from headgate.engine.manifest import Handler, Services
from headgate.engine.runs import run_source

Q = load("headgate.apps.tickets", "schedule.sql")

#: A slot further off than this is not waited for; the event goes back to the plan.
PATIENCE_S = 5.0
LEASE_S = 60.0
#: The lane that keeps looks through Ticketmaster's catalogue within its day.
TICKETMASTER_LANE = "tickets.ticketmaster"


@dataclass(frozen=True)
class Planned:
    """What one tick of the plan did."""

    stretch: float
    offered: int
    swept: bool


async def plan_once(db: Database, settings: TicketsSettings) -> Planned:
    """One tick: publish promises, start a sweep if it is time, offer the events whose deadlines come first."""
    async with db.transaction() as conn:
        stretch = await _value(conn, Q.promises, source="vivid", host=settings.host, **_pace(settings))
        await conn.execute(Q.retire)
        swept = bool(
            await _value(conn, Q.sweep_due, source="vivid", every_s=settings.sweep_s / settings.time_scale)
        )
        jobs = (
            [NewJob(kind="tickets.productions", unique="vivid", priority=5, max_attempts=3)] if swept else []
        )
        polls = await _offer(conn, settings)
        await enqueue_many(conn, jobs + polls)
    return Planned(float(stretch), len(polls), swept)


def _pace(settings: TicketsSettings) -> dict[str, float]:
    """The rate that polls may count on: the host's, less what sweeps of the catalogue take."""
    return {
        "rate": settings.rate_per_s,
        "scale": settings.time_scale,
        "every_s": settings.sweep_s / settings.time_scale,
    }


async def _offer(conn: Connection, settings: TicketsSettings) -> list[NewJob]:
    """Poll jobs for due events, no more than the host can take soon: the rest wait in order of deadline."""
    room = await _value(
        conn,
        Q.room,
        source="vivid",
        host=settings.host,
        most=int(settings.parallel * 2 + settings.rate_per_s * 2),
    )
    if room <= 0:
        return []
    cursor = await conn.execute(
        Q.take_due, {"source": "vivid", "limit": room, "ahead_s": 1.0, "lease_s": LEASE_S}
    )
    return [
        NewJob(
            kind="tickets.poll",
            args={"event_id": row["event_id"], "external_id": row["external_id"]},
            key=settings.host,
            unique=str(row["event_id"]),
            run_at=row["due"],
            max_attempts=4,
        )
        for row in await cursor.fetchall()
    ]


async def _value(conn: Connection, query: str, **params: object) -> float:
    row = await (await conn.execute(query, params)).fetchone()
    return next(iter(row.values())) if row else 0


def plan(services: Services) -> Handler:
    """`tickets.plan`: every second, on one worker at a time."""
    settings = TicketsSettings.of(services.settings)
    prepared = False

    async def handle(ctx: JobContext) -> None:
        nonlocal prepared
        if not settings.vivid_url:
            return
        if not prepared and settings.demo_history_h:
            async with ctx.db.transaction() as conn:
                await enqueue(conn, "tickets.demo_history", unique="history", max_attempts=3)
            if not await ctx.db.fetch_value(Q.history_there):
                return
        if not prepared:
            await prepare_host(ctx.db, settings)
            prepared = True
        await plan_once(ctx.db, settings)

    return handle


async def prepare_host(db: Database, settings: TicketsSettings) -> None:
    """Store the host's rate for fetches, and how many of its jobs may run at a time, for all workers."""
    async with db.transaction() as conn:
        await set_host(conn, settings.host, settings.rate_per_s, settings.burst)
        await set_lane(conn, settings.host, max_running=settings.parallel)


def poll(services: Services) -> Handler:
    """`tickets.poll`: one event's listings, once. Ends in the transaction that promotes them."""

    async def handle(ctx: JobContext) -> None:
        event_id = ctx.job.args["event_id"]
        try:
            await run_source(
                ctx.db,
                services.app,
                "tickets.listings",
                key=str(event_id),
                args=ctx.job.args,
                fetcher=services.fetcher,
                job=ctx,
                settings=services.settings,
            )
        except RateLimited as error:
            if error.retry_after_s <= PATIENCE_S and not isinstance(error, BreakerOpen):
                raise Snooze(error.retry_after_s * random.uniform(1.0, 1.3), error.message) from None
            async with ctx.transaction() as conn:
                await conn.execute(
                    Q.put_back, {"event_id": event_id, "after": timedelta(seconds=error.retry_after_s)}
                )
                await ctx.settle(conn, {"put_back_s": round(error.retry_after_s, 1), "why": error.code})

    return handle


def sweep(source: str) -> Callable[[Services], Handler]:
    """A handler that looks through the catalogue `source`, if it is set up; out of slots, it comes back later."""

    def factory(services: Services) -> Handler:
        settings = TicketsSettings.of(services.settings)

        async def handle(ctx: JobContext) -> None:
            if not await prepare_catalogue(ctx.db, source, settings):
                return
            try:
                await run_source(
                    ctx.db,
                    services.app,
                    source,
                    args=ctx.job.args,
                    fetcher=services.fetcher,
                    job=ctx,
                    settings=services.settings,
                )
            except RateLimited as error:
                raise Snooze(error.retry_after_s * random.uniform(1.0, 1.3), error.message) from None

        return handle

    return factory


async def prepare_catalogue(db: Database, source: str, settings: TicketsSettings) -> bool:
    """Store the limits of an official API; False when its key is not set, so that nothing is asked.

    Ticketmaster allows 5 requests a second and 5000 a day. One look takes at most `DEEPEST / PAGE` requests, so
    the lane lets looks start no more often than 5000 of those a day.
    """
    if source == "tickets.productions":
        return bool(settings.vivid_url)
    if source == "tickets.seatgeek_events":
        if settings.seatgeek_client_id is None:
            return False
        async with db.connection() as conn:
            await set_host(conn, host_key(settings.seatgeek_url), 2.0, 2)
        return True
    if settings.ticketmaster_key is None:
        return False
    looks_a_day = ticketmaster.PER_DAY / (ticketmaster.DEEPEST / ticketmaster.PAGE)
    async with db.transaction() as conn:
        await set_host(conn, host_key(settings.ticketmaster_url), ticketmaster.PER_SECOND, 5)
        await set_lane(conn, TICKETMASTER_LANE, max_running=1, per_second=looks_a_day / 86_400)
    return True
