"""What every handler of the auth service stands on: settings, database, keys, mail, limits, and who is asking."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from headgate.base.settings import Settings
from headgate.db import Connection, Database, Jsonb
from headgate.surface.auth import redirects, sessions, users
from headgate.surface.auth.errors import AuthError
from headgate.surface.auth.exchange import AuthRequest
from headgate.surface.auth.limits import Limits
from headgate.surface.auth.mail import Mailer
from headgate.surface.auth.outside import Outside
from headgate.surface.auth.passwords import Passwords
from headgate.surface.auth.registry import Registry
from headgate.surface.auth.signing import SigningKeys
from headgate.surface.auth.users import Row
from headgate.surface.callers import CallerError

ADMIN_ROLES = frozenset({"service_role", "supabase_admin"})
#: (connection, claims, authentication method) → the claims to sign
ClaimsHook = Callable[[Connection, dict[str, Any], str], Awaitable[dict[str, Any]]]
_AUDIT = b"""insert into auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
values ('00000000-0000-0000-0000-000000000000', %s, %s, now(), %s)"""
#: the kind of an audit entry, as hosted Supabase groups them
_KINDS = {
    "login": "account", "logout": "account", "user_signedup": "team", "user_invited": "team",
    "user_deleted": "team", "user_modified": "user", "user_recovery_requested": "user",
    "user_reauthenticate_requested": "user", "user_confirmation_requested": "user",
    "user_repeated_signup": "user", "user_updated_password": "user", "token_revoked": "token",
    "token_refreshed": "token",
}  # fmt: skip


@dataclass(frozen=True)
class Signed:
    """Somebody with a good token: their row, the session that is still there, and the token's claims."""

    user: Row
    session_id: uuid.UUID
    claims: dict[str, Any]

    @property
    def aal(self) -> str:
        """The assurance level: that of the token or of its session, whichever is lower."""
        return str(self.claims.get("aal") or "aal1")


@dataclass(kw_only=True)
class Core:
    """Shared by all handlers of one process."""

    settings: Settings
    db: Database
    keys: SigningKeys
    passwords: Passwords
    limits: Limits
    mailer: Mailer
    outside: Outside
    providers: Registry
    claims_hook: ClaimsHook | None = None
    extras: dict[str, Any] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        """Where clients reach this server, without a slash at the end."""
        given = self.settings.public_url.rstrip("/")
        if given:
            return given
        host = self.settings.host
        host = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.settings.port}"

    @property
    def auth_url(self) -> str:
        """The base of this service's own links."""
        return self.base_url + "/auth/v1"

    @property
    def issuer(self) -> str:
        """The claim `iss`."""
        return self.auth_url

    @property
    def site_url(self) -> str:
        """Where people land who are sent nowhere else."""
        return self.settings.auth_site_url or self.base_url

    def landing(self, request: AuthRequest) -> str:
        """Where the request may send the browser: what it asks for if that is allowed, else the site."""
        return redirects.allowed_redirect(self, request)

    async def signed(self, conn: Connection, request: AuthRequest) -> Signed:
        """Who holds the request's bearer token. Raises AuthError 401 without one, 403 with a bad one."""
        caller = request.caller
        if isinstance(caller, CallerError):
            raise AuthError(403, "bad_jwt", f"invalid JWT: {caller.message}")
        if caller.user is None or caller.token is None:
            raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
        claims = dict(caller.claims)
        audience = claims.get("aud")
        if audience is not None and users.AUDIENCE not in (
            audience if isinstance(audience, list) else [audience]
        ):
            raise AuthError(403, "bad_jwt", "invalid JWT: it is meant for another audience")
        user = await users.by_id(conn, caller.user)
        if user is None:
            raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
        session_id = _uuid(claims.get("session_id"))
        session = await users.one(conn, sessions.Q.session, id=session_id) if session_id else None
        if session is None or session_id is None or session["user_id"] != user["id"]:
            raise sessions.session_gone()
        if users.is_banned(user):
            raise AuthError(403, "user_banned", "User is banned")
        # The token may be older than the session's last factor, or than the loss of one: the lower level counts.
        level = min(str(claims.get("aal") or "aal1"), str(session["aal"] or "aal1"))
        return Signed(user, session_id, {**claims, "aal": level})

    def require_admin(self, request: AuthRequest) -> None:
        """Raises AuthError unless the request comes with the rights of `service_role`."""
        caller = request.caller
        if isinstance(caller, CallerError):
            raise AuthError(403, "bad_jwt", f"invalid JWT: {caller.message}")
        if caller.role in ADMIN_ROLES:
            return
        if caller.token is None and caller.key_role is None:
            raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
        raise AuthError(403, "not_admin", "User not allowed")

    async def audit(
        self, conn: Connection, action: str, actor: Row | None, request: AuthRequest, **traits: Any
    ) -> None:
        """Write down who did what; `actor` None is the service itself (an administrator's key)."""
        who: dict[str, Any] = {
            "actor_id": "00000000-0000-0000-0000-000000000000",
            "actor_username": "service_role",
        }
        if actor is not None:
            name = actor["email"] or actor["phone"] or ""
            who = {
                "actor_id": str(actor["id"]),
                "actor_username": name,
                "actor_via_sso": actor["is_sso_user"],
            }
        payload = {**who, "action": action, "log_type": _KINDS.get(action, "user")}
        if traits:
            payload["traits"] = traits
        await conn.execute(_AUDIT, (uuid.uuid4(), Jsonb(payload), request.ip[:64]))


def _uuid(value: object) -> uuid.UUID | None:
    try:
        return uuid.UUID(str(value)) if value else None
    except ValueError:
        return None
