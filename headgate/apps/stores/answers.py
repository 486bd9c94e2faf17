"""How stores' endpoints refuse, in the envelope `{success: false, error: {code, message, details}}`; and who asks."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from headgate.base import log
from headgate.base.errors import HeadgateError
from headgate.db import errors
from headgate.db.keys import Keyring
from headgate.engine.manifest import Services

_log = log.get(__name__)


class Refusal(Exception):
    """A refusal that the client caused or can act on."""

    def __init__(self, status: int, code: str, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details


def not_found(what: str) -> Refusal:
    """404: it is not there, or not yours; nobody learns which."""
    return Refusal(404, "NOT_FOUND", f"There is no such {what}.")


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer that no cache keeps."""
    sent = {"Cache-Control": "no-store", **(headers or {})}
    return Response(orjson.dumps(value), status_code=status, media_type="application/json", headers=sent)


def refused(error: Refusal) -> Response:
    """A refusal as an answer."""
    body = {"code": error.code, "message": error.message, "details": error.details}
    return answer({"success": False, "error": body}, error.status)


def _translate(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return Refusal(400, "VALIDATION_ERROR", f"{where or 'request'}: {first['msg']}")
    if isinstance(error, errors.Error) and (error.sqlstate or "")[:2] in ("08", "53", "57"):
        return Refusal(503, "UNAVAILABLE", "The database is not available; try again shortly.")
    if isinstance(error, HeadgateError):
        _log.error("stores request failed", code=error.code, message=error.message)
        if error.code.startswith("HG4"):
            return Refusal(502, error.code, error.message, {"hint": error.hint})
    else:
        _log.error("stores request failed", exc_info=error)
    return Refusal(
        500, "INTERNAL_ERROR", "Something went wrong here; the log has it under this request's id."
    )


class EnvelopeRoute(APIRoute):
    """A route whose every failure leaves as the envelope."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler with the translation around it."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:  # the last stop: a client never sees a traceback
                return refused(_translate(error))

        return handle


class Gate:
    """Recognises who asks: a user's token, else an API key's role."""

    def __init__(self, services: Services) -> None:
        self._keyring = Keyring(services.db)
        self._verify = services.settings.get("verify_token")

    async def claims(self, request: Request) -> Mapping[str, Any]:
        """The claims to act under. Raises Refusal 401 without a user or a secret key."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        token = bearer.strip() if scheme.lower() == "bearer" else ""
        return await self.of(token, request.headers.get("apikey", ""))

    async def of(self, token: str, key: str = "") -> Mapping[str, Any]:
        """The same of a token and a key."""
        if token and not token.startswith("sb_"):
            claims: Mapping[str, Any] | None = await self._verify(token) if self._verify else None
            if claims is None or claims.get("role") not in {"authenticated", "service_role"}:
                raise Refusal(401, "UNAUTHORIZED", "This token is not valid here.")
            return claims
        secret = token or key
        found = await self._keyring.verify(secret) if secret else None
        if found is None or found.role != "service_role":
            raise Refusal(401, "UNAUTHORIZED", "Sign in first: send a user's token as the bearer.")
        return {"role": found.role}
