"""Signing in at providers: the whole trip against a real provider on loopback, and what providers and strangers get
wrong.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from headgate.db import Database
from tests.auth_server import Auth, parts, running
from tests.identity_provider import CLIENT, SECRET, Fault, IdentityProvider, fragment_of, query_of

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


# What the browser hears, by what the provider does wrong. Nothing else may happen: no user, no session.
REFUSED = {
    Fault.WRONG_NONCE: "bad_oauth_callback", Fault.NO_NONCE: "bad_oauth_callback",
    Fault.WRONG_AUDIENCE: "bad_oauth_callback", Fault.EXTRA_AUDIENCE: "bad_oauth_callback",
    Fault.WRONG_ISSUER: "bad_oauth_callback", Fault.EXPIRED: "bad_oauth_callback",
    Fault.NOT_YET: "bad_oauth_callback", Fault.NO_SUBJECT: "bad_oauth_callback",
    Fault.ALG_NONE: "bad_oauth_callback", Fault.KEY_CONFUSION: "bad_oauth_callback",
    Fault.CLIENT_SECRET_HS: "bad_oauth_callback", Fault.FOREIGN_KEY: "bad_oauth_callback",
    Fault.UNKNOWN_KID: "bad_oauth_callback", Fault.NO_ID_TOKEN: "bad_oauth_callback",
    Fault.ISS_MIX_UP: "bad_oauth_callback", Fault.DENIED: "bad_oauth_callback",
    Fault.TOKEN_DOWN: "unexpected_failure", Fault.TOKEN_GARBAGE: "unexpected_failure",
    Fault.TOKEN_HUGE: "unexpected_failure", Fault.TOKEN_REDIRECT: "unexpected_failure",
    Fault.TOKEN_REFUSED: "unexpected_failure",
}  # fmt: skip


async def test_oauth_every_fault_of_a_provider_is_refused_and_leaves_nothing(
    database: Database, tmp_path: Path
) -> None:
    async with served(database, tmp_path) as (auth, provider):
        for fault, code in REFUSED.items():
            provider.fault = None
            begun = await to_provider(auth)
            provider.fault = fault
            url = await back_from(auth, begun.headers["location"])
            assert url.startswith(APP), (fault, url)
            told = query_of(url)
            assert told["error_code"] == code, (fault, told)
            assert fragment_of(url) == told, fault
            assert "access_token" not in url and "code" not in told, fault
            if fault is Fault.DENIED:
                assert (told["error"], told["error_description"]) == ("access_denied", "The person said no")
        for table in ("users", "sessions", "identities"):
            assert await database.fetch_value(f"select count(*) from auth.{table}") == 0, table
        assert set(REFUSED) | {Fault.DISCOVERY_DOWN, Fault.DISCOVERY_OTHER_ISSUER, Fault.JWKS_DOWN} == set(
            Fault
        )


async def test_oauth_without_true_discovery_or_keys_nobody_comes_in(
    database: Database, tmp_path: Path
) -> None:
    async with served(database, tmp_path) as (auth, provider):
        for fault in (Fault.DISCOVERY_DOWN, Fault.DISCOVERY_OTHER_ISSUER):
            provider.fault = fault
            answer = await to_provider(auth)
            assert (answer.status_code, answer.json()["error_code"]) == (503, "unexpected_failure")
        provider.fault = Fault.JWKS_DOWN
        assert query_of(await trip(auth))["error_code"] == "unexpected_failure"
        provider.fault = None
        assert "access_token" in fragment_of(await trip(auth))  # a failure is not remembered


async def test_oauth_provider_on_a_private_address_needs_the_setting(
    database: Database, tmp_path: Path
) -> None:
    async with served(database, tmp_path, allow_private_hosts="") as (auth, provider):
        assert (await to_provider(auth)).status_code == 503
        assert provider.seen == []


async def test_oauth_keys_may_rotate_while_the_server_runs(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headgate.surface.auth import registry
    from tests.identity_provider import SigningKey

    monkeypatch.setattr(registry, "LOOK_AGAIN_S", 0.0)
    async with served(database, tmp_path) as (auth, provider):
        assert "access_token" in fragment_of(await trip(auth))
        provider.key = SigningKey("RS256")
        assert "access_token" in fragment_of(await trip(auth))


async def test_oauth_state_is_used_once_and_never_made_up(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path) as (auth, _):
        begun = await to_provider(auth)
        answered = await auth.http.get(begun.headers["location"])
        callback = answered.headers["location"]
        racing = await asyncio.gather(*(auth.http.get(callback) for _ in range(5)))
        urls = [answer.headers["location"] for answer in racing]
        assert sum("access_token" in fragment_of(url) for url in urls) == 1
        assert await database.fetch_value("select count(*) from auth.sessions") == 1
        site = f"{auth.url}/auth/v1/callback"
        for query in (
            "", "state=", "state=x", f"state={uuid.uuid4()}", f"state={uuid.uuid4()}&code=1&error=access_denied",
            "state=%00&code=%00", "code=1", "state[]=1", f"state={uuid.uuid4()}&code=" + "x" * 5000,
            "%ff=%fe&state=%ff",
        ):  # fmt: skip
            answer = await auth.http.get(f"{site}?{query}")
            assert answer.status_code == 302, query
            assert answer.headers["location"].startswith(auth.url), query  # the site, never a stranger's page
            assert "error_code=" in answer.headers["location"], query
        for body in (b"", b"state=x", b"\xff\x00", b"a" * 100_000, b"&".join([b"a=1"] * 500)):
            answer = await auth.http.post(site, content=body)
            assert answer.status_code == 302, body[:20]


async def test_oauth_flow_of_a_challenge_lapses_after_five_minutes(
    database: Database, tmp_path: Path
) -> None:
    async with served(database, tmp_path) as (auth, _):
        verifier, challenge = pkce_pair()
        begun = await to_provider(auth, code_challenge=challenge, code_challenge_method="S256")
        await database.execute("update auth.flow_state set created_at = now() - interval '301 seconds'")
        late = query_of(await back_from(auth, begun.headers["location"]))
        assert late["error_code"] == "bad_oauth_state"
        url = await trip(auth, code_challenge=challenge, code_challenge_method="S256")
        await database.execute("update auth.flow_state set created_at = now() - interval '301 seconds'")
        answer = await redeem(auth, query_of(url)["code"], verifier)
        assert (answer.status_code, answer.json()["error_code"]) == (422, "flow_state_expired")


async def test_pkce_only_the_verifier_redeems_a_code_and_only_once(
    database: Database, tmp_path: Path
) -> None:
    async with served(database, tmp_path) as (auth, _):
        verifier, challenge = pkce_pair()
        url = await trip(auth, code_challenge=challenge, code_challenge_method="s256")
        code = query_of(url)["code"]
        for wrong in (challenge, verifier[:-1], verifier + "a", "x", "\u00e9" * 43):
            answer = await redeem(auth, code, wrong)
            assert (answer.status_code, answer.json()["error_code"]) == (400, "bad_code_verifier"), wrong
        missing = await auth.post("/token?grant_type=pkce", {"auth_code": code})
        assert (missing.status_code, missing.json()["error_code"]) == (400, "validation_failed")
        unknown = await redeem(auth, str(uuid.uuid4()), verifier)
        assert (unknown.status_code, unknown.json()["error_code"]) == (404, "flow_state_not_found")
        racing = await asyncio.gather(*(redeem(auth, code, verifier) for _ in range(5)))
        assert sorted(answer.status_code for answer in racing) == [200, 404, 404, 404, 404]
        assert await database.fetch_value("select count(*) from auth.flow_state") == 0


async def test_pkce_plain_and_what_challenges_may_be(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path) as (auth, _):
        plain = secrets.token_urlsafe(40)
        url = await trip(auth, code_challenge=plain, code_challenge_method="plain")
        assert (await redeem(auth, query_of(url)["code"], plain)).status_code == 200
        for query in (
            {"code_challenge": plain}, {"code_challenge_method": "s256"},
            {"code_challenge": "short", "code_challenge_method": "s256"},
            {"code_challenge": "x" * 129, "code_challenge_method": "s256"},
            {"code_challenge": "!" * 43, "code_challenge_method": "s256"},
            {"code_challenge": plain, "code_challenge_method": "md5"},
        ):  # fmt: skip
            answer = await to_provider(auth, **query)
            assert (answer.status_code, answer.json()["error_code"]) == (400, "validation_failed"), query


async def test_oauth_client_cannot_change_what_is_ours_to_say(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path) as (auth, _):
        begun = await to_provider(
            auth, redirect_uri="https://evil.example", state="mine", nonce="mine", client_id="other",
            response_type="token", Code_Challenge="x", prompt="login",
        )  # fmt: skip
        asked = query_of(begun.headers["location"])
        assert asked["redirect_uri"] == f"{auth.url}/auth/v1/callback" and asked["client_id"] == CLIENT
        assert asked["response_type"] == "code" and asked["prompt"] == "login"
        assert "mine" not in (asked["state"], asked["nonce"]) and "Code_Challenge" not in asked


ELSEWHERE = (
    "https://evil.example/", "https://app.example.com.evil.example/", "https://app.example.com@evil.example/",
    "//evil.example", "javascript:alert(1)", "https:/\\evil.example", "data:text/html,x",
    "https://evil.example/#https://app.example.com/", "https://app.example.com\\@evil.example",
    "https://evil.example?https://app.example.com/", " https://evil.example", "http://app.example.com/",
    "https://app.example.com:443@evil.example/", "https://app.example.com:8443/", "https:app.example.com/",
)  # fmt: skip


async def test_oauth_no_open_redirect(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path) as (auth, provider):
        for target in ELSEWHERE:
            begun = await to_provider(auth, redirect_to=target)
            provider.fault = Fault.DENIED
            url = await back_from(auth, begun.headers["location"])
            assert url.startswith(auth.url + "?error="), (target, url)


async def test_oauth_unknown_or_missing_provider_is_a_400(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path) as (auth, _):
        for query in (
            {},
            {"provider": ""},
            {"provider": "nobody"},
            {"provider": "x" * 9000},
            {"provider": "email"},
        ):
            answer = await auth.get("/authorize", params=query)
            assert (answer.status_code, answer.json()["error_code"]) == (400, "validation_failed"), query


async def test_oauth_github_by_its_own_interface(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path) as (auth, provider):
        told = fragment_of(await trip(auth, provider="github"))
        assert told["provider_token"] == "provider-access"
        row = await database.fetch_one("select * from auth.users")
        assert row is not None and row["email"] == "a@example.com"
        assert (
            row["raw_user_meta_data"]["user_name"] == "a" and row["raw_user_meta_data"]["provider_id"] == "7"
        )
        provider.person.email_verified, provider.person.sub, provider.person.email = (
            False,
            "8",
            "b@example.com",
        )
        # the address is not vouched for, though another one is: nobody is signed in by it
        refused = query_of(await trip(auth, provider="github"))
        assert refused["error_code"] == "provider_email_needs_verification"


# --------------------------------------------------------------------------------------- whose account


async def test_linking_vouched_for_address_joins_the_account_that_has_it(
    database: Database, tmp_path: Path
) -> None:
    async with served(database, tmp_path) as (auth, provider):
        made = await auth.post(
            "/admin/users", {"email": "a@example.com", "email_confirm": True}, token=auth.service
        )
        await trip(auth)
        provider.person.sub = "7"
        await trip(auth, provider="github")
        rows = await database.fetch_all(
            "select user_id::text, provider from auth.identities order by provider"
        )
        assert [(row["user_id"], row["provider"]) for row in rows] == [
            (made.json()["id"], name) for name in ("company", "email", "github")
        ]
        user = (await auth.get(f"/admin/users/{made.json()['id']}", token=auth.service)).json()
        assert user["app_metadata"] == {"provider": "email", "providers": ["company", "email", "github"]}


async def test_linking_address_not_vouched_for_opens_nobodys_account(
    database: Database, tmp_path: Path
) -> None:
    async with served(database, tmp_path) as (auth, provider):
        made = await auth.post(
            "/admin/users", {"email": "a@example.com", "email_confirm": True}, token=auth.service
        )
        provider.person.email_verified = False
        told = query_of(await trip(auth))
        assert told["error_code"] == "provider_email_needs_verification"
        assert await database.fetch_value("select count(*) from auth.sessions") == 0
        mine = await database.fetch_value(
            "select count(*) from auth.identities where user_id = %s", (made.json()["id"],)
        )
        assert mine == 1
        # and what was kept of the stranger does not open it later either, with the address still not vouched for
        assert "error_code" in query_of(await trip(auth))


async def test_linking_who_proves_an_address_shuts_out_who_only_claimed_it(
    database: Database, tmp_path: Path
) -> None:
    """Somebody signs up with another's address and a password, and waits for its owner to come by a provider."""
    async with served(database, tmp_path) as (auth, _):
        claimed = await auth.post(
            "/admin/users",
            {"email": "a@example.com", "password": "planted password", "user_metadata": {"planted": True}},
            token=auth.service,
        )
        user_id = claimed.json()["id"]
        await database.execute(
            "insert into auth.mfa_factors (id, user_id, factor_type, status, created_at, updated_at, secret)"
            " values (gen_random_uuid(), %s, 'totp', 'verified', now(), now(), 'x')", (user_id,)
        )  # fmt: skip
        assert "access_token" in fragment_of(await trip(auth))
        row = await database.fetch_one("select * from auth.users where id = %s", (user_id,))
        assert row is not None and row["encrypted_password"] == "" and row["email_confirmed_at"] is not None
        assert "planted" not in row["raw_user_meta_data"]
        providers = await database.fetch_all(
            "select provider from auth.identities where user_id = %s", (user_id,)
        )
        assert [one["provider"] for one in providers] == ["company"]
        assert await database.fetch_value("select count(*) from auth.mfa_factors") == 0


