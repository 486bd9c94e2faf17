"""The database that the settings mean: the one at HEADGATE_DATABASE_URL, or the embedded one in the data
folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from headgate.base.settings import Settings
from headgate.db import migrate
from headgate.db.embedded import EmbeddedServer, Options
from headgate.db.migrate import Migration, MigrationSource
from headgate.db.platform import apply_platform


@dataclass(frozen=True)
class Target:
    """`url` is what the product connects with, `admin_url` what may make roles; `server` is the embedded
    one, or None.
    """

    url: str
    admin_url: str
    server: EmbeddedServer | None

    async def prepare(self, sources: Sequence[MigrationSource]) -> tuple[list[str], list[Migration]]:
        """Make what the platform lacks, then apply what is pending; the names of both. Raises
        DatabaseError.
        """
        made = await apply_platform(self.admin_url)
        return made, await migrate.up(self.url, sources)


@contextlib.asynccontextmanager
async def open_target(settings: Settings, *, watch: bool = True) -> AsyncIterator[Target]:
    """The database of `settings`. The embedded one runs at least until the block ends; `watch` restarts it
    if it dies.
    """
    url = settings.url()
    if url:
        yield Target(url, url, None)
        return
    options = Options(bin=settings.postgres_bin, tcp_port=settings.postgres_port)
    async with await EmbeddedServer.open(settings.data_dir / "postgres", options, watch=watch) as server:
        yield Target(server.url(), server.admin_url(), server)
