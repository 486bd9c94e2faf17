"""The storage service alone behind a real socket, in a process that the kill tests end at any moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import uvicorn

from headgate.db import Database
from headgate.surface.services import Door
from tests.database.storage_fixture import service_over


def serve(url: str, folder: str, port: int) -> None:
    """Serve until killed."""
    asyncio.run(_serve(url, Path(folder), port))


async def _serve(url: str, folder: Path, port: int) -> None:
    async with await Database.open(url, max_size=8) as database:
        door = Door({"/storage/v1": service_over(database, folder)}, origins=("*",))
        await door.start()
        config = uvicorn.Config(door, host="127.0.0.1", port=port, lifespan="off", log_config=None)
        await uvicorn.Server(config).serve()
