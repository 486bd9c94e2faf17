"""Who may do what with whose object: role × verb × {own, other, null, forged}; and a weakened policy is caught."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headgate.db import Database
from tests.database.storage_fixture import POLICIES, SECRET, A, B, Client, storage, token

OWNERS = {"own": A, "other": B, "null": None}
ROW = """insert into storage.objects (bucket_id, name, owner_id, version, metadata)
  select 'files', 'matrix', %s, version, metadata from storage.objects where name = 'source'"""
PART = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b'
BYTES = "application/offset+octet-stream"


@pytest.fixture
async def client(bare_database: Database, tmp_path: Path) -> AsyncIterator[Client]:
    await bare_database.execute(POLICIES)
    async with storage(bare_database, tmp_path) as one:
        await one.bucket("files")
        await one.bucket("closed")
        yield one


async def place(client: Client, owner: str | None) -> None:
    """One object of this owner, and nothing else in the bucket."""
    db = client.service.depot.db  # type: ignore[union-attr]
    await db.execute("delete from storage.objects")
    assert (await client.put("files/matrix", b"secret", content_type="image/png")).status_code == 200
    await db.execute("update storage.objects set owner_id = %s", (owner,))


def good(reply: httpx.Response) -> bool:
    return reply.status_code < 300


async def signed(user: Client, path: str, body: dict[str, Any]) -> bool:
    reply = await user.send("POST", path, json=body)
    return good(reply) and (not isinstance(reply.json(), list) or bool(reply.json()[0]["signedURL"]))


async def names(user: Client, path: str, body: dict[str, Any]) -> bool:
    reply = await user.send("POST", path, json=body)
    found = reply.json() if good(reply) else []
    return bool(found["objects"] if isinstance(found, dict) else found)


async def removed(user: Client) -> bool:
    reply = await user.send("DELETE", "object/files", json={"prefixes": ["matrix"]})
    return good(reply) and bool(reply.json())


async def resumed(user: Client) -> bool:
    about = {"bucketName": "files", "objectName": "matrix"}
    coded = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in about.items())
    headers = {"tus-resumable": "1.0.0", "upload-length": "1", "upload-metadata": coded, "x-upsert": "true"}
    return good(
        await user.send("POST", "upload/resumable", headers={**headers, "content-type": BYTES}, content=b"x")
    )


MOVE = {"bucketId": "files", "sourceKey": "matrix", "destinationKey": "taken"}
VERBS: dict[str, Any] = {
    "download": lambda u: u.get("files/matrix"),
    "download authenticated": lambda u: u.get("authenticated/files/matrix"),
    "range": lambda u: u.get("files/matrix", range="bytes=0-1"),
    "head": lambda u: u.send("HEAD", "object/files/matrix"),
    "info": lambda u: u.send("GET", "object/info/files/matrix"),
    "render": lambda u: u.send("GET", "render/image/authenticated/files/matrix.svg"),
    "sign": lambda u: signed(u, "object/sign/files/matrix", {"expiresIn": 60}),
    "sign many": lambda u: signed(u, "object/sign/files", {"expiresIn": 60, "paths": ["matrix"]}),
    "list": lambda u: names(u, "object/list/files", {"prefix": ""}),
    "list-v2": lambda u: names(u, "object/list-v2/files", {"prefix": ""}),
    "copy": lambda u: u.send("POST", "object/copy", json=MOVE),
    "move": lambda u: u.send("POST", "object/move", json=MOVE),
    "upsert": lambda u: u.put("files/matrix", b"mine", x_upsert="true"),
    "put": lambda u: u.send("PUT", "object/files/matrix", content=b"mine"),
    "sign upload": lambda u: u.send("POST", "object/upload/sign/files/matrix", headers={"x-upsert": "true"}),
    "resume": resumed,
    "remove": removed,
    "remove one": lambda u: u.send("DELETE", "object/files/matrix"),
}
del VERBS["render"]  # its own test has images of every owner


async def allowed(user: Client, verb: str) -> bool:
    reply = await VERBS[verb](user)
    return reply if isinstance(reply, bool) else good(reply)


def forged() -> list[str]:
    """Bearers that must not be believed."""
    real = token("service_role")
    head, body, signature = real.split(".")
    return [
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{token('service_role', sub=A).split('.')[1]}.{signature}",
        token("service_role", secret="another secret that is long enough"),
        "eyJhbGciOiJub25lIn0." + body + ".",
        token("authenticated", sub=A, exp=1),
        token("supabase_admin", sub=A),
        "sb_secret_forged",
        "x.y.z",
    ]


async def leaks(client: Client, verbs: tuple[str, ...] = ()) -> list[str]:
    """Every cell in which somebody gets at what is not theirs, or is kept from their own."""
    found = []
    callers = {
        "user": client.as_user(A),
        "anon": client.as_user(A, role="anon"),
        "publishable": client.with_bearer("sb_publishable_test"),
        "nobody": client.with_bearer(None),
        "forged": client.with_bearer(forged()[0]),
    }
    db = client.service.depot.db  # type: ignore[union-attr]
    for whose, owner in OWNERS.items():
        await place(client, owner)
        for who, caller in callers.items():
            for verb in verbs or VERBS:
                got = await allowed(caller, verb)
                if got != (who == "user" and whose == "own"):
                    found.append(f"{who} {verb} {whose}")
                left = await db.fetch_all(
                    "select owner_id, name, metadata->>'size' as size from storage.objects"
                )
                if left != [{"owner_id": owner, "name": "matrix", "size": "6"}]:
                    if not got:
                        found.append(f"{who} {verb} {whose} changed something")
                    await place(client, owner)
    return found


async def test_no_cell_of_the_matrix_leaks(client: Client) -> None:
    assert await leaks(client) == []


@pytest.mark.parametrize(
    ("policy", "cell"),
    [
        ("alter policy own_read on storage.objects using (true)", "user download other"),
        ("alter policy own_read on storage.objects using (true);"
         "alter policy own_remove on storage.objects using (true)", "user remove null"),
        ("alter policy own_read on storage.objects using (true);"
         "alter policy own_change on storage.objects using (true) with check (true)", "user move other"),
        ("create policy oops on storage.objects for select to anon using (true)", "anon list own"),
    ],
)  # fmt: skip
async def test_a_weakened_policy_is_caught(client: Client, policy: str, cell: str) -> None:
    for statement in policy.split(";"):
        await client.service.depot.db.execute(statement)  # type: ignore[union-attr]
    assert cell in await leaks(client, (cell.split()[1],))


@pytest.mark.parametrize("bearer", forged())
async def test_a_forged_token_is_refused_everywhere(client: Client, bearer: str) -> None:
    await place(client, A)
    user = client.with_bearer(bearer)
    for verb in VERBS:
        assert not await allowed(user, verb), verb
    for method, path in (
        ("GET", "bucket"),
        ("POST", "bucket"),
        ("DELETE", "bucket/files"),
        ("DELETE", "cdn/files"),
    ):
        reply = await user.send(method, path, json={"name": "x"} if method == "POST" else None)
        assert (reply.status_code, reply.json()["statusCode"]) == (400, "403"), (method, path, reply.text)


async def test_users_may_not_touch_buckets_nor_give_away(client: Client) -> None:
    user = client.as_user(A)
    assert (await user.send("GET", "bucket")).json() == []
    assert (await user.send("GET", "bucket/files")).json()["statusCode"] == "404"
    assert (await user.send("POST", "bucket", json={"name": "mine"})).json()["statusCode"] == "403"
    for method, path in (
        ("PUT", "bucket/files"),
        ("POST", "bucket/files/empty"),
        ("DELETE", "bucket/closed"),
    ):
        assert (await user.send(method, path, json={"public": True})).json()["statusCode"] == "404"
    await user.put("files/mine")
    away = {"bucketId": "files", "sourceKey": "mine", "destinationKey": "x", "destinationBucket": "closed"}
    for deed in ("move", "copy"):
        assert (await user.send("POST", f"object/{deed}", json=away)).json()["statusCode"] == "403", deed
    assert (await user.put("closed/x")).json()["statusCode"] == "403"


def files_below(folder: Path) -> set[Path]:
    return {file for file in folder.rglob("*") if file.is_file()}


NASTY = [
    "..%2F..%2Fetc%2Fpasswd", "a%2F..%2Fb", "a%2F%2Fb", "%2E%2E", ".", "a%00b", "a%0Ab", "a%0D%0Ax:y", "x" * 1025,
    "%ff%fe",
    "na%C3%AFve", "a%5Cb", "a%7Fb", "a%3Cscript%3E", "a%22b", "%20%2F", "a%60b",
]  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
async def test_bad_names_are_refused_and_nothing_is_stored(client: Client, name: str, tmp_path: Path) -> None:
    before = files_below(tmp_path)
    for method, path in (
        ("POST", f"object/files/{name}"), ("PUT", f"object/files/{name}"), ("POST", f"object/upload/sign/files/{name}"),
        ("GET", f"object/public/files/{name}"), ("GET", f"object/files/{name}"),
    ):  # fmt: skip
        reply = await client.send(method, path, **({"content": b"x"} if method in ("POST", "PUT") else {}))
        if name == "%20%2F" or (name in (".", "%2E%2E") and reply.status_code == 200):
            continue
        assert reply.status_code == 400, (method, name, reply.text)
        assert set(reply.json()) >= {"statusCode", "error", "message"}
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("name", ["", " x", "a/b", "..", "é", "x" * 101, 'a"b', 5, None, ["x"]])
async def test_bad_bucket_names_are_refused(client: Client, name: Any) -> None:
    reply = await client.send("POST", "bucket", json={"name": name})
    assert (reply.status_code, reply.json()["message"]) == (400, "Bucket name invalid")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "object/list/files", {"prefix": "\u0000"}), ("POST", "object/list/files", {"limit": -1}),
        ("POST", "object/list/files", {"sortBy": {"column": "name; drop table x"}}), ("POST", "object/list/files", []),
        ("POST", "object/list-v2/files", {"cursor": "!"}), ("POST", "object/list-v2/files", {"cursor": "W10="}),
        ("POST", "object/list/files", {"search": 5}), ("POST", "object/sign/files/x", {"expiresIn": -1}),
        ("POST", "object/sign/files/x", {"expiresIn": "1e9"}),
        ("POST", "object/sign/files", {"expiresIn": 5, "paths": [1]}),
        ("DELETE", "object/files", {"prefixes": "x"}), ("DELETE", "object/files", {"prefixes": ["\u0000"]}),
        ("DELETE", "object/files", {"prefixes": ["x"] * 1001}), ("POST", "object/move", {"bucketId": "files"}),
        ("POST", "object/copy", {"bucketId": "files", "sourceKey": "x", "destinationKey": "../y"}),
        ("POST", "bucket", {"name": "z", "file_size_limit": "1 parsec"}),
        ("POST", "bucket", {"name": "z", "public": "yes"}),
        ("POST", "bucket", {"name": "z", "allowed_mime_types": ["image"]}), ("GET", "bucket?limit=x", None),
        ("POST", "vector/ListIndexes", {}), ("PATCH", "object/files/x", {}), ("GET", "nowhere", None),
    ],
)  # fmt: skip
async def test_odd_requests_are_refused_in_words(client: Client, method: str, path: str, body: Any) -> None:
    reply = await client.send(method, path, **({} if body is None else {"json": body}))
    assert reply.status_code == 400, reply.text
    assert set(reply.json()) >= {"statusCode", "error", "message"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"nothing of the kind"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nabc',
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{}\r\n--b--\r\n',
        ),
        ("no type", b"x"),
        ("text/html\x7f", b"x"),
    ],
)
async def test_malformed_uploads_store_nothing(
    client: Client, kind: str, body: bytes, tmp_path: Path
) -> None:
    reply = await client.send("POST", "object/files/x", content=body, headers={"content-type": kind})
    assert reply.status_code == 400, reply.text
    await client.settled()
    assert files_below(tmp_path / "storage" / "objects") == set()
    assert (await client.get("files/x")).json()["statusCode"] == "404"


async def test_a_bearer_of_a_signed_url_is_nobody(client: Client) -> None:
    await place(client, A)
    url = (await client.as_user(A).send("POST", "object/sign/files/matrix", json={"expiresIn": 60})).json()[
        "signedURL"
    ]
    thief = client.with_bearer(url.partition("token=")[2])
    for verb in VERBS:
        assert not await allowed(thief, verb), verb
    assert SECRET not in url
