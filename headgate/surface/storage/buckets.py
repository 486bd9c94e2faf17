"""Buckets: list, get, create, change, empty, delete. Policies on storage.buckets decide."""

from __future__ import annotations

from typing import Any

from headgate.surface.callers import Caller
from headgate.surface.storage.depot import Depot, Q, Row, as_uuid, shown
from headgate.surface.storage.errors import StorageError, denied, invalid, no_bucket
from headgate.surface.storage.exchange import Reply, Request, json_reply
from headgate.surface.storage.names import bucket_name, mime_types, size_limit

_COLUMNS = ("id", "name", "created_at", "updated_at")


def _seen(row: Row) -> Row:
    found = shown(row)
    found["owner"] = found["owner"] or found.pop("owner_id") or ""
    found.pop("owner_id", None)
    return found


async def list_buckets(depot: Depot, request: Request) -> Reply:
    """GET /bucket."""
    caller = await depot.caller(request)
    column = request.query.get("sortColumn", "id")
    if column not in _COLUMNS:
        raise invalid("sortColumn must be id, name, created_at or updated_at")
    asked = {
        "limit": _number(request.query.get("limit"), 1000),
        "offset": _number(request.query.get("offset"), 0),
        "search": _text(request.query.get("search")),
        "column": column,
        "descending": request.query.get("sortOrder", "asc").lower() == "desc",
    }
    async with depot.acting(caller, "bucket.list") as conn:
        rows = await (await conn.execute(Q.buckets, asked)).fetchall()
    return json_reply([_seen(row) for row in rows])


async def get_bucket(depot: Depot, request: Request, name: str) -> Reply:
    """GET /bucket/{id}."""
    caller = await depot.caller(request)
    async with depot.acting(caller, "bucket.get") as conn:
        row = await (await conn.execute(Q.bucket, {"id": bucket_name(name)})).fetchone()
    if row is None:
        raise no_bucket()
    return json_reply(_seen(row))


async def create_bucket(depot: Depot, request: Request) -> Reply:
    """POST /bucket."""
    caller = await depot.caller(request)
    given = await request.json()
    if str(given.get("type", "STANDARD")).upper() != "STANDARD":
        raise StorageError(400, "FeatureNotEnabled", "Only buckets of the type STANDARD are kept here")
    name = bucket_name(given.get("name") or given.get("id"))
    limit = size_limit(given.get("file_size_limit"))
    values = {
        "id": bucket_name(given.get("id") or name),
        "name": name,
        "public": _flag(given.get("public", False)),
        "file_size_limit": _within(depot, limit),
        "allowed_mime_types": mime_types(given.get("allowed_mime_types")),
        **_owner(caller),
    }
    async with depot.acting(caller, "bucket.create") as conn:
        await conn.execute(Q.create_bucket, values)
    return json_reply({"name": values["id"]})


async def update_bucket(depot: Depot, request: Request, name: str) -> Reply:
    """PUT /bucket/{id}: what is given changes, the rest stays."""
    caller = await depot.caller(request)
    given = await request.json()
    values = {
        "id": bucket_name(name),
        "public": None if given.get("public") is None else _flag(given["public"]),
        "has_limit": "file_size_limit" in given,
        "file_size_limit": _within(depot, size_limit(given.get("file_size_limit"))),
        "has_types": "allowed_mime_types" in given,
        "allowed_mime_types": mime_types(given.get("allowed_mime_types")),
    }
    async with depot.acting(caller, "bucket.update") as conn:
        if (await conn.execute(Q.update_bucket, values)).rowcount == 0:
            raise await _refusal(conn, name)
    return json_reply({"message": "Successfully updated"})


async def empty_bucket(depot: Depot, request: Request, name: str) -> Reply:
    """POST /bucket/{id}/empty: the rows go now, the bytes right after."""
    caller = await depot.caller(request)
    async with depot.acting(caller, "bucket.empty") as conn:
        if await (await conn.execute(Q.bucket, {"id": bucket_name(name)})).fetchone() is None:
            raise no_bucket()
        await conn.execute(Q.empty_bucket, {"id": name})
        await conn.execute("set local role none")
        left = await (await conn.execute(Q.own_is_empty, {"id": name})).fetchone()
        if left and not left["yes"]:
            raise denied("Not all objects of the bucket may be removed by this caller")
    depot.removals_wait()
    return json_reply({"message": "Empty bucket has been queued. Completion may take up to an hour."})


async def delete_bucket(depot: Depot, request: Request, name: str) -> Reply:
    """DELETE /bucket/{id}: an empty one only."""
    caller = await depot.caller(request)
    async with depot.acting(caller, "bucket.delete") as conn:
        if await (await conn.execute(Q.bucket, {"id": bucket_name(name)})).fetchone() is None:
            raise no_bucket()
        await conn.execute("set local role none")
        row = await (await conn.execute(Q.own_is_empty, {"id": name})).fetchone()
        if row and not row["yes"]:
            raise StorageError(409, "InvalidRequest", "The bucket you tried to delete is not empty")
        await conn.execute("select set_config('role', %s, true)", (caller.role,))
        if (await conn.execute(Q.delete_bucket, {"id": name})).rowcount == 0:
            raise await _refusal(conn, name)
    return json_reply({"message": "Successfully deleted"})


async def lifecycle(depot: Depot, request: Request, name: str) -> Reply:
    """/bucket/{id}/lifecycle: rules about old versions, which are not kept here."""
    caller = await depot.caller(request)
    async with depot.acting(caller, "bucket.get") as conn:
        if await (await conn.execute(Q.bucket, {"id": bucket_name(name)})).fetchone() is None:
            raise no_bucket()
    raise StorageError(
        400, "FeatureNotEnabled", "Objects are not versioned here, so there is no lifecycle of versions"
    )


async def _refusal(conn: Any, name: str) -> StorageError:
    """Why nothing changed: the bucket is not there to see, or a policy said no."""
    row = await (await conn.execute(Q.bucket, {"id": name})).fetchone()
    return no_bucket() if row is None else denied()


def _owner(caller: Caller) -> Row:
    return {"owner": as_uuid(caller.user), "owner_id": caller.user}


def _flag(given: Any) -> bool:
    if not isinstance(given, bool):
        raise invalid("public must be true or false")
    return given


def _within(depot: Depot, limit: int | None) -> int | None:
    if limit is not None and limit > depot.settings.storage_max_object_bytes:
        raise StorageError(
            413,
            "Payload too large",
            "The file_size_limit exceeds what this installation allows for an object",
        )
    return limit


def _number(text: str | None, otherwise: int) -> int:
    if not text:
        return otherwise
    if not text.isdigit() or len(text) > 9:
        raise invalid("limit and offset must be whole numbers")
    return int(text)


def _text(text: str | None) -> str | None:
    if text and "\x00" in text:
        raise invalid("A null character is not allowed")
    return text or None
