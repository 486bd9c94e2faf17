"""The tickets application's HTTP API under `/api`: the router factory that the server mounts. Holds no SQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends, FastAPI, Request, Response

from headgate.apps.tickets import api_alerts, api_analytics, api_events, api_feed, api_market
from headgate.apps.tickets.api_answer import Answers
from headgate.apps.tickets.api_desk import FAILURES, Desk
from headgate.apps.tickets.api_errors import ApiError, EnvelopeRoute, not_found
from headgate.apps.tickets.api_gate import Gate
from headgate.apps.tickets.api_live import Live
from headgate.engine.manifest import Services


def router(services: Services) -> APIRouter:
    """All endpoints over `services.db`. `services.settings` may hold the rate limits and `verify_token`."""
    gate = Gate(services)
    live = Live(services.db)
    answers = Answers(services.db)
    live.on_change(answers.forget)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = [asyncio.create_task(live.run()), asyncio.create_task(gate.quotas.keep_tidy())]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await gate.quotas.give_back()

    made = APIRouter(
        prefix="/api",
        route_class=EnvelopeRoute,
        dependencies=[Depends(gate.admit)],
        responses=FAILURES,
        lifespan=lifespan,
    )
    desk = Desk(services.db, gate, answers, live, made)
    for group in (api_analytics, api_events, api_market, api_alerts, api_feed):
        group.add(desk)
    _add_rest(made)
    return made


def _add_rest(made: APIRouter) -> None:
    """What no endpoint above answers: 405 with the methods that would do, or 404, both in the envelope."""
    known = [route for route in made.routes if hasattr(route, "path_regex")]

    async def rest(request: Request) -> Response:
        methods = {m for r in known if r.path_regex.match(request.url.path) for m in r.methods}  # type: ignore[attr-defined]
        if methods:
            allowed = ", ".join(sorted(methods))
            raise ApiError(
                "VALIDATION_ERROR",
                f"Use {allowed} here.",
                {"allowed": allowed},
                status=405,
                headers={"Allow": allowed},
            )
        raise not_found("There is no such path.", path=request.url.path[:200])

    made.add_api_route(
        "/{rest:path}",
        rest,
        methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"],
        include_in_schema=False,
    )
