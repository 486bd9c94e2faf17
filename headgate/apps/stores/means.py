"""What the sync's jobs of one process share: settings, tokens, the wire, and the shop that a job is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from headgate.apps.stores.client import Shopify
from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.tokens import Tokens
from headgate.apps.stores.wire import Wire
from headgate.base.settings import Settings
from headgate.db import Connection, Database, Jsonb
from headgate.db.queries import load
from headgate.engine.jobs import Cancel, JobContext, Snooze
from headgate.engine.manifest import App, Handler, Services

Q = load("headgate.apps.stores", "sync.sql")
ENTITIES = ("orders", "customers", "products")
#: Shopify's clock and ours, and writes that become visible late: so much is read again.
OVERLAP = timedelta(minutes=2)
#: So long after connecting, the recent days have the shop for themselves; a bulk operation takes minutes.
HEAD_START_S = 1.0
_wire: ContextVar[Wire] = ContextVar("stores_wire")


class NotLive(Cancel):
    """The job's connection is not connected any more."""

    def __init__(self, connection_id: int) -> None:
        super().__init__("The shop is not connected any more.")
        self.connection_id = connection_id


@dataclass(frozen=True)
class Means:
    """Made once per process and handler factory."""

    db: Database
    app: App
    settings: StoresSettings
    tokens: Tokens
    data_dir: Path

    @classmethod
    def of(cls, services: Services) -> Means:
        """From what the composition root hands out."""
        settings = StoresSettings.of(services.settings)
        data_dir = Path(services.settings.get("data_dir") or Settings().data_dir)
        tokens = Tokens(services.db, settings, data_dir=data_dir)
        return cls(services.db, services.app, settings, tokens, data_dir)

    async def shopify(self, connection_id: int) -> Shopify:
        """The Admin API of a connection. Raises NotLive when it is not connected any more."""
        row = await self.db.fetch_one(Q.connection, {"connection": connection_id})
        if row is None or row["state"] not in ("connected", "error"):
            raise NotLive(connection_id)
        if (
            row["api_version"] != self.settings.api_version
        ):  # the operator went on to another one since it connected
            version = {"connection": connection_id, "version": self.settings.api_version}
            await self.db.execute(Q.tell_version, version)
        return Shopify(self.db, self.settings, tokens=self.tokens, wire=_wire.get(), connection=row)

    def folder(self, connection_id: int) -> Path:
        """Where downloaded files of a connection lie."""
        return self.data_dir / "stores" / str(connection_id)


def connected(factory: Callable[[Services], Handler]) -> Callable[[Services], Handler]:
    """A job whose requests share their connections to the shop; they end with the job. It is let go with the shop."""

    def made(services: Services) -> Handler:
        settings = StoresSettings.of(services.settings)
        handle = factory(services)

        async def run(ctx: JobContext) -> None:
            wire = Wire(settings)
            before = _wire.set(wire)
            try:
                await handle(ctx)
            except NotLive as error:
                await _let_go(ctx, error)
            finally:
                _wire.reset(before)
                await wire.close()

        return run

    return made


async def _let_go(ctx: JobContext, error: NotLive) -> None:
    """Cancel the job, unless the shop has been connected again meanwhile: whoever did that took the job for a live one
    and added no other."""
    async with ctx.transaction() as conn:
        row = await (await conn.execute(Q.still_live, {"connection": error.connection_id})).fetchone()
        if row is None or not row["live"]:
            await ctx.cancel(conn, error.reason)
            return
    raise Snooze(0.0, "the shop was connected again")


async def milestone(
    conn: Connection,
    connection_id: int,
    label: str,
    status: str,
    *,
    detail: Mapping[str, Any] | None = None,
    error: str | None = None,
    total: int | None = None,
) -> None:
    """Move a milestone; `detail` is merged into what it has."""
    await conn.execute(
        Q.milestone,
        {
            "connection": connection_id,
            "label": label,
            "status": status,
            "detail": Jsonb(dict(detail)) if detail is not None else None,
            "error": error,
            "total": total,
        },
    )


def number(gid: str) -> int:
    """The number in a global id."""
    return int(gid.rsplit("/", 1)[-1].partition("?")[0])
