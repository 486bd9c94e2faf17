"""Programs written with the real supabase-js and supabase-py pass against a running `headgate up`."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headgate.testing.database import TestCluster
from tests.clients.programs import run_program, run_supabase_js

HERE = Path(__file__).parent


@pytest.fixture
async def server(cluster: TestCluster, tmp_path: Path) -> AsyncIterator[tuple[str, str, str]]:
    """`headgate up` on a database with the bookshop: its URL, and the keys of anon and service_role."""
    async with cluster.database() as database:
        async with database.connection() as conn:
            await conn.execute((HERE / "schema.sql").read_text())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {
            **os.environ, "HEADGATE_DATABASE_URL": database.url, "HEADGATE_PORT": str(port),
            "HEADGATE_DATA_DIR": str(tmp_path), "HEADGATE_REST_SCHEMAS": "public,archive",
            "HEADGATE_LOG_LEVEL": "error", "PGRST_DB_PLAN_ENABLED": "true",
            "PGRST_DB_AGGREGATES_ENABLED": "true",
            "PGRST_DB_TX_END": "commit-allow-override",
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headgate", "up", "--workers", "0", env=environment
        )
        try:
            await wait_until_ready(f"http://127.0.0.1:{port}/health")
            keys = json.loads((tmp_path / "keys.json").read_text())
            yield f"http://127.0.0.1:{port}", keys["anon"], keys["service_role"]
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), 30)


async def wait_until_ready(url: str) -> None:
    """Until the server answers, 60 s at most."""
    for _ in range(600):
        try:
            await asyncio.to_thread(urllib.request.urlopen, url, timeout=2)
            return
        except OSError:
            await asyncio.sleep(0.1)
    raise AssertionError("the server did not start")


async def test_supabase_js_passes_with_every_method(server: tuple[str, str, str]) -> None:
    await run_supabase_js("supabase_js.mjs", *server, least=40)


async def test_supabase_py_passes_with_every_method_sync_and_async(server: tuple[str, str, str]) -> None:
    pytest.importorskip("supabase", reason="supabase-py is not installed: it is in the dev requirements")
    await run_program(sys.executable, str(HERE / "supabase_py.py"), *server, cwd=HERE, least=40)
