"""Bodies on their way in: streamed to a file beside the objects and hashed, never whole in memory."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from headgate.surface.storage.errors import invalid, too_large
from headgate.surface.storage.exchange import Request
from headgate.surface.storage.names import DEFAULT_TYPE, content_type

_BUFFER = 1024 * 1024
_FIELD_MAX = 1_000_000
_METADATA_MAX = 100_000
_PARTS_MAX = 32
_SLACK = 1_100_000  # what a multipart body may have beside the file


@dataclass
class Head:
    """What an upload says about itself before its bytes. `size` is what was declared, None if nothing was."""

    kind: str = DEFAULT_TYPE
    cache: str = "no-cache"
    encoding: str | None = None
    user_metadata: dict[str, Any] | None = None
    size: int | None = None


@dataclass
class Body:
    """Bytes that have arrived: the file, its size, and the SHA-256 of its bytes in hexadecimal."""

    head: Head
    file: Path
    size: int = 0
    sha256: str = ""


Admit = Callable[[Head], Awaitable[int]]  # may it come in? → bytes allowed; raises StorageError


class Spool:
    """A file that takes bytes; after `finish` it is on the disk. Removed on leaving the `with` block."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.size = 0
        self._hash = hashlib.sha256()
        self._buffer = bytearray()
        self._descriptor = -1

    def __enter__(self) -> Spool:
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        self.file.unlink(missing_ok=True)

    async def write(self, piece: bytes, limit: int) -> None:
        """Take a piece. Raises StorageError once there is more than `limit`."""
        self.size += len(piece)
        if self.size > limit:
            raise too_large()
        self._buffer += piece
        if len(self._buffer) >= _BUFFER:
            await self._flush()

    async def _flush(self) -> None:
        full, self._buffer = self._buffer, bytearray()
        await asyncio.to_thread(self._put, full)

    def _put(self, full: bytearray) -> None:
        self._hash.update(full)
        view = memoryview(full)
        while view:
            view = view[os.write(self._descriptor, view) :]

    async def finish(self, head: Head) -> Body:
        """All bytes have come."""
        await self._flush()
        return Body(head, self.file, self.size, self._hash.hexdigest())


async def take(request: Request, spool: Spool, admit: Admit, *, most: int) -> Body:
    """Stream the body of an upload, raw or multipart, into `spool`. `admit` is asked before the first byte is kept.

    Raises StorageError; a declared length beyond `most` at once.
    """
    kind = request.header("content-type") or ""
    if kind.lower().startswith("multipart/form-data"):
        if (request.declared or 0) > most + _SLACK:
            raise too_large()
        return await _Multipart(request, spool, admit, kind).take()
    if (request.declared or 0) > most:
        raise too_large()
    head = _raw_head(request, kind)
    limit = await admit(head)
    if (request.declared or 0) > limit:
        raise too_large()
    async for piece in request.chunks():
        await spool.write(piece, limit)
    return await spool.finish(head)


def _raw_head(request: Request, kind: str) -> Head:
    metadata = request.header("x-metadata")
    return Head(
        kind=content_type(kind) if kind else DEFAULT_TYPE,
        cache=cache_control(request.header("cache-control")),
        encoding=_encoding(request.header("content-encoding")),
        user_metadata=_metadata(_unbase64(metadata)) if metadata else None,
        size=request.declared,
    )


def cache_control(text: str | None) -> str:
    """A `Cache-Control` that can be sent again, from a header or from a bare number of seconds."""
    if not text:
        return "no-cache"
    if text.isdigit():
        return f"max-age={text[:12]}"
    return text if len(text) <= 200 and text.isascii() and text.isprintable() else "no-cache"


def _encoding(text: str | None) -> str | None:
    if not text:
        return None
    if (
        not text.isascii()
        or not text.replace(",", "").replace(" ", "").replace("-", "").isalnum()
        or len(text) > 60
    ):
        raise invalid("The content encoding is not valid")
    return text


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("x-metadata is not base64") from None


