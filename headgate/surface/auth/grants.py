"""Grants of POST /token: here the code of a PKCE sign-in, an ID token, and what is switched off."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from headgate.base import log
from headgate.db import errors
from headgate.surface.auth import captcha, id_tokens, linking, pkce, sessions, signin, users
from headgate.surface.auth.core import Core
from headgate.surface.auth.errors import AuthError
from headgate.surface.auth.exchange import Answer, AuthRequest
from headgate.surface.auth.id_tokens import BadIdToken
from headgate.surface.auth.identities import require_manual_linking
from headgate.surface.auth.outside import OutsideError
from headgate.surface.auth.providers import Profile, Provider, oidc_profile

_log = log.get(__name__)


async def pkce_code(core: Core, request: AuthRequest) -> Answer:
    """grant_type=pkce {auth_code, code_verifier}: the session, with the provider's tokens when there are some."""
    await _limited(core, request)
    code, verifier = request.text("auth_code", most=128), request.text("code_verifier", most=256)
    async with core.db.transaction() as conn:
        flow = await pkce.redeem(conn, code=code, verifier=verifier)
        user = await users.by_id(conn, flow["user_id"])
        if user is None:
            raise AuthError(404, "flow_state_not_found", "invalid flow state, no valid flow state found")
        if users.is_banned(user):
            raise AuthError(403, "user_banned", "User is banned")
        provider = flow["provider_type"] if flow["authentication_method"] == "oauth" else None
        session = await sessions.open_session(
            core, conn, user, request, method=flow["authentication_method"], provider=provider
        )
        await core.audit(conn, "login", user, request, provider_type=flow["provider_type"])
    for field, column in (("provider_token", "provider_access_token"), ("provider_refresh_token",) * 2):
        if flow[column]:
            session[field] = flow[column]
    return Answer(body=session)


async def id_token(core: Core, request: AuthRequest) -> Answer:
    """grant_type=id_token {provider, id_token, access_token, nonce}: a session for whom the token is about.

    With `link_identity` and a session it adds the identity to the signed-in user instead.
    """
    await _limited(core, request)
    await captcha.check(core, request)
    token = request.text("id_token", most=16_384)
    if not token:
        raise _refused("id_token required")
    provider = _provider(core, request, token)
    profile = await _believed(core, request, provider, token)
    try:
        async with core.db.transaction() as conn:
            if request.flag("link_identity"):
                require_manual_linking(core)
                target = (await core.signed(conn, request)).user["id"]
                user = await linking.link(core, conn, request, provider, profile, target=target)
            else:
                user = await linking.enter(core, conn, request, provider, profile)
            session = await sessions.open_session(
                core, conn, user, request, method="oauth", provider=provider.name
            )
    except errors.UniqueViolation:
        raise AuthError(
            422, "conflict", "The account was changed at the same moment; sign in again"
        ) from None
    return Answer(body=session)


async def _limited(core: Core, request: AuthRequest) -> None:
    await core.limits.take(core.limits.rates.sign_in, request.ip)


def _provider(core: Core, request: AuthRequest, token: str) -> Provider:
    """The provider that the request names, or whose client and issuer it names."""
    name, issuer = request.text("provider", most=64), request.text("issuer", most=512)
    client = request.text("client_id", most=512)
    if not name and not (client and issuer):
        raise _refused("provider or client_id and issuer required")
    provider = core.providers.find(name=name) if name else core.providers.find(issuer=issuer)
    if provider is None or provider.kind != "oidc" or (not name and client not in provider.audiences):
        told = (
            f'Provider (issuer "{issuer[:200]}") is not enabled'
            if issuer
            else f'Provider "{name}" is not enabled'
        )
        raise AuthError(400, "provider_disabled", told)
    return provider


async def _believed(core: Core, request: AuthRequest, provider: Provider, token: str) -> Profile:
    """Who the token is about. Raises AuthError; why it is not believed is for the log."""
    access_token = request.text("access_token", most=16_384)
    try:
        claims = await core.providers.claims(provider, token, access_token=access_token)
    except BadIdToken as error:
        _log.info("auth.id_token_refused", provider=provider.name, reason=str(error))
        raise _refused("Bad ID token") from None
    except OutsideError as error:
        _log.warning("auth.provider_unreachable", provider=provider.name, reason=str(error))
        raise AuthError(503, "unexpected_failure", "The provider cannot be reached at the moment") from None
    if not provider.skip_nonce_check:
        _check_nonce(request.text("nonce", most=1024), claims.get("nonce"))
    return oidc_profile(provider, claims)


def _check_nonce(given: str, told: Any) -> None:
    """The token holds the SHA-256 of the nonce that only the client knows, in hexadecimal."""
    if bool(given) != bool(told):
        raise _refused("Passed nonce and nonce in id_token should either both exist or not.")
    if given and not id_tokens.same_text(told, hashlib.sha256(given.encode()).hexdigest()):
        raise AuthError(400, "validation_failed", "Nonces mismatch", {"error": "invalid nonce"})


def _refused(told: str) -> AuthError:
    return AuthError(400, "validation_failed", told, {"error": "invalid request", "error_description": told})


async def web3(core: Core, request: AuthRequest) -> Answer:
    """grant_type=web3: not offered."""
    raise AuthError(422, "web3_provider_disabled", "Web3 provider is disabled")


async def sso(core: Core, request: AuthRequest) -> Answer:
    """POST /sso: not offered."""
    raise AuthError(404, "saml_provider_disabled", "SAML 2.0 is disabled")


#: What POST /token?grant_type=… does.
GRANTS: dict[str, Callable[[Core, AuthRequest], Awaitable[Answer]]] = {
    "password": signin.by_password,
    "refresh_token": signin.by_refresh_token,
    "pkce": pkce_code,
    "id_token": id_token,
    "web3": web3,
}


async def token(core: Core, request: AuthRequest) -> Answer:
    """POST /token?grant_type=…"""
    grant = GRANTS.get(request.query.get("grant_type", ""))
    if grant is None:
        raise AuthError(400, "invalid_credentials", "unsupported_grant_type")
    return await grant(core, request)
