"""Whatever a client sends that OpenAPI allows or forbids, no answer is a server error. Bounded and seeded."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import aiohttp
import pytest

from headgate.db import Database
from headgate.db.keys import create_visitor
from tests import ticket_market as market

SCHEMATHESIS = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
EXAMPLES = 12


@pytest.mark.timeout(420)
@pytest.mark.skipif(SCHEMATHESIS is None, reason="schemathesis is not installed beside this Python")
async def test_generated_requests_meet_no_server_error(database: Database) -> None:
    await market.add_event(database, 1)
    await market.history(database, 1, hours=3)
    _, token = await create_visitor(database)
    async with market.serving(database) as base:
        process = await asyncio.create_subprocess_exec(
            str(SCHEMATHESIS),
            "run",
            f"{base}/api/openapi.json",
            "--checks=not_a_server_error",
            "--phases=fuzzing",
            f"--max-examples={EXAMPLES}",
            "--seed=20261121",
            "--exclude-path=/api/live",
            "--generation-database=none",
            "--suppress-health-check=all",
            "--no-color",
            f"--header=Authorization: Bearer {token}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-3000:]


async def test_openapi_lists_every_endpoint_with_its_answer_and_errors(database: Database) -> None:
    async with (
        market.serving(database) as base,
        aiohttp.ClientSession() as session,
        session.get(f"{base}/api/openapi.json") as answer,
    ):
        described = await answer.json()
    paths = described["paths"]
    assert len(paths) >= 24
    for path, operations in paths.items():
        if not path.startswith("/api/"):
            continue
        for method, operation in operations.items():
            assert operation.get("description") or operation.get("summary"), (method, path)
            assert {"400", "401", "404", "429"} <= set(operation["responses"]), (method, path)
