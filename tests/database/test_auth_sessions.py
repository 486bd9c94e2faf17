"""Sessions: rotation of refresh tokens, reuse, log-out scopes, bans, expiry; what tokens open elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

from headgate.db import Database
from tests.auth_server import PASSWORD, Auth, parts, running

A = "a@example.com"


async def refresh(auth: Auth, token: str) -> tuple[int, dict[str, object]]:
    answer = await auth.post("/token?grant_type=refresh_token", {"refresh_token": token})
    return answer.status_code, answer.json()


async def test_refresh_rotates_and_the_old_token_gives_its_successor_for_a_while(
    database: Database, tmp_path: Path
) -> None:
    async with running(database, tmp_path, auth_autoconfirm=True) as auth:
        first = (await auth.sign_up())["refresh_token"]
        status, second = await refresh(auth, first)
        assert status == 200 and second["refresh_token"] != first
        assert (
            await refresh(auth, first)
            and (await refresh(auth, first))[1]["refresh_token"] == second["refresh_token"]
        )
        _, third = await refresh(auth, str(second["refresh_token"]))
        assert (await refresh(auth, first))[1]["refresh_token"] == third["refresh_token"]
        stored = await database.fetch_all("select token from auth.refresh_tokens")
        assert len(stored) == 3 and first not in str(stored)


async def test_a_hundred_refreshes_at_once_end_in_one_successor(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path, auth_autoconfirm=True, pool_size=10) as auth:
        first = (await auth.sign_up())["refresh_token"]
        answers = await asyncio.gather(*(refresh(auth, first) for _ in range(100)))
        assert {status for status, _ in answers} == {200}
        assert len({str(body["refresh_token"]) for _, body in answers}) == 1
        assert await database.fetch_value("select count(*) from auth.refresh_tokens") == 2


async def test_reuse_after_the_interval_ends_the_whole_family(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path, auth_autoconfirm=True, auth_refresh_reuse_s=0) as auth:
        first = (await auth.sign_up())["refresh_token"]
        _, second = await refresh(auth, first)
        status, body = await refresh(auth, first)
        assert (status, body["error_code"]) == (400, "refresh_token_already_used")
        assert str(body["msg"]).startswith("Invalid Refresh Token")
        status, body = await refresh(auth, str(second["refresh_token"]))
        assert (status, body["error_code"]) == (400, "refresh_token_already_used")
        status, body = await refresh(auth, "nonsense")
        assert (status, body["error_code"]) == (400, "refresh_token_not_found")
        row = await database.fetch_value("select token from auth.refresh_tokens limit 1")
        assert (await refresh(auth, row))[1][
            "error_code"
        ] == "refresh_token_not_found"  # a hash opens nothing


async def test_sessions_of_hosted_supabase_go_on_after_the_move(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path, auth_autoconfirm=True) as auth:
        await auth.sign_up()
        await database.execute("update auth.refresh_tokens set token = 'v1abcdefghij'")
        status, body = await refresh(auth, "v1abcdefghij")
        assert status == 200
        assert (await refresh(auth, str(body["refresh_token"])))[0] == 200


async def test_log_out_scopes(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path, auth_autoconfirm=True) as auth:
        await auth.sign_up()
        body = {"email": A, "password": PASSWORD}
        one, two, three = [(await auth.post("/token?grant_type=password", body)).json() for _ in range(3)]

        async def alive() -> list[bool]:
            found = [await auth.get("/user", token=s["access_token"]) for s in (one, two, three)]
            assert all(a.status_code == 200 or a.json()["error_code"] == "session_not_found" for a in found)
            return [a.status_code == 200 for a in found]

        assert await alive() == [True, True, True]
        local = await auth.post("/logout?scope=local", token=one["access_token"])
        assert local.status_code == 204 and local.content == b""
        assert await alive() == [False, True, True]
        await auth.post("/logout?scope=others", token=two["access_token"])
        assert await alive() == [False, True, False]
        await auth.post("/logout", token=two["access_token"])
        assert await alive() == [False, False, False]
        assert (await refresh(auth, one["refresh_token"]))[1]["error_code"] == "refresh_token_not_found"
        assert (await auth.post("/logout?scope=galaxy", token=one["access_token"])).status_code == 400


async def test_banned_users_are_out_everywhere(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path, auth_autoconfirm=True) as auth:
        session = await auth.sign_up()
        await database.execute("update auth.users set banned_until = now() + interval '1 day'")
        answers = [
            await auth.get("/user", token=session["access_token"]),
            await auth.post("/token?grant_type=refresh_token", {"refresh_token": session["refresh_token"]}),
            await auth.post("/token?grant_type=password", {"email": A, "password": PASSWORD}),
        ]
        assert [a.json()["error_code"] for a in answers] == ["user_banned"] * 3
        wrong = await auth.post("/token?grant_type=password", {"email": A, "password": "wrong one"})
        assert wrong.json()["error_code"] == "invalid_credentials"


async def test_sessions_end_by_age_and_by_idleness(database: Database, tmp_path: Path) -> None:
    settings = {"auth_autoconfirm": True, "auth_session_max_s": 1000, "auth_session_idle_s": 100}
    async with running(database, tmp_path, **settings) as auth:
        session = await auth.sign_up()
        await database.execute("update auth.sessions set created_at = now() - interval '200 s'")
        _, body = await refresh(auth, session["refresh_token"])
        assert (body["error_code"], body["msg"]) == (
            "session_expired",
            "Invalid Refresh Token: Session Expired (Inactivity)",
        )
        await database.execute("update auth.sessions set not_after = now() - interval '1 s'")
        assert (await refresh(auth, session["refresh_token"]))[1]["error_code"] == "session_expired"
        gone = await auth.get("/user", token=session["access_token"])
        assert (gone.status_code, gone.json()["error_code"]) == (403, "session_not_found")


async def test_the_token_opens_the_rest_surface_as_the_user(database: Database, tmp_path: Path) -> None:
    await database.execute(
        "create table public.notes (id int primary key, owner uuid default auth.uid());"
        " alter table public.notes enable row level security;"
        " grant select, insert on public.notes to authenticated;"
        " create policy own on public.notes to authenticated using (owner = (select auth.uid()))"
    )
    async with running(database, tmp_path, auth_autoconfirm=True) as auth:
        session = await auth.sign_up()
        headers = {"apikey": auth.anon, "authorization": f"Bearer {session['access_token']}"}
        made = await auth.http.post(f"{auth.url}/rest/v1/notes", json={"id": 1}, headers=headers)
        assert made.status_code == 201, made.text
        read = await auth.http.get(f"{auth.url}/rest/v1/notes", headers=headers)
        assert read.json() == [{"id": 1, "owner": parts(session["access_token"])[1]["sub"]}]
