"""What every group of endpoints works with, and the parameters they share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import AfterValidator

from headgate.apps.tickets.api_answer import Answers, Question, respond, unchanged
from headgate.apps.tickets.api_filters import Columns, documented
from headgate.apps.tickets.api_gate import Caller, Gate
from headgate.apps.tickets.api_live import Live
from headgate.apps.tickets.api_models import Failure
from headgate.db import SQL, Database

_NO_NUL = "^[^\\x00]*$"
EventId = Annotated[int, Path(ge=1, lt=2**63, description="The event's number.", examples=[1001])]
AskedEvent = Annotated[int, Query(ge=1, lt=2**63, description="The event's number.", examples=[1001])]
Zone = Annotated[
    str | None,
    Query(
        max_length=200,
        pattern=_NO_NUL,
        description="One zone; without it, the whole event.",
        examples=["Lower Level"],
    ),
]
Since = Annotated[
    datetime | None, Query(description="From this time on (ISO 8601; UTC if no offset is given).")
]
Until = Annotated[datetime | None, Query(description="Up to, and not including, this time.")]
Granularity = Annotated[
    Literal["hourly", "daily"], Query(description="Size of a bucket; a day is the venue's day.")
]


def _group(value: int) -> int:
    if value not in (1, 2, 4):
        raise ValueError("must be 1, 2 or 4")
    return value


GroupSize = Annotated[
    int,
    Query(description="How many sit together: 1, 2 or 4.", json_schema_extra={"enum": [1, 2, 4]}),
    AfterValidator(_group),
]
Limit = Annotated[int, Query(ge=1, le=100, description="Rows, at most.")]
Offset = Annotated[int, Query(ge=0, le=10_000_000, description="Rows to skip.")]
Order = Annotated[
    str | None,
    Query(max_length=200, description="`column.asc` or `column.desc`, several with commas between."),
]
Ids = Annotated[
    str,
    Query(
        pattern=r"^[0-9]{1,18}(,[0-9]{1,18}){0,9}$",
        description="Up to ten event numbers, commas between.",
        examples=["1001,1002"],
    ),
]
PAGED = frozenset({"limit", "offset", "order"})
EVENT_META = SQL("select public.event_meta(%(event_id)s, %(since)s, %(until)s)")
NOW_META = SQL("select public.event_meta(%(event_id)s, null, null)")

FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": text}
    for status, text in {
        400: "VALIDATION_ERROR: a parameter is wrong; `details` says which.",
        401: "UNAUTHORIZED: the key or token is not valid, or may not do that.",
        404: "NOT_FOUND: there is no such thing.",
        429: "RATE_LIMIT_EXCEEDED: this hour's requests are used up; see Retry-After.",
    }.items()
}


def utc(value: datetime | None) -> datetime | None:
    """A time without an offset is meant in UTC."""
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def filters(columns: Columns) -> dict[str, Any]:
    """`openapi_extra` that documents an endpoint's suffix filters."""
    return {"parameters": documented(columns)}


@dataclass(frozen=True)
class Desk:
    """The gate, the answers and the live feed of this process."""

    db: Database
    gate: Gate
    answers: Answers
    live: Live
    router: APIRouter

    async def answer(self, request: Request, question: Question) -> Any:
        """Ask as the caller of `request` and respond."""
        caller = caller_of(request)
        answer = await self.answers.ask(caller, question)
        if unchanged(request, answer):
            request.state.quota_headers = self.gate.refund(caller, request.state.quota_headers)
        return respond(request, answer)


def caller_of(request: Request) -> Caller:
    """Who the gate let in."""
    caller: Caller = request.state.caller
    return caller
