"""The auth service's frame: routes, error shapes, bodies, public endpoints."""

from __future__ import annotations

from pathlib import Path

from headgate.db import Database
from tests.auth_server import running


async def test_auth_health_settings_and_keys_need_no_key(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        for path in ("/health", "/settings", "/.well-known/jwks.json"):
            answer = await auth.http.get(f"{auth.url}/auth/v1{path}")
            assert answer.status_code == 200, answer.text
        keys = (await auth.get("/.well-known/jwks.json")).json()["keys"]
        assert [(key["kty"], key["alg"], key["key_ops"]) for key in keys] == [("EC", "ES256", ["verify"])] * 2
        assert not any("d" in key for key in keys)


async def test_auth_errors_have_both_shapes(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        old = await auth.get("/nowhere")
        assert (old.status_code, old.json()["code"]) == (404, 404)
        assert "x-supabase-api-version" not in old.headers
        new = await auth.get("/nowhere", headers={"X-Supabase-Api-Version": "2024-01-01"})
        assert new.headers["x-supabase-api-version"] == "2024-01-01"
        assert isinstance(new.json()["code"], str) and "message" in new.json()
        assert (await auth.post("/health")).status_code == 405
        assert "x-request-id" in new.headers
