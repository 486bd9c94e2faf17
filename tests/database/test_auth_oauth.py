"""Signing in at providers: the whole trip against a real provider on loopback, and what providers and strangers get
wrong.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from headgate.db import Database
from tests.auth_server import Auth, parts, running
from tests.identity_provider import CLIENT, SECRET, IdentityProvider, fragment_of, query_of

APP = "https://app.example.com/signed-in"


def configured(provider: IdentityProvider, **more: Any) -> dict[str, Any]:
    """Settings with this provider as `company`, and GitHub."""
    company = {
        "issuer": provider.url,
        "client_id": CLIENT,
        "client_secret": SECRET,
        **more.pop("company", {}),
    }
    github = {"client_id": CLIENT, "client_secret": SECRET, "url": provider.url, "api_url": provider.url}
    return {
        "auth_providers": json.dumps({"company": company, "github": github}),
        "allow_private_hosts": provider.place, "auth_redirect_urls": "https://app.example.com/**", **more,
    }  # fmt: skip


@asynccontextmanager
async def served(
    database: Database, folder: Path, *, alg: str = "RS256", **more: Any
) -> AsyncIterator[tuple[Auth, IdentityProvider]]:
    """A provider and a server that knows it."""
    async with (
        IdentityProvider(alg=alg) as provider,
        running(database, folder, **configured(provider, **more)) as auth,
    ):
        yield auth, provider


def pkce_pair() -> tuple[str, str]:
    """A verifier and its S256 challenge."""
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


async def to_provider(auth: Auth, **query: str) -> httpx.Response:
    """GET /authorize."""
    return await auth.get("/authorize", params={"provider": "company", "redirect_to": APP, **query})


async def back_from(auth: Auth, location: str) -> str:
    """Follow the browser to the provider and back to our callback; where it is sent then."""
    answered = await auth.http.get(location)
    assert answered.status_code == 302, answered.text
    returned = await auth.http.get(answered.headers["location"])
    assert returned.status_code == 302, returned.text
    return str(returned.headers["location"])


async def trip(auth: Auth, **query: str) -> str:
    """The whole way; where the browser is in the end."""
    begun = await to_provider(auth, **query)
    assert begun.status_code == 302, begun.text
    return await back_from(auth, begun.headers["location"])


async def redeem(auth: Auth, code: str, verifier: str) -> httpx.Response:
    """POST /token?grant_type=pkce."""
    return await auth.post("/token?grant_type=pkce", {"auth_code": code, "code_verifier": verifier})


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
async def test_oauth_pkce_signs_a_new_user_in_and_gives_the_providers_tokens(
    database: Database, tmp_path: Path, alg: str
) -> None:
    async with served(database, tmp_path, alg=alg) as (auth, provider):
        verifier, challenge = pkce_pair()
        url = await trip(
            auth, code_challenge=challenge, code_challenge_method="s256", scopes="calendar", hd="x"
        )
        assert url.startswith(APP + "?code=")
        asked = provider.seen[0][1]
        assert asked["scope"] == "openid email profile calendar" and asked["hd"] == "x"
        assert asked["code_challenge_method"] == "S256" and asked["nonce"] and asked["state"]
        answer = await redeem(auth, query_of(url)["code"], verifier)
        assert answer.status_code == 200, answer.text
        session = answer.json()
        assert (session["provider_token"], session["provider_refresh_token"]) == (
            "provider-access",
            "provider-refresh",
        )
        user = session["user"]
        assert user["email"] == "a@example.com" and user["email_confirmed_at"]
        assert user["app_metadata"] == {"provider": "company", "providers": ["company"]}
        assert user["user_metadata"]["full_name"] == "A"
        assert [(i["provider"], i["id"]) for i in user["identities"]] == [("company", "sub-1")]
        claims = parts(session["access_token"])[1]
        assert [entry["method"] for entry in claims["amr"]] == ["oauth"] and claims["aal"] == "aal1"
        again = await redeem(auth, query_of(url)["code"], verifier)
        assert (again.status_code, again.json()["error_code"]) == (404, "flow_state_not_found")


async def test_oauth_implicit_gives_tokens_in_the_fragment_only(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path) as (auth, _):
        url = await trip(auth)
        assert "access_token" not in query_of(url)
        told = fragment_of(url)
        assert told["token_type"] == "bearer" and told["provider_token"] == "provider-access"
        me = await auth.get("/user/identities/authorize?provider=company", token=told["access_token"])
        assert (me.status_code, me.json()["error_code"]) == (404, "manual_linking_disabled")
