"""supabase-js and supabase-py use every method of auth beside plain sign-in against a running server."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headgate.db import Database
from tests.auth_server import running
from tests.clients.programs import pages, run_program, run_supabase_js
from tests.identity_provider import CLIENT, SECRET, IdentityProvider

HERE = Path(__file__).parent


@pytest.fixture
async def server(database: Database, tmp_path: Path) -> AsyncIterator[list[str]]:
    """A server with a provider, as the programs take it: its URL, two keys, the provider's URL, the page."""
    with pages() as site:
        async with IdentityProvider() as provider:
            client = {"client_id": CLIENT, "client_secret": SECRET}
            chosen = {
                "keycloak": {**client, "issuer": provider.url},
                "github": {**client, "url": provider.url, "api_url": provider.url},
            }
            settings = {
                "auth_providers": json.dumps(chosen), "allow_private_hosts": provider.place, "auth_site_url": site,
                "auth_redirect_urls": site + "/**", "auth_autoconfirm": True, "auth_manual_linking": True,
            }  # fmt: skip
            async with running(database, tmp_path, **settings) as auth:
                yield [auth.url, auth.anon, auth.service, provider.url, site + "/back"]


async def test_supabase_js_passes_with_every_further_method_of_auth(server: list[str]) -> None:
    await run_supabase_js("auth_more.mjs", *server, least=35, base=server[-1].removesuffix("/back"))


async def test_supabase_py_passes_with_every_further_method_of_auth(server: list[str]) -> None:
    pytest.importorskip("supabase", reason="supabase-py is not installed: it is in the dev requirements")
    await run_program(sys.executable, str(HERE / "auth_more.py"), *server, cwd=HERE, least=20)
