"""CAPTCHA: the token of a form is shown to hCaptcha's, Turnstile's or another service's verification address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headgate.base import log
from headgate.surface.auth.errors import AuthError
from headgate.surface.auth.exchange import AuthRequest
from headgate.surface.auth.outside import OutsideError
from headgate.surface.callers import Caller

if TYPE_CHECKING:
    from headgate.surface.auth.core import Core

TOKEN_MAX = 8192
_log = log.get(__name__)


async def check(core: Core, request: AuthRequest) -> None:
    """Nothing, when no CAPTCHA is set, the token is good, or an administrator asks. Raises AuthError `captcha_failed`.

    A service that does not answer lets nobody in: 503, which clients may try again.
    """
    url, secret = core.settings.auth_captcha_url, core.settings.auth_captcha_secret
    if not url or secret is None or _is_admin(request):
        return
    told: Mapping[str, Any] = request.mapping("gotrue_meta_security")
    token = told.get("captcha_token")
    if not isinstance(token, str) or not 0 < len(token) <= TOKEN_MAX:
        raise _failed("no captcha_token found")
    form = {"secret": secret.get_secret_value(), "response": token.strip(), "remoteip": request.ip}
    try:
        answer = await core.outside.post(url, form)
    except OutsideError as error:
        _log.warning("auth.captcha_unreachable", reason=str(error))
        raise AuthError(503, "captcha_failed", "captcha verification process failed") from None
    if not isinstance(answer, dict) or answer.get("success") is not True:
        codes = answer.get("error-codes") if isinstance(answer, dict) else None
        shown = [str(one)[:64] for one in codes[:5]] if isinstance(codes, list) else []
        raise _failed(f"request disallowed ({', '.join(shown) or 'no reason given'})")


def _is_admin(request: AuthRequest) -> bool:
    return isinstance(request.caller, Caller) and request.caller.role in ("service_role", "supabase_admin")


def _failed(reason: str) -> AuthError:
    return AuthError(400, "captcha_failed", f"captcha protection: {reason}")
