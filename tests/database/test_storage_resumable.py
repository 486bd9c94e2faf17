"""Resumable uploads by TUS 1.0.0: creation, going on after a break, checksums, ending, refusals."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headgate.db import Database
from tests.database.storage_fixture import POLICIES, A, B, Client, kept_files, storage

BYTES = "application/offset+octet-stream"


@pytest.fixture
async def client(bare_database: Database, tmp_path: Path) -> AsyncIterator[Client]:
    async with storage(bare_database, tmp_path, storage_max_object_bytes=30_000_000) as one:
        await one.bucket("files", file_size_limit=20_000_000)
        yield one


def named(**values: str) -> str:
    """`Upload-Metadata`."""
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


async def tus(client: Client, method: str, place: str = "", **options: Any) -> httpx.Response:
    """One request of the protocol; `place` is a Location or nothing."""
    headers = {"tus-resumable": "1.0.0", **options.pop("headers", {})}
    path = place.removeprefix("/storage/v1/") or "upload/resumable"
    return await client.send(method, path, headers=headers, **options)


async def create(client: Client, length: int, name: str = "big", **headers: str) -> httpx.Response:
    about = named(
        bucketName="files", objectName=name, contentType="video/mp4", cacheControl="9", metadata='{"m":1}'
    )
    named_headers = {k.replace("_", "-"): v for k, v in headers.items()}
    sent = {"upload-length": str(length), "upload-metadata": about, **named_headers}
    return await tus(client, "POST", headers=sent)


async def append(client: Client, place: str, offset: int, body: Any, **headers: str) -> httpx.Response:
    sent = {
        "upload-offset": str(offset),
        "content-type": BYTES,
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    return await tus(client, "PATCH", place, content=body, headers=sent)


async def test_an_upload_in_pieces_becomes_an_object_at_its_last_byte(client: Client, tmp_path: Path) -> None:
    body = bytes(range(256)) * 40_000
    made = await create(client, len(body))
    assert made.status_code == 201 and made.headers["upload-offset"] == "0"
    place, at = made.headers["location"], 0
    while at < len(body):
        assert (await client.get("files/big")).status_code == 400
        reply = await append(client, place, at, body[at : at + 3_000_000])
        at = min(at + 3_000_000, len(body))
        assert (reply.status_code, reply.headers["upload-offset"]) == (204, str(at))
    found = await client.get("files/big")
    assert found.content == body and found.headers["content-type"] == "video/mp4"
    info = (await client.send("GET", "object/info/files/big")).json()
    assert (info["metadata"], info["cache_control"], info["etag"]) == (
        {"m": 1}, "max-age=9", f'"{hashlib.sha256(body).hexdigest()}"',
    )  # fmt: skip
    head = await tus(client, "HEAD", place)
    assert (head.status_code, head.headers["upload-offset"], head.headers["upload-length"]) == (
        200, str(len(body)), str(len(body)),
    )  # fmt: skip
    assert (
        await append(client, place, at, b"")
    ).status_code == 204  # again, as a client does that missed the answer
    assert len(kept_files(tmp_path)) == 1
    assert (await client.get("files/big")).content == body


async def test_what_came_before_a_break_counts(client: Client) -> None:
    place = (await create(client, 12_000_000)).headers["location"]

    headers = {"tus-resumable": "1.0.0", "upload-offset": "0", "content-type": BYTES}
    pieces = [b"x" * 1_000_000] * 9
    assert await client.cut_off("PATCH", place.removeprefix("/storage/v1/"), headers, pieces) is None
    head = await tus(client, "HEAD", place)
    at = int(head.headers["upload-offset"])
    assert at == 9_000_000
    assert (await append(client, place, at, b"x" * (12_000_000 - at))).status_code == 204
    assert (await client.get("files/big")).content == b"x" * 12_000_000


async def test_creation_with_upload_and_deferred_length(client: Client) -> None:
    about = named(bucketName="files", objectName="now")
    headers = {"upload-length": "5", "upload-metadata": about, "content-type": BYTES}
    made = await tus(client, "POST", headers=headers, content=b"hello")
    assert (made.status_code, made.headers["upload-offset"]) == (201, "5")
    assert (await client.get("files/now")).content == b"hello"
    about = named(bucketName="files", objectName="later")
    made = await tus(client, "POST", headers={"upload-defer-length": "1", "upload-metadata": about})
    place = made.headers["location"]
    assert (await append(client, place, 0, b"abc")).headers["upload-defer-length"] == "1"
    assert (await append(client, place, 3, b"def", upload_length="6")).status_code == 204
    assert (await client.get("files/later")).content == b"abcdef"


async def test_checksums(client: Client) -> None:
    place = (await create(client, 6)).headers["location"]
    for name in ("sha1", "sha256", "md5"):
        wrong = base64.b64encode(hashlib.new(name, b"other").digest()).decode()
        reply = await append(client, place, 0, b"abc", upload_checksum=f"{name} {wrong}")
        assert reply.status_code == 460
    assert (await tus(client, "HEAD", place)).headers["upload-offset"] == "0"
    right = base64.b64encode(hashlib.sha1(b"abc", usedforsecurity=False).digest()).decode()
    assert (await append(client, place, 0, b"abc", upload_checksum=f"sha1 {right}")).headers[
        "upload-offset"
    ] == "3"
    assert (await append(client, place, 3, b"def", upload_checksum="crc64 AAAA")).status_code == 400


async def test_ending_and_expiry(client: Client, bare_database: Database, tmp_path: Path) -> None:
    place = (await create(client, 6)).headers["location"]
    assert (await tus(client, "DELETE", place)).status_code == 204
    assert (await tus(client, "HEAD", place)).status_code == 404
    place = (await create(client, 6)).headers["location"]
    await bare_database.execute(
        "update storage_internal.uploads set expires_at = now() - interval '1 second'"
    )
    assert (await append(client, place, 0, b"abc")).status_code == 404
    await client.swept(3600)
    assert list((tmp_path / "storage" / "uploads").iterdir()) == []


async def test_what_is_refused(client: Client) -> None:
    options = await client.send("OPTIONS", "upload/resumable")
    assert (options.status_code, options.headers["tus-version"]) == (204, "1.0.0")
    assert "creation-with-upload" in options.headers["tus-extension"]
    assert (
        await client.send("POST", "upload/resumable", headers={"tus-resumable": "0.2"})
    ).status_code == 412
    assert (await create(client, 20_000_001)).status_code == 413
    assert (await create(client, 10**17)).status_code == 413
    assert (await create(client, 5, name="../x")).json()["error"] == "InvalidKey"
    await client.put("files/there")
    taken = await create(client, 5, name="there")
    assert (taken.status_code, taken.json()["statusCode"]) == (409, "409")
    assert (await create(client, 5, name="there", x_upsert="true")).status_code == 201
    for bad in ("objectName !!", "x", "objectName /w=="):
        reply = await tus(client, "POST", headers={"upload-length": "5", "upload-metadata": bad})
        assert reply.status_code == 400, bad
    place = (await create(client, 5)).headers["location"]
    assert (await append(client, place, 1, b"x")).status_code == 409
    assert (await append(client, place, 0, b"123456")).status_code == 413
    assert (await tus(client, "HEAD", place)).headers["upload-offset"] == "0"
    assert (
        await tus(client, "PATCH", place, headers={"upload-offset": "0"}, content=b"x")
    ).status_code == 415
    for odd in ("upload/resumable/" + "0" * 36, "upload/resumable/a/b"):
        assert (await tus(client, "HEAD", odd)).status_code == 404


async def test_an_upload_belongs_to_who_began_it(client: Client, bare_database: Database) -> None:
    await bare_database.execute(POLICIES)
    a, b = client.as_user(A), client.as_user(B)
    assert (await create(client.with_bearer(None), 3)).json()["statusCode"] == "401"
    assert (await create(client.as_user(A, role="anon"), 3)).status_code == 403
    place = (await create(a, 3)).headers["location"]
    for other in (b, client.with_bearer(None), client.as_user(A, role="anon"), client):
        assert (await append(other, place, 0, b"abc")).status_code in (401, 404)
        assert (await tus(other, "DELETE", place)).status_code in (401, 404)
    await bare_database.execute("drop policy own_put on storage.objects")
    refused = await append(a, place, 0, b"abc")
    assert refused.status_code == 403
    assert (await tus(a, "HEAD", place)).status_code == 404  # nothing half-way is kept


async def test_a_signed_resumable_upload(client: Client) -> None:
    made = await client.send("POST", "object/upload/sign/files/signed", json={})
    token = made.json()["token"]
    nobody = client.with_bearer(None)
    about = named(bucketName="files", objectName="signed")
    headers = {"tus-resumable": "1.0.0", "upload-length": "3", "upload-metadata": about}
    assert (await nobody.send("POST", "upload/resumable/sign", headers=headers)).status_code == 400
    created = await nobody.send("POST", "upload/resumable/sign", headers={**headers, "x-signature": token})
    assert created.status_code == 201
    place = created.headers["location"]
    assert (await append(nobody, place, 0, b"abc")).status_code == 400
    assert (await append(nobody, place, 0, b"abc", x_signature=token)).status_code == 204
    assert (await client.get("files/signed")).content == b"abc"
