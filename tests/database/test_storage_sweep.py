"""Bytes and rows are compared both ways, on a folder and on an S3 service; nothing that is in use is removed."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from headgate.db import Database
from headgate.surface.storage.backends import Kept, Missing
from tests.database.storage_fixture import Client, kept_files, named_versions, storage

S3_KEY = "testing"


@contextlib.contextmanager
def s3_service() -> Iterator[dict[str, object]]:
    """A throw-away S3 service on loopback with one bucket; the settings for it."""
    moto = pytest.importorskip("moto.server", reason="moto is in the dev requirements")
    import boto3

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    bucket = f"kept-{uuid.uuid4()}"  # moto forgets nothing between two servers of one process
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=S3_KEY,
            aws_secret_access_key=S3_KEY,
            region_name="us-east-1",
        ).create_bucket(Bucket=bucket)
        yield {
            "storage_url": f"s3://{bucket}/some/prefix",
            "storage_s3_endpoint": url,
            "storage_s3_access_key": S3_KEY,
            "storage_s3_secret_key": S3_KEY,
        }
    finally:
        server.stop()


@pytest.fixture(params=["folder", "s3"])
async def client(
    request: pytest.FixtureRequest, bare_database: Database, tmp_path: Path
) -> AsyncIterator[Client]:
    with s3_service() if request.param == "s3" else contextlib.nullcontext({}) as changes:
        async with storage(bare_database, tmp_path, **changes) as one:
            await one.bucket("files", public=True)
            yield one


async def all_kept(client: Client) -> dict[str, Kept]:
    """Every version of bytes in the backend."""
    from headgate.surface.storage.backends import SHARDS

    assert client.service.depot is not None
    found: dict[str, Kept] = {}
    for shard in SHARDS:
        async for page in client.service.depot.backend.kept(shard):
            found |= {one.version: one for one in page}
    return found


async def test_objects_on_either_backend(client: Client) -> None:
    body = bytes(range(256)) * 80_000  # more than one part of a multipart upload
    assert (await client.put("files/a", body)).status_code == 200
    assert (await client.get("files/a")).content == body
    part = await client.get("files/a", range="bytes=10000000-10000009")
    assert (part.status_code, part.content) == (206, body[10_000_000:10_000_010])
    assert (await client.put("files/empty", b"")).status_code == 200
    assert (await client.get("files/empty")).content == b""
    move = {"bucketId": "files", "sourceKey": "a", "destinationKey": "b"}
    assert (await client.send("POST", "object/copy", json=move)).status_code == 200
    await client.send("DELETE", "object/files", json={"prefixes": ["a"]})
    await client.settled()
    assert (await client.get("files/b")).content == body
    assert len(await all_kept(client)) == 2


async def test_the_sweep_compares_both_ways(client: Client, bare_database: Database, tmp_path: Path) -> None:
    for name in ("good", "lost", "short"):
        await client.put(f"files/{name}", name.encode())
    depot = client.service.depot
    assert depot is not None
    rows = {
        row["name"]: row["version"] for row in await bare_database.fetch_all("select * from storage.objects")
    }
    stray, half = str(uuid.uuid4()), str(uuid.uuid4())
    (tmp_path / "stray").write_bytes(b"stray")
    for version in (stray, half):
        await depot.backend.put(version, tmp_path / "stray")
    await bare_database.execute("insert into storage_internal.writes (version) values (%s)", (half,))
    await depot.backend.remove([rows["lost"], rows["short"]])
    await depot.backend.put(rows["short"], tmp_path / "stray")
    await bare_database.execute(
        """update storage.objects set metadata = metadata || '{"size": 9}' where name = 'short'"""
    )
    young = await client.swept(3600)
    assert (young.stray, young.unfinished) == (0, 0)
    assert (young.missing, young.damaged) == (["files/lost"], ["files/short"])
    assert {stray, half} <= set(await all_kept(client))
    old = await client.swept(0)
    assert (old.stray, old.unfinished) == (1, 1)
    assert set(await all_kept(client)) == {rows["good"], rows["short"]}
    assert (await client.get("files/good")).content == b"good"
    assert (await client.get("files/lost")).json()["statusCode"] == "404"


async def test_damaged_bytes_are_not_passed_on_as_whole(bare_database: Database, tmp_path: Path) -> None:
    async with storage(bare_database, tmp_path) as client:
        await client.bucket("files", public=True)
        await client.put("files/a", b"x" * 2_000_000)
        version = (await named_versions(bare_database)).pop()
        file = tmp_path / "storage" / "objects" / version[:2] / version
        with file.open("r+b") as damaged:
            damaged.seek(1_000_000)
            damaged.write(b"y")
        with pytest.raises(Exception, match="files"):  # the server cuts the connection
            await client.get("public/files/a")


async def test_an_upload_that_the_sweep_gave_up_commits_nothing(
    bare_database: Database, tmp_path: Path
) -> None:
    async with storage(bare_database, tmp_path) as client:
        await client.bucket("files")
        depot = client.service.depot
        assert depot is not None
        real = depot.backend.put

        async def slow(version: str, file: Path) -> None:
            await real(version, file)
            await client.swept(0)  # bytes without a row, older than the grace

        depot.backend.put = slow  # type: ignore[method-assign]
        reply = await client.put("files/late")
        assert (reply.json()["statusCode"], reply.json()["error"]) == ("409", "Conflict")
        await client.settled()
        assert kept_files(tmp_path) == set() == await named_versions(bare_database)


async def test_a_cut_upload_leaves_nothing(client: Client, tmp_path: Path) -> None:
    headers = {"content-type": "a/b", "content-length": "9000000"}
    assert await client.cut_off("POST", "object/files/cut", headers, [b"x" * 1_000_000] * 3) is None
    assert list((tmp_path / "storage" / "incoming").iterdir()) == []
    assert await client.service.depot.db.fetch_value("select count(*) from storage_internal.writes") == 0  # type: ignore[union-attr]
    await client.settled()
    assert await all_kept(client) == {}


async def test_versions_that_are_not_ours_reach_no_path(client: Client) -> None:
    depot = client.service.depot
    assert depot is not None
    for version in ("../../etc/passwd", "x", "", str(uuid.uuid4()).upper()):
        with pytest.raises(Missing):
            await depot.backend.size(version)
