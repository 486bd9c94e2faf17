"""Hooks and CAPTCHA: what they may change, what they may refuse, and what happens when they fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headgate.base.errors import SettingsError
from headgate.db import Database
from headgate.surface.auth.hooks import function_name
from headgate.surface.auth.providers import read_providers
from tests.auth_server import PASSWORD, Auth, parts, running
from tests.identity_provider import Fault, IdentityProvider

FUNCTION = (
    "create or replace function public.hook(event jsonb) returns jsonb language plpgsql as $$ begin {} end $$"
)


async def hook(database: Database, body: str) -> None:
    """Put this into the function `public.hook`."""
    await database.execute(FUNCTION.format(body))


async def sign_in(auth: Auth, **more: Any) -> Any:
    """POST /token?grant_type=password."""
    body = {"email": "a@example.com", "password": PASSWORD, **more}
    return await auth.post("/token?grant_type=password", body)


async def with_user(auth: Auth) -> None:
    """A user who may sign in."""
    body = {"email": "a@example.com", "password": PASSWORD, "email_confirm": True}
    assert (await auth.post("/admin/users", body, token=auth.service)).status_code == 200


async def test_hook_adds_claims_and_gets_supabases_payload(database: Database, tmp_path: Path) -> None:
    await database.execute("create table public.seen (event jsonb)")
    await hook(
        database,
        "insert into public.seen values (event);"
        " return jsonb_build_object('claims', event->'claims' || '{\"plan\": \"pro\"}');",
    )
    async with running(database, tmp_path, auth_hook_claims="public.hook") as auth:
        await with_user(auth)
        claims = parts((await sign_in(auth)).json()["access_token"])[1]
        assert claims["plan"] == "pro"
        event = await database.fetch_value("select event from public.seen")
        assert event["user_id"] == claims["sub"] and event["authentication_method"] == "password"
        assert event["claims"]["session_id"] == claims["session_id"]


BROKEN = (
    "return jsonb_build_object('claims', event->'claims' - 'sub');", "return null;", "return '[]'::jsonb;",
    "return jsonb_build_object('claims', (event->'claims') || jsonb_build_object('sub', gen_random_uuid()));",
    "return jsonb_build_object('claims', (event->'claims') || '{\"exp\": 9999999999}');",
    "return jsonb_build_object('claims', (event->'claims') || '{\"session_id\": \"x\"}');",
    "return jsonb_build_object('claims', (event->'claims') || '{\"role\": 7}');", "raise exception 'x';",
    "return 1 / 0;", "return jsonb_build_object('claims', 'x');",
    "return jsonb_build_object('error', jsonb_build_object('http_code', 403, 'message', 'Not today'));",
    "return jsonb_build_object('error', jsonb_build_object('http_code', 500, 'message', 'Not today'));",
)  # fmt: skip


async def test_hook_that_fails_or_breaks_claims_lets_nobody_in(database: Database, tmp_path: Path) -> None:
    await hook(database, "return '{}';")
    async with running(database, tmp_path, auth_hook_claims="public.hook") as auth:
        await with_user(auth)
        for body in BROKEN:
            await hook(database, body)
            answer = await sign_in(auth)
            assert 400 <= answer.status_code < 500 and "access_token" not in answer.text, answer.text
            assert ("Not today" in body) == (answer.json()["msg"] == "Not today"), body
        assert await database.fetch_value("select count(*) from auth.sessions") == 0


async def test_hook_may_refuse_a_user_and_a_password(database: Database, tmp_path: Path) -> None:
    await hook(
        database,
        "if event->'metadata'->>'name' = 'before-user-created' and event->'user'->>'email' like '%@evil.example' then"
        ' return \'{"error": {"http_code": 403, "message": "Not from there"}}\'; end if;'
        ' if event ? \'valid\' then return \'{"decision": "reject", "message": "Too many"}\'; end if; return \'{}\';',
    )
    settings = {
        "auth_hook_user_created": "public.hook",
        "auth_hook_password": "public.hook",
        "auth_autoconfirm": True,
    }
    async with running(database, tmp_path, **settings) as auth:
        refused = await auth.post("/signup", {"email": "a@evil.example", "password": PASSWORD})
        assert (refused.status_code, refused.json()["msg"]) == (403, "Not from there")
        assert await database.fetch_value("select count(*) from auth.users") == 0
        await auth.sign_up()
        answer = await sign_in(auth)
        assert (answer.status_code, answer.json()["msg"]) == (400, "Too many")


def test_hook_and_provider_settings_that_are_wrong_stop_the_start() -> None:
    assert (
        function_name("public.hook")
        == function_name("pg-functions://postgres/public/hook")
        == ("public", "hook")
    )
    assert function_name("") is None
    for wrong in ("hook", "public.hook()", "a.b; drop table x", "public.hook\n", "https://example.com/x.y"):
        with pytest.raises(SettingsError):
            function_name(wrong)
    good = {"client_id": "x", "issuer": "https://login.example.com"}
    assert read_providers(json.dumps({"company": good}))["company"].issuer == "https://login.example.com"
    assert "secret" not in repr(
        read_providers(json.dumps({"google": {"client_id": "x", "client_secret": "secret"}}))
    )
    for bad in (
        "x", "[]", '{"google": {}}', '{"email": {"client_id": "x"}}', '{"company": {"client_id": "x"}}',
        '{"company": {"client_id": "x", "issuer": "http://login.example.com"}}',
        '{"company": {"client_id": "x", "issuer": "ftp://login.example.com"}}',
        '{"google": {"client_id": "x", "wrong": 1}}', '{"google": {"client_id": "x", "skip_nonce_check": "no"}}',
    ):  # fmt: skip
        with pytest.raises(SettingsError) as caught:
            read_providers(bad)
        assert caught.value.code == "HG100"


async def test_captcha_guards_every_way_in_but_the_administrators(database: Database, tmp_path: Path) -> None:
    async with IdentityProvider() as service:
        settings = {
            "auth_captcha_url": f"{service.url}/captcha", "auth_captcha_secret": "captcha-secret",
            "allow_private_hosts": service.place, "auth_autoconfirm": True,
        }  # fmt: skip
        async with running(database, tmp_path, **settings) as auth:
            ways: list[tuple[str, dict[str, Any]]] = [
                ("/signup", {"email": "a@example.com", "password": PASSWORD}),
                ("/token?grant_type=password", {"email": "a@example.com", "password": PASSWORD}),
                ("/otp", {"email": "a@example.com"}), ("/recover", {"email": "a@example.com"}),
                ("/resend", {"type": "signup", "email": "a@example.com"}),
                ("/token?grant_type=id_token", {"provider": "x", "id_token": "a.b.c"}),
                ("/passkeys/authentication/options", {}),
            ]  # fmt: skip
            for path, body in ways:
                for token in (None, "", "bad", 1, "x" * 9000):
                    guarded = {**body, "gotrue_meta_security": {"captcha_token": token}}
                    answer = await auth.post(path, guarded)
                    assert (answer.status_code, answer.json()["error_code"]) == (400, "captcha_failed"), (
                        path,
                        token,
                    )
                answer = await auth.post(path, {**body, "gotrue_meta_security": {"captcha_token": "good"}})
                assert answer.json().get("error_code") != "captcha_failed", path
            assert service.seen[0][1]["remoteip"] == "127.0.0.1"
            administrator = await auth.post(*ways[1], token=auth.service)
            assert "access_token" in administrator.json()
            service.fault = Fault.TOKEN_DOWN
            down = await auth.post(
                "/signup", {**ways[0][1], "gotrue_meta_security": {"captcha_token": "good"}}
            )
            assert (down.status_code, down.json()["error_code"]) == (503, "captcha_failed")
            assert "captcha-secret" not in down.text
