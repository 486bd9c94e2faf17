"""What a client is told when a request cannot be served: PostgREST's codes, messages, details and hints.

Never carries SQL, a path of this machine or a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

Header = tuple[str, str]


class RestError(Exception):
    """One answer with a 4xx or 5xx status.

    `code` is PostgREST's `PGRSTxxx` or PostgreSQL's SQLSTATE; `details` and `hint` are JSON values or None.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Any = None,
        hint: Any = None,
        headers: Sequence[Header] = (),
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.hint = hint
        self.headers = tuple(headers)
        self.reason = reason

    def body(self, *, minimal: bool = False) -> bytes:
        """The error as the JSON object that clients parse."""
        if minimal:
            return orjson.dumps({"code": self.code, "message": self.message})
        return orjson.dumps(
            {"code": self.code, "details": self.details, "hint": self.hint, "message": self.message}
        )


def unparsable(message: str, details: str) -> RestError:
    """The query string does not follow the grammar."""
    return RestError(400, "PGRST100", message, details=details)


def invalid_body(message: str) -> RestError:
    """The body is not what its media type says, or of a type that cannot be taken."""
    return RestError(400, "PGRST102", message)


def invalid_range(details: str) -> RestError:
    """The range asked for is empty, reversed or beyond the last row."""
    return RestError(416, "PGRST103", "Requested range not satisfiable", details=details)


def out_of_bounds(lower: int, total: int | None) -> RestError:
    """The first row asked for lies behind the last one."""
    return invalid_range(f"An offset of {lower} was requested, but there are only {total or 0} rows.")


def unknown_schema(schema: str, exposed: Sequence[str]) -> RestError:
    """The profile header names a schema that is not served."""
    hint = f"Only the following schemas are exposed: {', '.join(exposed)}"
    return RestError(406, "PGRST106", f"Invalid schema: {schema}", hint=hint)


def not_acceptable(media: Sequence[str]) -> RestError:
    """Nothing of what the client accepts can be produced."""
    return RestError(406, "PGRST107", f"None of these media types are available: {', '.join(media)}")


def not_embedded(name: str, rename: tuple[str, str] | None = None) -> RestError:
    """A filter, order or limit names a resource that is not in `select`; `rename` is (name, alias to use)."""
    message = f"'{name}' is not an embedded resource in this request"
    if rename is None:
        hint = f"Verify that '{name}' is included in the 'select' query parameter."
        return RestError(400, "PGRST108", message, hint=hint)
    return RestError(
        400,
        "PGRST108",
        message,
        details="Target names are not allowed in filters if they have an alias",
        hint=f"Change '{rename[0]}' to '{rename[1]}' in filters, orders or limits.",
    )


def not_single(rows: int) -> RestError:
    """One object was asked for and the result has another number of rows."""
    message = "Cannot coerce the result to a single JSON object"
    return RestError(406, "PGRST116", message, details=f"The result contains {rows} rows")


def too_many_affected(rows: int) -> RestError:
    """`Prefer: max-affected` was exceeded; nothing was changed."""
    message = "Query result exceeds max-affected preference constraint"
    return RestError(400, "PGRST124", message, details=f"The query affects {rows} rows")


def order_not_to_one(origin: str, target: str) -> RestError:
    """Ordering by an embedded resource needs at most one row of it for each row."""
    details = f"'{origin}' and '{target}' do not form a many-to-one or one-to-one relationship"
    return RestError(400, "PGRST118", f"A related order on '{target}' is not possible", details=details)


def invalid_preferences(wrong: Sequence[str]) -> RestError:
    """`Prefer: handling=strict` came with preferences that mean nothing here."""
    message = "Invalid preferences given with handling=strict"
    return RestError(400, "PGRST122", message, details=f"Invalid preferences: {', '.join(wrong)}")


def unsupported_method(method: str) -> RestError:
    """The path does not answer this method."""
    return RestError(405, "PGRST117", f"Unsupported HTTP method: {method}")


def not_implemented(details: str) -> RestError:
    """The request is well formed and cannot be planned."""
    return RestError(400, "PGRST127", "Feature not implemented", details=details)


INVALID_FILTERS = (
    405,
    "PGRST105",
    "Filters must include all and only primary key columns with 'eq' operators",
)
GUC_HEADERS = (
    500,
    "PGRST111",
    "response.headers guc must be a JSON array composed of objects with a single key and a string value",
)
GUC_STATUS = (500, "PGRST112", "response.status guc must be a valid status code")
PUT_LIMITS = (400, "PGRST114", "limit/offset querystring parameters are not allowed for PUT")
PUT_MISMATCH = (400, "PGRST115", "Payload values do not match URL in primary key column(s)")
AGGREGATES_OFF = (400, "PGRST123", "Use of aggregate functions is not allowed")
INVALID_PATH = (404, "PGRST125", "Invalid path specified in request URL")
OPENAPI_OFF = (404, "PGRST126", "Root endpoint metadata is disabled")
MAX_AFFECTED_RPC = (
    400,
    "PGRST128",
    "Function must return SETOF or TABLE when max-affected preference is used with handling=strict",
)
NO_CATALOG = (503, "PGRST002", "Could not query the database for the schema cache. Retrying.")
POOL_TIMEOUT = (504, "PGRST003", "Timed out acquiring connection from connection pool.")


def database_down(details: str | None = None) -> RestError:
    """The database cannot be reached just now."""
    return RestError(
        503, "PGRST001", "Database client error. Retrying the connection.", details=details,
        headers=(("Retry-After", "1"),),
    )  # fmt: skip
