"""A throw-away PostgreSQL for tests: one server, a template with the migrations, a fresh clone for each
test.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from psycopg import errors, sql

from headgate.db import migrate
from headgate.db.connect import Database, connect
from headgate.db.embedded import OWNER, EmbeddedServer, Options
from headgate.db.migrate import MigrationSource
from headgate.db.platform import apply_platform

FULL = "headgate_template"
BARE = "headgate_bare_template"
_DROP_TRIES = 100


class TestCluster:
    """A temporary embedded PostgreSQL. Nothing survives it: it does not even sync to disk."""

    __test__ = False  # the name begins with Test, but pytest must not collect it

    def __init__(self, server: EmbeddedServer, folder: Path) -> None:
        self.server = server
        self._folder = folder
        self._numbers = itertools.count(1)
        self._templates: set[str] = set()

    @classmethod
    async def start(cls, *, programs: Path | None = None, folder: Path | None = None) -> Self:
        """Start one in a temporary folder (or in `folder`, which is removed at the end). `programs`: another
        PostgreSQL.
        """
        home = folder or Path(tempfile.mkdtemp(prefix="headgate-test-"))
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o755)  # the server may run as another system user, when the tests run as root
        try:
            server = await EmbeddedServer.open(home, Options(bin=programs, durable=False), watch=False)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise
        return cls(server, home)

    async def stop(self) -> None:
        """Stop the server and remove its folder."""
        await self.server.close()
        real = (self._folder / "data").resolve()
        shutil.rmtree(real, ignore_errors=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def template(self, name: str, sources: Sequence[MigrationSource]) -> None:
        """Make the database `name` with the platform and the migrations of `sources`, to be cloned; once."""
        if name in self._templates:
            return
        await self._admin("create database {} owner {}", name, OWNER)
        await apply_platform(self.server.admin_url(name))
        await migrate.up(self.server.url(name), sources)
        self._templates.add(name)

    async def clone(self, template: str) -> str:
        """A new database like `template`; its URL."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        await self._admin("create database {} template {} owner {} strategy wal_log", name, template, OWNER)
        return self.server.url(name)

    async def drop(self, url: str) -> None:
        """Remove a clone, whoever is still connected to it."""
        for again in range(_DROP_TRIES, -1, -1):
            try:
                await self._admin("drop database if exists {} with (force)", urlsplit(url).path[1:])
                return
            except (
                errors.ObjectInUse
            ):  # a reader of the log, whom `force` leaves alone, is about to notice its end
                if not again:
                    raise
                await asyncio.sleep(0.1)

    @contextlib.asynccontextmanager
    async def database(self, *, bare: bool = False, max_size: int = 20) -> AsyncIterator[Database]:
        """A `Database` on a fresh clone: with every migration of the package, or `bare` with the platform
        only.
        """
        template = BARE if bare else FULL
        await self.template(template, [] if bare else migrate.built_in_sources())
        url = await self.clone(template)
        try:
            async with await Database.open(url, max_size=max_size) as db:
                yield db
        finally:
            await self.drop(url)

    async def _admin(self, text: str, *names: str) -> None:
        async with await connect(self.server.admin_url("postgres")) as conn:
            await conn.execute(sql.SQL(text).format(*map(sql.Identifier, names)))


@contextlib.contextmanager
def running_cluster(programs: Path | None = None) -> Iterator[TestCluster]:
    """A `TestCluster` for a `with` statement outside any event loop, such as a session-wide pytest
    fixture.
    """
    cluster = asyncio.run(TestCluster.start(programs=programs))
    try:
        yield cluster
    finally:
        asyncio.run(cluster.stop())
