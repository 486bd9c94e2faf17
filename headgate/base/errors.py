"""One root for every error of the product, with stable codes. Never carries a secret.

Codes are grouped: HG1xx settings and start, HG2xx database and migrations, HG3xx jobs and runs,
HG4xx sources, HG5xx stage and promote, HG6xx manifest. `docs/reference/errors.md` lists them all.
"""

from __future__ import annotations

from typing import Any


class HeadgateError(Exception):
    """What happened, to what, and what to do next.

    `code` is stable and documented; `message` is one sentence for a person; `details` holds the facts as
    plain JSON values; `hint` says what to do next.
    """

    default_code = "HG000"

    def __init__(
        self, message: str, *, code: str | None = None, details: Any = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.details = details
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.code}: {self.message}"
        return f"{text} {self.hint}" if self.hint else text

    def as_dict(self) -> dict[str, Any]:
        """The error as the JSON object that logs and answers carry."""
        return {"code": self.code, "message": self.message, "details": self.details, "hint": self.hint}


class SettingsError(HeadgateError):
    """A setting is missing or wrong, or the program cannot start as told."""

    default_code = "HG100"


class DatabaseError(HeadgateError):
    """The database cannot be reached, started or migrated."""

    default_code = "HG200"


class JobError(HeadgateError):
    """A job or a run cannot go on."""

    default_code = "HG300"


class Fenced(JobError):
    """Somebody else owns this work now; whatever was about to be written must not be."""

    default_code = "HG301"


class SourceError(HeadgateError):
    """An upstream did not give what it should."""

    default_code = "HG400"


class FetchError(SourceError):
    """The request failed before a usable reply: no connection, no name, a broken TLS handshake."""

    default_code = "HG410"
    retryable: bool = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        details: Any = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, details=details, hint=hint)
        self.retry_after_s = retry_after_s


class UnsafeAddress(FetchError):
    """The URL or the address behind its name is one that must not be fetched. Nothing was sent to it."""

    default_code = "HG415"
    retryable = False


class PromoteError(HeadgateError):
    """Staged rows cannot become table rows."""

    default_code = "HG500"


class ManifestError(HeadgateError):
    """An application's description of itself is wrong."""

    default_code = "HG600"
