"""Functions of an application, called by the real clients and by hand: their answers, failures and bounds."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic import SecretStr

from headgate.base.errors import ManifestError
from headgate.base.functions import FunctionAnswer, FunctionCall
from headgate.base.settings import Settings
from headgate.db import Database
from headgate.db.keys import ensure_keys
from headgate.engine.manifest import App, Services
from headgate.server import create_app
from tests.clients.programs import run_supabase_js
from tests.serving import on_loopback

HERE = Path(__file__).parent
SECRET = "a secret of this test that is long enough"
SUB = "7f3f3f3e-0000-4000-8000-000000000001"


def _echo(services: Services) -> Any:
    async def echo(call: FunctionCall) -> dict[str, Any]:
        async with services.db.as_role(call.claims) as conn:
            row = await (
                await conn.execute("select current_user::text as role, auth.uid()::text as uid")
            ).fetchone()
        kind = call.headers.get("content-type", "")
        return {
            **(row or {}), "sub": call.claims.get("sub"), "method": call.method, "path": call.path,
            "query": call.query, "mine": call.headers.get("x-mine"), "type": kind,
            "body": call.json() if kind == "application/json" else None,
        }  # fmt: skip

    return echo


def _plain(answer: Any) -> Any:
    async def function(_: FunctionCall) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return lambda _: function


async def _size(call: FunctionCall) -> int:
    return len(call.body)


async def _slow(_: FunctionCall) -> None:
    await asyncio.sleep(30)


def app(**functions: Any) -> App:
    return App(name="probe", title="Probe", folder=HERE, functions=functions)


FUNCTIONS = {
    "echo": _echo,
    "size": lambda _: _size,
    "slow": lambda _: _slow,
    "text": _plain("plain words"),
    "bytes": _plain(b"\x00\x01\xff"),
    "nothing-to-say": _plain(None),
    "teapot": _plain(
        FunctionAnswer(status=418, body=b'{"short":true}', headers={"content-type": "application/json"})
    ),
    "broken": _plain(RuntimeError("a secret detail")),
}


@pytest.fixture
async def server(database: Database, tmp_path: Path) -> AsyncIterator[tuple[str, str, str]]:
    """A server with these functions: its URL, the anonymous key and a user's token."""
    keys = await ensure_keys(database, tmp_path / "keys.json")
    settings = Settings(
        data_dir=tmp_path, jwt_secret=SecretStr(SECRET), function_timeout_s=0.5, max_body_bytes=10_000
    )
    claims = {"role": "authenticated", "sub": SUB, "exp": int(time.time()) + 600}
    token = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))
    server_app = create_app(settings, database, apps=[app(**FUNCTIONS)])
    async with on_loopback(server_app, http="headgate.surface.http:Protocol") as url:
        yield url, keys["anon"], token


async def _program(*command: str, cwd: Path) -> None:
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    print(out.decode())
    assert process.returncode == 0, out.decode()
    assert " 0 failed" in out.decode()


async def test_supabase_js_calls_functions(server: tuple[str, str, str]) -> None:
    await run_supabase_js("functions.mjs", *server, least=2)


async def test_supabase_py_calls_functions_sync_and_async(server: tuple[str, str, str]) -> None:
    pytest.importorskip("supabase", reason="supabase-py is not installed: it is in the dev requirements")
    await _program(sys.executable, str(HERE / "functions.py"), *server, cwd=HERE)


async def test_calls_are_bounded_and_refused_clearly(server: tuple[str, str, str]) -> None:
    url, anon, _ = server
    async with httpx.AsyncClient(base_url=f"{url}/functions/v1", headers={"apikey": anon}) as http:
        slow = await http.post("/slow")
        assert (slow.status_code, slow.json()["code"], slow.headers["x-relay-error"]) == (
            504,
            "TIMEOUT",
            "true",
        )
        large = await http.post("/size", content=b"x" * 10_001)
        assert (large.status_code, large.json()["code"]) == (413, "TOO_LARGE")
        assert (await http.post("/size", content=b"x" * 10_000)).json() == 10_000
        assert (await http.post("/nothing-to-say")).status_code == 204
        assert (await http.get("/text", headers={"apikey": "sb_publishable_wrong"})).status_code == 401
        for odd in ("/", "/%00", "/..%2f..%2fetc", "/Echo", "//echo"):
            answer = await http.get(odd)
            assert answer.status_code == 404, odd
            assert answer.json()["code"] == "NOT_FOUND"
        other = {"origin": "https://a.example", "access-control-request-method": "POST"}
        assert (await http.options("/echo", headers=other)).headers["access-control-allow-origin"] == "*"


async def test_two_applications_cannot_have_one_function(database: Database, tmp_path: Path) -> None:
    both = [app(same=_plain(1)), App(name="other", title="Other", folder=HERE, functions={"same": _plain(2)})]
    with pytest.raises(ManifestError, match="same"):
        create_app(Settings(data_dir=tmp_path), database, apps=both)
    with pytest.raises(ManifestError, match="plain name"):
        app(**{"no/slash": _plain(1)})
