"""The REST paths of realtime: broadcasts without a socket, and the answers to what it does not serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

import orjson
import structlog

from headgate.base.errors import HeadgateError
from headgate.db import errors
from headgate.surface.callers import Caller, CallerError
from headgate.surface.realtime.broadcast import KeepError, Persist, read_persist
from headgate.surface.realtime.hub import Broadcast

if TYPE_CHECKING:
    from headgate.surface.realtime.service import Realtime

MESSAGES_MAX = 1000
log = structlog.get_logger(__name__)


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


async def answer(service: Realtime, scope: Any, receive: Any, send: Any) -> None:
    """One request below /realtime/v1."""
    try:
        await _route(service, scope, receive)
        status, body = 202, b""
    except _RefusedError as error:
        status, body = error.status, _said(error.message)
    except CallerError as error:
        status, body = error.status, _said(error.message)
    except KeepError as error:
        status = 403 if str(error).startswith("Unauthorized") else 422
        body = _said(str(error))
    except (errors.Error, HeadgateError, OSError) as failure:
        log.warning("realtime_request_failed", reason=str(failure))
        status, body = 503, _said("The database cannot be asked at the moment")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _said(message: str) -> bytes:
    return orjson.dumps({"error": message, "message": message})


async def _route(service: Realtime, scope: Any, receive: Any) -> None:
    """Do what is asked. Raises _RefusedError and what the parts raise."""
    raw = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
    parts = [unquote(part) for part in raw.strip("/").split("/")][2:]
    if parts == ["websocket"]:
        raise _RefusedError(426, "This is a websocket: connect with an Upgrade header")
    if (
        parts[:2] != ["api", "broadcast"]
        or len(parts) not in (2, 5)
        or (len(parts) == 5 and parts[3] != "events")
    ):
        raise _RefusedError(404, "Not found: realtime has /websocket and /api/broadcast")
    if service.off is not None:
        raise _RefusedError(503, service.off)
    if scope["method"] != "POST":
        raise _RefusedError(405, "Broadcasts are sent by POST")
    caller = await service.callers.of(scope["headers"], scope["query_string"])
    body = await _body(receive, service.limits.message_bytes)
    if len(parts) == 2:
        await _many(service, caller, body)
    else:
        await _one(service, caller, (parts[2], parts[4]), scope, body)


async def _body(receive: Any, most: int) -> bytes:
    found = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _RefusedError(400, "The request ended early")
        found += message.get("body", b"")
        if len(found) > most:
            raise _RefusedError(413, f"A broadcast has at most {most} bytes")
        if not message.get("more_body"):
            return bytes(found)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _RefusedError(422, "The body is not JSON") from None


async def _many(service: Realtime, caller: Caller, body: bytes) -> None:
    document = _json(body)
    messages = document.get("messages") if isinstance(document, dict) else None
    if not isinstance(messages, list) or len(messages) > MESSAGES_MAX:
        raise _RefusedError(422, f"messages must be a list of at most {MESSAGES_MAX}")
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not all(
            isinstance(message.get(k), str) for k in ("topic", "event")
        ):
            raise _RefusedError(422, f"messages[{number}] needs the strings topic and event, and a payload")
        if not message["topic"] or "payload" not in message:
            raise _RefusedError(422, f"messages[{number}] needs the strings topic and event, and a payload")
    for topic in {message["topic"] for message in messages if message.get("private") is True}:
        await _may_send(service, caller, topic)
    for message in messages:
        address = (message.get("private") is True, message["topic"])
        service.hub.send(address, Broadcast(message["event"], message["payload"]))


async def _one(service: Realtime, caller: Caller, names: tuple[str, str], scope: Any, body: bytes) -> None:
    topic, event = names
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    private = query.get("private", ["false"])[0].lower() in ("true", "1")
    if not topic or not event:
        raise _RefusedError(422, "topic and event must not be empty")
    kind = next((v for k, v in scope["headers"] if k == b"content-type"), b"").split(b";")[0].strip().lower()
    if kind == b"application/octet-stream":
        broadcast = Broadcast(event, None, binary=body)
    elif kind in (b"application/json", b""):
        broadcast = Broadcast(event, _json(body))
    else:
        raise _RefusedError(415, "A broadcast is application/json or application/octet-stream")
    persist = _persist(query)
    if private:
        await _may_send(service, caller, topic)
    if persist is not None:
        if not private:
            raise KeepError("a message of a public channel cannot be stored")
        broadcast.meta = {"id": await service.keeper.keep(caller.claims, topic, broadcast, persist)}
    service.hub.send((private, topic), broadcast)


def _persist(query: dict[str, list[str]]) -> Persist | None:
    ttl = query.get("persist[ttl]")
    if ttl is not None:
        return read_persist({"ttl": int(ttl[0]) if ttl[0].isascii() and ttl[0].isdigit() else None})
    return read_persist(query.get("persist", ["false"])[0].lower() in ("true", "1"))


async def _may_send(service: Realtime, caller: Caller, topic: str) -> None:
    rights = await service.rights(caller.claims, topic)
    if not rights.write_broadcast:
        raise _RefusedError(403, "Unauthorized: You do not have permissions to send to this Channel topic")


async def refuse_websocket(send: Any, status: int, message: str) -> None:
    """Answer a websocket's handshake with an HTTP error."""
    body = _said(message)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
