"""Resumable uploads by TUS 1.0.0: creation (with upload, with deferred length), termination, expiration, checksum.

Bytes gather in a file beside the objects; the database says how many of them are safe on the disk, and only those count
after a crash. The last byte makes the object, by the same steps and policies as any upload. Spec: tus.io/protocols.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from headgate.base.errors import HeadgateError
from headgate.db import Jsonb
from headgate.db import errors as database
from headgate.surface.callers import Caller
from headgate.surface.storage.depot import Depot, Q, Row, Target, new_version
from headgate.surface.storage.errors import StorageError, from_database, invalid, too_large
from headgate.surface.storage.exchange import Gone, Reply, Request
from headgate.surface.storage.incoming import Body, Head, cache_control, hash_file, user_metadata
from headgate.surface.storage.names import DEFAULT_TYPE, content_type, object_name
from headgate.surface.storage.uploads import may_upload, signed_target, wants_upsert

VERSION = "1.0.0"
_EXTENSIONS = "creation,creation-with-upload,creation-defer-length,termination,expiration,checksum"
_CHECKSUMS = {"sha1": "sha1", "sha256": "sha256", "md5": "md5"}
_BYTES = "application/offset+octet-stream"
_SAFE_EVERY = 8 * 1024 * 1024  # bytes after which what came is synced and counted
_BUFFER = 1024 * 1024
_ID = re.compile(r"[0-9a-f-]{36}")
Headers = list[tuple[str, str]]


async def resumable(depot: Depot, request: Request, rest: str) -> Reply:
    """Everything below /upload/resumable; below /upload/resumable/sign a token stands for the caller's rights."""
    method = request.header("x-http-method-override") or request.method
    signed, place = _place(rest)
    try:
        if method == "OPTIONS":
            return Reply(204, _headers(depot, [("tus-version", VERSION), ("tus-extension", _EXTENSIONS)]))
        if request.header("tus-resumable") != VERSION:
            raise _error(412, "Tus-Resumable must be 1.0.0", [("tus-version", VERSION)])
        if not place:
            if method != "POST":
                raise _error(405, "An upload is created by POST")
            return await _create(depot, request, signed=signed)
        with _own(depot, place) as part:
            row = await _row(depot, request, place)
            if method == "HEAD":
                return await _look(depot, request, row, part)
            if method == "PATCH":
                return await _append(depot, request, row, part)
            if method == "DELETE":
                return await _end(depot, row, part)
        raise _error(405, "An upload takes HEAD, PATCH and DELETE")
    except (StorageError, database.Error, HeadgateError) as raised:
        error = raised if isinstance(raised, StorageError) else from_database(raised)
        if error is None:
            raise
        # TUS clients act on the HTTP status itself.
        http = error.http if error.http != 400 else error.status
        found = _headers(depot, list(error.headers))
        raise StorageError(error.status, error.error, error.message, http=http, headers=found) from None


def _place(rest: str) -> tuple[bool, str]:
    """Whether it is below `sign`, and the upload's id ("" for none)."""
    parts = [part for part in rest.split("/") if part]
    signed = parts[:1] == ["sign"]
    parts = parts[1:] if signed else parts
    if len(parts) > 1 or (parts and not _ID.fullmatch(parts[0])):
        raise _gone()
    return signed, parts[0] if parts else ""


def _error(status: int, message: str, headers: Headers | None = None) -> StorageError:
    return StorageError(status, "InvalidUpload", message, http=status, headers=headers or [])


def _gone() -> StorageError:
    return StorageError(404, "not_found", "There is no such upload, or it has expired", http=404)


def _headers(depot: Depot, more: Headers) -> Headers:
    return [
        ("tus-resumable", VERSION),
        ("tus-max-size", str(depot.settings.storage_max_object_bytes)),
        ("tus-checksum-algorithm", ",".join(_CHECKSUMS)),
        ("cache-control", "no-store"),
        *more,
    ]


def _state(depot: Depot, row: Row) -> Headers:
    expires: datetime = row["expires_at"]
    found = [
        ("upload-offset", str(row["offset_bytes"])),
        ("upload-expires", format_datetime(expires.astimezone(UTC), usegmt=True)),
    ]
    if row["length_bytes"] is None:
        found.append(("upload-defer-length", "1"))
    else:
        found.append(("upload-length", str(row["length_bytes"])))
    return _headers(depot, found)


@contextlib.contextmanager
def _own(depot: Depot, upload: str) -> Iterator[Path]:
    """The file of an upload, for one request at a time; the lock ends with the process that holds it."""
    part = depot.work / "uploads" / upload
    try:
        descriptor = os.open(part, os.O_RDWR)
    except FileNotFoundError:
        raise _gone() from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StorageError(423, "Locked", "Another request is writing to this upload", http=423) from None
    try:
        yield part
    finally:
        os.close(descriptor)


