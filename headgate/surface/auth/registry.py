"""Talking to identity providers: where their endpoints are, the trip of a sign-in, and ID tokens by their keys.

Discovery documents and key sets are kept for ten minutes; a key that is not among them is looked for again, at most
every half minute, so that keys may rotate and strangers' tokens cost the provider nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from headgate.base.clock import monotonic
from headgate.surface.auth import id_tokens
from headgate.surface.auth.id_tokens import BadIdToken, UnknownKey
from headgate.surface.auth.outside import Outside, OutsideError
from headgate.surface.auth.providers import Profile, Provider, github_profile, oidc_profile

KEPT_S = 600.0
LOOK_AGAIN_S = 30.0
#: What a client may not add to the address of the provider: it is ours to say.
RESERVED = frozenset(
    {
        "client_id", "client_secret", "redirect_uri", "response_type", "response_mode", "state", "nonce", "scope",
        "code_challenge", "code_challenge_method", "request", "request_uri", "registration", "provider", "scopes",
        "redirect_to", "invite_token", "skip_http_redirect", "apikey", "code", "iss",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Endpoints:
    """Where a provider is talked to. `names_issuer`: it says in the callback who it is (RFC 9207)."""

    authorize: str
    token: str
    userinfo: str = ""
    jwks: str = ""
    names_issuer: bool = False
    basic_auth: bool = True


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What the provider gave for the code."""

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)
    id_token: str = field(default="", repr=False)


@dataclass
class _Kept:
    value: Any
    at: float


def nonce_of(verifier: str) -> str:
    """The nonce of a sign-in, from the secret that our database keeps for it."""
    return _b64(hashlib.sha256(f"nonce {verifier}".encode()).digest())


