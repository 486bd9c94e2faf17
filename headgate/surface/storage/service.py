"""`/storage/v1`: which endpoint serves which method and path, and how refusals are said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from headgate.base.errors import HeadgateError
from headgate.db import errors as database
from headgate.surface.storage import buckets, listing, objects, resumable, uploads
from headgate.surface.storage.backends import open_backend
from headgate.surface.storage.depot import Depot
from headgate.surface.storage.errors import StorageError, from_database
from headgate.surface.storage.exchange import Gone, Reply, Request, json_reply, respond
from headgate.surface.storage.images import Images
from headgate.surface.storage.sweep import Sweeper

if TYPE_CHECKING:
    from headgate.surface.services import Receive, Scope, Send, Shared

log = structlog.get_logger(__name__)
PREFIX = "/storage/v1"
Endpoint = Callable[[Depot, Request, str], Awaitable[Reply]]
Plain = Callable[[Depot, Request], Awaitable[Reply]]

_READ = ("GET", "HEAD")
# (methods, beginning of the path, what serves the rest of it); the first that fits. Longer beginnings come first.
_BELOW: list[tuple[tuple[str, ...], str, Endpoint]] = [
    (("POST",), "object/upload/sign/", uploads.sign_upload),
    (("PUT",), "object/upload/sign/", uploads.upload_signed),
    (_READ, "object/info/public/", objects.info_public),
    (_READ, "object/info/authenticated/", objects.info),
    (_READ, "object/info/", objects.info),
    (_READ, "object/public/", objects.download_public),
    (_READ, "object/authenticated/", objects.download),
    (_READ, "object/sign/", objects.download_signed),
    (("POST",), "object/sign/", objects.sign),
    (("POST",), "object/list-v2/", listing.list_v2),
    (("POST",), "object/list/", listing.list_objects),
    (_READ, "object/", objects.download),
    (("POST", "PUT"), "object/", uploads.upload),
    (("OPTIONS", "POST", "HEAD", "PATCH", "DELETE"), "upload/resumable", resumable.resumable),
]
_WHOLE: dict[tuple[str, str], Plain] = {
    ("POST", "object/move"): objects.move,
    ("POST", "object/copy"): objects.copy,
    ("GET", "bucket"): buckets.list_buckets,
    ("POST", "bucket"): buckets.create_bucket,
}
_BUCKET: dict[tuple[str, str], Endpoint] = {
    ("GET", ""): buckets.get_bucket,
    ("PUT", ""): buckets.update_bucket,
    ("DELETE", ""): buckets.delete_bucket,
    ("POST", "empty"): buckets.empty_bucket,
    ("GET", "lifecycle"): buckets.lifecycle,
    ("PUT", "lifecycle"): buckets.lifecycle,
    ("DELETE", "lifecycle"): buckets.lifecycle,
}


class StorageService:
    """The ASGI application below the prefix."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.depot: Depot | None = None
        self.sweeper: Sweeper | None = None
        self.images: Images | None = None

    async def start(self) -> None:
        """Open the backend and begin sweeping."""
        shared = self._shared
        backend = open_backend(shared.settings)
        self.depot = Depot(shared.settings, shared.db, shared.callers, secret=shared.secret, backend=backend)
        self.sweeper = Sweeper(self.depot)
        self.images = Images(self.depot)
        self.sweeper.start()

    async def close(self) -> None:
        """Stop sweeping and rendering."""
        if self.images is not None:
            await self.images.close()
        if self.sweeper is not None:
            await self.sweeper.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. A websocket is refused."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope, receive, PREFIX)
        try:
            reply = await self._answer(request)
        except Gone:
            return
        if not await request.drain():
            reply.headers.append(("connection", "close"))
        await respond(send, reply, head=request.method == "HEAD")

    async def _answer(self, request: Request) -> Reply:
        try:
            if self.depot is None or not await self.depot.is_ours():
                raise StorageError(
                    404, "not_found", "This database's storage is served by Supabase at its own address"
                )
            return await self._route(self.depot, request)
        except StorageError as error:
            return json_reply(error.as_dict(), error.http, error.headers)
        except (database.Error, HeadgateError) as error:
            refusal = from_database(error)
            if refusal is None:
                raise
            log.info("storage_refused", reason=type(error).__name__, error=refusal.error)
            return json_reply(refusal.as_dict(), refusal.http)

    async def _route(self, depot: Depot, request: Request) -> Reply:
        method, path = request.method, request.path
        whole = _WHOLE.get((method, path.rstrip("/")))
        if whole is not None:
            return await whole(depot, request)
        if path.startswith("bucket/"):
            name, _, rest = path[len("bucket/") :].partition("/")
            found = _BUCKET.get((method, rest))
            if found is not None:
                return await found(depot, request, name)
        for methods, start, endpoint in _BELOW:
            if method in methods and path.startswith(start):
                return await endpoint(depot, request, path[len(start) :])
        if method == "DELETE" and path.startswith("object/"):
            rest = path[len("object/") :]
            return await (objects.remove_one if "/" in rest else objects.remove)(depot, request, rest)
        if self.images is not None and method in _READ and path.startswith("render/image/"):
            return await self.images.serve(depot, request, path[len("render/image/") :])
        if self.images is not None and method == "DELETE" and path.startswith("cdn/"):
            return await self.images.purge(depot, request, path[len("cdn/") :])
        return await self._other(depot, request)

    async def _other(self, depot: Depot, request: Request) -> Reply:
        method, path = request.method, request.path
        if method in ("GET", "HEAD") and path in ("", "status", "health"):
            return json_reply({"healthy": True})
        if path.split("/", 1)[0] in ("vector", "iceberg"):
            raise StorageError(400, "FeatureNotEnabled", "Vector and analytics buckets are not kept here")
        raise StorageError(404, "no_route", f"Route {method}:/{path[:200]} not found")