async def test_linking_an_unproved_identity_does_not_draw_in_its_addresss_owner(
    database: Database, tmp_path: Path
) -> None:
    """A confirmed account whose identity claims another's address must not receive that other's sign-in."""
    async with served(database, tmp_path) as (auth, provider):
        provider.person.email, provider.person.sub = "thief@example.com", "thief"
        await trip(auth)
        provider.person.email, provider.person.email_verified = "a@example.com", False
        await trip(auth)  # the thief's identity now says a@example.com, not vouched for
        provider.person.sub, provider.person.email_verified = "owner", True
        assert "access_token" in fragment_of(await trip(auth))
        rows = await database.fetch_all(
            "select provider_id, user_id from auth.identities order by provider_id"
        )
        assert [row["provider_id"] for row in rows] == ["owner", "thief"]
        assert rows[0]["user_id"] != rows[1]["user_id"]


async def test_linking_same_person_twice_at_once_makes_one_account(
    database: Database, tmp_path: Path
) -> None:
    async with served(database, tmp_path) as (auth, _):
        await asyncio.gather(*(trip(auth) for _ in range(6)))
        assert await database.fetch_value("select count(*) from auth.users") == 1
        assert await database.fetch_value("select count(*) from auth.sessions") == 6


async def test_oauth_without_address_needs_the_setting(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path) as (auth, provider):
        provider.person.email = None
        assert query_of(await trip(auth))["error_code"] == "validation_failed"


