"""Programs written with the real supabase-js and supabase-py sign up, in and out against a running `headgate up`."""

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
from tests.clients.test_query_builders import HERE, wait_until_ready

WHOAMI = """create function public.whoami() returns uuid language sql stable as 'select auth.uid()';
grant execute on function public.whoami() to anon, authenticated"""


@pytest.fixture
async def server(cluster: TestCluster, tmp_path: Path) -> AsyncIterator[tuple[str, str, str]]:
    """`headgate up` with a mail inbox: its URL, and the keys of anon and service_role."""
    async with cluster.database() as database:
        await database.execute(WHOAMI)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {
            **os.environ, "HEADGATE_DATABASE_URL": database.url, "HEADGATE_PORT": str(port),
            "HEADGATE_DATA_DIR": str(tmp_path), "HEADGATE_LOG_LEVEL": "error",
            "HEADGATE_AUTH_ANONYMOUS_USERS": "true", "HEADGATE_AUTH_MAIL_INTERVAL_S": "0",
            "HEADGATE_AUTH_BCRYPT_COST": "5", "HEADGATE_AUTH_LIMIT_SIGN_IN": "0",
            "HEADGATE_AUTH_LIMIT_ACCOUNT": "0",
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


async def test_supabase_js_signs_up_in_and_out_with_every_core_method(server: tuple[str, str, str]) -> None:
    await run_supabase_js("auth_core.mjs", *server, least=24)


async def test_supabase_py_signs_up_in_and_out_sync_and_async(server: tuple[str, str, str]) -> None:
    pytest.importorskip("supabase", reason="supabase-py is not installed: it is in the dev requirements")
    await run_program(sys.executable, str(HERE / "auth_core.py"), *server, cwd=HERE, least=23)
