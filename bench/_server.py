"""A server process for a measurement, apart from the process that asks it."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp

from headgate.base import log
from headgate.db import Database


@contextlib.asynccontextmanager
async def served(url: str, create: Callable[[Database], Any]) -> AsyncIterator[str]:
    """Serve the application that `create` makes over the database at `url`; gives the base address.

    `create` is a function of a module, since the process imports it.
    """
    port = 20_000 + os.getpid() % 20_000
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(url, port, create), daemon=True
    )
    process.start()
    base = f"http://127.0.0.1:{port}"
    try:
        await until_up(base)
        yield base
    finally:
        process.terminate()
        process.join(10)


async def until_up(base: str) -> None:
    """Return when the server at `base` is healthy. Raises RuntimeError after a minute, with the last answer."""
    last: Exception | int | None = None
    async with aiohttp.ClientSession(base) as session:
        for _ in range(300):
            try:
                async with session.get("/health") as answer:
                    if answer.status == 200:
                        return
                    last = answer.status
            except aiohttp.ClientError as error:
                last = error
            await asyncio.sleep(0.2)
    raise RuntimeError(f"the server did not start: {last!r}")


def _serve(url: str, port: int, create: Callable[[Database], Any]) -> None:
    import uvicorn
    import uvloop

    async def run() -> None:
        log.configure(level="error")
        async with await Database.open(url, min_size=4, max_size=10) as db:
            config = uvicorn.Config(
                create(db), port=port, log_config=None, access_log=False, timeout_graceful_shutdown=1
            )
            await uvicorn.Server(config).serve()

    uvloop.run(run())
