"""Answers with an object's bytes: ranges, conditions, caching, and headers that keep stored pages from running here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import quote

import structlog

from headgate.surface.storage.backends import Missing
from headgate.surface.storage.depot import Depot, Q, Row
from headgate.surface.storage.errors import StorageError, no_object
from headgate.surface.storage.exchange import Reply, Request
from headgate.surface.storage.names import DEFAULT_TYPE

log = structlog.get_logger(__name__)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
# What a browser may open without any of it running as a page of this origin.
_PASSIVE = re.compile(
    r"(image/(?!svg)|video/|audio/|font/|text/plain|text/csv|application/(pdf|json|zip|octet-stream))"
)
_SANDBOX = "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'"
YEAR = "max-age=31536000, immutable"


class Damaged(Exception):
    """The bytes are not those that were stored; the answer is cut off."""


async def serve_object(depot: Depot, request: Request, row: Row, *, is_public: bool) -> Reply:
    """The answer to GET or HEAD for the object of `row`. Raises StorageError."""
    about: Row = row["metadata"] or {}
    size = int(about.get("size") or 0)
    headers = common_headers(request, row, is_public=is_public)
    headers.append(("accept-ranges", "bytes"))
    if encoding := about.get("contentEncoding"):
        headers.append(("content-encoding", str(encoding)))
    etag = str(about.get("eTag") or "")
    if is_unchanged(request, etag, modified_at(row)):
        return Reply(304, headers)
    try:
        part = asked_range(request, size, etag)
    except ValueError:
        raise StorageError(
            416, "InvalidRange", "The requested range cannot be satisfied", http=416,
            headers=[("content-range", f"bytes */{size}")],
        ) from None  # fmt: skip
    start, end = part or (0, size)
    headers.append(("content-length", str(end - start)))
    if part:
        headers.append(("content-range", f"bytes {start}-{end - 1}/{size}"))
    status = 206 if part else 200
    if request.method == "HEAD":
        return Reply(status, headers)
    stream = await _open(depot, row, start, end)
    whole = None if part else etag.strip('"')
    return Reply(status, headers, stream=_checked(stream, whole, end - start, row))


async def _open(depot: Depot, row: Row, start: int, end: int) -> AsyncIterator[bytes]:
    """The bytes of the row's version; if it was replaced meanwhile, the client asks again."""
    try:
        if not row["version"]:
            raise Missing(row["name"])
        return await depot.backend.read(row["version"], start, end)
    except Missing:
        known = await depot.db.fetch_value(Q.own_has_version, {"version": row["version"] or ""})
        if known:
            log.error("object_without_bytes", bucket=row["bucket_id"], object_id=str(row["id"]))
            raise StorageError(404, "not_found", "The bytes of this object are missing") from None
        raise no_object() from None


async def _checked(
    stream: AsyncIterator[bytes], sha256: str | None, size: int, row: Row
) -> AsyncIterator[bytes]:
    """Pass the bytes on; hold the last piece back until they are known to be those that were stored."""
    digest = hashlib.sha256() if sha256 and len(sha256) == 64 else None
    held, sent = b"", 0
    async for piece in stream:
        if held:
            yield held
        held = piece
        sent += len(piece)
        if digest:
            digest.update(piece)
    if sent != size or (digest and digest.hexdigest() != sha256):
        log.error("object_damaged", bucket=row["bucket_id"], object_id=str(row["id"]))
        raise Damaged(row["bucket_id"])
    if held:
        yield held


def common_headers(request: Request, row: Row, *, is_public: bool) -> list[tuple[str, str]]:
    """Type, caching and safety of an answer about the object of `row`."""
    about: Row = row["metadata"] or {}
    kind = str(about.get("mimetype") or DEFAULT_TYPE)
    found = [
        ("content-type", kind),
        ("etag", str(about.get("eTag") or "")),
        ("last-modified", format_datetime(modified_at(row), usegmt=True)),
        ("cache-control", caching(request, row, is_public=is_public)),
        ("x-content-type-options", "nosniff"),
    ]
    if not is_public:  # else a browser shows the next user of a page what it kept for the last one
        found.append(("vary", "Authorization, Apikey"))
    if not _PASSIVE.match(kind.lower()):
        found.append(("content-security-policy", _SANDBOX))
    if "download" in request.query:
        found.append(("content-disposition", _disposition(request.query["download"])))
    return found


def caching(request: Request, row: Row, *, is_public: bool) -> str:
    """How long caches may keep it. A URL that names the version (`v=…`) never means other bytes."""
    if row["version"] and request.query.get("v") == row["version"]:
        return f"{'public' if is_public else 'private'}, {YEAR}"
    stored = str((row["metadata"] or {}).get("cacheControl") or "no-cache")
    if is_public or stored.startswith(("no-", "private")):
        return stored
    rules = [rule.strip() for rule in stored.split(",")]
    return ", ".join(["private", *(r for r in rules if r != "public" and not r.startswith("s-maxage"))])


def _disposition(name: str) -> str:
    if not name or name == "true":
        return "attachment"
    coded = quote(name[:500], safe="!'()*~")
    return f"attachment; filename={coded}; filename*=UTF-8''{coded}"


def modified_at(row: Row) -> datetime:
    """When the bytes were stored, to the second."""
    text = (row["metadata"] or {}).get("lastModified")
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        found = row["updated_at"]
    return found.astimezone(UTC).replace(microsecond=0)


def is_unchanged(request: Request, etag: str, modified: datetime) -> bool:
    """Whether the client has it already (RFC 9110, 13.1)."""
    if (given := request.header("if-none-match")) is not None:
        tags = [tag.strip().removeprefix("W/") for tag in given.split(",")]
        return etag in tags or "*" in tags
    if (since := request.header("if-modified-since")) is not None:
        return (moment := _date(since)) is not None and modified <= moment
    return False


def asked_range(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """The bytes from … to before … of a single range; None for all. Raises ValueError when there are none."""
    text = request.header("range")
    found = _RANGE.fullmatch(text.strip()) if text else None
    only_if = request.header("if-range")
    if found is None or (only_if is not None and only_if.strip() != etag):
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        length = min(int(last), size)
        if not length:
            raise ValueError(text)
        return size - length, size
    start = int(first)
    end = min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    if start >= size:
        raise ValueError(text)
    return start, end


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
