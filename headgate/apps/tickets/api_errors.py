"""The error envelope `{success: false, error: {code, message, details}}`: five codes, each with one status."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from headgate.base import log
from headgate.base.errors import HeadgateError
from headgate.db import errors

_LOG = log.get(__name__)
_STATUS = {
    "VALIDATION_ERROR": 400,
    "UNAUTHORIZED": 401,
    "NOT_FOUND": 404,
    "RATE_LIMIT_EXCEEDED": 429,
    "INTERNAL_ERROR": 500,
}


class ApiError(Exception):
    """A refusal that the client caused or can act on."""

    def __init__(
        self,
        code: str,
        message: str,
        details: Any = None,
        *,
        status: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.status = status or _STATUS[code]
        self.headers = headers or {}


def invalid(message: str, **details: Any) -> ApiError:
    """400: a parameter is wrong; `details` says which and how."""
    return ApiError("VALIDATION_ERROR", message, details or None)


def not_found(message: str, **details: Any) -> ApiError:
    """404: the thing asked for does not exist."""
    return ApiError("NOT_FOUND", message, details or None)


def render(error: ApiError, headers: dict[str, str] | None = None) -> Response:
    """The error as an answer."""
    body = {"code": error.code, "message": error.message, "details": error.details}
    return Response(
        orjson.dumps({"success": False, "error": body}, default=str),
        status_code=error.status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {}), **error.headers},
    )


def _from_validation(error: RequestValidationError) -> ApiError:
    details = [
        {"in": str(item["loc"][0]), "name": ".".join(str(p) for p in item["loc"][1:]), "problem": item["msg"]}
        for item in error.errors()
    ]
    first = details[0]
    return ApiError("VALIDATION_ERROR", f"{first['name'] or first['in']}: {first['problem']}", details)


def _from_database(error: errors.Error) -> ApiError | None:
    """What a database error says about the request; None when it says nothing about it."""
    state = error.sqlstate or ""
    if state.startswith("22"):  # data exception: a value out of range or of the wrong form
        return ApiError("VALIDATION_ERROR", "A value is out of range or has the wrong form.")
    if state.startswith("23"):  # a constraint refused a written row
        return ApiError("VALIDATION_ERROR", "The values contradict each other or an existing row.")
    if state == "42501":
        return ApiError("UNAUTHORIZED", "This key may not do that.")
    if state == "57014":
        return ApiError("INTERNAL_ERROR", "The answer took too long; ask for a shorter range.", status=503)
    if state.startswith(("08", "53", "57")):
        return ApiError("INTERNAL_ERROR", "The database is not available; try again shortly.", status=503)
    return None


def translate(error: Exception) -> ApiError:
    """Any exception as an `ApiError`; what nobody expected is logged and becomes INTERNAL_ERROR."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestValidationError):
        return _from_validation(error)
    if isinstance(error, HTTPException):
        code = "NOT_FOUND" if error.status_code == 404 else "VALIDATION_ERROR"
        return ApiError(code, str(error.detail), status=error.status_code)
    known = _from_database(error) if isinstance(error, errors.Error) else None
    if known is not None:
        return known
    if isinstance(error, HeadgateError):
        _LOG.error("api answer failed", code=error.code, message=error.message)
    else:
        _LOG.error("api answer failed", exc_info=error)
    return ApiError("INTERNAL_ERROR", "Something went wrong here; the log has it under this request's id.")


class EnvelopeRoute(APIRoute):
    """A route whose every failure leaves as the error envelope."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler with the translation around it."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:  # the last stop: a client never sees a traceback
                return render(translate(error), getattr(request.state, "quota_headers", None))

        return answer
