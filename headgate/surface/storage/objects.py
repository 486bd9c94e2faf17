"""Objects that are there: download, info, signing, move, copy, remove. Each in the caller's role."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from headgate.db import Jsonb
from headgate.surface.callers import Caller
from headgate.surface.storage.backends import Missing
from headgate.surface.storage.depot import Depot, Q, Row, Target, as_uuid, metadata, new_version, shown
from headgate.surface.storage.errors import StorageError, denied, invalid, no_object, overtaken, too_large
from headgate.surface.storage.exchange import Reply, Request, json_reply
from headgate.surface.storage.incoming import Body, Head, cache_control
from headgate.surface.storage.names import check_type, content_type, object_name
from headgate.surface.storage.serving import serve_object
from headgate.surface.storage.signed import seconds
from headgate.surface.storage.transforms import Transform
from headgate.surface.storage.uploads import split, wants_upsert

_MOST_REMOVED = 1000


async def visible(depot: Depot, caller: Caller | None, path: str, operation: str = "object.get") -> Row:
    """The row of an object that the caller may see; as the owner for None. Raises StorageError."""
    bucket, name = split(path)
    async with depot.acting(caller, operation) as conn:
        row = await (await conn.execute(Q.object, {"bucket": bucket, "name": name})).fetchone()
    if row is None:
        await depot.bucket(bucket)
        raise no_object()
    return row


async def reader(depot: Depot, request: Request, path: str) -> Row:
    """The row for `download`: of a public bucket for everybody, else what the caller's policies show."""
    caller = await depot.caller(request)
    bucket, _ = split(path)
    is_public = (await depot.bucket(bucket))["public"]
    return await visible(depot, None if is_public else caller, path)


async def public_row(depot: Depot, path: str) -> Row:
    """The row of an object in a public bucket. A private bucket is as good as none."""
    bucket, _ = split(path)
    if not (await depot.bucket(bucket))["public"]:
        raise StorageError(404, "Bucket not found", "Bucket not found")
    return await visible(depot, None, path)


async def signed_row(depot: Depot, request: Request, path: str) -> Row:
    """The row that a signed URL names; select was decided at signing."""
    depot.signer.check(request.query.get("token", ""), path, use="read")
    return await visible(depot, None, path)


async def download(depot: Depot, request: Request, path: str) -> Reply:
    """GET, HEAD /object/{bucket}/{name} and /object/authenticated/…"""
    row = await reader(depot, request, path)
    return await serve_object(depot, request, row, is_public=False)


async def download_public(depot: Depot, request: Request, path: str) -> Reply:
    """GET, HEAD /object/public/{bucket}/{name}."""
    return await serve_object(depot, request, await public_row(depot, path), is_public=True)


async def download_signed(depot: Depot, request: Request, path: str) -> Reply:
    """GET, HEAD /object/sign/{bucket}/{name}?token=…"""
    return await serve_object(depot, request, await signed_row(depot, request, path), is_public=True)


async def info(depot: Depot, request: Request, path: str) -> Reply:
    """GET, HEAD /object/info/{bucket}/{name}."""
    caller = await depot.caller(request)
    return json_reply(_info(await visible(depot, caller, path, "object.get_info")))


async def info_public(depot: Depot, request: Request, path: str) -> Reply:
    """GET /object/info/public/{bucket}/{name}."""
    return json_reply(_info(await public_row(depot, path)))


def _info(row: Row) -> Row:
    about = row["metadata"] or {}
    told = shown(row)
    return {
        "id": told["id"],
        "name": row["name"],
        "version": row["version"],
        "bucket_id": row["bucket_id"],
        "size": about.get("size"),
        "content_type": about.get("mimetype"),
        "cache_control": about.get("cacheControl"),
        "etag": about.get("eTag"),
        "last_modified": about.get("lastModified") or told["updated_at"],
        "created_at": told["created_at"],
        "metadata": row["user_metadata"] or {},
    }


