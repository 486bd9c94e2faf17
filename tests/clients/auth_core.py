"""Every method of supabase-py's auth client that needs no provider, second factor or administrator, sync and async.

Prints a table of methods at the end and exits with 1 if a check failed or a method was never called.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import re
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import supabase_auth
from supabase import AsyncClientOptions, ClientOptions, acreate_client, create_client
from supabase_auth import AsyncGoTrueClient, SyncGoTrueClient
from supabase_auth.errors import AuthError

URL, ANON, SERVICE = sys.argv[1:4]
#: Providers, identities and ID tokens have a program of their own; the others are not methods of the service.
ELSEWHERE = {
    "sign_in_with_oauth", "sign_in_with_id_token", "link_identity", "unlink_identity", "close", "aclose",
}  # fmt: skip
PASSWORD = "correct horse 1"
methods: dict[str, list[int]] = {}  # name → calls, passed, failed
inside: set[str] = set()
failures: list[str] = []
Check = Callable[["Kind"], Awaitable[None]]
CHECKS: list[Check] = []


def watch() -> None:
    """Note the calls of every public method of both clients."""
    for kind in (SyncGoTrueClient, AsyncGoTrueClient):
        for name, method in list(vars(kind).items()):
            if not name.startswith("_") and name not in ELSEWHERE and inspect.isfunction(method):
                methods.setdefault(name, [0, 0, 0])
                setattr(kind, name, _watched(name, method))


def _watched(name: str, method: Any) -> Any:
    @functools.wraps(method)
    def noted(*args: Any, **options: Any) -> Any:
        inside.add(name)
        methods[name][0] += 1
        return method(*args, **options)

    return noted


def check(run: Check) -> Check:
    """Add a check, by its name."""
    CHECKS.append(run)
    return run


def equal(got: Any, wanted: Any) -> None:
    """Fail with both values."""
    assert got == wanted, f"{got!r} is not {wanted!r}"


class Kind:
    """The sync or the async client: new ones, and awaiting whatever they give."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.email = f"py-{name}-{os.getpid()}@example.com"
        self.client: Any = None
        self.admin: Any = None

    async def fresh(self, key: str = ANON, **options: Any) -> Any:
        """A client without a session."""
        if self.name == "sync":
            return create_client(URL, key, ClientOptions(auto_refresh_token=False, **options))
        return await acreate_client(URL, key, AsyncClientOptions(auto_refresh_token=False, **options))

    async def run(self, given: Any) -> Any:
        """The answer of a call."""
        return await given if inspect.isawaitable(given) else given

    async def refused(self, call: Callable[[], Any], code: str) -> AuthError:
        """The error that a call must end in."""
        try:
            reply = await self.run(call())
        except AuthError as error:
            equal(error.code, code)
            return error
        raise AssertionError(f"no error, but {reply!r}")

    async def letter(self, recipient: str) -> tuple[str, str, str]:
        """Code, link and hash of the newest letter to an address."""
        query = (
            self.admin.table("mail_inbox")
            .select("*")
            .eq("recipient", recipient)
            .order("id", desc=True)
            .limit(1)
        )
        text = (await self.run(query.execute())).data[0]["text"]
        code, link = re.search(r"Code: (\d+)", text), re.search(r"http\S+", text)
        assert code is not None
        address = link.group(0) if link else ""
        return code.group(1), address, parse_qs(urlsplit(address).query).get("token", [""])[0]


@check
async def initialize(kind: Kind) -> None:
    heard: list[str] = []
    kind.client, kind.admin = await kind.fresh(), await kind.fresh(SERVICE)
    kind.client.auth.on_auth_state_change(lambda event, _: heard.append(event))
    await kind.run(kind.client.auth.initialize())
    await kind.run(kind.client.auth.initialize_from_storage())


