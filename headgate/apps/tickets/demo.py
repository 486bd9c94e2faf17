"""How `headgate up --demo` runs the simulated marketplace, and the history collected from it before live polling.

The simulator begins a day in the past and stands still; each step of its clock is polled like a live market, so
that the pages have something to show at once. Nothing is made up: every figure comes from a poll.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson

from headgate.apps.tickets.jobs import Q, prepare_host
from headgate.apps.tickets.settings import TicketsSettings
from headgate.base.clock import now
from headgate.engine.fetch import RateLimited
from headgate.engine.jobs import JobContext
from headgate.engine.limits import set_host
from headgate.engine.manifest import Demo, Handler, Services
from headgate.engine.runs import run_source

EVENTS = 12
LISTINGS = 90
#: How many times livelier than a real market the live part is; promises are shortened alike.
PACE = 40.0
HISTORY_H = 24.0
STEP_S = 1800.0
_AT_ONCE = 4


def demo(port: int) -> Demo:
    """The simulator on `port`: a dozen events, a day of history, then forty times real pace with 2% of faults."""
    url = f"http://127.0.0.1:{port}"
    given = {"port": port, "events": EVENTS, "listings": LISTINGS, "behind": HISTORY_H, "errors": 0.02}
    return Demo(
        arguments=("tickets", "simulate", *(word for k, v in given.items() for word in (f"--{k}", str(v)))),
        url=url,
        ready_path="/robots.txt",
        environment={
            "HEADGATE_ALLOW_PRIVATE_HOSTS": f"127.0.0.1:{port}",
            "HEADGATE_TICKETS_VIVID_URL": url,
            "HEADGATE_TICKETS_TIME_SCALE": str(PACE),
            "HEADGATE_TICKETS_RATE_PER_S": "10",
            "HEADGATE_TICKETS_SWEEP_S": "400",
            "HEADGATE_TICKETS_DEMO_HISTORY_H": str(HISTORY_H),
        },
    )


def history(services: Services) -> Handler:
    """`tickets.demo_history`: step the simulator's clock to the present and poll every event at each step.

    Where the history is there already, a simulator that was started again is only brought to the present.
    """
    settings = TicketsSettings.of(services.settings)

    async def handle(ctx: JobContext) -> None:
        if not await ctx.db.fetch_value(Q.history_there):
            await _collect(ctx, services, settings)
        await _clock(services, settings, now=now().timestamp(), scale=1.0, pace=PACE)
        await prepare_host(ctx.db, settings)
        async with ctx.transaction() as conn:
            await conn.execute(Q.history_done)
            await ctx.settle(conn)

    return handle


async def _collect(ctx: JobContext, services: Services, settings: TicketsSettings) -> None:
    async with ctx.db.connection() as conn:
        await set_host(conn, settings.host, 500.0, 100)
    await _run(services, "tickets.productions")
    events = await ctx.db.fetch_all(Q.pollable, {"source": "vivid"})
    moment = (await _clock(services, settings))["now"]
    while moment + STEP_S < now().timestamp() and not ctx.cancelled.is_set():
        moment = (await _clock(services, settings, now=moment + STEP_S))["now"]
        await _look(services, events, datetime.fromtimestamp(moment, UTC).isoformat())


async def _look(services: Services, events: list[dict[str, Any]], observed_at: str) -> None:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(event: dict[str, Any]) -> None:
        args = {"event_id": event["id"], "external_id": event["external_id"], "observed_at": observed_at}
        async with gate:
            try:
                await _run(services, "tickets.listings", key=str(event["id"]), args=args)
            except RateLimited:  # this step is missed, as a live poll would be
                return

    await asyncio.gather(*(one(event) for event in events))


async def _run(services: Services, source: str, *, key: str | None = None, args: Any = None) -> None:
    await run_source(
        services.db,
        services.app,
        source,
        key=key,
        args=args,
        fetcher=services.fetcher,
        settings=services.settings,
    )


async def _clock(services: Services, settings: TicketsSettings, **change: float) -> dict[str, float]:
    """Read, or change, the simulator's clock."""
    query = "&".join(f"{name}={value!r}" for name, value in change.items())
    url = f"{settings.vivid_url}/_admin/clock?{query}"
    reply = await services.fetcher.get(url, robots=False, wait_s=5.0)
    found: dict[str, float] = orjson.loads(reply.body)
    return found
