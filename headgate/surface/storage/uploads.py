"""Uploads in one request: raw, multipart or chunked; with the caller's rights or by a signed URL."""

from __future__ import annotations

from headgate.surface.storage.depot import Depot, Target, new_version
from headgate.surface.storage.errors import StorageError, too_large
from headgate.surface.storage.exchange import Reply, Request, json_reply
from headgate.surface.storage.incoming import Head, Spool, take
from headgate.surface.storage.names import object_name
from headgate.surface.storage.signed import UPLOAD_S

_YES = ("true", "1", "yes")


def split(path: str) -> tuple[str, str]:
    """`bucket/name` as the two. Raises StorageError."""
    bucket, _, name = path.partition("/")
    return bucket, object_name(name)


def wants_upsert(request: Request) -> bool:
    """The header `x-upsert`."""
    return (request.header("x-upsert") or "").lower() in _YES


async def upload(depot: Depot, request: Request, path: str) -> Reply:
    """POST or PUT /object/{bucket}/{name}; PUT replaces."""
    caller = await depot.caller(request)
    bucket, name = split(path)
    target = Target(
        bucket=await depot.bucket(bucket),
        name=name,
        upsert=request.method == "PUT" or wants_upsert(request),
        caller=caller,
        owner=caller.user,
    )
    made = await receive(depot, request, target)
    return json_reply({"Id": made, "Key": target.path})


async def sign_upload(depot: Depot, request: Request, path: str) -> Reply:
    """POST /object/upload/sign/{bucket}/{name}: a URL with which anybody may upload once (or again, with x-upsert)."""
    caller = await depot.caller(request)
    bucket, name = split(path)
    target = Target(
        bucket=await depot.bucket(bucket),
        name=name,
        upsert=wants_upsert(request),
        caller=caller,
        owner=caller.user,
    )
    await may_upload(depot, target)
    token = depot.signer.sign(target.path, UPLOAD_S, use="upload", owner=target.owner, upsert=target.upsert)
    return json_reply({"url": f"/object/upload/sign/{target.path}?token={token}", "token": token})


async def upload_signed(depot: Depot, request: Request, path: str) -> Reply:
    """PUT /object/upload/sign/{bucket}/{name}?token=…"""
    target = await signed_target(depot, path, request.query.get("token", ""))
    made = await receive(depot, request, target)
    return json_reply({"Id": made, "Key": target.path})


async def signed_target(depot: Depot, path: str, token: str) -> Target:
    """Where a signed upload goes. Raises StorageError for a token that is not for this path."""
    bucket, name = split(path)
    claims = depot.signer.check(token, f"{bucket}/{name}", use="upload")
    owner = claims.get("owner")
    return Target(
        bucket=await depot.bucket(bucket),
        name=name,
        upsert=bool(claims.get("upsert")),
        caller=None,
        owner=owner if isinstance(owner, str) else None,
    )


async def may_upload(depot: Depot, target: Target, head: Head | None = None) -> None:
    """Raise unless the policies let the caller put this object; changes nothing."""
    await depot.probe(target, new_version(), head or Head(kind=_any_kind(target)))


def _any_kind(target: Target) -> str:
    """A content type that the bucket takes: when signing, the real one is not known yet."""
    allowed = target.bucket["allowed_mime_types"] or []
    first = str(allowed[0]) if allowed else Head().kind
    return first.replace("/*", "/x-any") if first not in ("*", "*/*") else Head().kind


async def receive(depot: Depot, request: Request, target: Target) -> str:
    """Take the body in and make it the object; its id. On any failure nothing of it remains."""
    version = new_version()
    begun = False

    async def admit(head: Head) -> int:
        nonlocal begun
        limit = await depot.begin(target, version, head)
        begun = True
        return limit

    try:
        with Spool(depot.work / "incoming" / version) as spool:
            body = await take(request, spool, admit, most=depot.limit(target.bucket))
            if body.size > depot.limit(target.bucket):
                raise too_large()
            await depot.backend.put(version, body.file)
        made = await depot.commit(target, version, body)
    except BaseException as error:
        # A write that was not begun left no line; one whose commit's fate is unknown is the sweeper's to settle.
        if begun and isinstance(error, StorageError | Exception):
            await depot.abandon(version)
        raise
    if target.upsert:
        depot.removals_wait()
    return made