@check
async def sign_up_and_verify(kind: Kind) -> None:
    auth = kind.client.auth
    made = await kind.run(
        auth.sign_up({"email": kind.email, "password": PASSWORD, "options": {"data": {"n": 1}}})
    )
    equal((made.session, made.user.email), (None, kind.email))
    body = {"email": kind.email, "password": PASSWORD}
    await kind.refused(lambda: auth.sign_in_with_password(body), "email_not_confirmed")
    code, _, _ = await kind.letter(kind.email)
    done = await kind.run(auth.verify_otp({"email": kind.email, "token": code, "type": "signup"}))
    equal(done.user.user_metadata["n"], 1)
    other = await kind.fresh()
    weak = await kind.refused(
        lambda: other.auth.sign_up({"email": "x@example.com", "password": "1"}), "weak_password"
    )
    assert "at least 6 characters" in weak.message
    again = await kind.run(other.auth.sign_up(body))
    equal((again.session, again.user.email), (None, kind.email))


@check
async def from_url(kind: Kind) -> None:
    other = await kind.fresh(flow_type="implicit")
    await kind.run(
        other.auth.sign_in_with_otp({"email": kind.email, "options": {"email_redirect_to": f"{URL}/in"}})
    )
    _, link, _ = await kind.letter(kind.email)
    landed = await asyncio.to_thread(_landing, link)
    assert landed.startswith(f"{URL}/in#access_token="), landed
    await kind.run(other.auth.initialize_from_url(landed.replace("#", "?")))
    equal((await kind.run(other.auth.get_session())).user.email, kind.email)


def _landing(link: str) -> str:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    try:
        urllib.request.build_opener(Stay).open(link, timeout=20)
    except urllib.request.HTTPError as answer:  # type: ignore[attr-defined]
        return str(answer.headers["Location"])
    raise AssertionError("no redirect")


@check
async def sign_in_and_claims(kind: Kind) -> None:
    auth = kind.client.auth
    await kind.refused(
        lambda: auth.sign_in_with_password({"email": kind.email, "password": "no"}), "invalid_credentials"
    )
    done = await kind.run(auth.sign_in_with_password({"email": kind.email, "password": PASSWORD}))
    equal((await kind.run(auth.get_session())).access_token, done.session.access_token)
    equal((await kind.run(auth.get_user())).user.id, done.user.id)
    found = await kind.run(auth.get_claims())
    equal((found["claims"]["sub"], found["headers"]["alg"]), (done.user.id, "ES256"))
    equal([one.provider for one in (await kind.run(auth.get_user_identities())).identities], ["email"])


@check
async def update(kind: Kind) -> None:
    auth, new = kind.client.auth, f"new-{kind.email}"
    equal((await kind.run(auth.update_user({"data": {"n": 2}}))).user.user_metadata["n"], 2)
    await kind.run(auth.update_user({"email": new}))
    await kind.run(auth.resend({"type": "email_change", "email": kind.email}))
    _, link, _ = await kind.letter(
        new
    )  # the client cannot read the answer to the first half, so a browser does it
    assert "Confirmation" in await asyncio.to_thread(_landing, link)
    code, _, _ = await kind.letter(kind.email)
    done = await kind.run(auth.verify_otp({"email": kind.email, "token": code, "type": "email_change"}))
    equal(done.user.email, new)
    kind.email = new
    await kind.refused(lambda: auth.update_user({"password": PASSWORD}), "same_password")
    await kind.run(auth.update_user({"password": PASSWORD + "!"}))
    await kind.run(auth.update_user({"password": PASSWORD}))


@check
async def refresh(kind: Kind) -> None:
    auth = kind.client.auth
    first = (await kind.run(auth.sign_in_with_password({"email": kind.email, "password": PASSWORD}))).session
    second = (await kind.run(auth.refresh_session())).session
    assert second.refresh_token != first.refresh_token
    other = await kind.fresh()
    late = (await kind.run(other.auth.refresh_session(first.refresh_token))).session
    equal(late.refresh_token, second.refresh_token)
    await kind.refused(lambda: other.auth.refresh_session("nonsense"), "refresh_token_not_found")
    done = await kind.run(other.auth.set_session(second.access_token, second.refresh_token))
    equal(done.user.email, kind.email)


