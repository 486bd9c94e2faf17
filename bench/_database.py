"""A throw-away embedded PostgreSQL for a measurement, as durable as the product's, with the engine's migrations."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from headgate.db import migrate
from headgate.db.embedded import EmbeddedServer, Options
from headgate.db.platform import apply_platform


@contextlib.asynccontextmanager
async def fresh_database(
    *, everything: bool = False, settings: Mapping[str, str] | None = None
) -> AsyncIterator[str]:
    """The URL of a new database: the engine's migrations, or `everything` of the package. Gone afterwards.

    `settings` are further settings of the server.
    """
    home = Path(tempfile.mkdtemp(prefix="headgate-bench-"))
    os.chmod(home, 0o755)  # noqa: PTH101 the server may run as another system user, when this runs as root
    try:
        server = await EmbeddedServer.open(home, Options(durable=True, settings=settings or {}), watch=False)
        try:
            await apply_platform(server.admin_url())
            sources = migrate.built_in_sources()
            await migrate.up(server.url(), sources if everything else sources[:1])
            yield server.url()
        finally:
            await server.close()
    finally:
        shutil.rmtree((home / "data").resolve(), ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
