"""Programs with the real supabase-js and supabase-py use every public method of realtime against `headgate up`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headgate.testing.database import TestCluster
from tests.clients.programs import run_program, run_supabase_js
from tests.clients.test_query_builders import wait_until_ready

HERE = Path(__file__).parent


class Served:
    """`headgate up` in a process of its own, on one port over restarts."""

    def __init__(self, database_url: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url, self._folder = f"http://127.0.0.1:{self._port}", folder
        self._environment = {
            **os.environ, "HEADGATE_DATABASE_URL": database_url, "HEADGATE_PORT": str(self._port),
            "HEADGATE_DATA_DIR": str(folder), "HEADGATE_LOG_LEVEL": "warning",
        }  # fmt: skip
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headgate", "up", "--workers", "0", env=self._environment,
            start_new_session=True,
        )  # fmt: skip
        await wait_until_ready(f"{self.url}/health")

    async def end(self, *, kill: bool = False) -> None:
        """Stop it and what it started; with `kill` without a word."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        if kill:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.terminate()
        await asyncio.wait_for(process.wait(), 30)

    @property
    def keys(self) -> tuple[str, str]:
        """Those of anon and service_role."""
        keys = json.loads((self._folder / "keys.json").read_text())
        return keys["anon"], keys["service_role"]


@contextlib.asynccontextmanager
async def serving(cluster: TestCluster, folder: Path) -> AsyncIterator[Served]:
    """It, with what the programs watch in its database."""
    async with cluster.database() as database:
        async with database.connection() as conn:
            await conn.execute((HERE / "realtime.sql").read_text())
        served = Served(database.url, folder)
        try:
            await served.start()
            yield served
        finally:
            await served.end()


@pytest.fixture
async def server(cluster: TestCluster, tmp_path: Path) -> AsyncIterator[tuple[str, str, str]]:
    """`headgate up`: its URL, and the keys of anon and service_role."""
    async with serving(cluster, tmp_path) as served:
        yield served.url, *served.keys
        logs = "".join(path.read_text() for path in (tmp_path / "logs").glob("*"))
        assert not [key for key in served.keys if key in logs], "no key in a log"


async def test_supabase_js_joins_again_by_itself_after_the_server_was_killed(
    cluster: TestCluster, tmp_path: Path
) -> None:
    async with serving(cluster, tmp_path) as served:
        kills = 0

        async def on_line(line: str) -> None:
            nonlocal kills
            if line == "kill the server":
                kills += 1
                await served.end(kill=True)
                await asyncio.sleep(1.5)  # long enough that every client has seen it gone
                await served.start()

        await run_supabase_js("reconnect.mjs", served.url, *served.keys, least=3, on_line=on_line)
        assert kills == 2  # once for Node, once for the browser


async def test_supabase_js_passes_with_every_method_of_realtime(server: tuple[str, str, str]) -> None:
    await run_supabase_js("realtime_js.mjs", *server, least=40)


async def test_supabase_py_passes_with_every_method_of_realtime(server: tuple[str, str, str]) -> None:
    pytest.importorskip("supabase", reason="supabase-py is not installed: it is in the dev requirements")
    await run_program(sys.executable, str(HERE / "realtime_py.py"), *server, cwd=HERE, least=28)
