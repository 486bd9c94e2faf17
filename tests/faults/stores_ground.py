"""What the storms over the stores application share: one address for all simulators, and workers in processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from headgate.apps.stores.simulator.server import Simulator
from headgate.testing.database import TestCluster

ROOT = Path(__file__).resolve().parents[2]


class Switch:
    """Several simulators behind one address, told apart by the shop in the path."""

    def __init__(self) -> None:
        self.simulators: dict[str, Simulator] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("HTTP only")
        found = self._of(str(scope["path"]))
        if found is None:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        await found(scope, receive, send)

    def _of(self, path: str) -> Simulator | None:
        if path.startswith("/_bulk/"):
            token = path.removeprefix("/_bulk/").removesuffix(".jsonl")
            every = self.simulators.values()
            return next((s for s in every if any(o.bulk.by_token(token) for o in s.outlets.values())), None)
        return self.simulators.get(path.lstrip("/").partition("/")[0])


@dataclass
class Process:
    """A worker's process. Its handle is the kernel's, so that no other process of the same number is ever struck."""

    pid: int
    name: str
    handle: int

    def signal(self, number: int) -> bool:
        """Whether it was there to get it."""
        try:
            signal.pidfd_send_signal(self.handle, number)
        except ProcessLookupError:
            return False
        return True

    async def gone(self, timeout_s: float) -> bool:
        """Wait for its end, at most so long; whether it ended."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.handle, ended.set)
        try:
            async with asyncio.timeout(timeout_s):
                await ended.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self.handle)
        return True


class Nursery:
    """Starts workers in processes of their own (`tests.faults.stores_child`)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()

    async def start(self, order: Mapping[str, Any]) -> Process:
        """A worker as ordered."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the nursery has no pipes")
        async with self._turn:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            pid = int(await self._process.stdout.readline())
        return Process(pid, str(order["name"]), os.pidfd_open(pid))


@dataclass
class Ground:
    """What many schedules share: a PostgreSQL, an address for all simulators, the nursery."""

    cluster: TestCluster
    nursery: Nursery
    switch: Switch
    url: str


@contextlib.asynccontextmanager
async def ground(cluster: TestCluster) -> AsyncIterator[Ground]:
    """Everything that schedules need."""
    switch = Switch()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(switch, log_level="critical", access_log=False, lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.stores_child",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    try:
        yield Ground(cluster, Nursery(process), switch, f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        process.kill()
        await process.wait()
        server.should_exit = True
        await serving