@check
async def codes(kind: Kind) -> None:
    other = await kind.fresh()
    await kind.run(other.auth.sign_in_with_otp({"email": kind.email}))
    code, _, _ = await kind.letter(kind.email)
    wrong = {"email": kind.email, "token": "000000", "type": "email"}
    await kind.refused(lambda: other.auth.verify_otp(wrong), "otp_expired")
    equal((await kind.run(other.auth.verify_otp({**wrong, "token": code}))).user.email, kind.email)
    await kind.refused(
        lambda: other.auth.sign_in_with_otp({"phone": "+491512345"}), "phone_provider_disabled"
    )
    for method in (other.auth.reset_password_for_email, other.auth.reset_password_email):
        await kind.run(method(kind.email, {"redirect_to": f"{URL}/in"}))
    _, _, hashed = await kind.letter(kind.email)
    await kind.run(other.auth.verify_otp({"token_hash": hashed, "type": "recovery"}))
    await kind.run(other.auth.reauthenticate())
    await kind.run(other.auth.resend({"type": "signup", "email": "nobody@example.com"}))


@check
async def pkce(kind: Kind) -> None:
    other = await kind.fresh(flow_type="pkce")
    await kind.run(
        other.auth.sign_in_with_otp({"email": kind.email, "options": {"email_redirect_to": f"{URL}/in"}})
    )
    _, link, _ = await kind.letter(kind.email)
    landed = await asyncio.to_thread(_landing, link)
    found = parse_qs(urlsplit(landed).query).get("code")
    if (
        found is None
    ):  # this version of the client sends no challenge with codes by mail: then the link holds tokens
        assert "access_token" in landed
        found = [await _own_code(kind, other)]
    session = (await kind.run(other.auth.exchange_code_for_session({"auth_code": found[0]}))).session
    equal(session.user.email, kind.email)


async def _own_code(kind: Kind, other: Any) -> str:
    """The code of a flow whose verifier is put where the client looks for it."""
    from supabase_auth.helpers import generate_pkce_challenge, generate_pkce_verifier

    verifier = generate_pkce_verifier(64)
    await kind.run(other.auth._storage.set_item(f"{other.auth._storage_key}-code-verifier", verifier))
    body = {
        "email": kind.email, "code_challenge": generate_pkce_challenge(verifier), "code_challenge_method": "s256",
    }  # fmt: skip
    await kind.run(other.auth._request("POST", "recover", body=body))
    _, link, _ = await kind.letter(kind.email)
    return parse_qs(urlsplit(await asyncio.to_thread(_landing, link)).query)["code"][0]


@check
async def anonymous(kind: Kind) -> None:
    other = await kind.fresh()
    user = (await kind.run(other.auth.sign_in_anonymously({"options": {"data": {"n": 3}}}))).user
    equal((user.is_anonymous, user.user_metadata["n"]), (True, 3))


@check
async def sign_out(kind: Kind) -> None:
    one, two = await kind.fresh(), await kind.fresh()
    for each in (one, two):
        await kind.run(each.auth.sign_in_with_password({"email": kind.email, "password": PASSWORD}))
    held = await kind.run(two.auth.get_session())
    await kind.run(one.auth.sign_out({"scope": "others"}))
    await kind.refused(lambda: two.auth.refresh_session(held.refresh_token), "refresh_token_not_found")
    equal((await kind.run(one.auth.get_user())).user.email, kind.email)
    await kind.run(one.auth.sign_out())
    equal(await kind.run(one.auth.get_session()), None)
    await kind.refused(lambda: one.auth.sign_in_with_sso({"domain": "example.com"}), "saml_provider_disabled")


async def everything(kind: Kind) -> None:
    """All checks with one kind of client."""
    for one in CHECKS:
        inside.clear()
        name, place = f"{kind.name} {one.__name__}", 1
        try:
            await one(kind)
            print(f"ok {name}")
        except Exception as error:  # every failure is reported, and the next check runs
            failures.append(name)
            place = 2
            print(f"not ok {name}: {error!r}")
        for used in inside:
            methods[used][place] += 1


async def main() -> int:
    """Run both kinds of client; print the table."""
    watch()
    print(f"supabase_auth {supabase_auth.__version__}")
    await everything(Kind("sync"))
    await everything(Kind("async"))
    for name, (calls, passed, bad) in sorted(methods.items()):
        verdict = "FAIL" if bad else "pass" if passed else "NEVER CALLED"
        print(f"{name:26} {calls:4} calls  {verdict}")
    passing = sum(1 for _, passed, bad in methods.values() if passed and not bad)
    print(f"{passing} of {len(methods)} methods pass")
    return int(bool(failures) or passing < len(methods))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
