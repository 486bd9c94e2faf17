"""Every public method of supabase-py's storage client against a running server, with the sync and the async client.

Prints a table of methods at the end and exits with 1 if a check failed or a method was never called.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import io
import sys
import tempfile
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from storage3._async import bucket as async_bucket
from storage3._async import client as async_client
from storage3._async import file_api as async_file
from storage3._sync import bucket as sync_bucket
from storage3._sync import client as sync_client
from storage3._sync import file_api as sync_file
from storage3.exceptions import StorageApiError
from storage3.types import CreateSignedUploadUrlOptions
from supabase import acreate_client, create_client

URL, ANON, SERVICE = sys.argv[1:4]
methods: dict[str, list[int]] = {}  # name → calls, passed, failed
inside: set[str] = set()
failures: list[str] = []
CHECKS: list[Callable[[Any, Any, str], Awaitable[None]]] = []


def watched(name: str, method: Any) -> Any:
    """A method that notes that it was called."""

    @functools.wraps(method)
    def noted(*args: Any, **options: Any) -> Any:
        inside.add(name)
        methods[name][0] += 1
        return method(*args, **options)

    return noted


def watch() -> None:
    """Note the calls of every public method of the clients."""
    for kind_of, module in (
        ("sync", sync_bucket), ("sync", sync_client), ("sync", sync_file),
        ("async", async_bucket), ("async", async_client), ("async", async_file),
    ):  # fmt: skip
        for kind in list(vars(module).values()):
            if not inspect.isclass(kind) or kind.__module__ != module.__name__:
                continue
            for name, method in list(vars(kind).items()):
                if name.startswith("_") or not inspect.isfunction(method):
                    continue
                full = f"{kind_of} {name}"
                methods.setdefault(full, [0, 0, 0])
                setattr(kind, name, watched(full, method))


def check(run: Any) -> Any:
    """Add a check, by its name."""
    CHECKS.append(run)
    return run


async def got(value: Any) -> Any:
    """What a call of either client gives."""
    return await value if inspect.isawaitable(value) else value


async def refusal(call: Callable[[], Any]) -> StorageApiError:
    """The error that a call must end in."""
    try:
        reply = await got(call())
    except StorageApiError as error:
        return error
    raise AssertionError(f"no error, but {reply!r}")


def fetch(url: str) -> tuple[bytes, Any]:
    """What anybody gets at a URL."""
    with urllib.request.urlopen(url, timeout=20) as reply:
        return reply.read(), reply.headers


@check
async def buckets(admin: Any, anon: Any, name: str) -> None:
    await got(admin.create_bucket(name, options={"public": False, "file_size_limit": 1_000_000}))
    await got(
        admin.create_bucket(f"{name}-open", options={"public": True, "allowed_mime_types": ["image/*"]})
    )
    assert (await refusal(lambda: admin.create_bucket(name))).message == "The resource already exists"
    await got(admin.update_bucket(name, {"file_size_limit": 2_000_000}))
    bucket = await got(admin.get_bucket(name))
    assert (bucket.file_size_limit, bucket.public, bucket.owner) == (2_000_000, False, "")
    assert {f"{name}", f"{name}-open"} <= {one.id for one in await got(admin.list_buckets())}
    assert (await refusal(lambda: anon.get_bucket(name))).message == "Bucket not found"


@check
async def uploads(admin: Any, anon: Any, name: str) -> None:
    files = admin.from_(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.txt"
        path.write_bytes(b"hello")
        with path.open("rb") as opened:
            for place, body in (("bytes", b"hello"), ("path", path), ("text", str(path)), ("file", opened)):
                made = await got(
                    files.upload(f"up/{place}", body, {"content-type": "text/x-py", "metadata": {"k": 1}})
                )
                assert made.full_path == f"{name}/up/{place}"
                assert await got(files.download(f"up/{place}")) == b"hello"
    info = await got(files.info("up/bytes"))
    assert (info["size"], info["content_type"], info["metadata"]) == (5, "text/x-py", {"k": 1})
    assert (await refusal(lambda: files.upload("up/bytes", b"x"))).status == "409"
    await got(files.upload("up/bytes", b"new", {"upsert": "true"}))
    await got(files.update("up/bytes", b"newer"))
    assert await got(files.download("up/bytes")) == b"newer"
    big = await refusal(lambda: files.upload("big", bytes(2_000_001)))
    assert big.message == "The object exceeded the maximum allowed size"
    assert (await refusal(lambda: anon.from_(name).upload("x", b"x"))).status == "403"


@check
async def looking(admin: Any, anon: Any, name: str) -> None:
    files = admin.from_(name)
    assert await got(files.exists("up/bytes")) is True
    assert await got(files.exists("up/none")) is False
    assert (await refusal(lambda: admin.from_("none").exists("x"))).message == "Bucket not found"
    listed = await got(files.list("up", {"limit": 2, "sortBy": {"column": "name", "order": "desc"}}))
    assert [one["name"] for one in listed] == ["text", "path"]
    assert await got(anon.from_(name).list()) == []
    page = await got(files.list_v2({"limit": 3, "prefix": "up/"}))
    assert page.hasNext and len(page.objects) == 3
    rest = await got(files.list_v2({"limit": 3, "prefix": "up/", "cursor": page.nextCursor}))
    assert not rest.hasNext and len(rest.objects) == 1
    assert [one.name for one in (await got(files.list_v2({"with_delimiter": True}))).folders] == ["up/"]


@check
async def moving(admin: Any, anon: Any, name: str) -> None:
    files = admin.from_(name)
    assert (await got(files.copy("up/bytes", "copy")))["Key"] == f"{name}/copy"
    assert (await got(files.move("copy", "moved")))["message"] == "Successfully moved"
    assert await got(files.download("moved")) == b"newer"
    assert [one["name"] for one in await got(files.remove(["moved", "none"]))] == ["moved"]
    assert (await refusal(lambda: files.download("moved"))).message == "Object not found"


@check
async def signing(admin: Any, anon: Any, name: str) -> None:
    files = admin.from_(name)
    signed = await got(files.create_signed_url("up/bytes", 60, {"download": "my file"}))
    body, headers = await asyncio.to_thread(fetch, signed["signedURL"])
    assert body == b"newer"
    assert headers["content-disposition"] == "attachment; filename=my%20file; filename*=UTF-8''my%20file"
    many = await got(files.create_signed_urls(["up/bytes", "none"], 60))
    assert [one["error"] is None for one in many] == [True, False]
    up = await got(files.create_signed_upload_url("signed", CreateSignedUploadUrlOptions(upsert="true")))
    for body in (b"one", b"two"):
        await got(anon.from_(name).upload_to_signed_url("signed", up["token"], body))
    assert await got(files.download("signed")) == b"two"
    await refusal(lambda: anon.from_(name).upload_to_signed_url("other", up["token"], b"x"))


@check
async def images(admin: Any, anon: Any, name: str) -> None:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(out, "JPEG")
    files = admin.from_(f"{name}-open")
    await got(files.upload("a.jpg", out.getvalue(), {"content-type": "image/jpeg"}))
    assert (await refusal(lambda: files.upload("b", b"x", {"content-type": "text/plain"}))).status == "415"
    url = await got(files.get_public_url("a.jpg", {"transform": {"width": 10, "height": 10}}))
    body, headers = await asyncio.to_thread(fetch, url)
    assert Image.open(io.BytesIO(body)).size == (10, 10) and headers["content-type"] == "image/jpeg"
    small = await got(files.download("a.jpg", {"transform": {"width": 7, "format": "avif"}}))
    assert Image.open(io.BytesIO(small)).format == "AVIF"


@check
async def other_kinds_of_buckets(admin: Any, anon: Any, name: str) -> None:
    assert "not kept here" in (await refusal(lambda: admin.vectors().list_buckets())).message
    assert "not kept here" in (await refusal(lambda: admin.analytics().list())).message


@check
async def ending(admin: Any, anon: Any, name: str) -> None:
    assert "not empty" in (await refusal(lambda: admin.delete_bucket(name))).message
    for one in (name, f"{name}-open"):
        await got(admin.empty_bucket(one))
        assert (await got(admin.delete_bucket(one)))["message"] == "Successfully deleted"


async def main() -> int:
    """Run everything with both clients."""
    watch()
    admin, anon = await acreate_client(URL, SERVICE), await acreate_client(URL, ANON)
    pairs = {
        "sync": (create_client(URL, SERVICE).storage, create_client(URL, ANON).storage),
        "async": (admin.storage, anon.storage),
    }
    for kind, (storage, nobody) in pairs.items():
        for one in CHECKS:
            inside.clear()
            good = True
            try:
                await one(storage, nobody, f"py-{kind}")
            except Exception as error:
                good = False
                failures.append(f"{kind} {one.__name__}: {type(error).__name__}: {error}")
                print(f"not ok {failures[-1]}")
            for name in inside:
                methods[name][1 if good else 2] += 1
    passing = 0
    for name, (calls, passed, failed) in sorted(methods.items()):
        verdict = "NEVER CALLED" if not calls else "FAIL" if failed or not passed else "pass"
        passing += verdict == "pass"
        print(f"{name:34} {calls:4} calls  {verdict}")
    print(f"{passing} of {len(methods)} methods pass")
    return 1 if failures or passing != len(methods) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
