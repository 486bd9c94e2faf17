"""What an auth client is told when something is wrong: GoTrue's `error_code` names in both of its shapes."""

from __future__ import annotations

from typing import Any

import orjson

#: From this version of the API on, clients read `{code: "name", message}`; before, `{code: 4xx, error_code, msg}`.
VERSION_HEADER = "x-supabase-api-version"
NEW_SHAPE = "2024-01-01"


class AuthError(Exception):
    """A request that is refused: HTTP `status`, `error_code`, a message for people, further fields of the body.

    A status of 500–504 or 520–530 makes clients try again, so it never stands for a mistake of the caller.
    """

    def __init__(
        self,
        status: int,
        error_code: str,
        msg: str,
        extra: dict[str, Any] | None = None,
        *,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(msg)
        self.status = status
        self.error_code = error_code
        self.msg = msg
        self.extra = extra or {}
        self.headers = headers or {}

    def body(self, version: str) -> bytes:
        """The JSON for a client that speaks `version` of the API ("" when it does not say)."""
        if is_new(version):
            return orjson.dumps({"code": self.error_code, "message": self.msg, **self.extra})
        return orjson.dumps(
            {"code": self.status, "error_code": self.error_code, "msg": self.msg, **self.extra}
        )


def is_new(version: str) -> bool:
    """Whether a client of this API version reads the newer error shape."""
    return len(version) == 10 and version >= NEW_SHAPE


def invalid(msg: str, **extra: Any) -> AuthError:
    """A value of the request that cannot be taken."""
    return AuthError(400, "validation_failed", msg, extra)
