"""Every method of supabase-py's auth that is not plain sign-in, with the sync and the async client.

Prints a table of methods at the end and exits with 1 if a check failed or a method was never called.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import json
import sys
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
from supabase import acreate_client, create_client
from supabase_auth.errors import AuthApiError

URL, ANON, SERVICE, PROVIDER, BACK = sys.argv[1:6]
#: Sign-in by password and mail has a program of its own; these are the rest of the client's public methods.
AUTH = (
    "sign_in_with_oauth", "exchange_code_for_session", "sign_in_with_id_token", "sign_in_with_sso", "link_identity",
    "get_user_identities", "unlink_identity",
)  # fmt: skip
MFA = (
    "enroll", "challenge", "verify", "challenge_and_verify", "unenroll", "list_factors",
    "get_authenticator_assurance_level",
)  # fmt: skip
ADMIN = (
    "sign_out", "invite_user_by_email", "generate_link", "create_user", "list_users", "get_user_by_id",
    "update_user_by_id", "delete_user",
)  # fmt: skip
methods: dict[str, list[int]] = {}  # name → calls, passed, failed
inside: set[str] = set()
failures: list[str] = []
Check = Callable[["Kit"], Awaitable[None]]
CHECKS: list[Check] = []


def watch(prefix: str, holder: Any, names: tuple[str, ...]) -> None:
    """Note the calls of these methods of one object."""
    for name in names:
        label, method = prefix + name, getattr(holder, name)
        methods.setdefault(label, [0, 0, 0])

        def noted(*args: Any, _label: str = label, _method: Any = method, **options: Any) -> Any:
            inside.add(_label)
            methods[_label][0] += 1
            return _method(*args, **options)

        setattr(holder, name, functools.wraps(method)(noted))


class Kit:
    """Clients of one kind. `await kit(value)` works for both."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.admin: Any = None

    async def __call__(self, value: Any) -> Any:
        return await value if inspect.isawaitable(value) else value

    async def client(self) -> Any:
        """A client of somebody not signed in; its `auth`."""
        made = await acreate_client(URL, ANON) if self.kind == "async" else create_client(URL, ANON)
        watch("", made.auth, AUTH)
        watch("mfa.", made.auth.mfa, MFA)
        return made.auth

    async def start(self) -> None:
        """The administrator's client."""
        made = await acreate_client(URL, SERVICE) if self.kind == "async" else create_client(URL, SERVICE)
        self.admin = made.auth.admin
        watch("admin.", self.admin, ADMIN)
        watch("admin.mfa.", self.admin.mfa, ("list_factors", "delete_factor"))

    async def signed_up(self) -> tuple[Any, Any]:
        """A client with a new user, and the session."""
        auth = await self.client()
        email = f"{uuid.uuid4().hex[:12]}@example.com"
        made = await self(auth.sign_up({"email": email, "password": "correct horse 1"}))
        assert made.session is not None, "the server must confirm by itself"
        return auth, made.session

    async def refused(self, value: Callable[[], Any]) -> AuthApiError:
        """The error that a call must end in."""
        try:
            reply = await self(value())
        except AuthApiError as error:
            return error
        raise AssertionError(f"no error, but {reply!r}")


def check(run: Check) -> Check:
    """Add a check, by its name."""
    CHECKS.append(run)
    return run


async def browse(address: str) -> dict[str, list[str]]:
    """Follow redirects until the application's own page; its query."""
    async with httpx.AsyncClient() as http:
        for _ in range(5):
            if address.startswith(BACK):
                return parse_qs(urlsplit(address).query)
            answer = await http.get(address)
            assert answer.status_code == 302, answer.text
            address = answer.headers["location"]
    raise AssertionError("too many redirects")


async def person(**fields: Any) -> None:
    """Who signs in at the provider from now on."""
    async with httpx.AsyncClient() as http:
        assert (await http.post(f"{PROVIDER}/test/person", content=json.dumps(fields))).status_code == 200


