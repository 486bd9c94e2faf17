"""Codes and links over HTTP: signing in without a password, recovery, resend, reauthentication, new addresses, PKCE."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from headgate.db import Database
from tests.auth_server import PASSWORD, Auth, parts, running

A, B = "a@example.com", "b@example.com"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "s256"}


async def member(auth: Auth, email: str = A) -> str:
    """A confirmed user's access token."""
    await auth.post("/signup", {"email": email, "password": PASSWORD})
    body = {"type": "signup", "email": email, "token": await auth.code(email)}
    token: str = (await auth.post("/verify", body)).json()["access_token"]
    return token


async def test_a_code_signs_in_and_makes_the_user_unless_told_otherwise(
    database: Database, tmp_path: Path
) -> None:
    async with running(database, tmp_path) as auth:
        refused = await auth.post("/otp", {"email": A, "create_user": False})
        assert (refused.status_code, refused.json()["error_code"]) == (422, "otp_disabled")
        assert (await auth.post("/otp", {"email": A, "data": {"n": 1}})).json() == {}
        new = await auth.post("/verify", {"type": "email", "email": A, "token": await auth.code(A)})
        assert new.status_code == 200 and new.json()["user"]["user_metadata"]["n"] == 1
        assert parts(new.json()["access_token"])[1]["amr"][0]["method"] == "otp"
        assert (await auth.post("/otp", {"email": A, "create_user": False})).json() == {}
        assert (await auth.letters(A))[0]["kind"] == "magic_link"
        old = await auth.post("/verify", {"type": "magiclink", "email": A, "token": await auth.code(A)})
        assert old.json()["user"]["id"] == new.json()["user"]["id"]


async def test_only_the_newest_code_works_and_none_after_its_time(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path, auth_otp_length=10) as auth:
        await member(auth)
        await auth.post("/otp", {"email": A})
        first = await auth.code(A)
        await auth.post("/otp", {"email": A})
        second = await auth.code(A)
        assert len(second) == 10 and first != second
        assert (await auth.post("/verify", {"type": "email", "email": A, "token": first})).status_code == 403
        await database.execute("update auth.one_time_tokens set created_at = created_at - interval '3601 s'")
        late = await auth.post("/verify", {"type": "email", "email": A, "token": second})
        assert (late.status_code, late.json()["error_code"]) == (403, "otp_expired")


async def test_the_hash_of_a_link_cannot_be_made_from_address_and_code(
    database: Database, tmp_path: Path
) -> None:
    async with running(database, tmp_path) as auth:
        await member(auth)
        await auth.post("/otp", {"email": A})
        code = await auth.code(A)
        token_hash = parse_qs(urlsplit(await auth.link(A)).query)["token"][0]
        assert token_hash != hashlib.sha224(f"{A}{code}".encode()).hexdigest()
        assert token_hash not in {
            hashlib.sha256(f"{A}{s}{code}".encode()).hexdigest() for s in ("", "\n", ":")
        }
        done = await auth.post("/verify", {"type": "email", "token_hash": token_hash})
        assert done.status_code == 200


async def test_recovery_signs_in_so_that_a_new_password_can_be_set(
    database: Database, tmp_path: Path
) -> None:
    async with running(database, tmp_path) as auth:
        await member(auth)
        assert (await auth.post("/recover", {"email": A})).json() == {}
        landed = (await auth.http.get(await auth.link(A))).headers["location"]
        found = parse_qs(urlsplit(landed).fragment)
        assert found["type"] == ["recovery"] and found["token_type"] == ["bearer"]
        token = found["access_token"][0]
        same = await auth.put("/user", {"password": PASSWORD}, token=token)
        assert (same.status_code, same.json()["error_code"]) == (422, "same_password")
        assert (await auth.put("/user", {"password": "another one"}, token=token)).status_code == 200
        old = await auth.post("/token?grant_type=password", {"email": A, "password": PASSWORD})
        assert old.json()["error_code"] == "invalid_credentials"
        new = await auth.post("/token?grant_type=password", {"email": A, "password": "another one"})
        assert new.status_code == 200


