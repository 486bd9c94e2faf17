"""An ASGI application served in this process on a port of loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn


@contextlib.asynccontextmanager
async def on_loopback(app: Any, *, port: int = 0, **config: Any) -> AsyncIterator[str]:
    """Serve until the block ends; gives the base address. `port` 0: a free one. A failure to start is raised."""
    quiet = {"log_config": None, "access_log": False, "timeout_graceful_shutdown": 1}
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        server = uvicorn.Server(uvicorn.Config(app, **{**quiet, **config}))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:
                if task.done():
                    task.result()
                    raise RuntimeError("the server did not start")
                await asyncio.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
