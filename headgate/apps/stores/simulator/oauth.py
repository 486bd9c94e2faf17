"""Installing the app and its tokens, as Shopify's OAuth does it: signed callback, one-time codes, expiring tokens.

A refresh token that was used already may be used again until its replacement is used: so an app recovers when the
answer was lost (https://shopify.dev/changelog/more-resilient-refreshes-for-expiring-offline-access-tokens).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from headgate.apps.stores.simulator.clock import SimClock
from headgate.apps.stores.simulator.options import ALL_SCOPES

ACCESS_SECONDS = 3600
REFRESH_SECONDS = 90 * 86_400
CODE_SECONDS = 600


@dataclass
class Grant:
    """What an access token may do, and until when. `expires_at` None: for good."""

    app: str
    scopes: frozenset[str]
    expires_at: float | None


@dataclass
class Refresh:
    """A refresh token; `successor`: the one that replaced it."""

    app: str
    scopes: frozenset[str]
    expires_at: float
    successor: str | None = None
    retired: bool = False


@dataclass
class OAuth:
    """The installs and tokens of one shop. `apps`: client secrets by client id."""

    domain: str
    clock: SimClock
    apps: dict[str, str]
    codes: dict[str, tuple[str, frozenset[str], float]] = field(default_factory=dict)
    tokens: dict[str, Grant] = field(default_factory=dict)
    refreshes: dict[str, Refresh] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()

    def approve(self, query: dict[str, str]) -> str:
        """The callback address to which a merchant who approves is sent. Raises ValueError for a bad request."""
        app, target = query.get("client_id", ""), query.get("redirect_uri", "")
        if app not in self.apps:
            raise ValueError("Oauth error invalid_request: The client_id is not known")
        if not urlsplit(target).scheme.startswith("http"):
            raise ValueError("Oauth error invalid_request: The redirect_uri is not whitelisted")
        asked = frozenset(s.strip() for s in query.get("scope", "").split(",") if s.strip())
        granted = asked & frozenset(ALL_SCOPES) - self.withheld
        code = secrets.token_hex(16)
        self.codes[code] = (app, granted, self.clock.now() + CODE_SECONDS)
        host = base64.b64encode(f"admin.shopify.com/store/{self.domain.partition('.')[0]}".encode()).decode()
        given = {
            "code": code, "host": host.rstrip("="), "shop": self.domain, "state": query.get("state", ""),
            "timestamp": str(int(self.clock.now())),
        }  # fmt: skip
        signed = {**given, "hmac": sign_query(given, self.apps[app])}
        return f"{target}{'&' if '?' in target else '?'}{urlencode(signed)}"

    def page(self, query: dict[str, str]) -> str:
        """The page on which a merchant approves."""
        hidden = "".join(
            f'<input type="hidden" name="{html.escape(k)}" value="{html.escape(v)}">'
            for k, v in query.items()
        )
        scopes = "".join(f"<li>{html.escape(s)}</li>" for s in query.get("scope", "").split(","))
        return (
            f"<!doctype html><title>Install app</title><h1>Install app on {html.escape(self.domain)}</h1>"
            f"<p>This app will be able to:</p><ul>{scopes}</ul>"
            f'<form method="post" action="grant">{hidden}<button id="install">Install app</button></form>'
        )

    def exchange(self, given: dict[str, Any]) -> dict[str, Any]:
        """Tokens for a code or a refresh token; raises ValueError with the OAuth error."""
        app = str(given.get("client_id", ""))
        secret = self.apps.get(app)
        if secret is None or not hmac.compare_digest(secret, str(given.get("client_secret", ""))):
            raise ValueError("invalid_client")
        if given.get("grant_type") == "refresh_token":
            return self._refresh(app, str(given.get("refresh_token", "")))
        found = self.codes.pop(str(given.get("code", "")), None)
        if found is None or found[0] != app or found[2] < self.clock.now():
            raise ValueError("invalid_request")
        if str(given.get("expiring", "")).lower() in ("1", "true"):
            return self._pair(app, found[1], self._new_refresh(app, found[1]))
        token = "shpat_" + secrets.token_hex(16)
        self.tokens[token] = Grant(app, found[1], None)
        return {"access_token": token, "scope": ",".join(sorted(found[1]))}

    def _new_refresh(self, app: str, scopes: frozenset[str]) -> str:
        token = "shprt_" + secrets.token_hex(16)
        self.refreshes[token] = Refresh(app, scopes, self.clock.now() + REFRESH_SECONDS)
        return token

    def _pair(self, app: str, scopes: frozenset[str], refresh: str) -> dict[str, Any]:
        token = "shpat_" + secrets.token_hex(16)
        self.tokens[token] = Grant(app, scopes, self.clock.now() + ACCESS_SECONDS)
        left = int(self.refreshes[refresh].expires_at - self.clock.now())
        return {
            "access_token": token, "scope": ",".join(sorted(scopes)), "expires_in": ACCESS_SECONDS,
            "refresh_token": refresh, "refresh_token_expires_in": left,
        }  # fmt: skip

    def _refresh(self, app: str, token: str) -> dict[str, Any]:
        found = self.refreshes.get(token)
        if found is None or found.app != app or found.retired or found.expires_at < self.clock.now():
            raise ValueError("invalid_grant")
        for other in self.refreshes.values():
            if other.successor == token:
                other.retired = True  # its replacement is in use now
        scopes = found.scopes - self.withheld
        if found.successor is None:
            found.successor = self._new_refresh(app, scopes)
        return self._pair(app, scopes, found.successor)

    def grant(self, token: str | None) -> Grant | None:
        """What a token may do now; None for an unknown or expired one."""
        found = self.tokens.get(token or "")
        if found is None or (found.expires_at is not None and found.expires_at <= self.clock.now()):
            return None
        return Grant(found.app, found.scopes - self.withheld, found.expires_at)

    def expire(self) -> None:
        """All access tokens that expire at all expire now."""
        for found in self.tokens.values():
            if found.expires_at is not None:
                found.expires_at = self.clock.now()

    def revoke(self) -> None:
        """The app is uninstalled: nothing works any more."""
        self.tokens.clear()
        self.refreshes.clear()
        self.codes.clear()


def sign_query(given: dict[str, str], secret: str) -> str:
    """The hmac of a callback: hex SHA-256 over the sorted query without the hmac."""
    message = urlencode(sorted((k, v) for k, v in given.items() if k != "hmac"))
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()
