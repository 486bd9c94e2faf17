"""Programs written with the real supabase-js and supabase-py pass against a running `headgate serve`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headgate.testing.database import TestCluster
from tests.database.rest_fixture import SCHEMA

HERE = Path(__file__).parent


@pytest.fixture
async def server(cluster: TestCluster, tmp_path: Path) -> AsyncIterator[tuple[str, str, str]]:
    """A server process on a database with the test schema: its URL, and the keys of anon and service_role."""
    async with cluster.database() as database:
        async with database.connection() as conn:
            await conn.execute(SCHEMA.read_text())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {
            **os.environ, "HEADGATE_DATABASE_URL": database.url, "HEADGATE_PORT": str(port),
            "HEADGATE_DATA_DIR": str(tmp_path),
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headgate", "serve", env=environment
        )
        try:
            await wait_until_ready(f"http://127.0.0.1:{port}/health")
            keys = json.loads((tmp_path / "keys.json").read_text())
            yield f"http://127.0.0.1:{port}", keys["anon"], keys["service_role"]
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), 15)


async def wait_until_ready(url: str) -> None:
    """Until the server answers, 30 s at most."""
    for _ in range(300):
        try:
            await asyncio.to_thread(urllib.request.urlopen, url, timeout=2)
            return
        except OSError:
            await asyncio.sleep(0.1)
    raise AssertionError("the server did not start")


async def run_program(*command: str, cwd: Path = HERE) -> None:
    """Run a client program; its failed checks are the message."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    lines = output.decode().splitlines()
    assert process.returncode == 0, "\n".join(line for line in lines if not line.startswith("ok ")) or output
    assert sum(line.startswith("ok ") for line in lines) > 30


async def test_supabase_js(server: tuple[str, str, str]) -> None:
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules/@supabase/supabase-js").exists():
        pytest.skip("supabase-js is not installed: `npm install` in tests/clients (tests/system.py does it)")
    await run_program(node, "query_builder.mjs", *server)


async def test_supabase_py(server: tuple[str, str, str]) -> None:
    pytest.importorskip("supabase", reason="supabase-py is not installed")
    await run_program(sys.executable, str(HERE / "query_builder.py"), *server, cwd=HERE.parents[1])
