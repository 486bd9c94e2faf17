"""The answer: status, headers and body of what a plan returned. Decides nothing about rows."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import orjson

from headgate.surface.rest import errors, ranges
from headgate.surface.rest.errors import Header, RestError
from headgate.surface.rest.execute import Rows7
from headgate.surface.rest.nodes import Plan
from headgate.surface.rest.parse import Request
from headgate.surface.rest.prefer import NOTHING
from headgate.surface.rest.settings import RestSettings


@dataclass(slots=True)
class Answer:
    """An HTTP response. `reason` is a status text of the function's own."""

    status: int
    headers: list[Header]
    body: bytes = b""
    reason: str | None = None
    varies: bool = False  # whether it has a Vary header of its own


def encoded(text: str) -> str:
    """A text of the database as a header may hold it: UTF-8 bytes one by one."""
    return text.encode("utf-8").decode("latin-1")


def respond(
    plan: Plan, request: Request, got: Rows7 | bytes, estimate: int | None, settings: RestSettings
) -> Answer:
    """The answer to a read, write or call."""
    typed = _content_headers(plan, request)
    if isinstance(got, bytes):
        return Answer(200, [_length(got), *typed], got)
    if plan.kind == "read":
        answer = _read(plan, request, got, _total(plan, got, estimate), settings=settings, typed=typed)
    elif plan.kind == "call":
        answer = _call(plan, request, got, settings, typed)
    else:
        answer = _write(plan, request, got, typed)
    return _overridden(answer, got)


def _length(body: bytes) -> Header:
    return ("Content-Length", str(len(body)))


def _content_headers(plan: Plan, request: Request) -> list[Header]:
    headers = [("Content-Type", plan.body.media.content_type)]
    if request.negotiated:
        headers.append(("Content-Profile", encoded(request.schema)))
    return headers


def _applied(plan: Plan, request: Request) -> list[Header]:
    if request.preferences is NOTHING:
        return []
    resolves = bool(plan.write and (plan.write.key or request.query.on_conflict is not None))
    text = request.preferences.for_answer(kind=plan.kind, resolves=resolves).applied()
    return [("Preference-Applied", text)] if text else []


def _total(plan: Plan, got: Rows7, estimate: int | None) -> int | None:
    """The number of all rows, counted or estimated, as the preference asks."""
    if plan.count == "planned":
        return estimate
    if plan.count == "estimated" and got.total is not None:
        certain = plan.max_rows is not None and got.total <= plan.max_rows
        return got.total if certain else max(got.total, estimate or 0)
    return got.total


def _ranged(plan: Plan, request: Request, got: Rows7, total: int | None) -> tuple[int, Header]:
    lower = request.rows.offset
    status = ranges.read_status(lower, got.page, total)
    return status, ("Content-Range", ranges.content_range(lower, lower + got.page - 1, total))


def _beyond(request: Request, total: int | None, settings: RestSettings) -> bytes:
    error = errors.out_of_bounds(request.rows.offset, total)
    return error.body(minimal=settings.client_error_verbosity == "minimal")


def _read(
    plan: Plan,
    request: Request,
    got: Rows7,
    total: int | None,
    *,
    settings: RestSettings,
    typed: list[Header],
) -> Answer:
    status, content_range = _ranged(plan, request, got, total)
    query = f"?{request.string.canonical}" if request.string.canonical else ""
    headers = [content_range, ("Content-Location", f"/{encoded(plan.target.name)}{query}")]
    body = _beyond(request, total, settings) if status == 416 else b"" if request.head else got.body
    if not request.head:
        headers.append(_length(body))
    return Answer(status, [*headers, *typed, *_applied(plan, request)], body)


def _call(plan: Plan, request: Request, got: Rows7, settings: RestSettings, typed: list[Header]) -> Answer:
    status, content_range = _ranged(plan, request, got, got.total)
    headers = [content_range, *_applied(plan, request)]
    if plan.call is not None and plan.call.function.void:
        return Answer(204, headers)
    body = _beyond(request, got.total, settings) if status == 416 else got.body
    if request.head:
        return Answer(status, [*headers, *typed])
    return Answer(status, [*headers, _length(body), *typed], body)


def _write(plan: Plan, request: Request, got: Rows7, typed: list[Header]) -> Answer:
    full = request.preferences.returning == "representation"
    applied = _applied(plan, request)
    counted = got.page if request.preferences.count in ("exact", "estimated") else None
    if plan.kind == "upsert":
        if full:
            return Answer(
                201 if (got.inserted or 0) > 0 else 200, [_length(got.body), *typed, *applied], got.body
            )
        return Answer(204, applied)
    last = got.page - 1 if plan.kind == "update" else 0
    first = 0 if plan.kind == "update" else 1
    headers = [("Content-Range", ranges.content_range(first, last, counted)), *applied]
    if plan.kind == "create":
        return _created(plan, request, got, typed if full else [], headers)
    if full:
        return Answer(200, [*headers, _length(got.body), *typed], got.body)
    return Answer(204, headers)


def _created(plan: Plan, request: Request, got: Rows7, typed: list[Header], headers: list[Header]) -> Answer:
    body = got.body if typed else b""
    merges = request.preferences.resolution == "merge-duplicates"
    status = 200 if merges and (got.inserted or 0) <= 0 else 201
    if got.location:
        pairs = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in got.location)
        headers = [("Location", f"/{encoded(plan.target.name)}?{pairs}"), *headers]
    return Answer(status, [_length(body), *headers, *typed], body)


def _overridden(answer: Answer, got: Rows7) -> Answer:
    """What functions set in `response.status` and `response.headers` comes first."""
    if got.status is not None:
        digits = got.status[: len(got.status) - len(got.status.lstrip("0123456789"))]
        if not digits or not 100 <= int(digits[:4]) <= 999:
            raise RestError(*errors.GUC_STATUS)
        answer.status = int(digits)
    if got.headers is not None:
        own = _own_headers(got.headers)
        names = {k.lower() for k, _ in own}
        answer.varies = "vary" in names
        answer.headers = [h for h in answer.headers if h[0].lower() not in names] + own
    return answer


def _own_headers(raw: bytes) -> list[Header]:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise RestError(*errors.GUC_HEADERS) from None
    found: list[Header] = []
    for one in value if isinstance(value, list) else [None]:
        pair = list(one.items()) if isinstance(one, dict) else []
        if len(pair) != 1 or not isinstance(pair[0][1], str):
            raise RestError(*errors.GUC_HEADERS)
        name, text = pair[0]
        clean = encoded(text).replace("\r", " ").replace("\n", " ")
        found.append((encoded(name), clean))
    return found
