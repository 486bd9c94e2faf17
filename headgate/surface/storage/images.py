"""Transformed images below /render/image: from the cache, else rendered once however many ask, else a substitute."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from pathlib import Path
from typing import Any

from headgate.surface.storage import objects, renders
from headgate.surface.storage.backends import Missing
from headgate.surface.storage.depot import Depot, Q, Row
from headgate.surface.storage.errors import StorageError, denied, no_object
from headgate.surface.storage.exchange import Reply, Request, json_reply
from headgate.surface.storage.incoming import to_file
from headgate.surface.storage.names import object_name
from headgate.surface.storage.painters import Painters
from headgate.surface.storage.serving import common_headers, is_unchanged, modified_at, serve_object
from headgate.surface.storage.transforms import Transform

_TYPES = {"jpeg", "png", "webp", "gif", "avif"}
_SHRINK_EVERY = 200  # renderings


class Images:
    """The endpoints, with their processes and the cache."""

    def __init__(self, depot: Depot) -> None:
        settings = depot.settings
        self._depot = depot
        self._data_dir = settings.data_dir
        self._painters = Painters(
            count=settings.storage_render_workers, timeout_s=settings.storage_render_timeout_s
        )
        self._running: dict[Path, asyncio.Task[None]] = {}
        self._made = 0

    async def close(self) -> None:
        """End the processes."""
        for task in self._running.values():
            task.cancel()
        await self._painters.close()

    async def serve(self, depot: Depot, request: Request, rest: str) -> Reply:
        """GET, HEAD /render/image/{public,authenticated,sign}/{bucket}/{name}."""
        way, _, path = rest.partition("/")
        transform = Transform.read(request.query)
        try:
            if way == "public":
                row = await objects.public_row(depot, path)
            elif way == "authenticated":
                row = await objects.reader(depot, request, path)
            elif way == "sign":
                claims = depot.signer.check(request.query.get("token", ""), path, use="read")
                transform = Transform.read(claims.get("transform") or {})
                row = await objects.visible(depot, None, path)
            else:
                raise StorageError(404, "no_route", "Route not found")
        except StorageError as error:
            if error.status != 404 or way not in ("public", "authenticated", "sign"):
                raise
            return await self._substitute(request, transform, depot.settings.storage_placeholder_image, error)
        try:
            return await self._render(request, row, transform, is_public=way != "authenticated")
        except StorageError as error:
            if error.error != "InvalidImage":
                raise
            return await self._substitute(request, transform, depot.settings.storage_fallback_image, error)

    async def _render(self, request: Request, row: Row, transform: Transform, *, is_public: bool) -> Reply:
        about: Row = row["metadata"] or {}
        if str(about.get("mimetype") or "").startswith("image/svg"):
            # Drawings are sent as they are: they scale by themselves, and drawing them here would run foreign code.
            return await serve_object(self._depot, request, row, is_public=is_public)
        if int(about.get("size") or 0) > self._depot.settings.storage_render_max_bytes:
            raise StorageError(422, "InvalidImage", "The image has too many bytes to be transformed")
        if not row["version"]:
            raise no_object()
        kind = transform.format or _best(request)
        place = renders.folder_of(self._data_dir, row["version"]) / _name(transform, kind)
        file = await asyncio.to_thread(_kept, place)
        if file is None:
            await self._once(place, row, transform, kind)
            file = await asyncio.to_thread(_kept, place)
        if file is None:  # purged in this moment
            raise no_object()
        headers = common_headers(request, row, is_public=is_public)
        return await _answer(request, file, headers, transform, moment=row)

    async def _once(self, place: Path, row: Row, transform: Transform, kind: str) -> None:
        """Render, unless somebody is at it: then wait for them."""
        task = self._running.get(place)
        if task is None:
            task = asyncio.create_task(self._make(place, row, transform, kind))
            self._running[place] = task
            task.add_done_callback(lambda _: self._running.pop(place, None))
        await asyncio.shield(task)

    async def _make(self, place: Path, row: Row, transform: Transform, kind: str) -> None:
        version, size = row["version"], int((row["metadata"] or {}).get("size") or 0)
        source = self._depot.backend.file(version)
        fetched: Path | None = None
        try:
            if source is None:
                source = fetched = renders.draft(self._data_dir)
                await to_file(await self._depot.backend.read(version, 0, size), source)
            elif not await asyncio.to_thread(source.exists):
                raise Missing(version)
            await self._paint(source, place, transform, kind)
        except Missing:
            raise no_object() from None
        finally:
            if fetched is not None:
                await asyncio.to_thread(fetched.unlink, missing_ok=True)
        self._made += 1
        if self._made % _SHRINK_EVERY == 0:
            await asyncio.to_thread(
                renders.shrink, self._data_dir, self._depot.settings.storage_render_cache_bytes
            )

    async def _paint(self, source: Path, place: Path, transform: Transform, kind: str) -> None:
        draft = renders.draft(self._data_dir)
        job = {
            "source": str(source), "target": str(draft), "format": kind, "width": transform.width,
            "height": transform.height, "resize": transform.resize, "quality": transform.quality or 80,
            "max_pixels": self._depot.settings.storage_render_max_pixels,
        }  # fmt: skip
        try:
            done = await self._painters.render(job)
            await asyncio.to_thread(renders.keep, draft, place.with_suffix(f".{done['format']}"))
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(draft.unlink, missing_ok=True)

    async def _substitute(
        self, request: Request, transform: Transform, image: Path | None, error: StorageError
    ) -> Reply:
        """The operator's image in the place of one that is not there or cannot be rendered; the error without one."""
        if image is None:
            raise error
        kind = transform.format or _best(request)
        try:
            stat = await asyncio.to_thread(image.stat)
            stamp = hashlib.sha256(f"{image}:{stat.st_mtime_ns}:{stat.st_size}".encode()).hexdigest()
            place = renders.folder_of(self._data_dir, stamp) / _name(transform, kind)
            file = await asyncio.to_thread(_kept, place)
            if file is None:
                await self._paint(image, place, transform, kind)
                file = await asyncio.to_thread(_kept, place)
        except (OSError, StorageError):
            raise error from None
        if file is None:
            raise error
        headers = [
            ("cache-control", "no-cache"),
            ("x-image-substitute", error.error),
            ("x-content-type-options", "nosniff"),
        ]
        return await _answer(request, file, headers, transform, moment=None)

    async def purge(self, depot: Depot, request: Request, path: str) -> Reply:
        """DELETE /cdn/{bucket}[/{name}]: forget renderings; for administrators."""
        caller = await depot.caller(request)
        if caller.role != "service_role":
            raise denied("Only the service role may purge the cache")
        bucket, _, name = path.partition("/")
        await depot.bucket(bucket)
        values = {"bucket": bucket, "name": object_name(name) if name else None}
        versions = [row["version"] for row in await depot.db.fetch_all(Q.own_versions_of, values)]
        if name and not versions:
            raise no_object()
        await asyncio.to_thread(renders.forget, self._data_dir, versions)
        return json_reply({"message": "success"})


