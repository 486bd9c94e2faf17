"""What can go wrong between Headgate and an upstream. Each class says whether trying again makes sense.

`retryable` answers "may the same request succeed later without anybody changing anything?"; `retry_after_s`
is how long to wait at least, in seconds, where that is known. Messages carry no secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.base.errors import FetchError, UnsafeAddress

if TYPE_CHECKING:
    from headgate.engine.fetch import Reply


__all__ = [
    "BadRedirect",
    "Blocked",
    "BreakerOpen",
    "BrokenReply",
    "Disallowed",
    "FetchError",
    "HttpStatus",
    "NotRecorded",
    "RateLimited",
    "TimedOut",
    "TooLarge",
    "UnsafeAddress",
]


class RateLimited(FetchError):
    """The host's next free slot is further off than the caller would wait. Nothing was sent."""

    default_code = "HG411"
    retry_after_s: float

    def __init__(self, message: str, *, retry_after_s: float, hint: str | None = None) -> None:
        super().__init__(
            message,
            retry_after_s=retry_after_s,
            details={"retry_after_s": round(retry_after_s, 3)},
            hint=hint,
        )


class BreakerOpen(RateLimited):
    """The host failed too often; it is left alone until its cool-down ends. Nothing was sent."""

    default_code = "HG412"


class Blocked(FetchError):
    """The upstream answered with a page for browsers (a challenge, a login) where data was asked for."""

    default_code = "HG413"


class Disallowed(Blocked):
    """The host's robots.txt forbids this address to us. Nothing was sent."""

    default_code = "HG414"
    retryable = False


class TooLarge(FetchError):
    """The body is larger than allowed, compressed or decompressed, or expands too steeply."""

    default_code = "HG416"
    retryable = False


class TimedOut(FetchError):
    """The host was too slow to connect, to answer or to go on sending."""

    default_code = "HG417"


class BrokenReply(FetchError):
    """The reply is not whole or not HTTP: cut short, undecodable, or in an encoding nobody asked for."""

    default_code = "HG418"


class BadRedirect(FetchError):
    """The reply sends us on to where we do not go: too many hops, no address, or from https to http."""

    default_code = "HG419"
    retryable = False


class HttpStatus(FetchError):
    """The host answered with a status of 400 or above; `reply` holds the answer, body included."""

    default_code = "HG420"

    def __init__(self, message: str, *, reply: Reply, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s, details={"status": reply.status})
        self.reply = reply
        self.status = reply.status
        self.retryable = reply.status in {408, 425, 429} or reply.status >= 500


class NotRecorded(FetchError):
    """A replay was asked for a request that was never recorded."""

    default_code = "HG421"
    retryable = False
