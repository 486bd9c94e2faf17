"""Accounts over HTTP: signing up with and without confirmation, anonymous users, passwords, sessions' tokens."""

from __future__ import annotations

import time
from pathlib import Path

from headgate.db import Database
from tests.auth_server import PASSWORD, parts, running

A = "a@example.com"


async def test_sign_up_with_autoconfirm_gives_a_session_with_every_claim(
    database: Database, tmp_path: Path
) -> None:
    async with running(database, tmp_path, auth_autoconfirm=True) as auth:
        session = await auth.sign_up(data={"name": "A"})
        assert set(session) == {
            "access_token", "token_type", "expires_in", "expires_at", "refresh_token", "user",
        }  # fmt: skip
        header, claims = parts(session["access_token"])
        assert header["alg"] == "ES256" and header["kid"]
        user = session["user"]
        assert claims["sub"] == user["id"] and claims["aud"] == "authenticated" and claims["aal"] == "aal1"
        assert claims["iss"] == f"{auth.url}/auth/v1" and claims["role"] == "authenticated"
        assert claims["exp"] - claims["iat"] == 3600 and abs(claims["iat"] - time.time()) < 60
        assert claims["amr"][0]["method"] == "password" and isinstance(claims["amr"][0]["timestamp"], int)
        assert claims["is_anonymous"] is False and claims["session_id"] and claims["phone"] == ""
        assert user["app_metadata"] == {"provider": "email", "providers": ["email"]}
        assert user["user_metadata"]["name"] == "A" and user["identities"][0]["provider"] == "email"
        assert user["email_confirmed_at"].endswith("Z") and user["created_at"].endswith("Z")
        assert "encrypted_password" not in str(session)
        again = await auth.post("/signup", {"email": A, "password": PASSWORD})
        assert (again.status_code, again.json()["error_code"]) == (422, "user_already_exists")


