"""The ticket API's reference: every example runs, every path and function it names exists, none is left out."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from pathlib import Path

import aiohttp
import pytest

from headgate.db import Database
from tests import ticket_market as market

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "tickets-api.md").read_text()
BLOCKS = re.findall(r"```(bash|python|javascript)\n(.*?)```", PAGE, re.DOTALL)
RUNNERS = {
    "bash": ["bash", "-euo", "pipefail", "-c"],
    "python": [sys.executable, "-c"],
    "javascript": ["node", "--input-type=module", "-e"],
}


async def _run(language: str, code: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *RUNNERS[language], code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, f"{code}\n{output.decode()}"
    return output.decode()


async def test_every_example_runs_against_a_real_server(database: Database) -> None:
    await market.add_event(database, 1)
    await market.add_event(database, 2, name="City Open")
    await market.history(database, 1, hours=3)
    missing = {language for language, _ in BLOCKS if shutil.which(RUNNERS[language][0]) is None}
    async with market.serving(database) as base:
        for language, code in BLOCKS:
            if language in missing:
                continue
            output = await _run(language, code.replace("http://127.0.0.1:8000", base))
            assert '"success":false' not in output and output.strip(), code
    if missing:
        pytest.skip(f"not on this machine, so their examples did not run: {', '.join(sorted(missing))}")


async def test_page_and_openapi_name_the_same_paths(database: Database) -> None:
    async with (
        market.serving(database) as base,
        aiohttp.ClientSession() as session,
        session.get(f"{base}/api/openapi.json") as answer,
    ):
        served = {path for path in (await answer.json())["paths"] if path.startswith("/api/")}
    table = PAGE[PAGE.index("## Paths") : PAGE.index("## Filters")]
    named = {re.sub(r"\?.*", "", path) for path in re.findall(r"/api/[a-z/{}\-]+", table)}
    assert named == {re.sub(r"\{\w+\}", "{id}", path) for path in served}


async def test_functions_that_the_page_names_exist(database: Database) -> None:
    section = PAGE[PAGE.index("## The same in SQL") :]
    named = set(re.findall(r"`([a-z]+_[a-z_]+)[(`]", section))
    rows = await database.fetch_all(
        "select distinct proname from pg_proc where pronamespace = 'public'::regnamespace"
    )
    assert named <= {row["proname"] for row in rows}
