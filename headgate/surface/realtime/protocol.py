"""Phoenix messages on the wire: 1.0.0 (text objects), 2.0.0 (text arrays, binary frames 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import orjson

Version = Literal["1.0.0", "2.0.0"]
PUSH_KIND = 3  # client → server: broadcast of a user
BROADCAST_KIND = 4  # server → client
BINARY, JSON = 0, 1
FIELD_MAX = 255  # bytes of one string in the head of a binary frame


class FrameError(Exception):
    """What arrived is no message of the protocol."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of a client. `binary` is the payload of a binary broadcast; `payload` then holds the rest."""

    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: dict[str, Any]
    binary: bytes | None = None


def decode(message: str | bytes, version: Version) -> Frame:
    """The message of a text or binary frame. Raises FrameError."""
    if isinstance(message, bytes):
        if version != "2.0.0":
            raise FrameError("binary frames need vsn=2.0.0")
        return _decode_push(message)
    try:
        document = orjson.loads(message)
    except orjson.JSONDecodeError:
        raise FrameError("the message is not JSON") from None
    if version == "2.0.0":
        if not isinstance(document, list) or len(document) != 5:
            raise FrameError("a message of vsn 2.0.0 is an array of five")
        join_ref, ref, topic, event, payload = document
    else:
        if not isinstance(document, dict):
            raise FrameError("a message of vsn 1.0.0 is an object")
        join_ref, ref = document.get("join_ref"), document.get("ref")
        topic, event, payload = document.get("topic"), document.get("event"), document.get("payload")
    if not isinstance(topic, str) or not isinstance(event, str):
        raise FrameError("topic and event must be strings")
    if payload is None:
        payload = {}
    if not isinstance(payload, dict):
        raise FrameError("the payload must be an object")
    return Frame(_ref(join_ref), _ref(ref), topic, event, payload)


def _ref(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    raise FrameError("references must be strings")


def _decode_push(data: bytes) -> Frame:
    """A user's broadcast: kind, five lengths, encoding, five strings, payload."""
    if len(data) < 7 or data[0] != PUSH_KIND:
        raise FrameError("unknown kind of binary frame")
    lengths, encoding, at, fields = data[1:6], data[6], 7, []
    for length in lengths:
        fields.append(data[at : at + length])
        at += length
    if at > len(data) or encoding not in (BINARY, JSON):
        raise FrameError("a binary frame is cut short or of unknown encoding")
    try:
        join_ref, ref, topic, event, metadata = (field.decode() for field in fields)
        payload: dict[str, Any] = {"type": "broadcast", "event": event}
        if metadata:
            found = orjson.loads(metadata)
            payload.update(
                {"persist": found["persist"]} if isinstance(found, dict) and "persist" in found else {}
            )
        body = data[at:]
        if encoding == JSON:
            payload["payload"] = orjson.loads(body)
    except (UnicodeDecodeError, orjson.JSONDecodeError):
        raise FrameError("a binary frame holds bad text or JSON") from None
    return Frame(
        join_ref or None, ref or None, topic, "broadcast", payload, body if encoding == BINARY else None
    )


def text(value: Any) -> bytes:
    """JSON as bytes; `orjson.Fragment` may be inside."""
    return orjson.dumps(value)


class Envelope:
    """What surrounds the payloads of one channel on one socket: built once, joined to every push."""

    __slots__ = ("_after", "_before", "_events", "_topic", "topic", "version")

    def __init__(self, topic: str, join_ref: str | None, version: Version) -> None:
        self.topic, self.version = topic, version
        self._topic, ref = orjson.dumps(topic), orjson.dumps(join_ref)
        if version == "2.0.0":
            self._before, self._after = b"[" + ref + b",null," + self._topic + b",", b"]"
        else:
            self._before = b'{"ref":null,"topic":' + self._topic + b',"event":'
            self._after = b"}"
        self._events: dict[str, bytes] = {}

    def push(self, event: str, payload: bytes) -> str:
        """A push of the server with `payload` (JSON)."""
        middle = self._events.get(event)
        if middle is None:
            middle = self._before + orjson.dumps(event)
            middle += b"," if self.version == "2.0.0" else b',"payload":'
            self._events[event] = middle
        return (middle + payload + self._after).decode()


def reply(version: Version, frame: Frame, status: str, response: Any) -> str:
    """The answer to a client's message."""
    payload = {"status": status, "response": response}
    if version == "2.0.0":
        return orjson.dumps([frame.join_ref, frame.ref, frame.topic, "phx_reply", payload]).decode()
    return orjson.dumps(
        {"ref": frame.ref, "topic": frame.topic, "event": "phx_reply", "payload": payload}
    ).decode()


def broadcast_frame(
    topic: str, event: str, body: bytes, *, encoding: int, metadata: bytes = b""
) -> bytes | None:
    """A binary frame of kind 4; None if a string is too long for it."""
    heads = [topic.encode(), event.encode(), metadata]
    if any(len(head) > FIELD_MAX for head in heads):
        return None
    return bytes([BROADCAST_KIND, *map(len, heads), encoding]) + b"".join(heads) + body
