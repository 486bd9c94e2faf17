"""Signing in at a provider: the way there, the way back, and who came. The state of a sign-in is used once.

A provider's mistakes come back to the client's own page as `error`, `error_code` and `error_description`, in the query
and in the fragment; the page is one of the allowed addresses or the site's.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from headgate.base import log
from headgate.db import Connection, errors
from headgate.db.queries import load
from headgate.surface.auth import linking, pkce, sessions
from headgate.surface.auth.core import Core
from headgate.surface.auth.errors import AuthError, invalid
from headgate.surface.auth.exchange import Answer, AuthRequest, redirect
from headgate.surface.auth.id_tokens import BadIdToken
from headgate.surface.auth.limits import Limit
from headgate.surface.auth.outside import OutsideError
from headgate.surface.auth.providers import Profile, Provider
from headgate.surface.auth.redirects import allowed_redirect, with_fragment, with_query
from headgate.surface.auth.registry import Tokens
from headgate.surface.auth.users import Row, one

Q = load("headgate.surface.auth", "oauth.sql")
STATE_S = 300
_ERRORS = {
    400: "invalid_request",
    401: "unauthorized_client",
    403: "access_denied",
    503: "temporarily_unavailable",
}
_log = log.get(__name__)


async def authorize(core: Core, request: AuthRequest) -> Answer:
    """GET /authorize?provider=…: to the provider. `skip_http_redirect=true` gives the address as JSON."""
    url = await begin(core, request, target=None)
    return went(request, url)


def went(request: AuthRequest, url: str) -> Answer:
    """The way to the provider, as a redirect or as JSON for clients that go themselves."""
    if request.query.get("skip_http_redirect") == "true":
        return Answer(body={"url": url})
    return redirect(url, status=302)


async def begin(core: Core, request: AuthRequest, *, target: uuid.UUID | None) -> str:
    """Keep a new sign-in; the provider's address for it. `target` is the user who wants one more identity.

    Raises AuthError 400 for a provider that is not set up, 503 when the provider's discovery does not answer.
    """
    await core.limits.take(Limit("authorize", core.settings.auth_limit_refresh, 300), request.ip)
    name = request.query.get("provider", "")
    provider = core.providers.find(name=name) if name else None
    if provider is None:
        told = "provider is not enabled" if name else "missing provider"
        raise invalid(f"Unsupported provider: {told}")
    challenge = pkce.challenge_of(
        request.query.get("code_challenge", ""), request.query.get("code_challenge_method", "")
    )
    verifier, state = secrets.token_urlsafe(48), uuid.uuid4()
    asked = {key: value for key, value in request.query.items() if key != "invite_token"}
    try:
        url = await core.providers.authorize_url(
            provider, state=str(state), verifier=verifier, redirect_uri=callback_url(core), asked=asked
        )
    except OutsideError as error:
        _log.warning("auth.provider_unreachable", provider=provider.name, reason=str(error))
        raise AuthError(503, "unexpected_failure", "The provider cannot be reached at the moment") from None
    async with core.db.transaction() as conn:
        await conn.execute(Q.clean_states.encode())
        await conn.execute(pkce.Q.clean.encode())
        kept = uuid.uuid4()
        await conn.execute(
            Q.keep_state.encode(), {"id": kept, "provider": provider.name, "verifier": verifier}
        )
        await pkce.begin(
            conn, challenge=challenge, method="oauth", provider=provider.name, flow=state,
            context={
                "referrer": allowed_redirect(core, request), "oauth_client_state_id": kept,
                "linking_target_id": target, "email_optional": provider.email_optional,
            },
        )  # fmt: skip
    return url


def callback_url(core: Core) -> str:
    """The redirect address to enter at the provider."""
    return core.auth_url + "/callback"


async def callback(core: Core, request: AuthRequest) -> Answer:
    """GET and POST /callback: back from the provider, on to the client's page with a code, tokens or an error."""
    back = core.site_url
    try:
        given = _given(request)
        flow, verifier = await _taken(core, given.get("state", ""))
        back = flow["referrer"] or back
        return redirect(await _arrived(core, request, flow, given, verifier=verifier), status=302)
    except AuthError as error:
        return redirect(_with_error(back, error), status=302)


def _given(request: AuthRequest) -> Mapping[str, str]:
    """What the provider sent along, in the query or as a form."""
    if request.method != "POST":
        return request.query
    try:
        pairs = parse_qsl(
            request.raw_body.decode("ascii", "strict"), keep_blank_values=True, max_num_fields=50
        )
    except ValueError:
        raise invalid("The form cannot be read") from None
    return {name: value.replace("\0", "") for name, value in reversed(pairs)}


