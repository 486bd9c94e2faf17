"""Hooks: PostgreSQL functions of the operator's that add claims, or refuse a new user or a password.

A function takes one jsonb and gives one back, as on hosted Supabase. It runs inside the request's transaction with a
time limit; what it answers with `error` refuses the request.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from headgate.base import log
from headgate.base.clock import now
from headgate.base.errors import SettingsError
from headgate.base.settings import Settings
from headgate.db import SQL, Connection, Identifier, Jsonb, errors
from headgate.surface.auth.errors import AuthError
from headgate.surface.auth.exchange import AuthRequest, rfc3339

if TYPE_CHECKING:
    from headgate.surface.auth.core import Core

TIMEOUT_MS = 2000
#: Claims that a hook may not take away: without them no token of ours would be one.
REQUIRED = ("aud", "exp", "iat", "sub", "email", "phone", "role", "aal", "session_id", "is_anonymous")
#: Claims that a hook may not change, because a token must stay its user's and its session's.
FIXED = ("iss", "sub", "aud", "iat", "exp", "session_id")
_FUNCTION = re.compile(r"([A-Za-z_][A-Za-z0-9_$]{0,62})\.([A-Za-z_][A-Za-z0-9_$]{0,62})")
_URI = re.compile(r"pg-functions://[^/]+/([^/]+)/([^/]+)")
_log = log.get(__name__)


def function_name(setting: str) -> tuple[str, str] | None:
    """Schema and name of a hook's setting, None when it is empty. Raises SettingsError HG100."""
    if not setting:
        return None
    found = _FUNCTION.fullmatch(setting) or _URI.fullmatch(setting)
    if found is None:
        raise SettingsError(
            f"The hook {setting!r} is not the name of a function.",
            code="HG100",
            hint="Give it as schema.function.",
        )
    return found.group(1), found.group(2)


async def call(conn: Connection, function: tuple[str, str], payload: Mapping[str, Any]) -> dict[str, Any]:
    """What the function answers. Raises AuthError: its own `error`, or 422 `hook_payload_…` when it fails."""
    query = SQL("select {}.{}(%s::jsonb) as answer").format(*map(Identifier, function))
    name = ".".join(function)
    try:
        async with conn.transaction():
            await conn.execute("select set_config('statement_timeout', %s, true)", (str(TIMEOUT_MS),))
            row = await (await conn.execute(query, (Jsonb(dict(payload)),))).fetchone()
            await conn.execute("reset statement_timeout")
    except errors.QueryCanceled:
        _log.warning("auth.hook_timeout", hook=name)
        raise AuthError(422, "hook_timeout", "The hook did not answer in time") from None
    except errors.Error as error:
        _log.warning("auth.hook_failed", hook=name, sqlstate=error.sqlstate)
        raise AuthError(422, "hook_payload_invalid_content_type", "The hook failed") from None
    answer = row["answer"] if row else None
    if answer is None:
        return {}
    if not isinstance(answer, dict):
        _log.warning("auth.hook_answer", hook=name)
        raise AuthError(422, "hook_payload_invalid_content_type", "The hook's answer is not an object")
    if answer.get("error"):
        raise _told(answer["error"])
    return answer


def _told(error: Any) -> AuthError:
    """The hook's own refusal; its status if that is one for clients' mistakes."""
    found = error if isinstance(error, dict) else {"message": str(error)}
    status = found.get("http_code")
    known = (
        status if isinstance(status, int) and not isinstance(status, bool) and 400 <= status < 500 else 422
    )
    return AuthError(
        known,
        "hook_payload_rejected" if known == 422 else "validation_failed",
        str(found.get("message") or "Refused by a hook")[:500],
    )


def claims_hook(
    settings: Settings,
) -> Callable[[Connection, dict[str, Any], str], Awaitable[dict[str, Any]]] | None:
    """What gives access tokens further claims: the hook `auth_hook_claims`, None without one."""
    function = function_name(settings.auth_hook_claims)
    for other in (settings.auth_hook_user_created, settings.auth_hook_password):
        function_name(other)  # a wrong name stops the start, not a sign-in
    return None if function is None else partial(custom_claims, function)


async def custom_claims(
    function: tuple[str, str], conn: Connection, claims: dict[str, Any], method: str
) -> dict[str, Any]:
    """The claims as the hook wants them. Raises AuthError 422 when it fails or breaks them."""
    answer = await call(
        conn, function, {"user_id": claims["sub"], "claims": claims, "authentication_method": method}
    )
    changed = answer.get("claims")
    if not isinstance(changed, dict) or any(name not in changed for name in REQUIRED):
        _log.warning("auth.hook_claims", hook=".".join(function))
        raise AuthError(422, "hook_payload_invalid_content_type", "The hook's claims are not complete")
    if any(changed.get(name) != claims.get(name) for name in FIXED) or not isinstance(changed["role"], str):
        _log.warning("auth.hook_claims", hook=".".join(function))
        raise AuthError(422, "hook_payload_invalid_content_type", "The hook changed a claim that is fixed")
    return changed


async def before_user_created(
    core: Core, conn: Connection, request: AuthRequest, user: Mapping[str, Any]
) -> None:
    """Ask `auth_hook_user_created` whether this user may be made. Raises AuthError when not."""
    function = function_name(core.settings.auth_hook_user_created)
    if function is not None:
        await call(
            conn, function, {"metadata": _metadata("before-user-created", request), "user": dict(user)}
        )


async def password_attempt(
    core: Core, conn: Connection, request: AuthRequest, *, user_id: object, valid: bool
) -> None:
    """Tell `auth_hook_password` of an attempt. Raises AuthError when it decides `reject`."""
    function = function_name(core.settings.auth_hook_password)
    if function is None:
        return
    payload = {
        "metadata": _metadata("password-verification", request),
        "user_id": str(user_id),
        "valid": valid,
    }
    answer = await call(conn, function, payload)
    if answer.get("decision") == "reject":
        told = str(answer.get("message") or "Further password verification attempts will be rejected.")
        raise AuthError(400, "invalid_credentials", told[:500])


def _metadata(name: str, request: AuthRequest) -> dict[str, str]:
    return {"uuid": str(uuid.uuid4()), "time": rfc3339(now()), "ip_address": request.ip, "name": name}