async def test_oauth_without_address_where_it_is_optional(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path, company={"email_optional": True}) as (auth, provider):
        provider.person.email = None
        assert "access_token" in fragment_of(await trip(auth))
        assert await database.fetch_value("select email from auth.users") is None


async def test_oauth_signups_off_and_banned_users_stay_out(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path, auth_signups=False) as (auth, _):
        assert query_of(await trip(auth))["error_code"] == "signup_disabled"
        made = await auth.post(
            "/admin/users", {"email": "a@example.com", "email_confirm": True}, token=auth.service
        )
        assert "access_token" in fragment_of(await trip(auth))
        await auth.put(f"/admin/users/{made.json()['id']}", {"ban_duration": "24h"}, token=auth.service)
        assert query_of(await trip(auth))["error_code"] == "user_banned"
        await auth.put(f"/admin/users/{made.json()['id']}", {"ban_duration": "none"}, token=auth.service)
        assert "access_token" in fragment_of(await trip(auth))


async def test_identities_are_linked_and_unlinked_by_hand(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path, auth_manual_linking=True) as (auth, provider):
        mine = fragment_of(await trip(auth))["access_token"]
        provider.person.email = "second@example.com"
        begun = await auth.get(
            "/user/identities/authorize",
            params={"provider": "github", "skip_http_redirect": "true", "redirect_to": APP}, token=mine,
        )  # fmt: skip
        assert begun.status_code == 200
        assert "access_token" in fragment_of(await back_from(auth, begun.json()["url"]))
        rows = await database.fetch_all("select id::text, provider from auth.identities order by provider")
        assert [row["provider"] for row in rows] == ["company", "github"]
        assert await database.fetch_value("select count(distinct user_id) from auth.identities") == 1
        # the same once more, and by somebody else
        begun = await auth.get(
            "/user/identities/authorize", params={"provider": "github", "redirect_to": APP}, token=mine
        )
        assert begun.status_code == 302
        told = query_of(await back_from(auth, begun.headers["location"]))
        assert (told["error_code"], told["error_description"]) == (
            "identity_already_exists",
            "Identity is already linked",
        )
        provider.person.email, provider.person.sub = "other@example.com", "other"
        other = fragment_of(await trip(auth))["access_token"]
        begun = await auth.get("/user/identities/authorize", params={"provider": "github"}, token=other)
        told = query_of(await back_from(auth, begun.headers["location"]))
        assert told["error_description"] == "Identity is already linked to another user"
        github = rows[1]["id"]
        for wrong, code in ((github, "single_identity_not_deletable"), ("x", "validation_failed")):
            answer = await auth.call("DELETE", f"/user/identities/{wrong}", token=other)
            assert answer.status_code in (404, 422) and answer.json()["error_code"] == code
        assert (await auth.call("DELETE", f"/user/identities/{uuid.uuid4()}", token=mine)).status_code == 422
        assert (await auth.call("DELETE", f"/user/identities/{github}", token=mine)).status_code == 200
        last = await auth.call("DELETE", f"/user/identities/{rows[0]['id']}", token=mine)
        assert last.json()["error_code"] == "single_identity_not_deletable"
        assert (await auth.call("DELETE", f"/user/identities/{github}")).status_code == 401


