"""Second factors by TOTP: enrolling, the session that has given one, and every way of not having it."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pyotp

from headgate.db import Database
from tests.auth_server import Auth, parts, running
from tests.signed_in import new_session


async def enrol(auth: Auth, token: str, name: str = "phone") -> dict[str, Any]:
    """A new factor, not yet verified."""
    answer = await auth.post(
        "/factors", {"factor_type": "totp", "friendly_name": name, "issuer": "Shop"}, token=token
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def answer(auth: Auth, token: str, factor: dict[str, Any], code: str) -> httpx.Response:
    """Challenge and verify with `code`."""
    asked = await auth.post(f"/factors/{factor['id']}/challenge", token=token)
    assert asked.status_code == 200, asked.text
    body = {"challenge_id": asked.json()["id"], "code": code}
    return await auth.post(f"/factors/{factor['id']}/verify", body, token=token)


def code_of(factor: dict[str, Any], steps: int = 0) -> str:
    """The code now, or some steps away."""
    return pyotp.TOTP(factor["totp"]["secret"]).at(int(time.time()) + 30 * steps)


async def test_mfa_enrolment_shows_secret_uri_and_qr_code_once(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        session = await new_session(auth)
        factor = await enrol(auth, session["access_token"])
        totp = factor["totp"]
        assert factor["type"] == "totp" and factor["friendly_name"] == "phone"
        assert totp["qr_code"].startswith("<svg") and "</svg>" in totp["qr_code"]
        assert totp["uri"].startswith("otpauth://totp/Shop:a%40example.com?secret=" + totp["secret"])
        listed = await auth.get(f"/admin/users/{session['user']['id']}/factors", token=auth.service)
        assert [(one["id"], one["status"]) for one in listed.json()] == [(factor["id"], "unverified")]
        assert totp["secret"] not in listed.text
        stored = await database.fetch_value(
            "select payload::text from auth.audit_log_entries order by created_at desc"
        )
        assert totp["secret"] not in stored


async def test_mfa_right_code_raises_the_session_to_aal2_and_ends_the_lower_ones(
    database: Database, tmp_path: Path
) -> None:
    async with running(database, tmp_path) as auth:
        first, second = await new_session(auth), await new_session(auth)
        factor = await enrol(auth, first["access_token"])
        leftover = await enrol(auth, first["access_token"], "never finished")
        done = await answer(auth, first["access_token"], factor, code_of(factor))
        assert done.status_code == 200, done.text
        raised = done.json()
        claims = parts(raised["access_token"])[1]
        assert (
            claims["aal"] == "aal2" and claims["session_id"] == parts(first["access_token"])[1]["session_id"]
        )
        assert [entry["method"] for entry in claims["amr"]] == ["totp", "oauth"]
        assert [(one["id"], one["status"]) for one in raised["user"]["factors"]] == [
            (factor["id"], "verified")
        ]
        assert leftover["id"] not in done.text
        gone = await auth.post("/factors", {"factor_type": "totp"}, token=second["access_token"])
        assert gone.json()["error_code"] == "session_not_found"
        renewed = await auth.post(
            "/token?grant_type=refresh_token", {"refresh_token": raised["refresh_token"]}
        )
        if renewed.json().get("error_code") != "invalid_credentials":
            assert parts(renewed.json()["access_token"])[1]["aal"] == "aal2"


async def test_mfa_code_is_right_once_even_for_many_at_once(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        token = (await new_session(auth))["access_token"]
        factor = await enrol(auth, token)
        code = code_of(factor)
        racing = await asyncio.gather(*(answer(auth, token, factor, code) for _ in range(4)))
        assert sorted(one.status_code for one in racing) == [200, 422, 422, 422]
        won = next(one for one in racing if one.status_code == 200).json()["access_token"]
        replayed = await answer(auth, won, factor, code)
        assert (replayed.status_code, replayed.json()["error_code"]) == (422, "mfa_verification_failed")
        assert (
            await answer(auth, won, factor, code_of(factor, -1))
        ).status_code == 422  # older than the last one
        assert (await answer(auth, won, factor, code_of(factor, 1))).status_code == 200


async def test_mfa_wrong_codes_are_refused_and_counted(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        token = (await new_session(auth))["access_token"]
        factor = await enrol(auth, token)
        right = {code_of(factor, step) for step in range(-3, 4)}
        wrong = [code for code in (f"{n:06d}" for n in range(30)) if code not in right]
        for code in ("", "12345", "1234567", "abcdef", "１２３４５６", "12 456"):
            refused = await answer(auth, token, factor, code)
            assert refused.status_code in (400, 422) and "access_token" not in refused.text, code
        statuses = [(await answer(auth, token, factor, code)).status_code for code in wrong[:12]]
        assert statuses.count(422) == 5 and set(statuses[5:]) == {
            429
        }  # five of the above were counted as well
        assert (await answer(auth, token, factor, code_of(factor))).status_code == 429
        await database.execute(
            "update auth.mfa_challenges set created_at = created_at - interval '16 minutes'"
        )
        assert (await answer(auth, token, factor, code_of(factor))).status_code == 200


async def test_mfa_challenge_is_of_one_factor_one_attempt_and_five_minutes(
    database: Database, tmp_path: Path
) -> None:
    async with running(database, tmp_path) as auth:
        token = (await new_session(auth))["access_token"]
        factor, other = await enrol(auth, token), await enrol(auth, token, "other")
        asked = (await auth.post(f"/factors/{other['id']}/challenge", token=token)).json()
        assert asked["type"] == "totp" and 290 < asked["expires_at"] - time.time() <= 300

        async def verify(challenge: Any, code: str) -> httpx.Response:
            return await auth.post(
                f"/factors/{factor['id']}/verify", {"challenge_id": challenge, "code": code}, token=token
            )

        foreign = await verify(asked["id"], code_of(factor))
        assert (foreign.status_code, foreign.json()["error_code"]) == (422, "mfa_factor_not_found")
        for wrong in (str(uuid.uuid4()), "x", "", None, 1, {}):
            assert (await verify(wrong, code_of(factor))).status_code in (400, 422)
        mine = (await auth.post(f"/factors/{factor['id']}/challenge", token=token)).json()["id"]
        await database.execute("update auth.mfa_challenges set created_at = now() - interval '301 seconds'")
        late = await verify(mine, code_of(factor))
        assert (late.status_code, late.json()["error_code"]) == (422, "mfa_challenge_expired")


async def test_mfa_factors_of_others_are_not_there(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        mine = (await new_session(auth))["access_token"]
        theirs = (await new_session(auth, "b@example.com"))["access_token"]
        factor = await enrol(auth, mine)
        for method, path in (("POST", "/challenge"), ("POST", "/verify"), ("DELETE", "")):
            body = {"code": code_of(factor), "challenge_id": str(uuid.uuid4())}
            refused = await auth.call(method, f"/factors/{factor['id']}{path}", body, token=theirs)
            assert (refused.status_code, refused.json()["error_code"]) == (404, "mfa_factor_not_found")
            nobody = await auth.call(method, f"/factors/{factor['id']}{path}", body)
            assert nobody.status_code == 401
            assert nobody.json()["msg"] == "This endpoint requires a valid Bearer token"


async def test_mfa_a_session_without_the_factor_can_neither_add_nor_remove_one(
    database: Database, tmp_path: Path
) -> None:
    async with running(database, tmp_path) as auth:
        first = (await new_session(auth))["access_token"]
        factor = await enrol(auth, first)
        raised = (await answer(auth, first, factor, code_of(factor))).json()["access_token"]
        low = (await new_session(auth))["access_token"]
        more = await auth.post("/factors", {"factor_type": "totp", "friendly_name": "x"}, token=low)
        assert (more.status_code, more.json()["error_code"]) == (403, "insufficient_aal")
        less = await auth.call("DELETE", f"/factors/{factor['id']}", token=low)
        assert (less.status_code, less.json()["error_code"]) == (422, "insufficient_aal")
        same = await auth.post("/factors", {"factor_type": "totp", "friendly_name": "phone"}, token=raised)
        assert (same.status_code, same.json()["error_code"]) == (422, "mfa_factor_name_conflict")
        gone = await auth.call("DELETE", f"/factors/{factor['id']}", token=raised)
        assert (gone.status_code, gone.json()) == (200, {"id": factor["id"]})
        assert await database.fetch_value("select count(*) from auth.sessions where aal = 'aal2'") == 0


async def test_mfa_limits_and_kinds_that_are_not_offered(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        token = (await new_session(auth))["access_token"]
        for kind, code in (
            ("phone", "mfa_phone_enroll_not_enabled"), ("webauthn", "mfa_webauthn_enroll_not_enabled"),
            ("x", "validation_failed"), ("", "validation_failed"),
        ):  # fmt: skip
            refused = await auth.post("/factors", {"factor_type": kind, "phone": "+4912345"}, token=token)
            assert refused.status_code in (400, 422) and refused.json()["error_code"] == code
        for _ in range(10):
            await enrol(auth, token, "")  # names may be empty
        full = await auth.post("/factors", {"factor_type": "totp"}, token=token)
        assert (full.status_code, full.json()["error_code"]) == (422, "too_many_enrolled_mfa_factors")
        await database.execute("update auth.mfa_factors set created_at = now() - interval '25 hours'")
        assert (await auth.post("/factors", {"factor_type": "totp"}, token=token)).status_code == 200


async def test_mfa_a_token_is_worth_no_more_than_its_session_is_now(
    database: Database, tmp_path: Path
) -> None:
    async with running(database, tmp_path) as auth:
        session = await new_session(auth)
        low, user = session["access_token"], session["user"]["id"]
        first = await enrol(auth, low, "first")
        high = (await answer(auth, low, first, code_of(first))).json()["access_token"]
        stale = await auth.post("/factors", {"factor_type": "totp", "friendly_name": "x"}, token=low)
        assert stale.json()["error_code"] == "insufficient_aal"  # from before the factor was given
        second = await enrol(auth, high, "second")
        higher = (await answer(auth, high, second, code_of(second))).json()["access_token"]
        gone = await auth.call("DELETE", f"/admin/users/{user}/factors/{second['id']}", token=auth.service)
        assert gone.status_code == 200
        less = await auth.call("DELETE", f"/factors/{first['id']}", token=higher)
        assert (less.status_code, less.json()["error_code"]) == (422, "insufficient_aal")