class Registry:
    """The providers of one installation, by name."""

    def __init__(self, providers: Mapping[str, Provider], outside: Outside) -> None:
        self.providers = dict(providers)
        self._outside = outside
        self._documents: dict[str, _Kept] = {}
        self._keys: dict[str, _Kept] = {}

    def find(self, *, name: str = "", issuer: str = "") -> Provider | None:
        """The provider by its name, or by the issuer of its tokens."""
        if name:
            return self.providers.get(name.lower())
        return next((one for one in self.providers.values() if issuer and issuer in one.issuers), None)

    async def endpoints(self, provider: Provider) -> Endpoints:
        """Where to go. Raises OutsideError when discovery fails or names somebody else."""
        if provider.kind == "github":
            login = f"{provider.url}/login/oauth"
            return Endpoints(f"{login}/authorize", f"{login}/access_token", basic_auth=False)
        kept = self._documents.get(provider.name)
        if kept is None or monotonic() - kept.at > KEPT_S:
            document = await self._outside.get(
                f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration"
            )
            kept = self._documents[provider.name] = _Kept(_endpoints(provider, document), monotonic())
        found: Endpoints = kept.value
        return found

    async def authorize_url(
        self, provider: Provider, *, state: str, verifier: str, redirect_uri: str, asked: Mapping[str, str]
    ) -> str:
        """The address to which the browser goes. `asked` is the client's query: `scopes` and what it adds."""
        where = await self.endpoints(provider)
        added = {
            k: v for k, v in asked.items() if k.lower() not in RESERVED and len(k) <= 64 and len(v) <= 1024
        }
        scopes = dict.fromkeys([*provider.scopes, *asked.get("scopes", "").replace(",", " ").split()])
        query = {
            **added, **provider.params, "client_id": provider.client_id, "redirect_uri": redirect_uri,
            "response_type": "code", "scope": " ".join(scopes), "state": state, "code_challenge_method": "S256",
            "code_challenge": _b64(hashlib.sha256(verifier.encode()).digest()),
        }  # fmt: skip
        if provider.kind == "oidc":
            query["nonce"] = nonce_of(verifier)
        return f"{where.authorize}{'&' if '?' in where.authorize else '?'}{urlencode(query)}"

    async def exchange(self, provider: Provider, *, code: str, verifier: str, redirect_uri: str) -> Tokens:
        """The tokens for the code of a callback. Raises OutsideError."""
        where = await self.endpoints(provider)
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }  # fmt: skip
        headers: dict[str, str] = {}
        if where.basic_auth and provider.client_secret:
            pair = f"{quote_plus(provider.client_id)}:{quote_plus(provider.client_secret)}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = provider.client_id
            if provider.client_secret:
                form["client_secret"] = provider.client_secret
        answer = await self._outside.post(where.token, form, headers=headers)
        texts = {
            name: answer.get(name) if isinstance(answer, dict) else None
            for name in ("access_token", "refresh_token", "id_token")
        }
        if not isinstance(texts["access_token"], str) or not texts["access_token"]:
            raise OutsideError("The provider gave no access token.")  # GitHub says errors with status 200
        refresh, told = texts["refresh_token"], texts["id_token"]
        return Tokens(
            access=texts["access_token"],
            refresh=refresh if isinstance(refresh, str) else "",
            id_token=told if isinstance(told, str) else "",
        )

    async def profile(self, provider: Provider, tokens: Tokens, *, verifier: str) -> Profile:
        """Who came. Raises OutsideError, or BadIdToken when the provider's token is not to be believed."""
        if provider.kind == "github":
            headers = {"authorization": f"Bearer {tokens.access}", "accept": "application/vnd.github+json"}
            user = await self._outside.get(f"{provider.api_url}/user", headers=headers)
            emails = await self._outside.get(f"{provider.api_url}/user/emails", headers=headers)
            found = github_profile(provider, user, emails)
            if found is None:
                raise OutsideError("The answer about the user is not GitHub's.")
            return found
        if not tokens.id_token:
            raise BadIdToken("there is none")
        claims = await self.claims(provider, tokens.id_token, access_token=tokens.access)
        if not id_tokens.same_text(claims.get("nonce"), nonce_of(verifier)):
            raise BadIdToken("wrong nonce")
        return oidc_profile(provider, await self._completed(provider, claims, tokens.access))

    async def claims(self, provider: Provider, token: str, *, access_token: str = "") -> Mapping[str, Any]:
        """The checked claims of an ID token; its nonce is the caller's to check. Raises BadIdToken, OutsideError."""
        if provider.kind != "oidc":
            raise BadIdToken("this provider has no ID tokens")
        header, _ = id_tokens.peek(token)
        try:
            claims = id_tokens.verified(token, await self._key_set(provider))
        except UnknownKey:
            claims = id_tokens.verified(token, await self._key_set(provider, again=True))
        id_tokens.check(claims, issuers=provider.issuers, audiences=provider.audiences)
        if not id_tokens.fits_access_token(claims, str(header["alg"]), access_token):
            raise BadIdToken("at_hash is of another access token")
        return claims

    async def _completed(
        self, provider: Provider, claims: Mapping[str, Any], access_token: str
    ) -> Mapping[str, Any]:
        """The claims with what only the userinfo endpoint says, when they lack an address."""
        if claims.get("email") or provider.email_optional:
            return claims
        where = await self.endpoints(provider)
        if not where.userinfo:
            return claims
        more = await self._outside.get(where.userinfo, headers={"authorization": f"Bearer {access_token}"})
        if not isinstance(more, dict) or more.get("sub") != claims["sub"]:
            return claims  # it is about somebody else (OpenID Connect Core 1.0, 5.3.2)
        return {**more, **claims}

    async def _key_set(self, provider: Provider, *, again: bool = False) -> list[Any]:
        kept = self._keys.get(provider.name)
        if kept is None or monotonic() - kept.at > (LOOK_AGAIN_S if again else KEPT_S):
            where = await self.endpoints(provider)
            document = await self._outside.get(where.jwks)
            keys = document.get("keys") if isinstance(document, dict) else None
            kept = self._keys[provider.name] = _Kept(keys if isinstance(keys, list) else [], monotonic())
        found: list[Any] = kept.value
        return found


def _endpoints(provider: Provider, document: Any) -> Endpoints:
    if not isinstance(document, dict) or document.get("issuer") != provider.issuer:
        raise OutsideError(f"The discovery document of {provider.name} is not that of its issuer.")
    found: dict[str, str] = {}
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
        url = document.get(name, "") if name == "userinfo_endpoint" else document.get(name)
        if not isinstance(url, str) or (url and not _same_safety(url, provider.issuer)):
            raise OutsideError(f"The discovery document of {provider.name} has no usable {name}.")
        found[name] = url
    methods = document.get("token_endpoint_auth_methods_supported")
    return Endpoints(
        found["authorization_endpoint"],
        found["token_endpoint"],
        found["userinfo_endpoint"],
        found["jwks_uri"],
        document.get("authorization_response_iss_parameter_supported") is True,
        not isinstance(methods, list) or "client_secret_basic" in methods,
    )


def _same_safety(url: str, issuer: str) -> bool:
    """https, or plain http only where the issuer is set up with it (on this machine)."""
    parts = urlsplit(url)
    return bool(parts.hostname) and parts.scheme in ("https", urlsplit(issuer).scheme)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
