"""Simulated time in whole and part seconds since 1970: the machine's clock times a scale, or steps on order."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass
class SimClock:
    """`scale` simulated seconds pass per real second; 0 stands still until `advance` is called."""

    start: float = field(default_factory=time.time)
    scale: float = 1.0
    _from: float = field(init=False, default_factory=time.monotonic)

    def now(self) -> float:
        """The simulated time."""
        return self.start + (time.monotonic() - self._from) * self.scale

    def seconds(self) -> int:
        """The simulated time, in whole seconds."""
        return int(self.now())

    def advance(self, seconds: float) -> float:
        """Jump `seconds` ahead (never back); returns the new time."""
        self.start, self._from = self.now() + max(seconds, 0.0), time.monotonic()
        return self.start

    def set_scale(self, scale: float) -> None:
        """From now on `scale` simulated seconds per real second."""
        self.advance(0)
        self.scale = max(scale, 0.0)


def iso(moment: float | None) -> str | None:
    """A moment as the Admin API writes it: UTC, whole seconds, `Z`."""
    return None if moment is None else stamp(moment)


def stamp(moment: float) -> str:
    """As `iso`, for a moment that is there."""
    return datetime.fromtimestamp(int(moment), UTC).isoformat()[:19] + "Z"
