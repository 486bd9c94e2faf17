"""A surface on a fresh database with the schema of `rest_schema.sql`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headgate.surface.gateway import create_surface
from headgate.surface.rest.settings import RestSettings
from headgate.testing.database import TestCluster
from tests.rest_client import SECRET, Rest

SCHEMA = Path(__file__).with_name("rest_schema.sql")


@asynccontextmanager
async def rest_service(cluster: TestCluster, **settings: Any) -> AsyncIterator[Rest]:
    """An anonymous client of a surface; settings over those of the tests."""
    async with cluster.database(bare=True) as database:
        async with database.connection() as conn:
            await conn.execute(SCHEMA.read_text())
        chosen = {
            "jwt_secret": SECRET,
            "db_uri": database.url,
            "db_pool_size": 4,
            "db_channel_enabled": False,
        }
        surface = create_surface(RestSettings(**{**chosen, **settings}))
        await surface.start()
        try:
            yield Rest(surface)
        finally:
            await surface.close()
