"""The door before the services, and who a caller is."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from headgate.surface.auth.tokens import Verifier, read_keys
from headgate.surface.callers import Caller, CallerError, Callers
from headgate.surface.services import Door

SECRET = "a secret of this test that is long enough"
KEYS = {"sb_publishable_a": "anon", "sb_secret_b": "service_role"}


async def _role(key: str) -> str | None:
    return KEYS.get(key)


def callers(*, key_required: bool = False) -> Callers:
    keys = read_keys(SECRET, is_base64=False)
    verifier = Verifier(keys, anon_role="anon", audience=None, role_path="$.role", cache_max=10)
    return Callers(verifier, _role, key_required=key_required)


def token(secret: str = SECRET, **claims: Any) -> str:
    return jwt.encode(
        {"alg": "HS256"}, {"exp": int(time.time()) + 86_400, **claims}, OctKey.import_key(secret)
    )


USER = token(sub="7f3f3f3e-0000-4000-8000-000000000001", role="authenticated")


async def caller(*headers: tuple[str, str], query: bytes = b"", key_required: bool = False) -> Caller:
    raw = [(k.encode(), v.encode()) for k, v in headers]
    return await callers(key_required=key_required).of(raw, query)


async def test_nobody_is_anon() -> None:
    assert (await caller()).role == "anon"


async def test_a_key_means_its_role_wherever_it_stands() -> None:
    for headers, query in (
        ([("apikey", "sb_secret_b")], b""),
        ([("ApiKey", "sb_secret_b")], b""),
        ([("authorization", "Bearer sb_secret_b")], b""),
        ([("apikey", "sb_secret_b"), ("authorization", "Bearer sb_secret_b")], b""),
        ([], b"vsn=2.0.0&apikey=sb_secret_b"),
    ):
        found = await caller(*headers, query=query)
        assert (found.role, found.key_role, found.user) == ("service_role", "service_role", None)


async def test_a_users_token_outranks_the_key() -> None:
    found = await caller(("apikey", "sb_secret_b"), ("authorization", f"Bearer {USER}"))
    assert found.role == "authenticated"
    assert found.user == "7f3f3f3e-0000-4000-8000-000000000001"
    assert found.key_role == "service_role"


async def test_a_legacy_key_is_a_token_without_a_user() -> None:
    found = await caller(("apikey", token(role="service_role", iss="supabase-demo")))
    assert (found.role, found.key_role, found.user) == ("service_role", "service_role", None)


@pytest.mark.parametrize(
    "headers",
    [
        [("apikey", "sb_secret_unknown")],
        [("authorization", "Bearer sb_secret_unknown")],
        [("authorization", f"Bearer {token(secret='another secret that is long enough', sub='x')}")],
        [("apikey", "sb_publishable_a"), ("authorization", f"Bearer {token(exp=1, sub='x')}")],
        [("apikey", "sb_secret_unknown"), ("authorization", f"Bearer {USER}")],
    ],
)
async def test_what_is_not_good_is_refused_not_anonymous(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(CallerError):
        await caller(*headers)


async def test_where_a_key_is_required_a_token_alone_is_not_enough() -> None:
    for headers in ([], [("authorization", f"Bearer {USER}")]):
        with pytest.raises(CallerError, match="No API key"):
            await caller(*headers, key_required=True)
    both = [("apikey", "sb_publishable_a"), ("authorization", f"Bearer {USER}")]
    assert (await caller(*both, key_required=True)).role == "authenticated"


class Echo:
    """A service that answers with its path, or fails."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("/fail"):
            raise RuntimeError("a secret detail")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})


def client(*origins: str) -> httpx.AsyncClient:
    door = Door({"/echo/v1": Echo()}, origins=origins or ("*",))
    transport = httpx.ASGITransport(app=door, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def test_only_whole_prefixes_are_served() -> None:
    door = Door({"/echo/v1": Echo()}, origins=("*",))
    assert door.serves("/echo/v1") and door.serves("/echo/v1/") and door.serves("/echo/v1/a/b")
    for path in ("/", "/echo", "/echo/", "/echo/v12", "/echo/v2/a", "/x/echo/v1"):
        assert door.serves(path) is None


async def test_every_answer_has_a_request_id_and_may_be_read_by_other_origins() -> None:
    async with client() as http:
        answer = await http.get("/echo/v1/a", headers={"origin": "https://a.example", "x-request-id": "mine"})
        assert (answer.text, answer.headers["x-request-id"]) == ("/echo/v1/a", "mine")
        assert answer.headers["access-control-allow-origin"] == "*"
        forged = await http.get("/echo/v1/a", headers={"x-request-id": "a b\x7f"})
        assert len(forged.headers["x-request-id"]) == 24


async def test_a_preflight_is_answered_for_allowed_origins_only() -> None:
    asked = {"access-control-request-method": "PUT", "access-control-request-headers": "x-upsert,apikey"}
    async with client("https://a.example") as http:
        good = await http.options("/echo/v1/a", headers={"origin": "https://a.example", **asked})
        assert good.status_code == 204
        assert good.headers["access-control-allow-origin"] == "https://a.example"
        assert good.headers["access-control-allow-headers"] == "x-upsert,apikey"
        bad = await http.options("/echo/v1/a", headers={"origin": "https://b.example", **asked})
        assert "access-control-allow-origin" not in bad.headers


async def test_a_failure_says_only_where_to_look() -> None:
    async with client() as http:
        answer = await http.get("/echo/v1/fail")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] in answer.json()["message"]
