"""Bodies: JSON, CSV, forms and raw bytes, checked for shape. PostgreSQL reads the JSON; here only its keys are."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from urllib.parse import parse_qsl

import orjson

from headgate.surface.rest import media
from headgate.surface.rest.errors import invalid_body

SAME_KEYS = "All object keys must match"


@dataclass(frozen=True, slots=True)
class Payload:
    """`raw` goes to PostgreSQL as it is; `columns` are its keys, `arguments` those of a form."""

    raw: bytes
    columns: frozenset[str] = frozenset()
    arguments: tuple[tuple[str, str], ...] | None = None


def is_object(raw: bytes) -> bool:
    """Whether the JSON starts like an object; PostgreSQL judges the rest."""
    return raw[:64].lstrip(b" \t\n\r")[:1] == b"{" or (len(raw) > 64 and raw.lstrip(b" \t\n\r")[:1] == b"{")


def read_payload(raw: bytes, content: media.Media, columns: frozenset[str] | None, *, call: bool) -> Payload:
    """The body of a write or a call; `columns` are those of the query string. Raises PGRST102."""
    name = content.name
    if name == media.JSON:
        if columns is not None:
            return Payload(raw, columns)
        if not raw and call:
            return Payload(b"{}")
        return _json(raw)
    if name == media.CSV:
        return _csv(raw)
    if name == media.FORM:
        pairs = tuple(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))
        keys = frozenset(k for k, _ in pairs)
        return Payload(raw, keys, pairs) if call else Payload(orjson.dumps(dict(pairs)), keys)
    if call and name in (media.TEXT, media.XML, media.BINARY):
        return Payload(raw)
    raise invalid_body(f"Content-Type not acceptable: {name}")


def _json(raw: bytes) -> Payload:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise invalid_body("Empty or invalid json") from None
    if isinstance(value, dict):
        return Payload(raw, frozenset(value))
    if not isinstance(value, list) or not value:
        return Payload(b"[]")
    first = value[0]
    if not isinstance(first, dict):
        raise invalid_body(SAME_KEYS)
    keys = first.keys()
    if not all(isinstance(row, dict) and row.keys() == keys for row in value):
        raise invalid_body(SAME_KEYS)
    return Payload(raw, frozenset(keys))


def _csv(raw: bytes) -> Payload:
    try:
        lines = list(csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise invalid_body("All lines must have same number of fields") from None
    lines = [line for line in lines if line]
    if not lines:
        raise invalid_body("not enough input")
    header, *rows = lines
    if any(len(row) != len(header) for row in rows):
        raise invalid_body("All lines must have same number of fields")
    objects = [{k: None if v == "NULL" else v for k, v in zip(header, row, strict=True)} for row in rows]
    return Payload(orjson.dumps(objects), frozenset(header) if objects else frozenset())
