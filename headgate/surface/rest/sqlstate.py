"""PostgreSQL's errors as HTTP answers: SQLSTATE → status, and `RAISE SQLSTATE 'PGRST'` under full control."""

from __future__ import annotations

from typing import Any

import orjson

from headgate.db.pipeline import ServerError
from headgate.surface.rest.errors import RestError

# SQLSTATE, whole or by its first characters, as the documentation of PostgREST lists them. Longest match wins.
STATUS: dict[str, int] = {
    "08": 503, "09": 500, "0L": 403, "0P": 403,
    "23503": 409, "23505": 409, "25006": 405, "25": 500, "28": 403, "2D": 500,
    "38": 500, "39": 500, "3B": 500, "40": 500,
    "53400": 500, "53": 503, "54": 500, "55": 500, "57P01": 503, "57": 500, "58": 500,
    "F0": 500, "HV": 500, "P0001": 400, "P0": 500, "XX": 500,
    "42P01": 404, "42P17": 500,
}  # fmt: skip


def status_of(error: ServerError, *, authenticated: bool) -> int:
    """The HTTP status for a server error; `authenticated` tells 403 from 401 where a privilege is missing."""
    code, message = error.code, error.message
    if code == "42501":
        return 403 if authenticated else 401
    if code == "21000":
        return 400 if message.endswith("requires a WHERE clause") else 500
    if code == "22023":
        missing_role = message.startswith("role") and message.endswith("does not exist")
        return 401 if missing_role else 400
    if code == "42883":
        return 406 if message.startswith("function xmlagg(") else 404
    if code.startswith("PT"):
        return int(code[2:]) if code[2:].isdigit() and 100 <= int(code[2:]) <= 999 else 500
    for length in (5, 2):
        if (status := STATUS.get(code[:length])) is not None:
            return status
    return 400


def from_server(error: ServerError, *, authenticated: bool) -> RestError:
    """The answer for an error that PostgreSQL reported."""
    if error.code == "PGRST":
        return _raised(error)
    status = status_of(error, authenticated=authenticated)
    headers = (("WWW-Authenticate", "Bearer"),) if status == 401 else ()
    reason = error.message if error.code.startswith("PT") else None
    return RestError(
        status,
        error.code,
        error.message,
        details=error.detail,
        hint=error.hint,
        headers=headers,
        reason=reason,
    )


def _object(text: str | None) -> dict[str, Any] | None:
    try:
        value = orjson.loads(text) if text is not None else None
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _raised(error: ServerError) -> RestError:
    """`RAISE SQLSTATE 'PGRST'` with the whole answer as JSON in MESSAGE and DETAIL."""
    said, answer = _object(error.message), _object(error.detail)
    if said is None or not all(isinstance(said.get(k), str) for k in ("code", "message")):
        return _unreadable(
            f"Invalid JSON value for MESSAGE: '{error.message}'",
            "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' "
            "and optional keys: 'details', 'hint'.",
        )
    wanted = "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'."
    if error.detail is None:
        return _unreadable("DETAIL is missing in the RAISE statement", wanted)
    fits = (
        answer is not None
        and isinstance(answer.get("status"), int)
        and isinstance(answer.get("headers"), dict)
    )
    if answer is None or not fits or not 100 <= answer["status"] <= 999:
        return _unreadable(f"Invalid JSON value for DETAIL: '{error.detail}'", wanted)
    return RestError(
        answer["status"],
        said["code"],
        said["message"],
        details=said.get("details"),
        hint=said.get("hint"),
        headers=[(k, str(v)) for k, v in answer["headers"].items()],
        reason=answer.get("status_text"),
    )


def _unreadable(details: str, hint: str) -> RestError:
    message = "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error"
    return RestError(500, "PGRST121", message, details=details, hint=hint)