async def id_token(nonce: str = "") -> str:
    """The provider's ID token for that person."""
    hashed = hashlib.sha256(nonce.encode()).hexdigest() if nonce else ""
    async with httpx.AsyncClient() as http:
        return (await http.get(f"{PROVIDER}/test/id_token", params={"nonce": hashed})).text


def code(secret: str, steps: int = 0) -> str:
    """The code now, or some steps away."""
    return pyotp.TOTP(secret).at(int(time.time()) + 30 * steps)


@check
async def oauth_and_code(kit: Kit) -> None:
    await person(sub=f"oauth-{kit.kind}", email=f"oauth-{kit.kind}@example.com")
    auth = await kit.client()
    options = {"redirect_to": BACK, "scopes": "calendar"}
    begun = await kit(auth.sign_in_with_oauth({"provider": "keycloak", "options": options}))
    auth_code = (await browse(begun.url))["code"][0]
    done = await kit(auth.exchange_code_for_session({"auth_code": auth_code}))
    assert (
        done.user.email == f"oauth-{kit.kind}@example.com"
        and done.session.provider_token == "provider-access"
    )
    again = await kit.refused(
        lambda: auth.exchange_code_for_session({"auth_code": auth_code, "code_verifier": "v" * 43})
    )
    assert again.code == "flow_state_not_found"


@check
async def id_tokens(kit: Kit) -> None:
    await person(sub=f"token-{kit.kind}", email=f"token-{kit.kind}@example.com")
    auth, nonce = await kit.client(), "n" * 20
    done = await kit(
        auth.sign_in_with_id_token({"provider": "keycloak", "token": await id_token(nonce), "nonce": nonce})
    )
    assert done.user.email == f"token-{kit.kind}@example.com"
    bad = await kit.refused(lambda: auth.sign_in_with_id_token({"provider": "keycloak", "token": "a.b.c"}))
    assert "Bad ID token" in bad.message
    off = await kit.refused(lambda: auth.sign_in_with_id_token({"provider": "google", "token": "a.b.c"}))
    assert "not enabled" in off.message
    sso = await kit.refused(lambda: auth.sign_in_with_sso({"domain": "example.com"}))
    assert sso.code == "saml_provider_disabled" and sso.message == "SAML 2.0 is disabled"


@check
async def identities(kit: Kit) -> None:
    await person(sub=f"link-{kit.kind}", email=f"link-{kit.kind}@example.com")
    auth, _ = await kit.signed_up()
    begun = await kit(auth.link_identity({"provider": "keycloak", "options": {"redirect_to": BACK}}))
    await kit(auth.exchange_code_for_session({"auth_code": (await browse(begun.url))["code"][0]}))
    found = (await kit(auth.get_user_identities())).identities
    assert sorted(one.provider for one in found) == ["email", "keycloak"]
    await kit(auth.unlink_identity(next(one for one in found if one.provider == "keycloak")))
    left = (await kit(auth.get_user_identities())).identities
    last = await kit.refused(lambda: auth.unlink_identity(left[0]))
    assert len(left) == 1 and last.code == "single_identity_not_deletable"


@check
async def second_factor(kit: Kit) -> None:
    auth, session = await kit.signed_up()
    factor = await kit(auth.mfa.enroll({"factor_type": "totp", "friendly_name": "phone", "issuer": "Shop"}))
    assert factor.totp.qr_code.startswith("data:image/svg+xml")
    asked = await kit(auth.mfa.challenge({"factor_id": factor.id}))
    given = {"factor_id": factor.id, "challenge_id": asked.id}
    wrong = await kit.refused(lambda: auth.mfa.verify({**given, "code": "0"}))
    assert wrong.message == "Invalid TOTP code entered"
    done = await kit(auth.mfa.verify({**given, "code": code(factor.totp.secret, -1)}))
    assert done.user.id == session.user.id
    level = await kit(auth.mfa.get_authenticator_assurance_level())
    assert level.current_level == "aal2" and level.next_level == "aal2"
    assert len((await kit(auth.mfa.list_factors())).totp) == 1
    again = {"factor_id": factor.id, "code": code(factor.totp.secret, 1)}
    assert (await kit(auth.mfa.challenge_and_verify(again))).access_token
    listed = await kit(kit.admin.mfa.list_factors({"user_id": session.user.id}))
    assert [(one.id, one.status) for one in listed] == [(factor.id, "verified")]
    assert (await kit(auth.mfa.unenroll({"factor_id": factor.id}))).id == factor.id
    other = await kit(auth.mfa.enroll({"factor_type": "totp", "friendly_name": "other", "issuer": "x"}))
    gone = await kit(kit.admin.mfa.delete_factor({"user_id": session.user.id, "id": other.id}))
    assert gone.id == other.id


