"""Simulated time: the machine's clock times a scale, or steps on order. Seconds since 1970, as floats."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class SimClock:
    """`scale` simulated seconds pass per real second; 0 stands still until `advance` is called.

    Every change of pace is remembered, so that `real_at` can say when, on the machine's clock, a simulated
    moment was. Moments reached by a step are mapped to the instant of the step.
    """

    start: float = field(default_factory=time.time)
    scale: float = 1.0
    _legs: list[tuple[float, float, float]] = field(init=False)  # (real from, simulated from, scale)

    def __post_init__(self) -> None:
        self._legs = [(time.time(), self.start, self.scale)]

    def now(self) -> float:
        """The simulated time."""
        real, simulated, scale = self._legs[-1]
        return simulated + (time.time() - real) * scale

    def advance(self, seconds: float) -> float:
        """Jump `seconds` ahead (never back); returns the new time."""
        now = self.now() + max(seconds, 0.0)
        self._legs.append((time.time(), now, self._legs[-1][2]))
        return now

    def set_scale(self, scale: float) -> None:
        """From now on `scale` simulated seconds per real second."""
        self._legs.append((time.time(), self.now(), max(scale, 0.0)))

    def set_now(self, moment: float) -> None:
        """Jump to `moment`, which must not lie in the past."""
        self.advance(moment - self.now())

    def real_at(self, moment: float) -> float:
        """The machine's time when the simulated time was `moment`."""
        for real, simulated, scale in reversed(self._legs):
            if moment >= simulated:
                return real + (moment - simulated) / scale if scale else real
        return self._legs[0][0]