async def test_a_new_password_ends_the_other_sessions(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        mine = await member(auth)
        other = (await auth.post("/token?grant_type=password", {"email": A, "password": PASSWORD})).json()
        await auth.put("/user", {"password": "another one"}, token=mine)
        assert (await auth.get("/user", token=mine)).status_code == 200
        assert (await auth.get("/user", token=other["access_token"])).json()[
            "error_code"
        ] == "session_not_found"


async def test_resend_repeats_what_is_waited_for(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        await auth.post("/signup", {"email": A, "password": PASSWORD})
        before = await auth.code(A)
        assert (await auth.post("/resend", {"type": "signup", "email": A})).json() == {}
        assert await auth.code(A) != before and len(await auth.letters(A)) == 2
        assert (await auth.post("/resend", {"type": "signup", "email": B})).json() == {}
        assert await auth.letters(B) == []
        for body in (
            {"type": "signup"},
            {"type": "sms", "email": A},
            {"type": "no", "email": A},
            {"email": A},
        ):
            assert (await auth.post("/resend", body)).status_code == 400


async def test_a_new_address_is_confirmed_from_both(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        token = await member(auth)
        changed = await auth.put("/user", {"email": B}, token=token)
        assert changed.json()["new_email"] == B and changed.json()["email"] == A
        half = await auth.post("/verify", {"type": "email_change", "email": B, "token": await auth.code(B)})
        assert (half.status_code, half.json()["code"]) == (200, 200) and "access_token" not in half.json()
        assert (await auth.get("/user", token=token)).json()["email"] == A
        landed = (await auth.http.get(await auth.link(A))).headers["location"]
        assert "access_token" in landed and "type=email_change" in landed
        user = (await auth.get("/user", token=token)).json()
        assert user["email"] == B and "new_email" not in user
        assert user["identities"][0]["identity_data"]["email"] == B
        assert (
            await auth.post("/token?grant_type=password", {"email": B, "password": PASSWORD})
        ).status_code == 200


async def test_a_new_address_that_somebody_has_is_told_only_to_its_owner(
    database: Database, tmp_path: Path
) -> None:
    async with running(database, tmp_path, auth_secure_email_change=False) as auth:
        await member(auth, B)
        token = await member(auth, A)
        asked = await auth.put("/user", {"email": B}, token=token)
        assert asked.status_code == 200
        done = await auth.post("/verify", {"type": "email_change", "email": B, "token": await auth.code(B)})
        assert (done.status_code, done.json()["error_code"]) == (422, "email_exists")
        assert (await auth.get("/user", token=token)).json()["email"] == A


async def test_an_old_session_needs_a_nonce_for_a_new_password(database: Database, tmp_path: Path) -> None:
    settings = {"auth_password_reauthentication": True, "auth_password_current": True}
    async with running(database, tmp_path, **settings) as auth:
        token = await member(auth)
        await database.execute("update auth.sessions set created_at = now() - interval '25 h'")
        wanted = {"password": "another one"}
        assert (await auth.put("/user", wanted, token=token)).json()[
            "error_code"
        ] == "current_password_required"
        wanted["current_password"] = "wrong one"
        assert (await auth.put("/user", wanted, token=token)).json()[
            "error_code"
        ] == "current_password_invalid"
        wanted["current_password"] = PASSWORD
        assert (await auth.put("/user", wanted, token=token)).json()[
            "error_code"
        ] == "reauthentication_needed"
        assert (await auth.get("/reauthenticate", token=token)).status_code == 200
        wrong = await auth.put("/user", {**wanted, "nonce": "000000"}, token=token)
        assert (wrong.status_code, wrong.json()["error_code"]) == (422, "reauthentication_not_valid")
        right = await auth.put("/user", {**wanted, "nonce": await auth.code(A)}, token=token)
        assert right.status_code == 200, right.text


async def test_links_of_pkce_clients_end_in_a_code_for_their_verifier(
    database: Database, tmp_path: Path
) -> None:
    async with running(database, tmp_path) as auth:
        await auth.post("/signup", {"email": A, "password": PASSWORD, **PKCE})
        for kind in ("signup", "recovery", "magiclink"):
            if kind != "signup":
                await auth.post("/recover" if kind == "recovery" else "/otp", {"email": A, **PKCE})
            link = await auth.link(A)
            assert f"type={kind}" in link
            landed = (await auth.http.get(link)).headers["location"]
            code = parse_qs(urlsplit(landed).query)["code"][0]
            assert "access_token" not in landed
            body = {"auth_code": code, "code_verifier": "w" * 64}
            assert (await auth.post("/token?grant_type=pkce", body)).json()[
                "error_code"
            ] == "bad_code_verifier"
            body["code_verifier"] = VERIFIER
            session = await auth.post("/token?grant_type=pkce", body)
            assert session.status_code == 200 and session.json()["user"]["email"] == A
            assert (await auth.post("/token?grant_type=pkce", body)).status_code == 404


async def test_user_data_is_merged_and_null_takes_a_key_away(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        token = await member(auth)
        await auth.put("/user", {"data": {"a": 1, "deep": {"kept": None}}}, token=token)
        user = (await auth.put("/user", {"data": {"a": None, "b": [1]}}, token=token)).json()
        assert user["user_metadata"]["b"] == [1] and "a" not in user["user_metadata"]
        assert user["user_metadata"]["deep"] == {"kept": None}
        sneaky = await auth.put(
            "/user", {"app_metadata": {"role": "admin"}, "role": "service_role"}, token=token
        )
        assert sneaky.json()["app_metadata"] == {"provider": "email", "providers": ["email"]}
        assert sneaky.json()["role"] == "authenticated"


async def test_what_users_do_is_in_the_audit_log(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        token = await member(auth)
        await auth.post("/logout", token=token)
        rows = await database.fetch_all(
            "select payload ->> 'action' as action, ip_address from auth.audit_log_entries order by created_at"
        )
        assert [row["action"] for row in rows] == ["user_signedup", "user_signedup", "login", "logout"]
        assert {row["ip_address"] for row in rows} == {"127.0.0.1"}


async def test_a_stranger_who_signs_up_first_leaves_no_password_behind(
    database: Database, tmp_path: Path
) -> None:
    async with running(database, tmp_path) as auth:

        async def opens(email: str, password: str) -> bool:
            body = {"email": email, "password": password}
            return (await auth.post("/token?grant_type=password", body)).status_code == 200

        async def prove(email: str) -> str:
            body = {"type": "email", "email": email, "token": await auth.code(email)}
            token: str = (await auth.post("/verify", body)).json()["access_token"]
            return token

        for number, again in enumerate(("/signup", "/otp", "/recover")):
            email = f"user{number}@example.com"
            await auth.post("/signup", {"email": email, "password": "the stranger's"})
            mine = {"email": email, "password": PASSWORD} if again == "/signup" else {"email": email}
            assert (await auth.post(again, mine)).status_code == 200
            token = await prove(email)
            assert not await opens(email, "the stranger's") and not await opens(email, PASSWORD)
            assert (await auth.put("/user", {"password": "chosen inside"}, token=token)).status_code == 200
            assert await opens(email, "chosen inside")
        for _ in range(2):  # the same form sent twice
            await auth.post("/signup", {"email": A, "password": PASSWORD})
        await prove(A)
        assert await opens(A, PASSWORD)
