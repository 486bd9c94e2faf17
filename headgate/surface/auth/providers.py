"""Identity providers: any that speaks OpenID Connect, with presets for Google, and GitHub by its own interface.

What each is, where its endpoints are, who came back from it. Decides nothing about users of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson

from headgate.base.errors import SettingsError

NAME = re.compile(r"[a-z][a-z0-9_:-]{0,48}")
OWN_NAMES = frozenset({"email", "phone", "anonymous", "web3", "sso", "saml"})
_GOOGLE = "https://accounts.google.com"
_FIELDS = frozenset(
    {
        "client_id", "client_secret", "client_ids", "issuer", "url", "api_url", "scopes", "skip_nonce_check",
        "email_optional", "params",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One provider as the operator set it up. `client_ids` are further audiences whose ID tokens are accepted."""

    name: str
    kind: Literal["oidc", "github"]
    client_id: str
    client_secret: str = field(repr=False)
    issuer: str = ""
    url: str = ""
    api_url: str = ""
    scopes: tuple[str, ...] = ()
    client_ids: frozenset[str] = frozenset()
    skip_nonce_check: bool = False
    email_optional: bool = False
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def issuers(self) -> frozenset[str]:
        """The values of `iss` that mean this provider. Google's tokens have two."""
        return frozenset({self.issuer, "accounts.google.com"} if self.issuer == _GOOGLE else {self.issuer})

    @property
    def audiences(self) -> frozenset[str]:
        """The client ids whose ID tokens are accepted."""
        return self.client_ids | {self.client_id}


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Who the provider says came: `emails` are (address in lower case, verified), the primary one first.

    `data` is what becomes the identity's `identity_data` and, over what is there, the user's metadata.
    """

    subject: str
    emails: tuple[tuple[str, bool], ...]
    data: Mapping[str, Any]

    @property
    def email(self) -> str:
        """The primary address, "" without one."""
        return self.emails[0][0] if self.emails else ""

    @property
    def verified(self) -> bool:
        """Whether the provider vouches for the primary address."""
        return bool(self.emails) and self.emails[0][1]


def read_providers(text: str) -> dict[str, Provider]:
    """The providers of the setting: a JSON object of name → settings. Raises SettingsError HG100."""
    if not text.strip():
        return {}
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _wrong("it is not JSON") from None
    if not isinstance(document, dict):
        raise _wrong("it is not an object of name and settings")
    return {name: _provider(name, raw) for name, raw in document.items()}


def _provider(name: str, raw: Any) -> Provider:
    if not NAME.fullmatch(name) or name in OWN_NAMES:
        raise _wrong(f"{name!r} cannot be a provider's name")
    if not isinstance(raw, dict):
        raise _wrong(f"{name} is not an object")
    if unknown := sorted(raw.keys() - _FIELDS):
        raise _wrong(f"{name} has the unknown field {unknown[0]!r}")
    for key in ("client_id", "client_secret", "issuer", "url", "api_url"):
        if not isinstance(raw.get(key, ""), str):
            raise _wrong(f"{key} of {name} is not a text")
    if not raw.get("client_id"):
        raise _wrong(f"{name} has no client_id")
    kind: Literal["oidc", "github"] = "github" if name == "github" and not raw.get("issuer") else "oidc"
    issuer = raw.get("issuer") or (_GOOGLE if name == "google" else "")
    if kind == "oidc":
        _check_url(name, "issuer", issuer)
    url, api = raw.get("url") or "https://github.com", raw.get("api_url") or "https://api.github.com"
    if kind == "github":
        _check_url(name, "url", url)
        _check_url(name, "api_url", api)
    standard = ["user:email"] if kind == "github" else ["openid", "email", "profile"]
    return Provider(
        name=name,
        kind=kind,
        client_id=raw["client_id"],
        client_secret=raw.get("client_secret", ""),
        issuer=issuer,
        url=url.rstrip("/"),
        api_url=api.rstrip("/"),
        scopes=tuple(_texts(name, "scopes", raw.get("scopes", standard))),
        client_ids=frozenset(_texts(name, "client_ids", raw.get("client_ids", []))),
        skip_nonce_check=_flag(name, "skip_nonce_check", raw),
        email_optional=_flag(name, "email_optional", raw),
        params=_params(name, raw.get("params", {})),
    )


def _check_url(name: str, key: str, url: str) -> None:
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or parts.scheme not in (("https", "http") if local else ("https",)):
        raise _wrong(f"{key} of {name} is not an https address")


def _texts(name: str, key: str, value: Any) -> list[str]:
    listed = value.split() if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(one, str) and one for one in listed):
        raise _wrong(f"{key} of {name} is not a list of texts")
    return list(listed)


def _flag(name: str, key: str, raw: Mapping[str, Any]) -> bool:
    value = raw.get(key, False)
    if not isinstance(value, bool):
        raise _wrong(f"{key} of {name} is neither true nor false")
    return value


def _params(name: str, value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise _wrong(f"params of {name} is not an object of texts")
    return value


def _wrong(reason: str) -> SettingsError:
    return SettingsError(
        f"HEADGATE_AUTH_PROVIDERS cannot be read: {reason}.",
        code="HG100",
        hint='Give JSON such as {"google": {"client_id": "…", "client_secret": "…"}}.',
    )


def oidc_profile(provider: Provider, claims: Mapping[str, Any]) -> Profile:
    """Who the claims of an ID token or a userinfo answer describe; `sub` has been checked."""
    subject = str(claims["sub"])
    email = _text(claims.get("email"), 255).lower()
    verified = claims.get("email_verified") in (True, "true")  # some providers send a text
    name = _text(claims.get("name"))
    data: dict[str, Any] = {
        "iss": provider.issuer, "sub": subject, "provider_id": subject, "name": name, "full_name": name,
        "email": email, "email_verified": verified, "phone_verified": False,
        "avatar_url": _text(claims.get("picture"), 2048), "picture": _text(claims.get("picture"), 2048),
    }  # fmt: skip
    for key in (
        "given_name",
        "family_name",
        "preferred_username",
        "nickname",
        "locale",
        "zoneinfo",
        "website",
    ):
        data[key] = _text(claims.get(key))
    if hosted := _text(claims.get("hd")):
        data["custom_claims"] = {"hd": hosted}
    kept = {key: value for key, value in data.items() if value not in ("", None)}
    return Profile(subject=subject, emails=((email, verified),) if email else (), data=kept)


def github_profile(provider: Provider, user: Any, emails: Any) -> Profile | None:
    """Who GitHub's `/user` and `/user/emails` describe; None if the answers are not what GitHub gives."""
    number = user.get("id") if isinstance(user, dict) else None
    if isinstance(number, bool) or not isinstance(number, int) or not isinstance(emails, list):
        return None
    found = [one for one in emails[:100] if isinstance(one, dict) and isinstance(one.get("email"), str)]
    found.sort(key=lambda one: one.get("primary") is not True)  # the primary one first, else as given
    listed = tuple((_text(one["email"], 255).lower(), one.get("verified") is True) for one in found)
    login, name = _text(user.get("login")), _text(user.get("name"))
    data: dict[str, Any] = {
        "iss": provider.api_url, "sub": str(number), "provider_id": str(number), "name": name, "full_name": name,
        "user_name": login, "preferred_username": login, "avatar_url": _text(user.get("avatar_url"), 2048),
        "email": listed[0][0] if listed else "", "email_verified": bool(listed) and listed[0][1],
        "phone_verified": False,
    }  # fmt: skip
    kept = {key: value for key, value in data.items() if value not in ("", None)}
    return Profile(subject=str(number), emails=listed, data=kept)


def _text(value: Any, most: int = 512) -> str:
    """A claim as a text that can be stored; "" for anything else."""
    return value[:most].replace("\0", "") if isinstance(value, str) else ""
