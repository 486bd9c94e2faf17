"""supabase-js and supabase-py use every method of auth beside plain sign-in against a running server."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headgate.db import Database
from tests.auth_server import running
from tests.clients.installed import packages
from tests.identity_provider import CLIENT, SECRET, IdentityProvider

HERE = Path(__file__).parent
PROGRAM_S = 150
SITE = "https://app.example.com"


@pytest.fixture
async def server(database: Database, tmp_path: Path) -> AsyncIterator[list[str]]:
    """A server with a provider, as the programs take it: its URL, two keys, the provider's URL, the page."""
    async with IdentityProvider() as provider:
        client = {"client_id": CLIENT, "client_secret": SECRET}
        chosen = {
            "keycloak": {**client, "issuer": provider.url},
            "github": {**client, "url": provider.url, "api_url": provider.url},
        }
        settings = {
            "auth_providers": json.dumps(chosen), "allow_private_hosts": provider.place, "auth_site_url": SITE,
            "auth_redirect_urls": SITE + "/**", "auth_autoconfirm": True, "auth_manual_linking": True,
        }  # fmt: skip
        async with running(database, tmp_path, **settings) as auth:
            yield [auth.url, auth.anon, auth.service, provider.url, SITE + "/back"]


async def run_program(*command: str, cwd: Path, least: int) -> None:
    """Run a client program and show its table; what went wrong is the message."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), PROGRAM_S)
    except TimeoutError:
        process.kill()
        raise
    text = output.decode()
    print(text)
    wrong = [line for line in text.splitlines() if re.search(r"^not ok|FAIL$|NEVER CALLED$", line)]
    assert process.returncode == 0, "\n".join(wrong) or text
    told = re.search(r"^(\d+) of (\d+) methods pass$", text, re.MULTILINE)
    assert told is not None and told.group(1) == told.group(2) and int(told.group(2)) >= least


async def test_supabase_js_passes_with_every_further_method_of_auth(server: list[str]) -> None:
    folder = await asyncio.to_thread(packages)
    if isinstance(folder, str):
        pytest.skip(folder)
    await asyncio.to_thread(shutil.copy, HERE / "auth_more.mjs", folder)
    await run_program("node", "auth_more.mjs", *server, cwd=folder, least=35)


async def test_supabase_py_passes_with_every_further_method_of_auth(server: list[str]) -> None:
    pytest.importorskip("supabase", reason="supabase-py is not installed: it is in the dev requirements")
    await run_program(sys.executable, str(HERE / "auth_more.py"), *server, cwd=HERE, least=20)
