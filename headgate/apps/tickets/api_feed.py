"""The live feed: `/api/live`, Server-Sent Events that name the events that changed."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import StreamingResponse

from headgate.apps.tickets.api_desk import Desk
from headgate.apps.tickets.api_errors import ApiError

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def add(desk: Desk) -> None:
    """Add the endpoint."""

    @desk.router.get(
        "/live",
        tags=["live"],
        response_class=StreamingResponse,
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "`change`, `resync` and heartbeats."}
        },
    )
    async def live(
        request: Request,
        event_ids: Annotated[
            str | None,
            Query(
                pattern=r"^[0-9]{1,18}(,[0-9]{1,18}){0,99}$", description="Only these events, commas between."
            ),
        ] = None,
    ) -> StreamingResponse:
        """Messages as data changes: `change` with `{"event_id": n}`; `resync` says to read everything again."""
        if desk.live.full:
            raise ApiError("INTERNAL_ERROR", "Too many live clients here; try again shortly.", status=503)
        only = frozenset(int(part) for part in event_ids.split(",")) if event_ids else None
        headers = {**_HEADERS, **getattr(request.state, "quota_headers", {})}
        return StreamingResponse(desk.live.stream(only), media_type="text/event-stream", headers=headers)