def _metadata(raw: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise invalid("The metadata is not JSON") from None
    if not isinstance(found, dict) or len(raw) > _METADATA_MAX:
        raise invalid("The metadata must be a JSON object of moderate size")
    if b"\\u0000" in raw:
        raise invalid("The metadata contains a null character")
    return found


user_metadata = _metadata


@dataclass
class _Part:
    headers: dict[str, str] = field(default_factory=dict)
    name: str = ""
    is_file: bool = False
    text: bytearray = field(default_factory=bytearray)


class _Multipart:
    """Reads `multipart/form-data`: small fields into memory, the one file into the spool."""

    def __init__(self, request: Request, spool: Spool, admit: Admit, kind: str) -> None:
        self._request = request
        self._spool = spool
        self._admit = admit
        self._kind = kind
        self._fields: dict[str, bytes] = {}
        self._part = _Part()
        self._field = b""
        self._value = b""
        self._pending: list[tuple[str, bytes]] = []
        self._head: Head | None = None
        self._limit = 0
        self._parts = 0
        self._ended = False

    async def take(self) -> Body:
        """The whole body."""
        from python_multipart.exceptions import MultipartParseError
        from python_multipart.multipart import MultipartParser, parse_options_header

        boundary = parse_options_header(self._kind)[1].get(b"boundary", b"")
        if not 0 < len(boundary) <= 200:
            raise invalid("The multipart body has no boundary")
        parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type]
        try:
            async for piece in self._request.chunks():
                for start in range(0, len(piece), 65536):
                    parser.write(piece[start : start + 65536])
                    await self._work()
            parser.finalize()
            await self._work()
        except MultipartParseError:
            raise invalid("The multipart body is malformed") from None
        if self._head is None or not self._ended:
            raise invalid("The multipart body has no file, or is cut short")
        # Fields may stand after the file; the file's head was made when the file began.
        fresh = self._make_head()
        self._head.user_metadata, self._head.cache = fresh.user_metadata, fresh.cache
        return await self._spool.finish(self._head)

    def _callbacks(self) -> Mapping[str, Callable[..., None]]:
        pending = self._pending

        def data(kind: str) -> Callable[[bytes, int, int], None]:
            return lambda raw, start, end: pending.append((kind, raw[start:end]))

        def mark(kind: str) -> Callable[[], None]:
            return lambda: pending.append((kind, b""))

        return {
            "on_part_begin": mark("begin"),
            "on_header_field": data("field"),
            "on_header_value": data("value"),
            "on_header_end": mark("header"),
            "on_headers_finished": mark("headers"),
            "on_part_data": data("data"),
            "on_part_end": mark("end"),
            "on_end": mark("all"),
        }

    async def _work(self) -> None:
        pending, self._pending[:] = list(self._pending), []
        for kind, raw in pending:
            await self._event(kind, raw)

    async def _event(self, kind: str, raw: bytes) -> None:
        if kind == "data":
            if self._part.is_file:
                await self._spool.write(raw, self._limit)
            else:
                self._part.text += raw
                if len(self._part.text) > _FIELD_MAX:
                    raise invalid("A field of the multipart body is too large")
        elif kind == "field":
            self._field += raw
        elif kind == "value":
            self._value += raw
        elif kind == "header":
            self._part.headers[self._field.decode("latin-1").lower()] = self._value.decode("utf-8", "replace")
            self._field = self._value = b""
        elif kind == "begin":
            self._parts += 1
            self._part = _Part()
            if self._parts > _PARTS_MAX:
                raise invalid("The multipart body has too many parts")
        elif kind == "headers":
            await self._begin()
        elif kind == "end" and not self._part.is_file:
            self._fields[self._part.name] = bytes(self._part.text)
        elif kind == "all":
            self._ended = True

    async def _begin(self) -> None:
        from python_multipart.multipart import parse_options_header

        options = parse_options_header(self._part.headers.get("content-disposition", ""))[1]
        self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
        # A part is the file if it has a file name; clients that send a bare part call it "" or "file".
        self._part.is_file = b"filename" in options or self._part.name in ("", "file")
        if not self._part.is_file:
            return
        if self._head is not None:
            raise invalid("The multipart body has more than one file")
        self._head = self._make_head()
        self._limit = await self._admit(self._head)

    def _make_head(self) -> Head:
        kind = self._part.headers.get("content-type", "") if self._head is None else self._head.kind
        metadata = self._fields.get("metadata")
        cache = self._fields.get("cacheControl", b"").decode("latin-1")
        return Head(
            kind=content_type(kind) if kind else DEFAULT_TYPE,
            cache=cache_control(cache or None),
            encoding=_encoding(self._fields.get("contentEncoding", b"").decode("latin-1") or None),
            user_metadata=_metadata(metadata) if metadata else None,
            size=self._request.declared,
        )


async def hash_file(file: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file, off the event loop."""

    def work() -> tuple[int, str]:
        with file.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256")
            return source.tell(), digest.hexdigest()

    return await asyncio.to_thread(work)


async def to_file(pieces: AsyncIterator[bytes], file: Path) -> None:
    """Write pieces to a new file."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        async for piece in pieces:
            await asyncio.to_thread(os.write, descriptor, piece)
    except BaseException:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(file.unlink)
        raise
    finally:
        os.close(descriptor)
