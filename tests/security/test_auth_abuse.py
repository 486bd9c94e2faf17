"""The auth service against people who mean harm: forged tokens, guessing, enumeration, any bytes as a body."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
import random
import time
import uuid
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from pydantic import SecretStr

from headgate.db import Database
from tests.auth_server import PASSWORD, SECRET, Auth, parts, running

A = "a@example.com"
#: HEADGATE_TEST_SIGN_INS=10000 for the full promise.
SIGN_INS = int(os.environ.get("HEADGATE_TEST_SIGN_INS", "300"))


def _b64(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def _hmac_signed(header: object, claims: object, key: bytes) -> str:
    """By hand, since our library refuses a public key as a secret."""
    signed = f"{_b64(header)}.{_b64(claims)}"
    digest = hmac.digest(key, signed.encode(), "sha256")
    return signed + "." + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def forgeries(token: str, jwks: dict[str, Any]) -> dict[str, str]:
    """Tokens that nobody may believe, made from a good one and the public keys."""
    header, claims = parts(token)
    _, payload, signature = token.split(".")
    public = ECKey.import_key(jwks["keys"][0])
    head = {"alg": "HS256", "typ": "JWT", "kid": header["kid"]}
    mine = ECKey.generate_key("P-256")
    secret = OctKey.import_key(SECRET)
    past = {**claims, "exp": int(time.time()) - 3600}
    return {
        "alg none": f"{_b64({'alg': 'none', 'typ': 'JWT'})}.{payload}.",
        "alg None": f"{_b64({'alg': 'None'})}.{payload}.",
        "no signature": f"{_b64(header)}.{payload}.",
        "other claims": f"{_b64(header)}.{_b64({**claims, 'role': 'service_role'})}.{signature}",
        "public key as secret (PEM)": _hmac_signed(head, claims, public.as_pem(private=False)),
        "public key as secret (JWK)": _hmac_signed(head, claims, json.dumps(jwks["keys"][0]).encode()),
        "own key, known kid": jwt.encode({"alg": "ES256", "kid": header["kid"]}, claims, mine),
        "own key inside": jwt.encode({"alg": "ES256", "jwk": mine.as_dict(private=False)}, claims, mine),
        "own RSA key": jwt.encode({"alg": "RS256"}, claims, RSAKey.generate_key(2048)),
        "expired": jwt.encode({"alg": "HS256"}, past, secret),
        "not yet": jwt.encode({"alg": "HS256"}, {**claims, "nbf": int(time.time()) + 3600}, secret),
        "wrong audience": jwt.encode({"alg": "HS256"}, {**claims, "aud": "elsewhere"}, secret),
        "user who is not there": jwt.encode({"alg": "HS256"}, {**claims, "sub": str(uuid.uuid4())}, secret),
        "session of nobody": jwt.encode({"alg": "HS256"}, {**claims, "session_id": claims["sub"]}, secret),
        "no session": jwt.encode({"alg": "HS256"}, {k: v for k, v in claims.items() if k != "session_id"}, secret),
        "sub is no id": jwt.encode({"alg": "HS256"}, {**claims, "sub": "' or 1=1 --"}, secret),
        "exp is text": jwt.encode({"alg": "HS256"}, {**claims, "exp": "never"}, secret),
        "cut": token[:-5],
        "nothing": "..",
        "long": "a" * 20_000 + ".b.c",
    }  # fmt: skip


async def test_forged_tokens_open_nothing(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path, auth_autoconfirm=True) as auth:
        token = (await auth.sign_up())["access_token"]
        assert (await auth.get("/user", token=token)).status_code == 200
        jwks = (await auth.get("/.well-known/jwks.json")).json()
    settings = {"auth_autoconfirm": True, "jwt_secret": SecretStr(SECRET)}
    async with running(database, tmp_path, **settings) as auth:
        for name, forged in forgeries(token, jwks).items():
            for method, path, body in (("GET", "/user", None), ("PUT", "/user", {"data": {"a": 1}})):
                answer = await auth.call(method, path, body, token=forged)
                assert answer.status_code in (401, 403), (name, answer.status_code, answer.text)
            assert (await auth.get("/admin/users", token=forged)).status_code in (401, 403), name


async def test_tokens_of_users_are_no_keys_to_the_admin_interface(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path, auth_autoconfirm=True) as auth:
        token = (await auth.sign_up())["access_token"]
        for credential in (token, auth.anon):
            answer = await auth.get("/admin/users", token=credential)
            assert (answer.status_code, answer.json()["error_code"]) == (403, "not_admin")
        assert (await auth.get("/admin/users", token=auth.service)).status_code == 200


async def test_unknown_and_known_addresses_get_the_same_answers(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        await auth.post("/signup", {"email": A, "password": PASSWORD})
        await auth.post("/verify", {"type": "signup", "email": A, "token": await auth.code(A)})
        for path, body in (
            ("/token?grant_type=password", {"password": "wrong password"}),
            ("/recover", {}),
            ("/otp", {}),
            ("/resend", {"type": "signup"}),
            ("/verify", {"type": "recovery", "token": "000000"}),
        ):
            known = await auth.post(path, {"email": A, **body})
            unknown = await auth.post(path, {"email": "nobody@example.com", **body})
            assert (known.status_code, known.content) == (unknown.status_code, unknown.content), path
        taken = (await auth.post("/signup", {"email": A, "password": PASSWORD})).json()
        fresh = (await auth.post("/signup", {"email": "new@example.com", "password": PASSWORD})).json()
        assert _shape(taken) == _shape(fresh)
        assert [letter["recipient"] for letter in await auth.letters("new@example.com")] == [
            "new@example.com"
        ]


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shape(inner) for inner in value]
    return type(value).__name__


async def test_a_wrong_password_costs_the_same_for_nobody_as_for_somebody(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []
    compare = bcrypt.checkpw

    def watched(password: bytes, hashed: bytes) -> bool:
        compared.append(hashed)
        return compare(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", watched)
    async with running(database, tmp_path, auth_autoconfirm=True, auth_bcrypt_cost=5) as auth:
        await auth.sign_up()
        compared.clear()
        for email in (A, "nobody@example.com"):
            body = {"email": email, "password": "wrong password"}
            assert (await auth.post("/token?grant_type=password", body)).status_code == 400
    assert len(compared) == 2 and {hashed[:7] for hashed in compared} == {b"$2a$05$"}


async def test_failed_sign_ins_are_counted_for_all_processes_together(
    database: Database, tmp_path: Path
) -> None:
    settings = {"auth_autoconfirm": True, "auth_limit_account": 10, "pool_size": 10}
    async with running(database, tmp_path, **settings) as one, running(database, tmp_path, **settings) as two:
        await one.sign_up()
        gate = asyncio.Semaphore(20)

        async def guess(number: int) -> int:
            server: Auth = (one, two)[number % 2]
            async with gate:
                body = {"email": A, "password": f"guess number {number}"}
                answer = await server.post("/token?grant_type=password", body)
            if answer.status_code == 429:
                assert answer.json()["error_code"] == "over_request_rate_limit"
                assert int(answer.headers["retry-after"]) >= 1
            return answer.status_code

        started = time.monotonic()
        found = await asyncio.gather(*(guess(number) for number in range(SIGN_INS)))
        refilled = (time.monotonic() - started) / 30  # one attempt each half minute comes back
        tried = found.count(400)
        assert set(found) == {400, 429} and 10 <= tried <= 11 + refilled
        right = await one.post("/token?grant_type=password", {"email": A, "password": PASSWORD})
        assert right.status_code == 429  # this address waits; others may sign in to the account
        other = "insert into auth.users (id, email) values (gen_random_uuid(), 'b@example.com')"
        await database.execute(other)
        assert (
            await one.post("/token?grant_type=password", {"email": "b@example.com", "password": "x"})
        ).status_code == 400


async def test_codes_and_mails_are_limited_too(database: Database, tmp_path: Path) -> None:
    settings = {"auth_limit_account": 5, "auth_mail_interval_s": 60, "auth_limit_sign_in": 40}
    async with running(database, tmp_path, **settings) as auth:
        await auth.post("/signup", {"email": A, "password": PASSWORD})
        for email in (A, "nobody@example.com"):
            answers = [
                await auth.post("/verify", {"type": "signup", "email": email, "token": f"{n:06}"})
                for n in range(6)
            ]
            assert [a.status_code for a in answers] == [403] * 5 + [429]
            answers = [await auth.post("/recover", {"email": email}) for _ in range(2)]
            assert answers[-1].json()["error_code"] == "over_email_send_rate_limit"
        refused = [await auth.post("/otp", {"email": f"user{n}@example.com"}) for n in range(40)]
        assert refused[-1].json()["error_code"] == "over_request_rate_limit"
        assert len(await auth.letters()) < 40


async def test_any_bytes_as_a_body_are_answered_with_json_and_no_server_error(
    database: Database, tmp_path: Path
) -> None:
    chance = random.Random(4)
    values: list[Any] = [
        None, True, 0, -1, 1e308, "", "x", "\u0000", "\ud83d\ude00", "a" * 5000, [], [[]], {}, {"a": {"b": []}},
        "a@example.com", "' or 1=1 --", "../../etc/passwd", "%00", 2**63, "{{ .Token }}", "\r\nX: y",
    ]  # fmt: skip
    names = [
        "email", "phone", "password", "data", "type", "token", "token_hash", "redirect_to", "refresh_token",
        "code_challenge", "code_challenge_method", "create_user", "nonce", "channel", "gotrue_meta_security",
    ]  # fmt: skip
    raw = [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"{\"email\": \"\\ud800\"}", b"[" * 3000, b"\x00" * 100,
        b'{"a":' * 2000 + b"1" + b"}" * 2000, b"email=a@example.com",
    ]  # fmt: skip
    async with running(database, tmp_path, auth_anonymous_users=True, auth_autoconfirm=True) as auth:
        token = (await auth.sign_up())["access_token"]
        paths = [
            "/signup", "/token?grant_type=password", "/token?grant_type=refresh_token", "/token?grant_type=pkce",
            "/token?grant_type=nonsense", "/token", "/otp", "/verify", "/recover", "/resend", "/magiclink",
        ]  # fmt: skip
        bodies = [
            json.dumps({n: chance.choice(values) for n in chance.sample(names, 6)}).encode()
            for _ in range(12)
        ]
        for path in paths:
            for body in [*raw, *bodies]:
                answer = await auth.call("POST", path, content=body)
                _fine(answer.status_code, answer.content, (path, body[:200]))
        for body in [*raw, *bodies]:
            answer = await auth.call("PUT", "/user", content=body, token=token)
            _fine(answer.status_code, answer.content, ("PUT /user", body[:200]))
            token = (
                token
                if answer.status_code != 403
                else (await auth.post("/signup", {})).json()["access_token"]
            )
        for query in (
            "type=signup&token=%00",
            "type=%F0&token=x",
            "token=x",
            "type=signup&token=x&redirect_to=%0d%0aX:y",
        ):
            answer = await auth.http.get(f"{auth.url}/auth/v1/verify?{query}")
            assert answer.status_code in (303, 400) and "\n" not in answer.headers.get("location", "")
        big = await auth.call("POST", "/signup", content=b" " * 3_000_000)
        assert big.status_code == 413


def _fine(status: int, content: bytes, about: object) -> None:
    assert status < 500, (about, status, content)
    if status >= 400:
        assert json.loads(content)["error_code"], about


async def test_secrets_are_in_no_log_line(database: Database, tmp_path: Path, capfd: Any) -> None:
    async with running(database, tmp_path, auth_autoconfirm=True) as auth:
        session = await auth.sign_up(password="a password that is never logged")
        await auth.post("/token?grant_type=refresh_token", {"refresh_token": session["refresh_token"]})
        await auth.post(
            "/token?grant_type=password", {"email": A, "password": "a password that is never logged!"}
        )
        await auth.post("/verify", {"type": "email", "token_hash": "deadbeef"})
    told = "".join(capfd.readouterr())
    for secret in ("never logged", session["refresh_token"], session["access_token"]):
        assert secret not in told
    rows = await database.fetch_all("select payload::text as text from auth.audit_log_entries")
    assert not any(session["refresh_token"] in row["text"] for row in rows)
