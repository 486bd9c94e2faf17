"""The server checks users' tokens with the installation's own secret, for `/api` as for REST."""

from __future__ import annotations

import time
from pathlib import Path

import aiohttp
from joserfc import jwt
from joserfc.jwk import OctKey

from headgate.db import Database
from tests import ticket_market as market

SUB = "5f3a1f52-94f4-4c0a-a5c3-6a9d4c2b0f01"


def _token(secret: str, **claims: object) -> str:
    return jwt.encode({"alg": "HS256"}, {"sub": SUB, **claims}, OctKey.import_key(secret))


async def test_signed_token_is_the_user_and_a_forged_or_expired_one_is_refused(
    database: Database, tmp_path: Path
) -> None:
    await market.add_event(database, 1)
    secret = "a secret of at least thirty-two bytes"
    later = int(time.time()) + 3600
    cases = {
        _token(secret, role="authenticated", exp=later): 200,
        _token(secret, role="authenticated", exp=later - 7200): 401,
        _token("another secret of thirty-two bytes", role="authenticated", exp=later): 401,
        _token(secret, role="postgres", exp=later): 401,
        _token(secret, role="anon", exp=later): 401,
        "not.a.token": 401,
    }
    async with (
        market.serving(database, jwt_secret=secret, data_dir=tmp_path) as base,
        aiohttp.ClientSession() as session,
    ):
        for token, expected in cases.items():
            async with session.get(
                f"{base}/api/alerts", headers={"Authorization": f"Bearer {token}"}
            ) as answer:
                assert answer.status == expected, token
