"""What the endpoints of storage share: who calls, transactions in the caller's role, and the order of steps by which
bytes and rows never part.

New bytes: a line in `writes` is committed, the bytes are written, then one transaction puts the object's row and takes
the line away; whoever comes too late finds no line and commits nothing. Old bytes: the transaction that deletes or
replaces the row notes the version in `removals` (a trigger does), and the sweeper removes the bytes afterwards.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headgate.base.clock import now
from headgate.base.settings import Settings
from headgate.db import Connection, Database, Jsonb
from headgate.db.queries import load
from headgate.surface.callers import Caller, CallerError, Callers
from headgate.surface.storage.backends import Backend
from headgate.surface.storage.errors import StorageError, denied, no_bucket, overtaken
from headgate.surface.storage.exchange import Request
from headgate.surface.storage.incoming import Body, Head
from headgate.surface.storage.names import check_type
from headgate.surface.storage.signed import Signer

Q = load(__package__, "storage.sql")
Row = dict[str, Any]
_TIMEOUT = "30s"


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where an upload goes and for whom. `caller` None: a signed URL allowed it already."""

    bucket: Row
    name: str
    upsert: bool
    caller: Caller | None
    owner: str | None

    @property
    def path(self) -> str:
        """`bucket/name`."""
        return f"{self.bucket['id']}/{self.name}"


class Depot:
    """The parts of the service, joined."""

    def __init__(
        self, settings: Settings, db: Database, callers: Callers, *, secret: str, backend: Backend
    ) -> None:
        self.settings = settings
        self.db = db
        self.backend = backend
        self.signer = Signer(secret)
        self._callers = callers
        self.work: Path = backend.work
        self._ours: bool | None = None
        #: Called when a transaction may have left bytes to remove.
        self.removals_wait: Any = lambda: None

    async def is_ours(self) -> bool:
        """Whether the database's storage is this service's, and not hosted Supabase's own."""
        if self._ours is None:
            self._ours = bool(await self.db.fetch_value(Q.own_kind))
        return self._ours

    async def caller(self, request: Request) -> Caller:
        """Who calls. Raises StorageError without any credentials or with bad ones."""
        if not (request.header("authorization") or request.header("apikey") or "apikey" in request.query):
            raise StorageError(401, "Unauthorized", "headers must have required property 'authorization'")
        try:
            return await self._callers.of(request.raw_headers, request.raw_query)
        except CallerError as error:
            raise denied(error.message) from None

    @contextlib.asynccontextmanager
    async def acting(self, caller: Caller | None, operation: str) -> AsyncIterator[Connection]:
        """A transaction in the caller's role; None: as the owner, for what a signed URL allows."""
        if caller is None:
            async with self.db.transaction() as conn:
                yield conn
            return
        settings = {"storage.operation": f"storage.{operation}", "statement_timeout": _TIMEOUT}
        async with self.db.as_role(caller.claims, settings=settings) as conn:
            yield conn

    async def bucket(self, name: str) -> Row:
        """A bucket with its limits, whoever asks. Raises StorageError."""
        found = await self.db.fetch_one(Q.own_bucket, {"id": name})
        if found is None:
            raise no_bucket()
        return found

    def limit(self, bucket: Row) -> int:
        """Bytes that an object of this bucket may have."""
        most = self.settings.storage_max_object_bytes
        own = bucket["file_size_limit"]
        return most if own is None else min(most, int(own))

    async def begin(self, target: Target, version: str, head: Head) -> int:
        """Ask the policies with what is declared, note that bytes will come, and say how many may.

        Raises StorageError, or what the database says.
        """
        await self.probe(target, version, head, begins=True)
        return self.limit(target.bucket)

    async def probe(self, target: Target, version: str, head: Head, *, begins: bool = False) -> None:
        """Ask the policies whether such an object may be put, in a transaction that takes it back.

        `begins`: also commit the line that announces the bytes.
        """
        check_type(head.kind, target.bucket["allowed_mime_types"])
        probe = self.values(target, version, metadata(Body(head, Path(), head.size or 0)), head.user_metadata)
        async with self.acting(target.caller, "object.upload") as conn:
            async with conn.transaction(force_rollback=True):
                await conn.execute(Q.upsert_object if target.upsert else Q.insert_object, probe)
            if begins:
                await conn.execute("set local role none")
                await conn.execute(Q.own_begin_write, {"version": version})

    async def commit(self, target: Target, version: str, body: Body, *, upload: str | None = None) -> str:
        """Put the row of the bytes just written, under the caller's policies; the object's id.

        Raises StorageError when the write was given up meanwhile, or what the database says.
        """
        values = self.values(target, version, metadata(body), body.head.user_metadata)
        async with self.acting(target.caller, "object.upload") as conn:
            await conn.execute(Q.upsert_object if target.upsert else Q.insert_object, values)
            await conn.execute("set local role none")
            return await self.settle(conn, version, upload=upload)

    async def settle(self, conn: Connection, version: str, *, upload: str | None = None) -> str:
        """As the owner, in the transaction that put the row: the write is done."""
        if (await conn.execute(Q.own_end_write, {"version": version})).rowcount != 1:
            raise overtaken()
        row = await (await conn.execute(Q.own_object_of_version, {"version": version})).fetchone()
        if row is None:  # a trigger of the application put something else in its place
            raise overtaken()
        if upload is not None:
            done = await conn.execute(Q.own_finish_upload, {"id": upload, "object_id": row["id"]})
            if done.rowcount != 1:
                raise overtaken()
        return str(row["id"])

    async def abandon(self, version: str) -> None:
        """Give up a write: its bytes, if there are any, will be removed."""
        await self.db.execute(Q.own_abandon_write, {"version": version})
        self.removals_wait()

    def values(self, target: Target, version: str, about: Row, user_metadata: Any) -> Row:
        """The parameters of an object's row."""
        return {
            "id": uuid.uuid4(),
            "bucket": target.bucket["id"],
            "name": target.name,
            "owner": as_uuid(target.owner),
            "owner_id": target.owner,
            "version": version,
            "metadata": Jsonb(about),
            "user_metadata": Jsonb(user_metadata) if user_metadata is not None else None,
        }


def metadata(body: Body) -> Row:
    """What clients see as an object's `metadata`; the ETag is the SHA-256 of the bytes."""
    head = body.head
    return {
        "eTag": f'"{body.sha256}"',
        "size": body.size,
        "mimetype": head.kind,
        "cacheControl": head.cache,
        "lastModified": stamp(now()),
        "contentLength": body.size,
        "httpStatusCode": 200,
        **({"contentEncoding": head.encoding} if head.encoding else {}),
    }


def new_version() -> str:
    """A name for bytes that nobody can guess."""
    return str(uuid.uuid4())


def as_uuid(text: str | None) -> uuid.UUID | None:
    """The text as a UUID, or None."""
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        return None


def stamp(moment: datetime) -> str:
    """A time as clients expect it: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown(row: Mapping[str, Any]) -> Row:
    """A row as JSON values."""
    return {
        name: stamp(value)
        if isinstance(value, datetime)
        else str(value)
        if isinstance(value, uuid.UUID)
        else value
        for name, value in row.items()
    }
