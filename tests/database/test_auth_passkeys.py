"""Passkeys with a software authenticator: making one, signing in with it, and everything that only looks like it."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from headgate.db import Database
from tests.auth_server import Auth, parts, running
from tests.authenticator import BE, BS, UP, UV, Authenticator, b64
from tests.signed_in import new_session

ORIGIN = "https://app.example.com"


@asynccontextmanager
async def served(database: Database, folder: Path, **more: Any) -> AsyncIterator[Auth]:
    """A server whose site is `ORIGIN`."""
    async with running(database, folder, auth_site_url=ORIGIN, **more) as auth:
        yield auth


async def register(auth: Auth, token: str, device: Authenticator, **wrong: Any) -> httpx.Response:
    """Options and verify."""
    asked = await auth.post("/passkeys/registration/options", {}, token=token)
    assert asked.status_code == 200, asked.text
    body = {
        "challenge_id": asked.json()["challenge_id"],
        "credential": device.create(asked.json()["options"], **wrong),
    }
    return await auth.post("/passkeys/registration/verify", body, token=token)


async def sign_in(auth: Auth, device: Authenticator, **wrong: Any) -> httpx.Response:
    """Options and verify."""
    asked = await auth.post("/passkeys/authentication/options", {})
    assert asked.status_code == 200, asked.text
    body = {
        "challenge_id": asked.json()["challenge_id"],
        "credential": device.get(asked.json()["options"], **wrong),
    }
    return await auth.post("/passkeys/authentication/verify", body)


async def test_passkeys_registration_sign_in_list_rename_delete(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path) as auth:
        token = (await new_session(auth))["access_token"]
        device = Authenticator(ORIGIN)
        asked = (await auth.post("/passkeys/registration/options", {}, token=token)).json()
        options = asked["options"]
        assert uuid.UUID(asked["challenge_id"]) and 290 < asked["expires_at"] - time.time() <= 300
        assert options["rp"]["id"] == "app.example.com" and options["user"]["name"] == "a@example.com"
        assert -7 in [one["alg"] for one in options["pubKeyCredParams"]]
        assert (
            options["authenticatorSelection"]["residentKey"] == "required"
            and options["attestation"] == "none"
        )
        body = {"challenge_id": asked["challenge_id"], "credential": device.create(options)}
        made = await auth.post("/passkeys/registration/verify", body, token=token)
        assert made.status_code == 200, made.text
        passkey = made.json()["id"]
        listed = (await auth.get("/passkeys", token=token)).json()
        assert [one["id"] for one in listed] == [passkey] and "last_used_at" not in listed[0]
        named = await auth.call("PATCH", f"/passkeys/{passkey}", {"friendly_name": "My phone"}, token=token)
        assert named.json()["friendly_name"] == "My phone"

        options = (await auth.post("/passkeys/authentication/options", {})).json()["options"]
        assert "allowCredentials" not in options and options["rpId"] == "app.example.com"
        session = (await sign_in(auth, device)).json()
        claims = parts(session["access_token"])[1]
        assert session["user"]["email"] == "a@example.com"
        assert [entry["method"] for entry in claims["amr"]] == ["passkey"] and claims["aal"] == "aal1"
        assert (await auth.get("/passkeys", token=token)).json()[0]["last_used_at"].endswith("Z")

        second = await auth.post("/passkeys/registration/options", {}, token=token)
        assert [one["id"] for one in second.json()["options"]["excludeCredentials"]] == [b64(device.id)]
        again = await register(auth, token, device)
        assert (again.status_code, again.json()["error_code"]) == (422, "webauthn_credential_exists")
        assert (await auth.call("DELETE", f"/passkeys/{passkey}", token=token)).status_code == 204
        assert (await auth.get("/passkeys", token=token)).json() == []
        refused = await sign_in(auth, device)
        assert (refused.status_code, refused.json()["error_code"]) == (400, "webauthn_verification_failed")


async def test_passkeys_bad_registrations_are_refused_and_kept_nowhere(
    database: Database, tmp_path: Path
) -> None:
    async with served(database, tmp_path) as auth:
        token = (await new_session(auth))["access_token"]
        mistakes: list[dict[str, Any]] = [
            {"origin": "https://evil.example"}, {"origin": "http://app.example.com"}, {"rp_id": "evil.example"},
            {"challenge": b64(os.urandom(32))}, {"type": "webauthn.get"}, {"flags": 0}, {"flags": UV},
        ]  # fmt: skip
        for wrong in mistakes:
            refused = await register(auth, token, Authenticator(ORIGIN), **wrong)
            assert (refused.status_code, refused.json()["error_code"]) == (
                400,
                "webauthn_verification_failed",
            ), wrong
        assert await database.fetch_value("select count(*) from auth.webauthn_credentials") == 0


async def test_passkeys_bad_assertions_are_refused(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path) as auth:
        token = (await new_session(auth))["access_token"]
        other = (await new_session(auth, "b@example.com"))["user"]["id"]
        device, stranger = Authenticator(ORIGIN), Authenticator(ORIGIN)
        assert (await register(auth, token, device)).status_code == 200
        stranger.id, stranger.user = device.id, device.user  # the id of a passkey without its key
        before = await database.fetch_value("select count(*) from auth.sessions")
        mistakes: list[tuple[Authenticator, dict[str, Any]]] = [
            (device, {"origin": "https://evil.example"}), (device, {"rp_id": "evil.example"}),
            (device, {"challenge": b64(os.urandom(32))}), (device, {"type": "webauthn.create"}),
            (device, {"signature": b"x" * 70}), (device, {"flags": UV | BE | BS}),
            (device, {"user_handle": other.encode()}), (device, {"user_handle": b""}), (stranger, {}),
            (Authenticator(ORIGIN), {}),
        ]  # fmt: skip
        for who, wrong in mistakes:
            refused = await sign_in(auth, who, **wrong)
            assert (refused.status_code, refused.json()["error_code"]) == (
                400,
                "webauthn_verification_failed",
            ), wrong
        assert await database.fetch_value("select count(*) from auth.sessions") == before
        assert (await sign_in(auth, device, flags=UP)).status_code == 200  # presence is enough, as upstream
        cloned = await sign_in(auth, device, count=-3)
        assert cloned.json()["error_code"] == "webauthn_verification_failed"


async def test_passkeys_challenge_is_good_once_for_its_kind_and_user(
    database: Database, tmp_path: Path
) -> None:
    async with served(database, tmp_path) as auth:
        token = (await new_session(auth))["access_token"]
        theirs = (await new_session(auth, "b@example.com"))["access_token"]
        device = Authenticator(ORIGIN)
        asked = (await auth.post("/passkeys/registration/options", {}, token=token)).json()
        body = {"challenge_id": asked["challenge_id"], "credential": device.create(asked["options"])}
        foreign = await auth.post("/passkeys/registration/verify", body, token=theirs)
        assert (foreign.status_code, foreign.json()["error_code"]) == (400, "webauthn_challenge_not_found")
        wrong_kind = await auth.post("/passkeys/authentication/verify", body)
        assert wrong_kind.json()["error_code"] == "webauthn_challenge_not_found"
        racing = await asyncio.gather(
            *(auth.post("/passkeys/registration/verify", body, token=token) for _ in range(4))
        )
        assert sorted(one.status_code for one in racing) == [200, 400, 400, 400]

        asked = (await auth.post("/passkeys/authentication/options", {})).json()
        body = {"challenge_id": asked["challenge_id"], "credential": device.get(asked["options"])}
        assert (await auth.post("/passkeys/authentication/verify", body)).status_code == 200
        replayed = await auth.post("/passkeys/authentication/verify", body)
        assert replayed.json()["error_code"] == "webauthn_challenge_not_found"
        asked = (await auth.post("/passkeys/authentication/options", {})).json()
        await database.execute("update auth.webauthn_challenges set expires_at = now() - interval '1 second'")
        body = {"challenge_id": asked["challenge_id"], "credential": device.get(asked["options"])}
        late = await auth.post("/passkeys/authentication/verify", body)
        assert late.json()["error_code"] == "webauthn_challenge_expired"


async def test_passkeys_malformed_bodies_are_400(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path) as auth:
        token = (await new_session(auth))["access_token"]
        device = Authenticator(ORIGIN)
        assert (await register(auth, token, device)).status_code == 200

        async def broken(change: Any) -> httpx.Response:
            asked = (await auth.post("/passkeys/authentication/options", {})).json()
            credential = change(device.get(asked["options"]))
            body = {"challenge_id": asked["challenge_id"], "credential": credential}
            return await auth.post("/passkeys/authentication/verify", body)

        def response(**values: Any) -> Any:
            return lambda good: {**good, "response": {**good["response"], **values}}

        changes: list[Any] = [
            lambda _: {}, lambda _: None, lambda _: "x", lambda _: {"id": 1}, lambda good: {**good, "response": None},
            lambda good: {**good, "rawId": "%%%"}, lambda good: {**good, "id": "x"}, lambda good: {**good, "type": "x"},
            lambda good: {**good, "x": "y" * 20_000}, response(authenticatorData="AAAA"),
            response(authenticatorData=""),
            response(clientDataJSON=b64(b"\xff\xfe")), response(clientDataJSON=b64(b"[]")), response(clientDataJSON=1),
            response(clientDataJSON=b64(b'{"type": 1}')), response(signature=None), response(userHandle=None),
            response(userHandle="é"), response(authenticatorData=b64(os.urandom(500))),
        ]  # fmt: skip
        for change in changes:
            refused = await broken(change)
            assert refused.status_code == 400, (refused.status_code, refused.text)
        for attestation in (
            b"",
            b"\xff" * 40,
            b"\xa3" * 40,
            os.urandom(300),
            b"\xa3cfmtdnonegattStmt\xa0hauthDataX\x01a",
        ):
            asked = (await auth.post("/passkeys/registration/options", {}, token=token)).json()
            credential = Authenticator(ORIGIN).create(asked["options"])
            credential["response"]["attestationObject"] = b64(attestation)
            body = {"challenge_id": asked["challenge_id"], "credential": credential}
            refused = await auth.post("/passkeys/registration/verify", body, token=token)
            assert refused.status_code == 400, refused.text
        for challenge in (None, "", "x", 1, str(uuid.uuid4())):
            body = {"challenge_id": challenge, "credential": {"id": "x"}}
            assert (await auth.post("/passkeys/authentication/verify", body)).status_code == 400


async def test_passkeys_of_others_are_not_there_and_nobody_is_asked_in(
    database: Database, tmp_path: Path
) -> None:
    async with served(database, tmp_path) as auth:
        session = await new_session(auth)
        theirs = (await new_session(auth, "b@example.com"))["access_token"]
        passkey = (await register(auth, session["access_token"], Authenticator(ORIGIN))).json()["id"]
        for passkey_id in (passkey, str(uuid.uuid4()), "x"):
            for method, body in (("PATCH", {"friendly_name": "x"}), ("DELETE", None)):
                refused = await auth.call(method, f"/passkeys/{passkey_id}", body, token=theirs)
                assert refused.status_code == 404, (passkey_id, method)
        for name in ("", "  ", "x" * 121, 1, None):
            refused = await auth.call(
                "PATCH", f"/passkeys/{passkey}", {"friendly_name": name}, token=session["access_token"]
            )
            assert refused.status_code == 400
        for path in ("registration/options", "registration/verify"):
            assert (await auth.post(f"/passkeys/{path}", {})).status_code == 401
        assert (await auth.get("/passkeys")).status_code == 401
        # an administrator may see and delete them
        owner = session["user"]["id"]
        listed = await auth.get(f"/admin/users/{owner}/passkeys", token=auth.service)
        assert [one["id"] for one in listed.json()] == [passkey]
        for token in (theirs, auth.anon):
            assert (await auth.get(f"/admin/users/{owner}/passkeys", token=token)).status_code in (401, 403)
        gone = await auth.call("DELETE", f"/admin/users/{owner}/passkeys/{passkey}", token=auth.service)
        assert gone.status_code == 204
        missing = await auth.call("DELETE", f"/admin/users/{owner}/passkeys/{passkey}", token=auth.service)
        assert missing.status_code == 404


async def test_passkeys_of_banned_and_unconfirmed_users_open_nothing(
    database: Database, tmp_path: Path
) -> None:
    async with served(database, tmp_path) as auth:
        session, device = await new_session(auth), Authenticator(ORIGIN)
        await register(auth, session["access_token"], device)
        await auth.put(f"/admin/users/{session['user']['id']}", {"ban_duration": "1h"}, token=auth.service)
        banned = await sign_in(auth, device)
        assert (banned.status_code, banned.json()["error_code"]) == (403, "user_banned")
        await auth.put(f"/admin/users/{session['user']['id']}", {"ban_duration": "none"}, token=auth.service)
        await database.execute("update auth.users set email_confirmed_at = null")
        unproved = await sign_in(auth, device)
        assert (unproved.status_code, unproved.json()["error_code"]) == (403, "email_not_confirmed")


async def test_passkeys_at_most_ten_and_only_with_the_second_factor_given(
    database: Database, tmp_path: Path
) -> None:
    async with served(database, tmp_path) as auth:
        session = await new_session(auth)
        for _ in range(10):
            assert (await register(auth, session["access_token"], Authenticator(ORIGIN))).status_code == 200
        full = await auth.post("/passkeys/registration/options", {}, token=session["access_token"])
        assert (full.status_code, full.json()["error_code"]) == (422, "too_many_passkeys")
        await database.execute(
            "insert into auth.mfa_factors (id, user_id, factor_type, status, created_at, updated_at, secret)"
            " values (gen_random_uuid(), %s, 'totp', 'verified', now(), now(), 'x')", (session["user"]["id"],)
        )  # fmt: skip
        low = await auth.post("/passkeys/registration/options", {}, token=session["access_token"])
        assert (low.status_code, low.json()["error_code"]) == (403, "insufficient_aal")
