"""How far a run is: counts, a smoothed rate and an ETA. Pure arithmetic; stores nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: After this many seconds an old rate has lost half its weight.
HALF_LIFE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """A running run: its row's id, its fencing token, and what it was started for."""

    id: int
    app: str
    source: str
    key: str | None
    fence: int
    cursor: Any = None
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What a run did. Every row seen is one of upserted, unchanged, stale or rejected (or held)."""

    run_id: int
    state: str
    seen: int = 0
    upserted: int = 0
    unchanged: int = 0
    stale: int = 0
    rejected: int = 0
    deleted: int = 0
    held: int = 0
    pages: int = 0
    cursor: Any = None


@dataclass(kw_only=True)
class Rate:
    """Rows per second as an exponentially weighted mean over time, so a pause decays it."""

    value: float | None = None

    def add(self, rows: int, elapsed_s: float) -> float:
        """Take in `rows` done in `elapsed_s` seconds; returns the smoothed rate."""
        elapsed_s = max(elapsed_s, 1e-6)
        now = rows / elapsed_s
        if self.value is None:
            self.value = now
        else:
            keep = math.exp(-math.log(2) * elapsed_s / HALF_LIFE_S)
            self.value = keep * self.value + (1 - keep) * now
        return self.value


def eta_s(*, seen: int, expected: int | None, rate: float | None) -> float | None:
    """Seconds until `expected` rows at `rate` rows/s; None when it cannot be known, 0 when done."""
    if expected is None:
        return None
    left = expected - seen
    if left <= 0:
        return 0.0
    return left / rate if rate else None