# ------------------------------------------------------------------------------------------- ID tokens


async def sign_in(auth: Auth, token: Any, **more: Any) -> httpx.Response:
    """POST /token?grant_type=id_token."""
    return await auth.post("/token?grant_type=id_token", {"provider": "company", "id_token": token, **more})


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
async def test_id_token_signs_in_with_and_without_nonce(database: Database, tmp_path: Path, alg: str) -> None:
    async with served(database, tmp_path, alg=alg) as (auth, provider):
        plain = await sign_in(auth, provider.id_token(provider.claims()))
        assert plain.status_code == 200, plain.text
        nonce = secrets.token_urlsafe(16)
        token = provider.id_token(provider.claims(nonce=hashlib.sha256(nonce.encode()).hexdigest()))
        assert (await sign_in(auth, token, nonce=nonce)).status_code == 200
        by_client = {"client_id": CLIENT, "issuer": provider.url, "id_token": token, "nonce": nonce}
        assert (await auth.post("/token?grant_type=id_token", by_client)).status_code == 200
        mismatch = await sign_in(auth, token, nonce="another")
        assert (mismatch.status_code, mismatch.json()["msg"]) == (400, "Nonces mismatch")
        for wrong in (
            await sign_in(auth, token),
            await sign_in(auth, provider.id_token(provider.claims()), nonce="x"),
        ):
            assert wrong.status_code == 400 and "should either both exist or not" in wrong.json()["msg"]
        assert await database.fetch_value("select count(*) from auth.users") == 1


