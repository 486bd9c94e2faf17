"""Who asks: API key, user token or nobody; and whether they may still ask this hour. Decides nothing about rows."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from headgate.apps.tickets.api_errors import ApiError
from headgate.db.keys import VISITOR_PREFIX, Keyring
from headgate.db.quota import Quotas
from headgate.engine.manifest import Services

VerifyToken = Callable[[str], Awaitable[Mapping[str, Any] | None]]


@dataclass(frozen=True)
class Caller:
    """The claims that queries run under, and the quota bucket."""

    claims: Mapping[str, Any]
    bucket: str

    @property
    def role(self) -> str:
        """`anon`, `authenticated` or `service_role`."""
        return str(self.claims["role"])

    @property
    def user(self) -> str | None:
        """The user's id, when a user asks."""
        return self.claims.get("sub") if self.role == "authenticated" else None


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def address_bucket(host: str) -> str:
    """The quota bucket of an address: the address itself, for IPv6 its /64, which one customer holds."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "ip:unknown"
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return f"ip:{mapped}" if mapped else f"ip:{ipaddress.ip_network((address, 64), strict=False)}"
    return f"ip:{address}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Gate:
    """Recognises callers and counts their requests."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        self._keyring = Keyring(services.db)
        self._key_limit = int(settings.get("rate_limit_key", 1000))
        self._ip_limit = int(settings.get("rate_limit_ip", 100))
        self._loopback_limit = int(settings.get("rate_limit_loopback", 0))
        self._verify_token: VerifyToken | None = settings.get("verify_token")
        self.quotas = Quotas(services.db)

    async def admit(self, request: Request) -> None:
        """Put the counted caller into `request.state.caller`. Raises `ApiError` UNAUTHORIZED or RATE_LIMIT_EXCEEDED."""
        host = request.client.host if request.client else ""
        claims, bucket, limit = await self._recognise(request, host)
        if _is_loopback(host):
            limit = max(limit, self._loopback_limit)
        quota = await self.quotas.take(bucket, limit)
        request.state.quota_headers = quota.headers()
        if not quota.allowed:
            raise ApiError(
                "RATE_LIMIT_EXCEEDED",
                f"This hour's {quota.limit} requests are used up.",
                {"limit": quota.limit, "reset_at": quota.reset_at.isoformat()},
            )
        request.state.caller = Caller(claims, bucket)

    def refund(self, caller: Caller, headers: Mapping[str, str]) -> dict[str, str]:
        """Give the request back to the caller, and the headers that say so."""
        self.quotas.refund(caller.bucket)
        return {**headers, "X-RateLimit-Remaining": str(int(headers["X-RateLimit-Remaining"]) + 1)}

    async def _recognise(self, request: Request, host: str) -> tuple[Mapping[str, Any], str, int]:
        bearer = _bearer(request)
        key = request.headers.get("apikey") or (bearer if bearer and bearer.startswith("sb_") else None)
        claims: Mapping[str, Any] = {"role": "anon"}
        bucket, limit = address_bucket(host), self._ip_limit
        if key:
            found = await self._keyring.verify(key)
            if found is None:
                raise ApiError("UNAUTHORIZED", "This API key is unknown or revoked.")
            claims, bucket, limit = {"role": found.role}, f"key:{found.id}", self._key_limit
        if bearer and bearer != key:
            claims = await self._user(bearer)
        return claims, bucket, limit

    async def _user(self, token: str) -> Mapping[str, Any]:
        if token.startswith(VISITOR_PREFIX):
            visitor = await self._keyring.visitor(token)
            if visitor is None:
                raise ApiError("UNAUTHORIZED", "This visitor is unknown; ask for a new session.")
            return {"role": "authenticated", "sub": visitor, "is_anonymous": True}
        claims = await self._verify_token(token) if self._verify_token else None
        if claims is None or claims.get("role") not in {"anon", "authenticated", "service_role"}:
            raise ApiError("UNAUTHORIZED", "This token is not valid here.")
        return claims
