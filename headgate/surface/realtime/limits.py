"""The bounds within which one client may use realtime, and why a socket was closed for leaving them."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.base.clock import monotonic


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Per socket unless said otherwise. Times in seconds, sizes in bytes."""

    channels: int = 100
    bindings: int = 100  # postgres_changes of one channel
    message_bytes: int = 3_000_000
    messages_per_s: int = 100
    joins_per_s: int = 100
    heartbeat_s: float = 60.0
    queue_messages: int = 20_000
    queue_bytes: int = 16_000_000
    presence_keys: int = 10  # metas that one channel of one socket may track
    topic_bytes: int = 255


class Rate:
    """A token bucket: `per_s` events a second, as many at once."""

    __slots__ = ("_at", "_left", "_per_s")

    def __init__(self, per_s: int) -> None:
        self._per_s = float(per_s)
        self._left = self._per_s
        self._at = monotonic()

    def take(self, count: int = 1) -> bool:
        """Whether `count` more may happen now; if so they are counted."""
        now = monotonic()
        self._left = min(self._per_s, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < count:
            return False
        self._left -= count
        return True


# Close codes: RFC 6455, section 7.4.
GOING_AWAY = 1001
BAD_DATA = 1007
POLICY = 1008
TOO_BIG = 1009
TRY_LATER = 1013