async def test_sign_up_is_confirmed_by_the_code_of_the_letter(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        answer = await auth.post("/signup", {"email": "A@Example.com", "password": PASSWORD})
        assert answer.status_code == 200 and "access_token" not in answer.json()
        assert answer.json()["email"] == A and "email_confirmed_at" not in answer.json()
        refused = await auth.post("/token?grant_type=password", {"email": A, "password": PASSWORD})
        assert (refused.status_code, refused.json()["error_code"]) == (400, "email_not_confirmed")
        code = await auth.code(A)
        wrong = await auth.post("/verify", {"type": "signup", "email": A, "token": "000000"})
        assert (wrong.status_code, wrong.json()["error_code"]) == (403, "otp_expired")
        right = await auth.post("/verify", {"type": "signup", "email": A, "token": code})
        assert right.status_code == 200 and right.json()["user"]["email_confirmed_at"]
        assert right.json()["user"]["identities"][0]["identity_data"]["email_verified"] is True
        replay = await auth.post("/verify", {"type": "signup", "email": A, "token": code})
        assert replay.status_code == 403
        signed_in = await auth.post("/token?grant_type=password", {"email": A, "password": PASSWORD})
        assert signed_in.status_code == 200


async def test_a_link_sends_the_browser_on_with_tokens_only_to_allowed_places(
    database: Database, tmp_path: Path
) -> None:
    settings = {"auth_site_url": "https://site.example", "auth_redirect_urls": "https://*.app.example/**"}
    async with running(database, tmp_path, **settings) as auth:
        for number, (asked, landed) in enumerate(
            [
                ("https://one.app.example/welcome?x=1", "https://one.app.example/welcome?x=1#"),
                ("https://evil.example/", "https://site.example#"),
                ("//evil.example", "https://site.example#"),
                ("javascript:alert(1)", "https://site.example#"),
                ("https://site.example@evil.example/", "https://site.example#"),
                ("https://evil.example/.app.example/", "https://site.example#"),
                ("https://site.example/in", "https://site.example/in#"),
            ]
        ):
            email = f"user{number}@example.com"
            await auth.post("/signup", {"email": email, "password": PASSWORD}, params={"redirect_to": asked})
            answer = await auth.http.get(await auth.link(email))
            assert answer.status_code == 303
            assert answer.headers["location"].startswith(landed + "access_token="), answer.headers["location"]
            assert "type=signup" in answer.headers["location"]
        again = await auth.http.get(await auth.link("user0@example.com"))
        assert "error_code=otp_expired" in again.headers["location"]


async def test_anonymous_users_sign_in_where_allowed_and_become_permanent(
    database: Database, tmp_path: Path
) -> None:
    async with running(database, tmp_path) as auth:
        refused = await auth.post("/signup", {})
        assert (refused.status_code, refused.json()["error_code"]) == (422, "anonymous_provider_disabled")
    async with running(database, tmp_path, auth_anonymous_users=True) as auth:
        session = (await auth.post("/signup", {"data": {"n": 1}})).json()
        token = session["access_token"]
        assert session["user"]["is_anonymous"] and parts(token)[1]["is_anonymous"]
        assert parts(token)[1]["role"] == "authenticated"
        too_early = await auth.put("/user", {"password": PASSWORD}, token=token)
        assert too_early.status_code == 422
        assert (await auth.get("/reauthenticate", token=token)).status_code == 400
        await auth.put("/user", {"email": A}, token=token)
        done = await auth.post("/verify", {"type": "email_change", "email": A, "token": await auth.code(A)})
        assert done.json()["user"]["is_anonymous"] is False and done.json()["user"]["email"] == A
        assert done.json()["user"]["id"] == session["user"]["id"]


REFUSED: list[tuple[object, int, str]] = [
    ({"email": "nobody", "password": PASSWORD}, 400, "validation_failed"),
    ({"email": "a@b@c.example", "password": PASSWORD}, 400, "validation_failed"),
    ({"email": A, "password": "12345"}, 422, "weak_password"),
    ({"email": A, "password": "x" * 73}, 400, "validation_failed"),
    ({"email": A, "password": "é" * 37}, 400, "validation_failed"),
    ({"email": A}, 400, "validation_failed"),
    ({"email": A, "phone": "+4912345", "password": PASSWORD}, 400, "validation_failed"),
    ({"phone": "+4912345", "password": PASSWORD}, 400, "phone_provider_disabled"),
    ({"email": A, "password": PASSWORD, "data": []}, 400, "validation_failed"),
    ({"email": A, "password": PASSWORD, "code_challenge": "x"}, 400, "validation_failed"),
    ({"email": "a" * 300 + "@example.com", "password": PASSWORD}, 400, "validation_failed"),
]


async def test_sign_up_refuses_what_it_cannot_take(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        for body, status, code in REFUSED:
            answer = await auth.post("/signup", body)
            assert (answer.status_code, answer.json()["error_code"]) == (status, code), body
            if code == "weak_password":
                assert answer.json()["weak_password"] == {"reasons": ["length"]}
                assert answer.json()["msg"] == "Password should be at least 6 characters."
    assert await database.fetch_value("select count(*) from auth.users") == 0


async def test_sign_up_can_be_switched_off(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path, auth_signups=False) as auth:
        answer = await auth.post("/signup", {"email": A, "password": PASSWORD})
        assert (answer.status_code, answer.json()["error_code"]) == (422, "signup_disabled")
        assert (await auth.post("/otp", {"email": A})).status_code == 200
        assert (await auth.get("/settings")).json()["disable_signup"] is True
    assert await database.fetch_value("select count(*) from auth.users") == 0


async def test_passwords_may_have_to_contain_classes_of_characters(
    database: Database, tmp_path: Path
) -> None:
    async with running(database, tmp_path, auth_password_classes="upper,digit") as auth:
        answer = await auth.post("/signup", {"email": A, "password": "onlysmall"})
        assert answer.json()["weak_password"] == {"reasons": ["characters"]}
        assert (await auth.post("/signup", {"email": A, "password": "Large1letter"})).status_code == 200