@check
async def admin_users(kit: Kit) -> None:
    email = f"made-{kit.kind}@example.com"
    wanted = {"email": email, "password": "correct horse 1", "email_confirm": True, "user_metadata": {"a": 1}}
    user = (await kit(kit.admin.create_user(wanted))).user
    assert (await kit(kit.admin.get_user_by_id(user.id))).user.user_metadata["a"] == 1
    changed = await kit(
        kit.admin.update_user_by_id(user.id, {"app_metadata": {"plan": "pro"}, "ban_duration": "1h"})
    )
    assert changed.user.app_metadata["plan"] == "pro"
    assert len(await kit(kit.admin.list_users(page=1, per_page=2))) == 2
    assert (await kit.refused(lambda: kit.admin.list_users(page=-1))).code == "validation_failed"
    await kit(kit.admin.delete_user(user.id, should_soft_delete=True))
    assert (await kit.refused(lambda: kit.admin.get_user_by_id(user.id))).code == "user_not_found"
    second = (await kit(kit.admin.create_user({"email": email}))).user
    await kit(kit.admin.delete_user(second.id))


@check
async def admin_links_and_signing_out(kit: Kit) -> None:
    invited, other = f"invited-{kit.kind}@example.com", f"other-{kit.kind}@example.com"
    user = (
        await kit(kit.admin.invite_user_by_email(invited, {"data": {"team": "x"}, "redirect_to": BACK}))
    ).user
    assert user.invited_at is not None
    for kind, email in (("signup", other), ("magiclink", other), ("recovery", other), ("invite", invited)):
        body = {"type": kind, "email": email, "password": "correct horse 1", "options": {"redirect_to": BACK}}
        link = await kit(kit.admin.generate_link(body))
        assert link.properties.verification_type == kind and link.properties.redirect_to == BACK
        auth = await kit.client()
        verified = await kit(auth.verify_otp({"type": kind, "token_hash": link.properties.hashed_token}))
        assert verified.user.email == email
    for kind in ("email_change_current", "email_change_new"):
        body = {"type": kind, "email": invited, "new_email": f"newer-{kit.kind}@example.com"}
        assert (await kit(kit.admin.generate_link(body))).user.new_email == f"newer-{kit.kind}@example.com"
    auth, session = await kit.signed_up()
    await kit(kit.admin.sign_out(session.access_token))
    gone = await kit.refused(lambda: auth.get_user(session.access_token))
    assert gone.code == "session_not_found"


async def main() -> int:
    """Run everything with both kinds of client."""
    for kind in ("sync", "async"):
        kit = Kit(kind)
        await kit.start()
        for run in CHECKS:
            inside.clear()
            name = f"{run.__name__} ({kind})"
            try:
                await run(kit)
                print(f"ok {name}")
            except Exception as error:
                failures.append(name)
                where = traceback.extract_tb(error.__traceback__)[-1]
                print(
                    f"not ok {name}: {type(error).__name__}: {error} at line {where.lineno} of {where.filename}"
                )
            for used in inside:
                methods[used][2 if name in failures else 1] += 1
    print(f"\n{'method':<40}calls  passed  failed")
    passing = 0
    for name, (calls, passed, failed) in sorted(methods.items()):
        verdict = "NEVER CALLED" if not calls else "FAIL" if failed or passed < 2 else "pass"
        passing += verdict == "pass"
        print(f"{name:<40}{calls:>5}{passed:>8}{failed:>8}  {verdict}")
    print(f"{passing} of {len(methods)} methods pass")
    return 1 if failures or passing != len(methods) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
