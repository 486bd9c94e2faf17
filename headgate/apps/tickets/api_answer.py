"""From one query to one answer: the envelope, its meta, the ETag, and a short memory for equal questions.

The database renders `data` and `meta` as JSON text and this module joins them, so rows are never decoded here.
The memory is per process: an answer about one event lives until that event changes or `SINGLE_S` seconds pass, an
answer about many events `MANY_S`; equal questions that arrive together share one query. Users' own rows are never kept.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from fastapi import Request, Response

from headgate.apps.tickets.api_errors import ApiError, not_found
from headgate.apps.tickets.api_gate import Caller
from headgate.base.clock import monotonic, now
from headgate.db import SQL, Composed, Database

SINGLE_S = 5.0
MANY_S = 1.0
_SIZE = 5000

_WRAP = SQL(
    "with {ctes}answer as materialized ({query}) "
    "select coalesce(json_agg(answer), '[]'::json)::text as data, ({meta})::text as meta from answer"
)


@dataclass(frozen=True)
class Question:
    """One query: SQL that returns rows, SQL that returns one JSON object of meta, and their parameters.

    `event_id` names the one event the answer is about, None when it is about many. `one` unwraps the single row;
    `ctes` are named queries that both may read. `life_s`: kept that long whatever changes, for costly answers.
    """

    query: Composed | SQL
    meta: Composed | SQL
    params: Mapping[str, Any]
    event_id: int | None = None
    one: bool = False
    ctes: Composed | None = None
    life_s: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """Rendered data with what is needed to render its meta at any later second."""

    data: bytes
    meta: Mapping[str, Any]
    etag: str
    dies_at: float

    def body(self) -> bytes:
        """The envelope, with the age as of now."""
        meta = dict(self.meta)
        as_of = meta.get("as_of")
        if as_of:
            age = (now() - datetime.fromisoformat(as_of)).total_seconds()
            meta["age_s"] = max(0, round(age))
            if meta.get("complete") and age > meta["promise_s"]:
                meta["complete"] = False
        return b'{"success":true,"data":' + self.data + b',"meta":' + orjson.dumps(meta) + b"}"


class Answers:
    """Asks the database as the caller and remembers for moments."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._kept: dict[tuple[Any, ...], Answer] = {}
        self._asking: dict[tuple[Any, ...], asyncio.Task[Answer]] = {}
        self._by_event: dict[int, set[tuple[Any, ...]]] = {}

    def forget(self, event_id: int | None) -> None:
        """Drop what is kept about one event; about all when None."""
        if event_id is None:
            self._kept.clear()
            self._by_event.clear()
            return
        for key in self._by_event.pop(event_id, ()):
            self._kept.pop(key, None)
            self._asking.pop(key, None)  # a query under way may have read the state before the change

    async def ask(self, caller: Caller, question: Question) -> Answer:
        """The answer, from memory when it is fresh. Raises NOT_FOUND when meta says the event does not exist."""
        if caller.user is not None:
            return await self._query(caller, question)
        key = (caller.role, _text(question), *sorted((k, repr(v)) for k, v in question.params.items()))
        kept = self._kept.get(key)
        if kept and kept.dies_at > monotonic():
            return kept
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._keep(key, caller, question))
            self._asking[key] = task
            if question.event_id is not None and question.life_s is None:
                self._by_event.setdefault(question.event_id, set()).add(key)
        return await asyncio.shield(task)

    async def _keep(self, key: tuple[Any, ...], caller: Caller, question: Question) -> Answer:
        me = asyncio.current_task()
        try:
            answer = await self._query(caller, question)
            if self._asking.get(key) is me:
                if len(self._kept) >= _SIZE:
                    self.forget(None)
                self._kept[key] = answer
            return answer
        finally:
            if self._asking.get(key) is me:
                del self._asking[key]

    async def _query(self, caller: Caller, question: Question) -> Answer:
        ctes = question.ctes + SQL(", ") if question.ctes is not None else SQL("")
        statement = _WRAP.format(ctes=ctes, query=question.query, meta=question.meta)
        async with self._db.as_role(caller.claims) as conn:
            row = await (await conn.execute(statement, question.params)).fetchone()
        if row is None or row["meta"] is None:
            raise not_found("There is no such event.", event_id=question.event_id)
        meta = {**orjson.loads(row["meta"]), **question.extra}
        data = row["data"].encode()
        if question.one:
            rows = orjson.loads(data)
            if not rows:
                raise not_found("There is nothing under this id.")
            data = orjson.dumps(rows[0])
        life = question.life_s or (MANY_S if question.event_id is None else SINGLE_S)
        return Answer(data, meta, _etag(data, meta), monotonic() + life)


def _text(question: Question) -> str:
    parts = (question.query, question.meta, question.ctes)
    return "|".join(part.as_string(None) for part in parts if part is not None) + str(question.extra)


def _etag(data: bytes, meta: Mapping[str, Any]) -> str:
    steady = {key: value for key, value in meta.items() if key != "age_s"}
    digest = hashlib.blake2b(data + orjson.dumps(steady, option=orjson.OPT_SORT_KEYS), digest_size=12)
    return f'W/"{digest.hexdigest()}"'


def _same(header: str | None, etag: str) -> bool:
    if not header:
        return False
    tags = {tag.strip() for tag in header.split(",")}
    return "*" in tags or etag in tags or etag.removeprefix("W/") in tags


def unchanged(request: Request, answer: Answer) -> bool:
    """Whether the client says that it has this answer already."""
    return _same(request.headers.get("if-none-match"), answer.etag)


def respond(request: Request, answer: Answer) -> Response:
    """200 with the envelope, or 304 when the client already has it."""
    headers = {"ETag": answer.etag, "Cache-Control": "no-cache", "Vary": "apikey, Authorization"}
    headers.update(getattr(request.state, "quota_headers", {}))
    if unchanged(request, answer):
        return Response(status_code=304, headers=headers)
    return Response(answer.body(), media_type="application/json", headers=headers)


def written(request: Request, data: Any, *, status: int = 200) -> Response:
    """The envelope for the result of a write: as of now, complete by definition."""
    meta = {"as_of": now().isoformat(), "age_s": 0, "promise_s": 0, "coverage": 1.0, "complete": True}
    body = orjson.dumps({"success": True, "data": data, "meta": meta}, default=str)
    headers = {"Cache-Control": "no-store", **getattr(request.state, "quota_headers", {})}
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def need_user(caller: Caller) -> str:
    """The user's id. Raises UNAUTHORIZED when nobody is signed in."""
    if caller.user is None:
        raise ApiError("UNAUTHORIZED", "Alerts belong to a user: send a user's token as a Bearer token.")
    return caller.user
