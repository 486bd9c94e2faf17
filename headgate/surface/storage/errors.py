"""What a client of storage is told when something goes wrong: `{statusCode, error, message}`, never SQL or a path.

The HTTP status is 400 for what a client did wrong, whatever `statusCode` says, as hosted Supabase answers; only what
HTTP itself gives a meaning (304, 412, 416, 423 and the like) has its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from headgate.base.errors import DatabaseError
from headgate.db import errors as database

# The names that newer clients look at, beside the three texts that all do.
_CODES = {
    (404, "not_found"): "NoSuchKey",
    (404, "Bucket not found"): "NoSuchBucket",
    (409, "Duplicate"): "ResourceAlreadyExists",
    (413, "Payload too large"): "EntityTooLarge",
    (403, "Unauthorized"): "AccessDenied",
    (415, "invalid_mime_type"): "InvalidMimeType",
}
Headers = Sequence[tuple[str, str]]


class StorageError(Exception):
    """A refusal. `status` is the text of `statusCode`, `http` the status of the answer."""

    def __init__(
        self, status: int, error: str, message: str, *, http: int = 400, headers: Headers = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message
        self.http = http
        self.headers = headers

    def as_dict(self) -> dict[str, str]:
        """The body of the answer."""
        body = {"statusCode": str(self.status), "error": self.error, "message": self.message}
        code = _CODES.get((self.status, self.error))
        return {**body, "code": code} if code else body


def invalid(message: str) -> StorageError:
    """The request itself is wrong."""
    return StorageError(400, "InvalidRequest", message)


def no_bucket() -> StorageError:
    """There is no such bucket, or the caller may not see it."""
    return StorageError(404, "Bucket not found", "Bucket not found")


def no_object() -> StorageError:
    """There is no such object, or the caller may not see it."""
    return StorageError(404, "not_found", "Object not found")


def duplicate() -> StorageError:
    """Something of this name is there."""
    return StorageError(409, "Duplicate", "The resource already exists")


def too_large() -> StorageError:
    """More bytes than the bucket or the installation allows."""
    return StorageError(413, "Payload too large", "The object exceeded the maximum allowed size")


def denied(message: str = "new row violates row-level security policy") -> StorageError:
    """Row-level security said no."""
    return StorageError(403, "Unauthorized", message)


def too_slow() -> StorageError:
    """The client stopped sending."""
    return StorageError(408, "RequestTimeout", "The upload stalled for too long")


def overtaken() -> StorageError:
    """What the upload was for has changed or expired meanwhile."""
    return StorageError(409, "Conflict", "The object changed or the upload expired meanwhile; try again")


def from_database(error: Exception) -> StorageError | None:
    """The refusal that a database error means to the client; None if it is a failure of ours."""
    if isinstance(error, database.InsufficientPrivilege):
        return denied() if "row-level security" in str(error) else denied("permission denied")
    if isinstance(error, database.UniqueViolation):
        return duplicate()
    if isinstance(error, database.ForeignKeyViolation):
        return StorageError(409, "InvalidRequest", "The bucket is not empty, or it is gone")
    if isinstance(error, database.QueryCanceled):
        return StorageError(408, "DatabaseTimeout", "The database took too long to decide")
    if isinstance(error, database.SerializationFailure | database.DeadlockDetected):
        return overtaken()
    if isinstance(error, DatabaseError) and error.code == "HG210":
        return denied("This role may not be used for requests")
    if isinstance(error, database.RaiseException):
        # A policy or trigger of the application speaks to its clients.
        return invalid(error.diag.message_primary or "The database refused")
    classes = database.DataError | database.IntegrityError | database.ProgrammingError
    if isinstance(error, classes) and error.sqlstate:  # without one it is a mistake of ours
        return StorageError(
            400, "DatabaseError", "A policy or constraint of this bucket cannot take this request"
        )
    return None