async def _taken(core: Core, state: str) -> tuple[Row, str]:
    """The sign-in of this state and the verifier for the provider; both are used up. Raises AuthError."""
    if not state:
        raise AuthError(400, "bad_oauth_callback", "OAuth state parameter missing")
    try:
        known = uuid.UUID(state)
    except ValueError:
        raise AuthError(400, "bad_oauth_state", "OAuth state parameter is invalid") from None
    async with core.db.transaction() as conn:
        flow = await one(conn, pkce.Q.find, id=known, expiry_s=STATE_S)
        if flow is None or flow["authentication_method"] != "oauth":
            raise AuthError(400, "bad_oauth_state", "OAuth state not found or expired")
        kept = await one(conn, Q.take_state, id=flow["oauth_client_state_id"], provider=flow["provider_type"])
        if flow["user_id"] is not None or kept is None:
            raise AuthError(400, "flow_state_already_used", "State has already been used")
        if flow["expired"]:
            raise AuthError(400, "bad_oauth_state", "OAuth state has expired")
        if flow["code_challenge"] is None:
            await conn.execute(pkce.Q.forget.encode(), {"id": flow["id"]})
    return flow, kept["code_verifier"]


async def _arrived(
    core: Core, request: AuthRequest, flow: Row, given: Mapping[str, str], *, verifier: str
) -> str:
    """Where the browser goes after a sign-in that worked. Raises AuthError."""
    provider = core.providers.find(name=flow["provider_type"])
    if provider is None:
        raise AuthError(400, "oauth_provider_not_supported", "Unsupported provider: provider is not enabled")
    tokens, profile = await _fetched(core, provider, given, verifier=verifier)
    target = flow["linking_target_id"]
    try:
        async with core.db.transaction() as conn:
            if target is not None:
                user = await linking.link(core, conn, request, provider, profile, target=target)
            else:
                user = await linking.enter(core, conn, request, provider, profile)
            return await _let_in(core, conn, request, flow=flow, user=user, tokens=tokens)
    except errors.UniqueViolation:
        raise AuthError(
            422, "conflict", "The account was changed at the same moment; sign in again"
        ) from None


async def _fetched(
    core: Core, provider: Provider, given: Mapping[str, str], *, verifier: str
) -> tuple[Tokens, Profile]:
    """The provider's tokens and who they are for. Raises AuthError, with nothing of the provider's but its refusal."""
    if "error" in given:
        told = given.get("error_description", "")[:300] or given["error"][:100]
        status = 403 if given["error"] == "access_denied" else 400
        raise AuthError(status, "bad_oauth_callback", told, {"error": given["error"][:100]})
    if not given.get("code"):
        raise AuthError(400, "bad_oauth_callback", "OAuth callback with missing authorization code missing")
    try:
        endpoints = await core.providers.endpoints(provider)
        named = given.get("iss")
        # Mixed-up providers: a callback of one must not spend the sign-in of another (RFC 9207).
        if provider.kind == "oidc" and (named or endpoints.names_issuer) and named not in provider.issuers:
            raise AuthError(400, "bad_oauth_callback", "The callback is of another provider")
        tokens = await core.providers.exchange(
            provider, code=given["code"], verifier=verifier, redirect_uri=callback_url(core)
        )
        return tokens, await core.providers.profile(provider, tokens, verifier=verifier)
    except OutsideError as error:
        _log.warning("auth.provider_failed", provider=provider.name, reason=str(error), status=error.status)
        raise AuthError(503, "unexpected_failure", "Unable to exchange external code") from None
    except BadIdToken as error:
        _log.warning("auth.provider_token", provider=provider.name, reason=str(error))
        raise AuthError(400, "bad_oauth_callback", "Bad ID token") from None


async def _let_in(
    core: Core, conn: Connection, request: AuthRequest, *, flow: Row, user: Row, tokens: Tokens
) -> str:
    back = flow["referrer"] or core.site_url
    if flow["code_challenge"] is not None:
        await conn.execute(pkce.Q.complete.encode(), {
            "id": flow["id"], "user_id": user["id"], "access_token": tokens.access, "refresh_token": tokens.refresh,
        })  # fmt: skip
        return with_query(back, {"code": flow["auth_code"]})
    session = await sessions.open_session(
        core, conn, user, request, method="oauth", provider=flow["provider_type"]
    )
    told = {
        key: str(session[key])
        for key in ("access_token", "expires_at", "expires_in", "refresh_token", "token_type")
    }
    told["provider_token"] = tokens.access
    if tokens.refresh:
        told["provider_refresh_token"] = tokens.refresh
    return with_fragment(back, told)


def _with_error(url: str, error: AuthError) -> str:
    name: Any = error.extra.get("error") or _ERRORS.get(
        error.status, "server_error" if error.status >= 500 else "invalid_request"
    )
    told = {"error": str(name), "error_code": error.error_code, "error_description": error.msg}
    return with_fragment(with_query(url, told), told)
