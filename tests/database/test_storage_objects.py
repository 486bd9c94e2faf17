"""Objects through the storage service: in, out, replaced, moved, copied, removed; bytes and rows never part."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headgate.db import Database
from tests.database.storage_fixture import POLICIES, A, B, Client, kept_files, named_versions, storage


@pytest.fixture
async def client(bare_database: Database, tmp_path: Path) -> AsyncIterator[Client]:
    async with storage(bare_database, tmp_path, storage_max_object_bytes=3_000_000) as one:
        await one.bucket("files")
        await one.bucket("open", public=True)
        yield one


async def test_what_goes_in_comes_out_with_its_type_and_metadata(client: Client) -> None:
    body = bytes(range(256)) * 5000
    meta = base64.b64encode(json.dumps({"camera": "x"}).encode()).decode()
    made = await client.put(
        "files/a/b.bin", body, content_type="image/x-odd; a=b", cache_control="max-age=77", x_metadata=meta
    )
    assert made.status_code == 200 and made.json()["Key"] == "files/a/b.bin"
    found = await client.get("files/a/b.bin")
    assert found.content == body
    assert found.headers["content-type"] == "image/x-odd; a=b"
    assert found.headers["cache-control"] == "private, max-age=77"
    assert found.headers["etag"] == f'"{hashlib.sha256(body).hexdigest()}"'
    info = (await client.send("GET", "object/info/files/a/b.bin")).json()
    assert (info["name"], info["size"], info["metadata"]) == ("a/b.bin", len(body), {"camera": "x"})
    assert info["id"] == made.json()["Id"] and "updated_at" not in info


async def test_multipart_and_chunked_uploads(client: Client) -> None:
    files = {"": ("x.txt", b"one" * 100_000, "text/plain")}
    fields = {"cacheControl": "3600", "metadata": '{"a":1}'}
    assert (await client.send("POST", "object/files/m.txt", data=fields, files=files)).status_code == 200
    info = (await client.send("GET", "object/info/files/m.txt")).json()
    assert (info["cache_control"], info["metadata"], info["size"]) == ("max-age=3600", {"a": 1}, 300_000)

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(50):
            yield bytes([number]) * 1000

    reply = await client.send("PUT", "object/files/c.bin", content=pieces(), headers={"content-type": "a/b"})
    assert reply.status_code == 200
    assert len((await client.get("files/c.bin")).content) == 50_000


async def test_a_second_upload_is_refused_or_replaces(
    client: Client, bare_database: Database, tmp_path: Path
) -> None:
    await client.put("files/x")
    again = await client.put("files/x", b"other")
    assert again.json() == {
        "statusCode": "409",
        "error": "Duplicate",
        "message": "The resource already exists",
        "code": "ResourceAlreadyExists",
    }
    assert (await client.get("files/x")).content == b"hello"
    assert (await client.put("files/x", b"new", x_upsert="true")).status_code == 200
    assert (await client.get("files/x")).content == b"new"
    await client.settled()
    assert kept_files(tmp_path) == await named_versions(bare_database)


async def test_removed_objects_lose_their_bytes_after_the_commit(
    client: Client, bare_database: Database, tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        await client.put(f"files/{name}")
    reply = await client.send("DELETE", "object/files", json={"prefixes": ["a", "b", "nothing"]})
    assert sorted(row["name"] for row in reply.json()) == ["a", "b"]
    await bare_database.execute("delete from storage.objects where name = 'c'")  # by SQL, too
    await client.settled()
    assert kept_files(tmp_path) == set()


async def test_move_and_copy_keep_bytes_and_metadata(client: Client, tmp_path: Path) -> None:
    await client.put("files/a", b"body", content_type="image/png")
    body = {"bucketId": "files", "sourceKey": "a", "destinationKey": "d/b"}
    assert (await client.send("POST", "object/move", json=body)).json()["message"] == "Successfully moved"
    assert (await client.get("files/a")).json()["statusCode"] == "404"
    body = {"bucketId": "files", "sourceKey": "d/b", "destinationKey": "c", "destinationBucket": "open"}
    assert (await client.send("POST", "object/copy", json=body)).json()["Key"] == "open/c"
    found = await client.with_bearer(None).get("public/open/c")
    assert (found.content, found.headers["content-type"]) == (b"body", "image/png")
    await client.send("DELETE", "object/files", json={"prefixes": ["d/b"]})
    await client.settled()
    assert (await client.get("open/c")).content == b"body"
    assert len(kept_files(tmp_path)) == 1
    taken = await client.send("POST", "object/copy", json={**body, "bucketId": "open", "sourceKey": "c"})
    assert taken.json()["statusCode"] == "409"


async def test_ranges_conditions_and_head(client: Client) -> None:
    body = bytes(range(100))
    await client.put("open/r", body, cache_control="max-age=60")
    nobody = client.with_bearer(None)
    for asked, status, got in (
        ("bytes=0-9", 206, body[:10]), ("bytes=90-", 206, body[90:]), ("bytes=-5", 206, body[95:]),
        ("bytes=5-1000", 206, body[5:]), ("bytes=0-1,3-4", 200, body), ("lines=1-2", 200, body),
        ("bytes=9-3", 200, body),
    ):  # fmt: skip
        reply = await nobody.get("public/open/r", range=asked)
        assert (reply.status_code, reply.content) == (status, got), asked
    beyond = await nobody.get("public/open/r", range="bytes=100-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */100")
    whole = await nobody.get("public/open/r")
    assert whole.headers["cache-control"] == "max-age=60"
    same = await nobody.get("public/open/r", if_none_match=whole.headers["etag"])
    assert (same.status_code, same.content) == (304, b"")
    since = await nobody.get("public/open/r", if_modified_since=whole.headers["last-modified"])
    assert since.status_code == 304
    assert (await nobody.get("public/open/r", range="bytes=0-1", if_range='"other"')).status_code == 200
    head = await nobody.send("HEAD", "object/public/open/r")
    assert (head.headers["content-length"], head.content) == ("100", b"")
    assert (await nobody.send("HEAD", "object/public/open/none")).status_code == 400
    version = (await client.send("GET", "object/info/open/r")).json()["version"]
    named = await nobody.get(f"public/open/r?v={version}")
    assert named.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "immutable" not in (await nobody.get("public/open/r?v=other")).headers["cache-control"]


async def test_download_names_and_pages_that_must_not_run_here(client: Client) -> None:
    await client.put("open/p.html", b"<script>1</script>", content_type="text/html")
    page = await client.get("public/open/p.html?download=my%20page.html")
    assert (
        page.headers["content-disposition"]
        == "attachment; filename=my%20page.html; filename*=UTF-8''my%20page.html"
    )
    assert page.headers["content-security-policy"].startswith("sandbox")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert (await client.get("public/open/p.html?download=")).headers["content-disposition"] == "attachment"
    nasty = await client.get("public/open/p.html?download=a%0d%0ax:%20y%22")
    assert "\n" not in nasty.headers["content-disposition"] and "x" not in nasty.headers


async def test_signed_urls_open_one_path_until_they_expire(client: Client) -> None:
    await client.put("files/s/1")
    await client.put("files/s/2")
    signed = (await client.send("POST", "object/sign/files/s/1", json={"expiresIn": "60"})).json()[
        "signedURL"
    ]
    nobody = client.with_bearer(None)
    assert (await nobody.send("GET", signed[1:] + "&cacheNonce=1")).content == b"hello"
    stolen = signed.replace("s/1?", "s/2?")[1:]
    assert (await nobody.send("GET", stolen)).json()["error"] == "InvalidJWT"
    assert (await nobody.send("GET", signed[1:-4] + "AAAA")).json()["error"] == "InvalidJWT"
    assert (await nobody.send("GET", f"object/sign/files/s/1?token={client.bearer}")).json()[
        "error"
    ] == "InvalidJWT"
    signer = client.service.depot.signer  # type: ignore[union-attr]
    late = signer.sign("files/s/1", -1, use="read")
    assert '"exp"' in (await nobody.send("GET", f"object/sign/files/s/1?token={late}")).json()["message"]
    many = await client.send("POST", "object/sign/files", json={"expiresIn": 60, "paths": ["s/1", "none"]})
    assert [(one["path"], one["error"] is None) for one in many.json()] == [("s/1", True), ("none", False)]


async def test_signed_uploads_need_no_credentials_and_work_once(client: Client) -> None:
    url = (await client.send("POST", "object/upload/sign/files/up", json={})).json()["url"]
    nobody = client.with_bearer(None)
    assert (await nobody.send("PUT", url[1:], content=b"1")).json()["Key"] == "files/up"
    assert (await nobody.send("PUT", url[1:], content=b"2")).json()["statusCode"] == "409"
    wrong = url.replace("files/up?", "files/other?")[1:]
    assert (await nobody.send("PUT", wrong, content=b"2")).json()["error"] == "InvalidJWT"
    read = (await client.send("POST", "object/sign/files/up", json={"expiresIn": 60})).json()["signedURL"]
    token = read.partition("?")[2]
    assert (await nobody.send("PUT", f"object/upload/sign/files/up?{token}", content=b"2")).json()[
        "error"
    ] == "InvalidJWT"


async def test_bucket_limits(client: Client, tmp_path: Path) -> None:
    await client.bucket("small", file_size_limit="2kb", allowed_mime_types=["image/*", "text/csv"])
    big = await client.put("small/x", b"x" * 2001, content_type="image/png")
    assert big.json()["message"] == "The object exceeded the maximum allowed size"

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    streamed = await client.send(
        "POST", "object/small/x", content=pieces(), headers={"content-type": "image/png"}
    )
    assert streamed.json()["statusCode"] == "413"
    wrong = await client.put("small/x", b"x", content_type="image1/jpeg")
    assert (wrong.json()["statusCode"], wrong.json()["message"]) == (
        "415",
        "mime type image1/jpeg is not supported",
    )
    assert (await client.put("small/x", b"x" * 2000, content_type="IMAGE/png")).status_code == 200
    assert (await client.put("files/huge", b"x" * 3_000_001)).json()["statusCode"] == "413"
    await client.settled()
    assert len(kept_files(tmp_path)) == 1
    assert list((tmp_path / "storage" / "incoming").iterdir()) == []


async def test_lists(client: Client) -> None:
    for name in ("a/1", "a/2", "a/b/3", "c", "d", "aa"):
        await client.put(f"files/{name}")
    listed = (await client.send("POST", "object/list/files", json={"prefix": "", "limit": 100})).json()
    assert [(one["name"], one["id"] is None) for one in listed] == [
        ("a", True),
        ("aa", False),
        ("c", False),
        ("d", False),
    ]
    for prefix in ("a", "a/"):
        below = (await client.send("POST", "object/list/files", json={"prefix": prefix})).json()
        assert [one["name"] for one in below] == ["b", "1", "2"]
    down = {"prefix": "a", "sortBy": {"column": "name", "order": "desc"}, "offset": 1, "limit": 1}
    assert [one["name"] for one in (await client.send("POST", "object/list/files", json=down)).json()] == [
        "2"
    ]
    found = (await client.send("POST", "object/list/files", json={"prefix": "", "search": "A"})).json()
    assert [one["name"] for one in found] == ["a", "aa"]


@pytest.mark.parametrize("column", ["name", "created_at", "updated_at"])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("folders", [True, False])
async def test_list_v2_pages_show_everything_once(
    client: Client, column: str, order: str, folders: bool
) -> None:
    names = ["a/1", "a/2", "a/b/3", "aa", "c/x", "c/y", "d", "e-1", "f/1"]
    for name in names:
        await client.put(f"files/{name}")
    for limit in (1, 2, 3, 100):
        seen: list[str] = []
        body = {
            "limit": limit,
            "with_delimiter": folders,
            "sortBy": {"column": column, "order": order},
            "cursor": "",
        }
        for _ in range(20):
            page = (await client.send("POST", "object/list-v2/files", json=body)).json()
            entries = [one["name"] for one in page["folders"] + page["objects"]]
            assert len(entries) <= limit
            seen += entries
            if not page["hasNext"]:
                break
            body["cursor"] = page["nextCursor"]
        wanted = ["a/", "aa", "c/", "d", "e-1", "f/"] if folders else names
        assert sorted(seen) == sorted(wanted), (limit, seen)
        if limit == 1 and column == "name":
            assert seen == sorted(wanted, reverse=order == "desc")
    below = {"prefix": "a/", "with_delimiter": True}
    page = (await client.send("POST", "object/list-v2/files", json=below)).json()
    assert [one["name"] for one in page["folders"]] == ["a/b/"] and page["folders"][0]["key"] == "b"
    assert [one["name"] for one in page["objects"]] == ["a/1", "a/2"]


async def test_buckets(client: Client) -> None:
    made = await client.send(
        "POST", "bucket", json={"id": "b", "name": "b", "public": True, "file_size_limit": "2mb"}
    )
    assert made.json() == {"name": "b"}
    bucket = (await client.send("GET", "bucket/b")).json()
    assert (bucket["file_size_limit"], bucket["public"], bucket["owner"]) == (2_000_000, True, "")
    assert bucket["created_at"].endswith("Z")
    assert (await client.send("POST", "bucket", json={"name": "b"})).json()["statusCode"] == "409"
    assert (await client.send("PUT", "bucket/b", json={"public": False})).json() == {
        "message": "Successfully updated"
    }
    changed = (await client.send("GET", "bucket/b")).json()
    assert (changed["file_size_limit"], changed["public"]) == (2_000_000, False)
    await client.put("b/x")
    assert "not empty" in (await client.send("DELETE", "bucket/b")).json()["message"]
    assert "queued" in (await client.send("POST", "bucket/b/empty")).json()["message"]
    assert (await client.send("DELETE", "bucket/b")).json() == {"message": "Successfully deleted"}
    assert (await client.send("GET", "bucket/b")).json()["message"] == "Bucket not found"
    listed = (await client.send("GET", "bucket?sortColumn=name&sortOrder=desc&limit=1&search=E")).json()
    assert [one["id"] for one in listed] == ["open"]
    nobody = client.with_bearer(None)
    assert set((await nobody.send("GET", "bucket")).json()) >= {"statusCode", "error", "message"}
    assert (await nobody.send("GET", "bucket")).status_code == 400


async def test_users_see_and_change_what_policies_allow(client: Client, bare_database: Database) -> None:
    await bare_database.execute(POLICIES)
    a, b = client.as_user(A), client.as_user(B)
    assert (await a.put("files/mine")).status_code == 200
    assert (await b.get("files/mine")).json()["error"] == "not_found"
    taken = await b.put("files/mine", b"x", x_upsert="true")
    assert taken.json()["statusCode"] == "403"
    assert (
        (await client.as_user(A, role="anon").put("files/y"))
        .json()["message"]
        .startswith("new row violates row-level")
    )
    assert (await a.get("files/mine")).content == b"hello"
