"""The auth service's frame: routes, error shapes, bodies, public endpoints."""

from __future__ import annotations

from pathlib import Path

from headgate.db import Database
from headgate.surface.auth.upkeep import tidy
from tests.auth_server import PASSWORD, running


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


async def test_auth_head_uses_no_link_up(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        await auth.post("/signup", {"email": "a@example.com", "password": PASSWORD})
        link = await auth.link("a@example.com")
        assert (await auth.http.head(link)).status_code == 405
        assert (await auth.http.head(f"{auth.url}/auth/v1/health")).status_code == 200
        assert "access_token" in (await auth.http.get(link)).headers["location"]


async def test_auth_upkeep_forgets_what_ended_and_nothing_else(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        for email in ("a@example.com", "b@example.com"):
            await auth.post("/signup", {"email": email, "password": PASSWORD})
        await auth.http.get(await auth.link("a@example.com"))
        await auth.post("/recover", {"email": "a@example.com"})
        assert await tidy(database, auth.settings) == 0
        await database.execute("update auth.one_time_tokens set created_at = created_at - interval '26 h'")
        await database.execute("update auth.sessions set not_after = now() - interval '25 h'")
        assert await tidy(database, auth.settings) == 3
    assert await database.fetch_value("select count(*) from auth.users") == 2
    assert await database.fetch_value("select count(*) from auth.refresh_tokens") == 0
