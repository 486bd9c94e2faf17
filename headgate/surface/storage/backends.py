"""Where bytes are kept: a folder or an S3 bucket. The only door to obstore. Every version is written once, under a key
made here from its random id, never from what a client sent; nothing is ever changed in place.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from headgate.base.errors import SettingsError
from headgate.base.settings import Settings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SHARDS = [f"{number:02x}" for number in range(256)]
_PIECE = 512 * 1024
_S3_PART = 8 * 1024 * 1024
_FOLDER = "objects"


class Missing(Exception):
    """The bytes of this version are not there."""


@dataclass(frozen=True)
class Kept:
    """One version's bytes as the backend lists them."""

    version: str
    size: int
    modified: datetime


class Backend(Protocol):
    """Immutable versions of bytes. Raises OSError when the place itself fails."""

    #: A folder on the machine for bytes on their way in; for a folder backend on its own file system.
    work: Path

    async def put(self, version: str, file: Path) -> None:
        """Keep the bytes of `file` durably; when this returns, a crash loses nothing. `file` stays."""

    async def copy(self, version: str, to: str) -> None:
        """Keep the same bytes under another version. Raises Missing."""

    async def read(self, version: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` to before `end`, in pieces. Raises Missing, before the first piece."""

    async def size(self, version: str) -> int:
        """How many bytes there are. Raises Missing."""

    async def remove(self, versions: Iterable[str]) -> None:
        """Remove bytes; those that are not there are no error."""

    def kept(self, shard: str) -> AsyncIterator[list[Kept]]:
        """What is kept of the versions that begin with `shard` (two hexadecimal digits)."""

    def file(self, version: str) -> Path | None:
        """The file with the bytes, where the backend has such."""


def key_of(version: str) -> str:
    """The key of a version. Raises Missing for a text that is not one of ours."""
    try:
        good = str(UUID(version)) == version
    except ValueError:
        good = False
    if not good:
        raise Missing(version)
    return f"{_FOLDER}/{version[:2]}/{version}"


class _Store:
    """What a folder and S3 have in common."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def read(self, version: str, start: int, end: int) -> AsyncIterator[bytes]:
        import obstore

        key = key_of(version)
        if start >= end:
            await self.size(version)
            return _nothing()
        try:
            found = await obstore.get_async(self._store, key, options={"range": (start, end)})
        except FileNotFoundError:
            raise Missing(version) from None
        return _pieces(found.stream(min_chunk_size=_PIECE))

    async def size(self, version: str) -> int:
        import obstore

        try:
            return (await obstore.head_async(self._store, key_of(version)))["size"]
        except FileNotFoundError:
            raise Missing(version) from None

    async def remove(self, versions: Iterable[str]) -> None:
        import obstore

        for version in versions:
            with contextlib.suppress(FileNotFoundError, Missing):
                await obstore.delete_async(self._store, key_of(version))

    async def kept(self, shard: str) -> AsyncIterator[list[Kept]]:
        import obstore

        async for page in obstore.list(self._store, prefix=f"{_FOLDER}/{shard}", chunk_size=1000):
            yield [
                Kept(one["path"].rpartition("/")[2], one["size"], one["last_modified"])
                for one in page
                if one["path"].count("/") == 2
            ]


class FolderBackend(_Store):
    """A folder: a new version is written to a temporary file, synced, renamed, and the folder synced."""

    def __init__(self, root: Path) -> None:
        from obstore.store import LocalStore

        self.root = root.absolute()
        self.work = self.root
        for shard in SHARDS:
            (self.root / _FOLDER / shard).mkdir(parents=True, exist_ok=True, mode=0o700)
        _sync_folder(self.root / _FOLDER)
        _sync_folder(self.root)
        super().__init__(LocalStore(self.root))

    async def put(self, version: str, file: Path) -> None:
        await asyncio.to_thread(_link, file, self.root / key_of(version))

    async def copy(self, version: str, to: str) -> None:
        try:
            await asyncio.to_thread(_link, self.root / key_of(version), self.root / key_of(to))
        except FileNotFoundError:
            raise Missing(version) from None

    def file(self, version: str) -> Path | None:
        return self.root / key_of(version)


class S3Backend(_Store):
    """A bucket of an S3 service. S3 shows an object only once it is whole and checks each part's hash."""

    def __init__(self, store: ObjectStore, work: Path) -> None:
        super().__init__(store)
        self.work = work
        work.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def put(self, version: str, file: Path) -> None:
        import obstore

        await obstore.put_async(self._store, key_of(version), file, chunk_size=_S3_PART, max_concurrency=4)

    async def copy(self, version: str, to: str) -> None:
        import obstore

        try:
            await obstore.copy_async(self._store, key_of(version), key_of(to))
        except FileNotFoundError:
            raise Missing(version) from None

    def file(self, version: str) -> Path | None:
        return None


def open_backend(settings: Settings) -> Backend:
    """The backend that the settings name. Raises SettingsError HG117 for one that cannot be."""
    url = settings.storage_url
    home = settings.data_dir.absolute() / "storage"
    if url.startswith("s3://"):
        return _s3(settings, url, home)
    if "://" in url and not url.startswith("file:///"):
        raise SettingsError(
            f"HEADGATE_STORAGE_URL names no place that storage knows: {url.partition('://')[0]}://…",
            code="HG117",
            hint="Give a folder, or s3://bucket/prefix.",
        )
    root = Path(url.removeprefix("file://")) if url else home
    try:
        return FolderBackend(root)
    except OSError as error:
        raise SettingsError(
            f"The folder of HEADGATE_STORAGE_URL cannot be written: {error.strerror}.",
            code="HG117",
            hint="Give a folder that the server may write.",
        ) from None


def _s3(settings: Settings, url: str, home: Path) -> S3Backend:
    from obstore.store import S3Store

    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    secret = settings.storage_s3_secret_key
    given = {
        "endpoint": settings.storage_s3_endpoint,
        "region": settings.storage_s3_region,
        "access_key_id": settings.storage_s3_access_key,
        "secret_access_key": secret.get_secret_value() if secret else "",
    }
    config = {name: value for name, value in given.items() if value}
    plain = settings.storage_s3_endpoint.startswith("http://")
    store = S3Store(
        bucket,
        prefix=prefix.strip("/") or None,
        config=config,  # type: ignore[arg-type]
        client_options={"allow_http": plain},
    )
    return S3Backend(store, home)


def _link(source: Path, target: Path) -> None:
    """`target` appears with the bytes of `source`, which are on the disk before and the name after."""
    descriptor = os.open(source, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        _copy(source, target)
    _sync_folder(target.parent)


def _copy(source: Path, target: Path) -> None:
    draft = target.with_name(f".{secrets.token_hex(8)}")
    try:
        with source.open("rb") as here, draft.open("xb") as there:
            while piece := here.read(1024 * 1024):
                there.write(piece)
            there.flush()
            os.fsync(there.fileno())
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for piece in nothing:
        yield piece


async def _pieces(stream: AsyncIterator[object]) -> AsyncIterator[bytes]:
    async for piece in stream:
        yield bytes(piece)  # type: ignore[call-overload]