async def sign(depot: Depot, request: Request, path: str) -> Reply:
    """POST /object/sign/{bucket}/{name}: one URL; /object/sign/{bucket}: several at once."""
    caller = await depot.caller(request)
    given = await request.json()
    expires_s = seconds(given.get("expiresIn"))
    if "/" not in path:
        return await _sign_many(depot, caller, path, given, expires_s)
    row = await visible(depot, caller, path, "object.sign")
    wished = given.get("transform")
    transform = Transform.read(wished) if isinstance(wished, dict) and wished else None
    return json_reply(
        {"signedURL": _signed_url(depot, f"{row['bucket_id']}/{row['name']}", expires_s, transform)}
    )


def _signed_url(depot: Depot, path: str, expires_s: int, transform: Transform | None = None) -> str:
    if transform is None:
        token = depot.signer.sign(path, expires_s, use="read")
        return f"/object/sign/{path}?{urlencode({'token': token})}"
    token = depot.signer.sign(path, expires_s, use="read", transform=transform.as_query())
    return f"/render/image/sign/{path}?{urlencode({'token': token})}"


async def _sign_many(depot: Depot, caller: Caller, bucket: str, given: Row, expires_s: int) -> Reply:
    paths = _texts(given.get("paths"), "paths")
    await depot.bucket(bucket)
    async with depot.acting(caller, "object.sign_many") as conn:
        asked = {"bucket": bucket, "names": [path for path in paths if "\x00" not in path]}
        seen = {row["name"] for row in await (await conn.execute(Q.objects_named, asked)).fetchall()}
    missing = "Either the object does not exist or you do not have access to it"
    return json_reply(
        [
            {
                "error": None if path in seen else missing,
                "path": path,
                "signedURL": _signed_url(depot, f"{bucket}/{path}", expires_s) if path in seen else None,
            }
            for path in paths
        ]
    )


async def remove(depot: Depot, request: Request, bucket: str) -> Reply:
    """DELETE /object/{bucket} {prefixes}: those that the caller may remove; which they were."""
    caller = await depot.caller(request)
    given = await request.json()
    entries = given.get("prefixes")
    if not isinstance(entries, list) or not 0 < len(entries) <= _MOST_REMOVED:
        raise invalid(f"prefixes must be a list of 1 to {_MOST_REMOVED} names")
    asked = [_entry(one) for one in entries]
    await depot.bucket(bucket)
    values = {
        "bucket": bucket,
        "names": [name for name, _ in asked],
        "versions": [version for _, version in asked],
    }
    async with depot.acting(caller, "object.delete_many") as conn:
        rows = await (await conn.execute(Q.remove_objects, values)).fetchall()
    depot.removals_wait()
    return json_reply([shown(row) for row in rows])


async def remove_one(depot: Depot, request: Request, path: str) -> Reply:
    """DELETE /object/{bucket}/{name}."""
    caller = await depot.caller(request)
    bucket, name = split(path)
    await depot.bucket(bucket)
    async with depot.acting(caller, "object.delete") as conn:
        asked = {"bucket": bucket, "names": [name], "versions": [None]}
        rows = await (await conn.execute(Q.remove_objects, asked)).fetchall()
    if not rows:
        raise no_object()
    depot.removals_wait()
    return json_reply({"message": "Successfully deleted"})


def _entry(given: Any) -> tuple[str, str | None]:
    version = None
    if isinstance(given, dict):
        given, version = given.get("path") or given.get("name"), given.get("versionId")
    good = isinstance(given, str) and len(given) <= 4096 and "\x00" not in given
    if not good or not isinstance(version, str | None) or "\x00" in (version or ""):
        raise invalid("Each of prefixes must be a name")
    return str(given), version


def _texts(given: Any, what: str) -> list[str]:
    if (
        not isinstance(given, list)
        or not 0 < len(given) <= 1000
        or not all(isinstance(one, str) for one in given)
    ):
        raise invalid(f"{what} must be a list of 1 to 1000 texts")
    return given


async def _places(depot: Depot, request: Request) -> tuple[Row, Row, str, Row, str]:
    """What move and copy are told: the request, source bucket and name, destination bucket and name."""
    given = await request.json()
    source, key, to = given.get("bucketId"), given.get("sourceKey"), given.get("destinationKey")
    other = given.get("destinationBucket") or source
    if not all(isinstance(one, str) for one in (source, key, to, other)):
        raise invalid("bucketId, sourceKey and destinationKey are needed")
    name, target = object_name(str(key)), object_name(str(to))
    bucket = await depot.bucket(str(source))
    there = bucket if other == source else await depot.bucket(str(other))
    return given, bucket, name, there, target