def _best(request: Request) -> str:
    """The format that the client's `Accept` names; a wildcard names none."""
    accept = (request.header("accept") or "").lower()
    for kind in ("avif", "webp"):
        if f"image/{kind}" in accept:
            return kind
    return "origin"


def _name(transform: Transform, kind: str) -> str:
    told = f"{transform.width}x{transform.height}:{transform.resize}:{transform.quality or 80}:{kind}"
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _kept(place: Path) -> Path | None:
    """The rendering at `place`, whose suffix is its format."""
    for kind in _TYPES:
        file = place.with_suffix(f".{kind}")
        if file.exists():
            renders.touch(file)
            return file
    return None


async def _answer(
    request: Request, file: Path, headers: list[tuple[str, str]], transform: Transform, *, moment: Row | None
) -> Reply:
    try:
        body = await asyncio.to_thread(file.read_bytes)
    except FileNotFoundError:
        raise no_object() from None
    etag = f'"{hashlib.sha256(body).hexdigest()}"'
    replaced = {"content-type", "etag", "content-encoding", "content-security-policy"}
    found: list[tuple[str, Any]] = [pair for pair in headers if pair[0] not in replaced]
    found += [
        ("content-type", f"image/{file.suffix[1:]}"),
        ("etag", etag),
        ("vary", "Accept"),
        ("x-transformations", transform.told()),
    ]
    if moment is not None and is_unchanged(request, etag, modified_at(moment)):
        return Reply(304, found)
    if request.method == "HEAD":
        found.append(("content-length", str(len(body))))
    return Reply(200, found, body)
