"""Signing keys: sealed in the database, rotated while servers run, accepted by every verifier, revoked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import orjson
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, RSAKey
from pydantic import SecretStr

from headgate.db import Database
from headgate.surface.auth import signing
from headgate.surface.auth.signing import SigningKeys
from tests.auth_server import PASSWORD, SECRET, Auth, parts, running

A = "a@example.com"


async def opens(auth: Auth, token: str) -> tuple[int, int]:
    """What the auth service and the REST surface say to a token."""
    headers = {"apikey": auth.anon, "authorization": f"Bearer {token}"}
    rest = await auth.http.get(f"{auth.url}/rest/v1/", headers=headers)
    return (await auth.get("/user", token=token)).status_code, rest.status_code


async def sign_in(auth: Auth) -> str:
    answer = await auth.post("/token?grant_type=password", {"email": A, "password": PASSWORD})
    token: str = answer.json()["access_token"]
    return token


async def test_keys_rotate_under_running_servers(database: Database, tmp_path: Path) -> None:
    settings = {"auth_autoconfirm": True, "jwt_secret": SecretStr(SECRET)}
    async with running(database, tmp_path, **settings) as one, running(database, tmp_path, **settings) as two:
        first = (await one.sign_up())["access_token"]
        assert parts(first)[0]["alg"] == "HS256"  # the operator's secret signs until somebody rotates
        kid = await signing.rotate(database, SECRET)
        seconds = [state.status for state in await signing.list_keys(database)]
        assert seconds == ["current", "standby"]
        for server in (one, two):
            assert await until_signed_by(server, kid)
        second = await sign_in(one)
        assert parts(second)[0] == {"alg": "ES256", "typ": "JWT", "kid": kid}
        for server in (one, two):
            assert [await opens(server, token) for token in (first, second)] == [(200, 200)] * 2
        next_kid = await signing.rotate(database, SECRET, algorithm="RS256")
        assert await until_signed_by(two, next_kid)
        third = await sign_in(two)
        assert parts(third)[0]["alg"] == "RS256"
        for server in (one, two):  # one may not have looked again yet: an unknown key makes it look
            for _ in range(100):
                if await opens(server, third) == (200, 200):
                    break
                await asyncio.sleep(0.1)
            assert await opens(server, third) == await opens(server, second) == (200, 200)
        keys = (await one.get("/.well-known/jwks.json")).json()
        algorithms = {"RS256": RSAKey, "ES256": ECKey}
        assert {key["alg"] for key in keys["keys"]} == set(algorithms)
        assert not any({"d", "p", "q", "k"} & set(key) for key in keys["keys"])
        for token in (second, third):
            assert jws.deserialize_compact(token, KeySet.import_key_set(keys), algorithms=list(algorithms))
        assert await signing.revoke(database, kid) and not await signing.revoke(database, next_kid)
        for server in (one, two):
            for _ in range(300):
                if await opens(server, second) == (403, 401):
                    break
                await asyncio.sleep(0.1)
            assert await opens(server, second) == (403, 401)
            assert await opens(server, third) == (200, 200)


async def until_signed_by(auth: Auth, kid: str) -> bool:
    """Wait until the server signs with this key; a token of an unknown key makes it look at once."""
    stranger = ECKey.generate_key("P-256", {"kid": f"unknown-{kid}"})
    token = jws.serialize_compact({"alg": "ES256", "kid": f"unknown-{kid}"}, b'{"sub":"x"}', stranger)
    for _ in range(300):
        if parts(await sign_in(auth))[0].get("kid") == kid:
            return True
        await auth.get("/user", token=token)
        await asyncio.sleep(0.1)
    return False


async def test_an_installation_makes_its_own_keys_once_however_many_processes_start(
    database: Database,
) -> None:
    keys = [SigningKeys(database, SECRET, own_secret=True) for _ in range(5)]
    await asyncio.gather(*(one.start() for one in keys))
    states = await signing.list_keys(database)
    assert [state.status for state in states] == ["current", "standby"]
    tokens = [one.sign({"sub": "x"}) for one in keys]
    assert {parts(token)[0]["kid"] for token in tokens} == {states[0].kid}
    for one in keys:
        await one.close()


async def test_private_keys_are_sealed_and_another_secret_makes_its_own(database: Database) -> None:
    first = SigningKeys(database, SECRET, own_secret=True)
    await first.start()
    row = await database.fetch_one("select sealed, public from control.signing_keys where status = 'current'")
    assert row is not None
    assert b'"d"' not in bytes(row["sealed"]) and "d" not in row["public"]
    other = SigningKeys(database, SECRET + "!", own_secret=True)
    await other.start()
    states = await signing.list_keys(database)
    assert [state.status for state in states] == ["current", "previous", "standby"]
    kid = parts(other.sign({"sub": "x"}))[0]["kid"]
    assert kid == states[0].kid
    await first.refresh()
    assert parts(first.sign({"sub": "x"}))[0]["kid"] == states[1].kid  # its own, still accepted everywhere
    for one in (first, other):
        await one.close()


async def test_a_configured_key_set_signs_with_its_signing_key_and_is_published(
    database: Database, tmp_path: Path
) -> None:
    signer = RSAKey.generate_key(2048, {"kid": "mine", "alg": "RS256"}).as_dict(private=True)
    old = ECKey.generate_key("P-256", {"kid": "old", "alg": "ES256"}).as_dict(private=False)
    secret = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "key_ops": ["verify"]}
    document = {"keys": [secret, {**old, "key_ops": ["verify"]}, {**signer, "key_ops": ["sign", "verify"]}]}
    settings = {"auth_autoconfirm": True, "jwt_secret": SecretStr(json.dumps(document))}
    async with running(database, tmp_path, **settings) as auth:
        token = (await auth.sign_up())["access_token"]
        assert parts(token)[0] == {"alg": "RS256", "typ": "JWT", "kid": "mine"}
        assert await opens(auth, token) == (200, 200)
        keys = (await auth.get("/.well-known/jwks.json")).json()["keys"]
        assert sorted(key["kid"] for key in keys) == ["mine", "old"]
        assert all(key["key_ops"] == ["verify"] for key in keys)
        assert orjson.dumps(keys).find(b'"d"') < 0