async def _create(depot: Depot, request: Request, *, signed: bool) -> Reply:
    length = _length(depot, request)
    about = _metadata(request.header("upload-metadata") or "")
    name = object_name(about.get("objectName", ""))
    bucket = about.get("bucketName", "")
    if signed:
        target = await signed_target(depot, f"{bucket}/{name}", request.header("x-signature") or "")
    else:
        caller = await depot.caller(request)
        upsert = wants_upsert(request)
        target = Target(
            bucket=await depot.bucket(bucket), name=name, upsert=upsert, caller=caller, owner=caller.user
        )
    if length is not None and length > depot.limit(target.bucket):
        raise too_large()
    head = Head(
        kind=content_type(about["contentType"]) if about.get("contentType") else DEFAULT_TYPE,
        cache=cache_control(about.get("cacheControl")),
        user_metadata=user_metadata(about["metadata"].encode()) if about.get("metadata") else None,
        size=length,
    )
    await may_upload(depot, target, head)
    row, part = await _begin(depot, target, head, length)
    with _own(depot, row["id"]):
        if request.header("content-type") == _BYTES:
            await _take(depot, request, row, part)
        await _finish_if_whole(depot, target.caller, row, part)
    place = f"/storage/v1/upload/resumable/{'sign/' if signed else ''}{row['id']}"
    return Reply(201, [*_state(depot, row), ("location", place)])


async def _begin(depot: Depot, target: Target, head: Head, length: int | None) -> tuple[Row, Path]:
    upload = new_version()
    part = depot.work / "uploads" / upload
    await asyncio.to_thread(_make, part)
    values = {
        "id": upload,
        "bucket_id": target.bucket["id"],
        "name": target.name,
        "role": target.caller.role if target.caller else "",
        "owner_id": target.owner,
        "is_signed": target.caller is None,
        "is_upsert": target.upsert,
        "length": length,
        "metadata": Jsonb({"mimetype": head.kind, "cacheControl": head.cache}),
        "user_metadata": Jsonb(head.user_metadata) if head.user_metadata is not None else None,
        "expiry_s": depot.settings.storage_upload_expiry_s,
    }
    row = await depot.db.fetch_one(Q.own_begin_upload, values)
    assert row is not None  # noqa: S101 - INSERT … RETURNING
    return row, part


def _make(part: Path) -> None:
    part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part.touch(0o600)


def _length(depot: Depot, request: Request) -> int | None:
    text = request.header("upload-length")
    if text is None and request.header("upload-defer-length") == "1":
        return None
    if text is None or not text.isdigit() or len(text) > 18:
        raise invalid("Upload-Length must be a number of bytes")
    if int(text) > depot.settings.storage_max_object_bytes:
        raise too_large()
    return int(text)


