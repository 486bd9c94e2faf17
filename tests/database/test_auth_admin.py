"""The admin API: users, links, factors; what it tells and to whom."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from headgate.db import Database
from tests.auth_server import PASSWORD, Auth, parts, running
from tests.identity_provider import fragment_of, query_of
from tests.signed_in import new_session, new_user


async def made(auth: Auth, **body: Any) -> dict[str, Any]:
    """POST /admin/users."""
    answer = await auth.post("/admin/users", body, token=auth.service)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def refused(auth: Auth, path: str, body: Any, method: str = "POST") -> tuple[int, str]:
    """Status and code of an administrator's request."""
    answer = await auth.call(method, path, body, token=auth.service)
    return answer.status_code, answer.json().get("error_code", "none")


async def sign_in(auth: Auth, email: str, password: str) -> Any:
    """POST /token?grant_type=password."""
    return (await auth.post("/token?grant_type=password", {"email": email, "password": password})).json()


async def test_admin_only_with_the_rights_of_service_role(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        session = await new_session(auth)
        user = session["user"]["id"]
        paths = [
            ("GET", "/admin/users"), ("POST", "/admin/users"), ("GET", f"/admin/users/{user}"),
            ("PUT", f"/admin/users/{user}"), ("DELETE", f"/admin/users/{user}"), ("POST", "/invite"),
            ("POST", "/admin/generate_link"), ("GET", f"/admin/users/{user}/factors"),
            ("DELETE", f"/admin/users/{user}/factors/{user}"), ("PUT", f"/admin/users/{user}/factors/{user}"),
            ("GET", f"/admin/users/{user}/passkeys"), ("DELETE", f"/admin/users/{user}/passkeys/{user}"),
        ]  # fmt: skip
        for token, statuses in (
            (auth.anon, (401, 403)),
            (session["access_token"], (403,)),
            ("x.y.z", (403,)),
        ):
            for method, path in paths:
                answer = await auth.call(
                    method, path, {"email": "a@example.com", "type": "signup"}, token=token
                )
                assert answer.status_code in statuses, (method, path, answer.text)
                assert "a@example.com" not in answer.text
                # whether the user exists makes no difference to a stranger
                other = await auth.call(method, path.replace(user, str(uuid.uuid4())), {}, token=token)
                assert (other.status_code, other.json()) == (answer.status_code, answer.json())
        assert await database.fetch_value("select count(*) from auth.users") == 1


async def test_admin_makes_users_of_every_kind(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        plain = await made(auth, email="A@Example.com", user_metadata={"n": 1}, app_metadata={"plan": "x"})
        assert plain["email"] == "a@example.com" and "email_confirmed_at" not in plain
        assert plain["app_metadata"] == {"plan": "x", "provider": "email", "providers": ["email"]}
        assert plain["user_metadata"]["n"] == 1
        assert "encrypted_password" not in json.dumps(plain)
        chosen = str(uuid.uuid4())
        full = await made(
            auth, id=chosen, email="b@example.com", phone="+49 123 456", password=PASSWORD, email_confirm=True,
            phone_confirm=True, role="editor",
        )  # fmt: skip
        assert (full["id"], full["phone"], full["role"]) == (chosen, "49123456", "editor")
        assert full["email_confirmed_at"] and full["phone_confirmed_at"]
        assert (await sign_in(auth, "b@example.com", PASSWORD))["user"]["id"] == chosen
        hashed = bcrypt.hashpw(b"moved here", bcrypt.gensalt(4)).decode()
        await made(auth, email="c@example.com", password_hash=hashed, email_confirm=True)
        assert "access_token" in await sign_in(auth, "c@example.com", "moved here")
        audit = await database.fetch_all(
            "select payload from auth.audit_log_entries where payload->>'action' = 'user_signedup'"
        )
        assert len(audit) == 3 and all(row["payload"]["actor_username"] == "service_role" for row in audit)


async def test_admin_refuses_what_cannot_be(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        taken = await made(auth, email="a@example.com", phone="491234567")
        cases: list[tuple[Any, int, str]] = [
            ({}, 400, "validation_failed"), ({"email": ""}, 400, "validation_failed"),
            ({"email": "not an address"}, 400, "validation_failed"), ({"email": 1}, 400, "validation_failed"),
            ({"phone": "abc"}, 400, "validation_failed"), ({"email": "A@example.com"}, 422, "email_exists"),
            ({"phone": "+491234567"}, 422, "phone_exists"),
            ({"email": "b@example.com", "id": taken["id"]}, 422, "conflict"),
            ({"email": "b@example.com", "id": "x"}, 400, "validation_failed"),
            ({"email": "b@example.com", "id": str(uuid.UUID(int=0))}, 400, "validation_failed"),
            ({"email": "b@example.com", "password": "short"}, 422, "weak_password"),
            ({"email": "b@example.com", "password": "x" * 73}, 400, "validation_failed"),
            ({"email": "b@example.com", "password": PASSWORD, "password_hash": "x"}, 400, "validation_failed"),
            ({"email": "b@example.com", "password_hash": "$1$md5"}, 400, "validation_failed"),
            ({"email": "b@example.com", "ban_duration": "soon"}, 400, "validation_failed"),
            ({"email": "b@example.com", "ban_duration": "-1h"}, 400, "validation_failed"),
            ({"email": "b@example.com", "ban_duration": "9" * 60 + "h"}, 400, "validation_failed"),
            ({"email": "b@example.com", "user_metadata": []}, 400, "validation_failed"),
            ({"email": "b@example.com", "email_confirm": "yes"}, 400, "validation_failed"),
            ({"email": "b@example.com", "role": "x; drop table"}, 400, "validation_failed"),
            ({"email": "b@example.com", "user_metadata": {"a": "\0"}}, 400, "validation_failed"),
            ([], 400, "bad_json"), ("x", 400, "bad_json"),
        ]  # fmt: skip
        for body, status, code in cases:
            assert await refused(auth, "/admin/users", body) == (status, code), body
        assert await database.fetch_value("select count(*) from auth.users") == 1
        for path in (
            "/admin/users/x",
            f"/admin/users/{uuid.uuid4()}",
            "/admin/users/%00",
            "/admin/users/' or 1=1",
        ):
            for method in ("GET", "PUT", "DELETE"):
                assert (await auth.call(method, path, {}, token=auth.service)).status_code == 404, (
                    method,
                    path,
                )


async def test_admin_lists_users_in_pages(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        for number in range(7):
            await made(auth, email=f"u{number}@example.com", user_metadata={"full_name": f"Name {number}%"})
        first = await auth.get("/admin/users?page=1&per_page=3", token=auth.service)
        assert [one["email"][:2] for one in first.json()["users"]] == ["u6", "u5", "u4"]
        assert first.json()["aud"] == "authenticated" and first.headers["x-total-count"] == "7"
        assert re.findall(r"page=(\d+)&per_page=3>; rel=\"(\w+)\"", first.headers["link"]) == [
            ("2", "next"),
            ("3", "last"),
        ]
        last = await auth.get("/admin/users?page=3&per_page=3", token=auth.service)
        assert len(last.json()["users"]) == 1 and 'rel="next"' not in last.headers["link"]
        assert (await auth.get("/admin/users?page=99", token=auth.service)).json()["users"] == []
        for query in (
            "page=-1",
            "page=0",
            "page=x",
            "per_page=0",
            "per_page=-5",
            "page=99999999999999",
            "page=%00",
            "page=1e3",
        ):
            answer = await auth.get(f"/admin/users?{query}", token=auth.service)
            assert (answer.status_code, answer.json()["error_code"]) == (400, "validation_failed"), query
        for wanted, count in (("u3@", 1), ("NAME 4%", 1), ("%", 7), ("_", 0), ("'", 0)):
            found = await auth.get("/admin/users", params={"filter": wanted}, token=auth.service)
            assert len(found.json()["users"]) == count, wanted


async def test_admin_changes_and_bans_users(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        session = await new_session(auth)
        path = f"/admin/users/{session['user']['id']}"
        await made(auth, email="taken@example.com")

        async def put(**body: Any) -> Any:
            return (await auth.put(path, body, token=auth.service)).json()

        changed = await put(
            user_metadata={"a": 1}, app_metadata={"plan": "pro"}, email="new@example.com", email_confirm=True
        )
        assert changed["email"] == "new@example.com" and changed["user_metadata"]["a"] == 1
        assert (
            changed["app_metadata"]["plan"] == "pro"
            and changed["identities"][0]["identity_data"]["email"] == "new@example.com"
        )
        assert (await put(user_metadata={"a": None}))["user_metadata"].get("a") is None
        assert (await put(email="taken@example.com"))["error_code"] == "email_exists"
        assert (await auth.get("/user", token=session["access_token"])).status_code == 200
        await put(password="another password")
        ended = await auth.get("/user", token=session["access_token"])
        assert (ended.status_code, ended.json()["error_code"]) == (403, "session_not_found")
        assert "access_token" in await sign_in(auth, "new@example.com", "another password")
        assert (await put(ban_duration="1h30m"))["banned_until"]
        assert (await sign_in(auth, "new@example.com", "another password"))["error_code"] == "user_banned"
        assert "banned_until" not in await put(ban_duration="none")
        assert "access_token" in await sign_in(auth, "new@example.com", "another password")


async def test_admin_deletes_users_for_good_or_softly(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        session = await new_session(auth)
        gone = await auth.call("DELETE", f"/admin/users/{session['user']['id']}", token=auth.service)
        assert (gone.status_code, gone.json()) == (200, {})
        assert (await auth.get("/user", token=session["access_token"])).status_code == 403
        assert await database.fetch_value("select count(*) from auth.users") == 0
        session = await new_session(auth)
        path = f"/admin/users/{session['user']['id']}"
        soft = await auth.call("DELETE", path, {"should_soft_delete": True}, token=auth.service)
        assert soft.status_code == 200
        row = await database.fetch_one("select * from auth.users")
        assert row is not None and row["deleted_at"] is not None
        assert "example.com" not in str(dict(row)) and row["encrypted_password"] is None
        assert "example.com" not in str(await database.fetch_all("select * from auth.identities"))
        assert (await auth.get("/user", token=session["access_token"])).status_code == 403
        assert (await sign_in(auth, "a@example.com", PASSWORD))["error_code"] == "invalid_credentials"
        assert (await auth.get(path, token=auth.service)).status_code == 404
        assert await new_user(auth) != session["user"]["id"]  # the address is free again


async def generate(auth: Auth, kind: str, **more: Any) -> Any:
    """POST /admin/generate_link."""
    body = {"type": kind, "email": "a@example.com", **more}
    return (await auth.post("/admin/generate_link", body, token=auth.service)).json()


@pytest.mark.parametrize("kind", ["signup", "invite", "magiclink", "recovery"])
async def test_admin_links_work_once_by_link_or_by_code(
    database: Database, tmp_path: Path, kind: str
) -> None:
    async with running(database, tmp_path, auth_redirect_urls="https://app.example.com/*") as auth:
        if kind in ("magiclink", "recovery"):
            await new_user(auth)
        back = "https://app.example.com/in"
        link = await generate(auth, kind, password=PASSWORD, redirect_to=back, data={"n": 1})
        assert (
            link["verification_type"] == kind
            and link["redirect_to"] == back
            and link["email"] == "a@example.com"
        )
        assert query_of(link["action_link"]) == {
            "token": link["hashed_token"],
            "type": kind,
            "redirect_to": back,
        }
        assert await auth.letters() == []
        used = await auth.http.get(link["action_link"])
        assert used.headers["location"].startswith(back + "#")
        told = fragment_of(used.headers["location"])
        assert parts(told["access_token"])[1]["email"] == "a@example.com" and told["type"] == kind
        again = await auth.http.get(link["action_link"])
        assert query_of(again.headers["location"])["error_code"] == "otp_expired"
        if kind in ("magiclink", "recovery"):
            link = await generate(auth, kind)
            body = {"type": kind, "email": "a@example.com", "token": link["email_otp"]}
            assert "access_token" in (await auth.post("/verify", body)).json()
        else:
            assert bool(link.get("invited_at")) == (kind == "invite")
            assert (await generate(auth, kind, password=PASSWORD))["error_code"] == "email_exists"


async def test_admin_links_for_nobody_and_for_a_new_address(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        assert (await generate(auth, "recovery"))["error_code"] == "user_not_found"
        assert (await generate(auth, "email_change_new", new_email="b@example.com"))[
            "error_code"
        ] == "user_not_found"
        for kind in ("", "x", "email_change", None, 1):
            assert (await generate(auth, kind))["error_code"] == "validation_failed"  # type: ignore[arg-type]
        for email in ("", "x", None):
            assert (await generate(auth, "signup", email=email))["error_code"] == "validation_failed"
        assert await database.fetch_value("select count(*) from auth.users") == 0
        assert (await generate(auth, "magiclink"))["verification_type"] == "signup"  # makes the user
        user = await new_user(auth)
        await auth.put(f"/admin/users/{user}", {"email_confirm": True}, token=auth.service)
        await new_user(auth, "taken@example.com")
        for wrong in ("", "x", "taken@example.com"):
            assert "error_code" in await generate(auth, "email_change_new", new_email=wrong)
        current = await generate(auth, "email_change_current", new_email="b@example.com")
        new = await generate(auth, "email_change_new", new_email="b@example.com")
        assert current["new_email"] == new["new_email"] == "b@example.com"
        half = await auth.http.get(current["action_link"])
        assert "access_token" not in half.headers["location"]
        assert (
            await database.fetch_value("select email from auth.users where id = %s", (user,))
            == "a@example.com"
        )
        assert "access_token" in (await auth.http.get(new["action_link"])).headers["location"]
        assert (
            await database.fetch_value("select email from auth.users where id = %s", (user,))
            == "b@example.com"
        )


async def test_admin_invitation_is_mailed_and_opens_an_account(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        answer = await auth.post(
            "/invite", {"email": "a@example.com", "data": {"team": "x"}}, token=auth.service
        )
        assert answer.status_code == 200 and answer.json()["invited_at"], answer.text
        assert answer.json()["user_metadata"]["team"] == "x"
        used = await auth.http.get(await auth.link("a@example.com"))
        assert "access_token" in fragment_of(used.headers["location"])
        assert await refused(auth, "/invite", {"email": "a@example.com"}) == (422, "email_exists")
        for email in ("", "x", None, 1, "a@example.com\0"):
            assert (await refused(auth, "/invite", {"email": email}))[0] == 400
        actions = await database.fetch_all("select payload->>'action' as a from auth.audit_log_entries")
        assert "user_invited" in {row["a"] for row in actions}


async def test_admin_factors_are_listed_renamed_and_deleted(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        session = await new_session(auth)
        factor = (
            await auth.post(
                "/factors", {"factor_type": "totp", "friendly_name": "x"}, token=session["access_token"]
            )
        ).json()
        base = f"/admin/users/{session['user']['id']}/factors"
        named = await auth.put(f"{base}/{factor['id']}", {"friendly_name": "y"}, token=auth.service)
        assert named.json()["friendly_name"] == "y"
        other = await new_user(auth, "b@example.com")
        assert await refused(auth, f"/admin/users/{other}/factors/{factor['id']}", None, "DELETE") == (
            404,
            "mfa_factor_not_found",
        )
        gone = await auth.call("DELETE", f"{base}/{factor['id']}", token=auth.service)
        assert gone.json()["id"] == factor["id"] and (await auth.get(base, token=auth.service)).json() == []
        assert await refused(auth, f"{base}/x", None, "DELETE") == (404, "validation_failed")