def _fits(depot: Depot, row: Row, bucket: Row) -> None:
    """Raise unless the bucket takes an object like this."""
    about = row["metadata"] or {}
    check_type(str(about.get("mimetype") or ""), bucket["allowed_mime_types"])
    if int(about.get("size") or 0) > depot.limit(bucket):
        raise too_large()


async def move(depot: Depot, request: Request) -> Reply:
    """POST /object/move: the row only; the bytes know nothing of names."""
    caller = await depot.caller(request)
    _, bucket, name, there, target = await _places(depot, request)
    async with depot.acting(caller, "object.move") as conn:
        asked = {"bucket": bucket["id"], "name": name}
        row = await (await conn.execute(Q.object, asked)).fetchone()
        if row is None:
            raise no_object()
        if there["id"] != bucket["id"]:
            _fits(depot, row, there)
        done = await conn.execute(Q.move_object, {**asked, "to_bucket": there["id"], "to_name": target})
        if done.rowcount == 0:
            raise denied()
    return json_reply(
        {"message": "Successfully moved", "Id": str(row["id"]), "Key": f"{there['id']}/{target}"}
    )


async def copy(depot: Depot, request: Request) -> Reply:
    """POST /object/copy: new bytes first, then the new row, while the old one is still there to see."""
    caller = await depot.caller(request)
    given, bucket, name, there, to_name = await _places(depot, request)
    row = await visible(depot, caller, f"{bucket['id']}/{name}", "object.copy")
    _fits(depot, row, there)
    target = Target(
        bucket=there, name=to_name, upsert=wants_upsert(request), caller=caller, owner=caller.user
    )
    about, user = _copied(row, given)
    version = new_version()
    await depot.begin(
        target, version, Head(kind=about["mimetype"], size=about.get("size"), user_metadata=user)
    )
    try:
        if not row["version"]:
            raise Missing(name)
        await depot.backend.copy(row["version"], version)
        made = await _commit_copy(depot, target, row, version, about=about, user=user)
    except Missing:
        await depot.abandon(version)
        raise overtaken() from None
    except BaseException:
        await depot.abandon(version)
        raise
    depot.removals_wait()
    return json_reply(
        {"Id": made, "Key": target.path, "name": to_name, "bucket_id": there["id"], "metadata": about}
    )


async def _commit_copy(depot: Depot, target: Target, row: Row, version: str, *, about: Row, user: Any) -> str:
    values = {
        "id": as_uuid(new_version()),
        "bucket": target.bucket["id"],
        "name": target.name,
        "owner": as_uuid(target.owner),
        "owner_id": target.owner,
        "version": version,
        "metadata": Jsonb(about),
        "user_metadata": Jsonb(user) if user is not None else None,
    }
    async with depot.acting(target.caller, "object.copy") as conn:
        again = await (
            await conn.execute(Q.object, {"bucket": row["bucket_id"], "name": row["name"]})
        ).fetchone()
        if again is None or again["version"] != row["version"]:
            raise overtaken()
        await conn.execute(Q.upsert_object if target.upsert else Q.insert_object, values)
        await conn.execute("set local role none")
        return await depot.settle(conn, version)


def _copied(row: Row, given: Row) -> tuple[Row, Any]:
    """Metadata of the copy: the source's, unless `copyMetadata` is false and others are given."""
    about = dict(row["metadata"] or metadata(Body(Head(), Path())))
    about.setdefault("mimetype", Head().kind)
    user = row["user_metadata"]
    if given.get("copyMetadata") is False:
        fresh = given.get("metadata")
        fresh = fresh if isinstance(fresh, dict) else {}
        for name in ("cacheControl", "mimetype"):
            if isinstance(fresh.get(name), str):
                about[name] = _safe(name, fresh[name])
        user = None
    return about, user


def _safe(name: str, text: str) -> str:
    return cache_control(text) if name == "cacheControl" else content_type(text)
