"""Programs with the real supabase-js and supabase-py use every public method of realtime against `headgate up`."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headgate.testing.database import TestCluster
from tests.clients.programs import run_program, run_supabase_js
from tests.clients.test_query_builders import wait_until_ready

HERE = Path(__file__).parent


@pytest.fixture
async def server(cluster: TestCluster, tmp_path: Path) -> AsyncIterator[tuple[str, str, str]]:
    """`headgate up`: its URL, and the keys of anon and service_role."""
    async with cluster.database() as database:
        async with database.connection() as conn:
            await conn.execute((HERE / "realtime.sql").read_text())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {
            **os.environ, "HEADGATE_DATABASE_URL": database.url, "HEADGATE_PORT": str(port),
            "HEADGATE_DATA_DIR": str(tmp_path), "HEADGATE_LOG_LEVEL": "warning",
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headgate", "up", "--workers", "0", env=environment
        )
        try:
            await wait_until_ready(f"http://127.0.0.1:{port}/health")
            keys = json.loads((tmp_path / "keys.json").read_text())
            yield f"http://127.0.0.1:{port}", keys["anon"], keys["service_role"]
            logs = "".join(path.read_text() for path in (tmp_path / "logs").glob("*"))
            assert keys["anon"] not in logs and keys["service_role"] not in logs, "no key in a log"
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), 30)


async def test_supabase_js_passes_with_every_method_of_realtime(server: tuple[str, str, str]) -> None:
    await run_supabase_js("realtime_js.mjs", *server, least=40)


async def test_supabase_py_passes_with_every_method_of_realtime(server: tuple[str, str, str]) -> None:
    pytest.importorskip("supabase", reason="supabase-py is not installed: it is in the dev requirements")
    await run_program(sys.executable, str(HERE / "realtime_py.py"), *server, cwd=HERE, least=28)