async def test_id_token_bad_ones_are_all_refused_alike(database: Database, tmp_path: Path) -> None:
    async with served(database, tmp_path) as (auth, provider):
        faults = [
            Fault.WRONG_AUDIENCE, Fault.EXTRA_AUDIENCE, Fault.WRONG_ISSUER, Fault.EXPIRED, Fault.NOT_YET,
            Fault.NO_SUBJECT, Fault.ALG_NONE, Fault.KEY_CONFUSION, Fault.CLIENT_SECRET_HS, Fault.FOREIGN_KEY,
            Fault.UNKNOWN_KID,
        ]  # fmt: skip
        for fault in faults:
            provider.fault = fault
            answer = await sign_in(auth, provider.id_token(provider.claims()))
            assert (answer.status_code, answer.json()["msg"]) == (400, "Bad ID token"), fault
        provider.fault = None
        good = provider.id_token(provider.claims())
        ours = (await sign_in(auth, good)).json()["access_token"]
        head, body, signature = good.split(".")
        for token in (
            ours, auth.anon, "x", "..", good + "x", f"{head}.{body}.", f"{head}.{body[:-4]}AAAA.{signature}", "a.b.c",
            "é.é.é", good * 20,
        ):  # fmt: skip
            answer = await sign_in(auth, token)
            assert answer.status_code == 400 and "access_token" not in answer.json(), token[:20]
        for body_ in ({"id_token": good}, {"provider": "company"}, {"provider": 1, "id_token": good}):
            assert (await auth.post("/token?grant_type=id_token", body_)).status_code == 400
        off = await auth.post("/token?grant_type=id_token", {"provider": "nobody", "id_token": good})
        assert off.status_code == 400 and "not enabled" in off.json()["msg"]
        assert (await sign_in(auth, good, access_token="any")).status_code == 200  # no at_hash in it
        bound = provider.key.sign({**provider.claims(), "at_hash": "x"})
        assert (await sign_in(auth, bound, access_token="any")).status_code == 400