def _metadata(text: str) -> dict[str, str]:
    """`Upload-Metadata`: pairs of a key and a value in base64."""
    found: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        key, _, coded = pair.strip().partition(" ")
        try:
            found[key] = base64.b64decode(coded.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            raise invalid("Upload-Metadata must be pairs of a key and a value in base64") from None
    return found


async def _row(depot: Depot, request: Request, upload: str) -> Row:
    """The upload, if it is this caller's. Raises StorageError."""
    row = await depot.db.fetch_one(Q.own_upload, {"id": upload})
    if row is None:
        raise _gone()
    if row["is_signed"]:
        path = f"{row['bucket_id']}/{row['name']}"
        await signed_target(depot, path, request.header("x-signature") or "")
        row["caller"] = None
        return row
    caller = await depot.caller(request)
    if caller.role != row["role"] or caller.user != row["owner_id"]:
        raise _gone()
    row["caller"] = caller
    return row


async def _look(depot: Depot, request: Request, row: Row, part: Path) -> Reply:
    # Whole, but not yet an object: the server ended in between. The client asks only where to go on, so finish here.
    await _finish_if_whole(depot, row["caller"], row, part)
    return Reply(200, _state(depot, row))


async def _append(depot: Depot, request: Request, row: Row, part: Path) -> Reply:
    if request.header("content-type") != _BYTES:
        raise _error(415, f"The content type must be {_BYTES}")
    offset = request.header("upload-offset") or ""
    if not offset.isdigit() or int(offset) != row["offset_bytes"]:
        raise _error(
            409, f"Upload-Offset must be {row['offset_bytes']}", [("upload-offset", str(row["offset_bytes"]))]
        )
    if row["object_id"] is not None:
        return Reply(204, _state(depot, row))
    if row["length_bytes"] is None and request.header("upload-length") is not None:
        row["length_bytes"] = _length(depot, request)
        if row["length_bytes"] is not None and row["length_bytes"] < row["offset_bytes"]:
            raise invalid("Upload-Length is less than what has come already")
    await _take(depot, request, row, part)
    await _finish_if_whole(depot, row["caller"], row, part)
    return Reply(204, _state(depot, row))


async def _take(depot: Depot, request: Request, row: Row, part: Path) -> None:
    """Append the body; `row["offset_bytes"]` is what is safe on the disk."""
    bucket = await depot.bucket(row["bucket_id"])
    limit = depot.limit(bucket)
    if row["length_bytes"] is not None:
        limit = min(limit, row["length_bytes"])
    check = _checksum(request)
    intake = _Intake(depot, row, part, limit=limit, digest=check[0] if check else None)
    try:
        async for piece in request.chunks():
            await intake.write(piece)
        if check is not None and not intake.matches(check[1]):
            raise _error(460, "The checksum does not fit the bytes")
        await intake.save()
    except (Gone, StorageError) as error:
        # What came before the connection broke counts, unless it could not be checked or was too much.
        if check is None and not (isinstance(error, StorageError) and error.status == 413):
            await intake.save()
        raise
    finally:
        intake.close()


def _checksum(request: Request) -> tuple[Any, bytes] | None:
    text = request.header("upload-checksum")
    if text is None:
        return None
    name, _, coded = text.partition(" ")
    if name not in _CHECKSUMS:
        raise _error(400, f"Upload-Checksum takes {', '.join(_CHECKSUMS)}")
    try:
        return hashlib.new(_CHECKSUMS[name], usedforsecurity=False), base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        raise _error(400, "The checksum is not base64") from None


class _Intake:
    """Writes pieces at the end of an upload's file and counts them in the database once they are on the disk."""

    def __init__(self, depot: Depot, row: Row, part: Path, *, limit: int, digest: Any) -> None:
        self._depot = depot
        self._row = row
        self._limit = limit
        self._digest = digest
        self._at: int = row["offset_bytes"]
        self._buffer = bytearray()
        self._descriptor = os.open(part, os.O_WRONLY)
        os.ftruncate(self._descriptor, self._at)

    async def write(self, piece: bytes) -> None:
        if self._at + len(self._buffer) + len(piece) > self._limit:
            raise too_large()
        if self._digest is not None:
            self._digest.update(piece)
        self._buffer += piece
        if len(self._buffer) >= _BUFFER:
            await self._flush()
            if self._digest is None and self._at - self._row["offset_bytes"] >= _SAFE_EVERY:
                await self.save()

    async def _flush(self) -> None:
        full, self._buffer = self._buffer, bytearray()
        await asyncio.to_thread(_write_at, self._descriptor, full, self._at)
        self._at += len(full)

    async def save(self) -> None:
        """What has come is on the disk, and the database says so."""
        await self._flush()
        await asyncio.to_thread(os.fdatasync, self._descriptor)
        values = {"id": self._row["id"], "offset": self._at, "length": self._row["length_bytes"]}
        if await self._depot.db.execute(Q.own_advance_upload, values) != 1:
            raise _gone()
        self._row["offset_bytes"] = self._at

    def matches(self, wanted: bytes) -> bool:
        return bool(self._digest.digest() == wanted)

    def close(self) -> None:
        os.close(self._descriptor)


def _write_at(descriptor: int, full: bytearray, at: int) -> None:
    view = memoryview(full)
    while view:
        done = os.pwrite(descriptor, view, at)
        view, at = view[done:], at + done


async def _finish_if_whole(depot: Depot, caller: Caller | None, row: Row, part: Path) -> None:
    """Make the object once every byte is there. A refusal ends the upload."""
    if (
        row["object_id"] is not None
        or row["length_bytes"] is None
        or row["offset_bytes"] < row["length_bytes"]
    ):
        return
    about = row["metadata"]
    size, sha256 = await hash_file(part)
    head = Head(
        kind=about["mimetype"], cache=about["cacheControl"], user_metadata=row["user_metadata"], size=size
    )
    target = Target(
        bucket=await depot.bucket(row["bucket_id"]),
        name=row["name"],
        upsert=row["is_upsert"],
        caller=caller,
        owner=row["owner_id"],
    )
    version = new_version()
    try:
        await depot.begin(target, version, head)
        try:
            await depot.backend.put(version, part)
            row["object_id"] = await depot.commit(
                target, version, Body(head, part, size, sha256), upload=row["id"]
            )
        except BaseException:
            await depot.abandon(version)
            raise
    except (StorageError, database.Error, HeadgateError) as error:
        if isinstance(error, StorageError) or from_database(error) is not None:
            await _end(depot, row, part)
        raise
    await asyncio.to_thread(_leave_mark, part)
    depot.removals_wait()


def _leave_mark(part: Path) -> None:
    """An empty file in the place of bytes that are the object's now (they may be one file): the upload is over."""
    mark = part.with_suffix(".done")
    mark.touch(0o600)
    mark.replace(part)


async def _end(depot: Depot, row: Row, part: Path) -> Reply:
    await depot.db.execute(Q.own_end_upload, {"id": row["id"]})
    await asyncio.to_thread(part.unlink, missing_ok=True)
    return Reply(204, _headers(depot, []))
