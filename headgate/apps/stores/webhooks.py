"""Webhooks in: checked against the raw body before anything else, kept once, acknowledged. Applies nothing itself.

What arrives together is kept in one transaction: a commit that waits for the disk costs the same for one and for many.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from headgate.apps.stores.answers import Refusal
from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.signing import body_is_signed, is_shop
from headgate.apps.stores.topics import subject
from headgate.base import log
from headgate.db import Database, errors

TAKE = "select stores.take_webhooks(%(rows)s::jsonb)"
#: Webhooks, and bytes of their bodies, that are kept together at most.
MOST, MOST_BYTES = 64, 4_000_000
#: How long the first of a group waits for others, in seconds.
GATHER_S = 0.01
_TOPIC = re.compile(r"[a-z_]{1,60}/[a-z_]{1,60}")
_ID = re.compile(r"[A-Za-z0-9_.:\-]{1,200}")
_LEAST_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
_UNKEPT = "PostgreSQL cannot keep this body"
_log = log.get(__name__)


@dataclass(slots=True, eq=False)
class Arrival:
    """One webhook on its way into the inbox. `names`: what no other row of its group may have."""

    row: dict[str, Any]
    names: frozenset[tuple[str, ...]]
    size: int
    done: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Inbox:
    """Takes webhooks for one process."""

    def __init__(self, db: Database, settings: StoresSettings) -> None:
        self._db = db
        given = (settings.client_secret, settings.old_client_secret)
        self._secrets = [text for one in given if (text := one.get_secret_value())]
        self._waiting: list[Arrival] = []
        self._task: asyncio.Task[None] | None = None

    async def take(self, headers: Mapping[str, str], body: bytes) -> str:
        """Keep a delivery: `taken`, `duplicate` or `unreadable`. Raises Refusal 401 unless Shopify signed this body."""
        if not self._secrets or not body_is_signed(
            body, headers.get("x-shopify-hmac-sha256", ""), self._secrets
        ):
            raise Refusal(401, "UNAUTHORIZED", "This body was not signed by Shopify for this app.")
        arrival = read(headers, body)
        self._waiting.append(arrival)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        found = await arrival.done
        if found == "replayed":
            _log.warning("webhook replayed", shop=arrival.row["shop"], topic=arrival.row["topic"])
            raise Refusal(401, "UNAUTHORIZED", "This body was here before, under another name.")
        return found

    async def close(self) -> None:
        """Wait until what was taken is kept."""
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_S)
            group, self._waiting = together(self._waiting)
            error = await self._keep(group)
            if error is None:
                continue
            for one in group if len(group) > 1 and _of_a_row(error) else ():
                await self._keep([one])
            for one in group:
                if not one.done.done():
                    one.done.set_exception(error)

    async def _keep(self, group: Sequence[Arrival]) -> Exception | None:
        """Keep the group in one transaction; the error that kept nothing."""
        rows = orjson.dumps([{**one.row, "n": n} for n, one in enumerate(group, 1)]).decode()
        try:
            found = await self._db.fetch_value(TAKE, {"rows": rows})
        except errors.DataError as error:
            if len(group) > 1 or group[0].row["payload"] is None:
                return error
            group[0].row |= {"payload": None, "note": _UNKEPT, "entity": None, "object": None}
            return await self._keep(group)
        except Exception as error:
            return error
        for one, result in zip(group, found, strict=True):
            if not one.done.done():  # whoever asked may have gone away meanwhile
                one.done.set_result(result)
        return None


def _of_a_row(error: Exception) -> bool:
    """Whether fewer webhooks at a time may go where these together did not: not where the database is unavailable."""
    return isinstance(error, errors.Error) and (error.sqlstate or "08")[:2] not in ("08", "53", "57")


def together(waiting: Sequence[Arrival]) -> tuple[list[Arrival], list[Arrival]]:
    """The first ones that can be kept together, and the others: no two of one name, and not too much at a time."""
    group: list[Arrival] = []
    rest: list[Arrival] = []
    names: set[tuple[str, ...]] = set()
    size = 0
    for one in waiting:
        fits = len(group) < MOST and (size + one.size <= MOST_BYTES or not group)
        if fits and names.isdisjoint(one.names):
            group.append(one)
            size += one.size
        else:
            rest.append(one)
        names |= (
            one.names
        )  # what comes later under the name of one that has to wait is a duplicate of that one
    return group, rest


def read(headers: Mapping[str, str], body: bytes) -> Arrival:
    """A signed delivery as the inbox keeps it. Raises Refusal 400 without a topic or a shop."""
    topic = headers.get("x-shopify-topic", "")
    shop = headers.get("x-shopify-shop-domain", "").lower()
    if not _TOPIC.fullmatch(topic) or not is_shop(shop):
        raise Refusal(
            400, "VALIDATION_ERROR", "X-Shopify-Topic or X-Shopify-Shop-Domain is missing or malformed."
        )
    payload, value, note = readable(body)
    about = None if value is None else subject(topic, value)
    unnamed = hashlib.sha256(body + headers.get("x-shopify-triggered-at", "").encode()).hexdigest()
    webhook = _name(headers.get("x-shopify-webhook-id"), f"{shop}:{topic}:{unnamed}")
    event = _name(headers.get("x-shopify-event-id"), webhook)
    digest = hashlib.sha256(body).hexdigest()
    row = {
        "topic": topic,
        "shop": shop,
        "event": event,
        "webhook": webhook,
        "version": headers.get("x-shopify-api-version"),
        "triggered": moment(headers.get("x-shopify-triggered-at")),
        "bytes": len(body),
        "payload": None if payload is None else orjson.Fragment(payload),
        "note": note,
        "digest": digest,
        "entity": about and about[0],
        "object": about and about[1],
    }
    names = {("webhook", webhook), (shop, topic, "event", event), (shop, topic, "body", digest)}
    return Arrival(row, frozenset(names), len(body))


def _name(given: str | None, instead: str) -> str:
    return given if given and _ID.fullmatch(given) else instead


def moment(text: str | None) -> datetime | None:
    """A time of Shopify's; None when there is none that makes sense."""
    try:
        found = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found if found >= _LEAST_MOMENT else None


def readable(body: bytes) -> tuple[str | None, dict[str, Any] | None, str | None]:
    """The body as JSON text that PostgreSQL takes, its value, and a remark.

    A signed body is never refused for what it says: Shopify would send it again for hours and then remove the
    subscription.
    """
    try:
        value = orjson.loads(body)
        if not isinstance(value, dict):
            return None, None, "the body is not a JSON object"
        if b"\\u0000" not in body:
            return body.decode(), value, None
    except (orjson.JSONDecodeError, UnicodeDecodeError):
        pass
    try:
        value = json.loads(body.decode("utf-8", "replace"), parse_float=str)
    except (ValueError, RecursionError):
        return None, None, "the body is not JSON"
    if not isinstance(value, dict):
        return None, None, "the body is not a JSON object"
    kept = _storable(value)
    return json.dumps(kept), kept, "characters that PostgreSQL cannot keep were replaced"


def _storable(value: Any) -> Any:
    """Without NUL and lone surrogates, which jsonb refuses."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_storable(name): _storable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_storable(inner) for inner in value]
    return value