async def test_id_token_links_to_the_signed_in_user_when_that_is_allowed(
    database: Database, tmp_path: Path
) -> None:
    async with served(database, tmp_path, auth_manual_linking=True) as (auth, provider):
        provider.person.sub = "7"
        mine = fragment_of(await trip(auth, provider="github"))["access_token"]
        provider.person.email = "second@example.com"
        token = provider.id_token(provider.claims())
        anonymous = await sign_in(auth, token, link_identity=True)
        assert anonymous.status_code == 401
        linked = await auth.post(
            "/token?grant_type=id_token",
            {"provider": "company", "id_token": token, "link_identity": True},
            token=mine,
        )
        assert [one["provider"] for one in linked.json()["user"]["identities"]] == ["github", "company"]


async def test_grants_that_are_off_say_so(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        web3 = await auth.post(
            "/token?grant_type=web3", {"chain": "solana", "message": "x", "signature": "y"}
        )
        assert (web3.json()["error_code"], web3.json()["msg"]) == (
            "web3_provider_disabled",
            "Web3 provider is disabled",
        )
        sso = await auth.post("/sso", {"domain": "example.com"})
        assert (sso.status_code, sso.json()["error_code"]) == (404, "saml_provider_disabled")
        assert sso.json()["msg"] == "SAML 2.0 is disabled"
        for query in ("", "?grant_type=", "?grant_type=x", "?grant_type=%00"):
            assert (await auth.post(f"/token{query}")).status_code == 400
