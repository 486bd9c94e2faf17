"""Any bytes at any endpoint of auth are answered with JSON and no server error, and leave nothing behind."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from headgate.db import Database
from headgate.surface.auth.routes import ROUTES
from tests.auth_server import running
from tests.identity_provider import CLIENT, IdentityProvider
from tests.signed_in import new_session

ROUNDS = int(os.environ.get("AUTH_FUZZ_ROUNDS", "4"))
IDS = (
    "x",
    "%00",
    "%ff%fe",
    "..%2f..",
    "00000000-0000-0000-0000-000000000000",
    "' or 1=1 --",
    "a" * 3000,
    "{}",
)
WORDS = (
    "email", "phone", "password", "type", "token", "token_hash", "provider", "id_token", "nonce", "auth_code",
    "code_verifier", "challenge_id", "credential", "factor_type", "friendly_name", "code", "issuer", "data",
    "new_email", "ban_duration", "user_metadata", "app_metadata", "role", "id", "redirect_to", "refresh_token",
    "code_challenge", "code_challenge_method", "gotrue_meta_security", "should_soft_delete", "link_identity",
    "email_confirm", "password_hash", "create_user", "channel", "client_id", "access_token",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e308, 2**63, "", " ", "x", "\0", "é" * 50, "\U0001f600", "a@example.com", "+491234567",
    "totp", "signup", "magiclink", "company", "12345", [], {}, [[]], {"a": {"b": {"c": "\0"}}}, "x" * 5000,
    "00000000-0000-0000-0000-000000000000", "https://evil.example", "a.b.c", {"response": {}, "rawId": "x", "id": "x"},
    {"__proto__": 1, "constructor": []}, "1h", "none", "%s", "{0}", "\u202e", "plain", "S256", "-0", "NaN",
)  # fmt: skip
RAW = (
    b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe\x00", b"{}" * 1000, b'{"a":' * 2000, b'{"email": "\\ud800"}',
    b'{"email": 1e999}', b"\x1f\x8b\x08\x00", b"email=a@example.com", b'{"email":"a@example.com","email":1}',
)  # fmt: skip


async def test_auth_any_bytes_are_answered_and_never_with_a_server_error(
    database: Database, tmp_path: Path
) -> None:
    dice = random.Random(20261125)
    async with IdentityProvider() as provider:
        chosen = {"company": {"issuer": provider.url, "client_id": CLIENT, "client_secret": "x"}}
        settings = {
            "auth_providers": json.dumps(chosen), "allow_private_hosts": provider.place, "auth_manual_linking": True,
            "auth_anonymous_users": True,
        }  # fmt: skip
        async with running(database, tmp_path, **settings) as auth:
            session = await new_session(auth)
            tokens = [auth.anon, session["access_token"], auth.service, "x.y.z"]
            wrong: list[str] = []
            count = 0
            for method, path, _ in ROUTES:
                for turn in range(ROUNDS):
                    for token in tokens:
                        target = path
                        for name in ("user_id", "factor_id", "passkey_id", "identity_id"):
                            target = target.replace(f"{{{name}}}", dice.choice(IDS))
                        query = {dice.choice(WORDS): str(dice.choice(VALUES))[:300] for _ in range(2)}
                        query["grant_type"] = dice.choice(
                            ["pkce", "id_token", "password", "refresh_token", "web3", "\0"]
                        )
                        picked = {dice.choice(WORDS): dice.choice(VALUES) for _ in range(dice.randint(1, 8))}
                        raw = dice.choice(RAW) if turn % 2 else json.dumps(picked).encode()
                        answer = await auth.call(method, target, token=token, params=query, content=raw)
                        count += 1
                        kind = answer.headers.get("content-type", "")
                        fine = answer.status_code < 500 and (
                            not answer.content or kind.startswith("application/json")
                        )
                        if not fine:
                            wrong.append(
                                f"{answer.status_code} {method} {target} {query} {raw[:200]!r} {answer.text[:200]}"
                            )
            assert not wrong, "\n".join(wrong[:10])
            assert count == len(ROUTES) * ROUNDS * len(tokens) > 500
            location = [
                row["referrer"] for row in await database.fetch_all("select referrer from auth.flow_state")
            ]
            assert all(one is None or one.startswith(auth.url) for one in location)
