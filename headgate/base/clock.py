"""The one place that asks the machine for the time. Shared decisions use the database's clock instead."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The current time, timezone-aware, in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds from an arbitrary start that never go back; for durations only."""
    return time.monotonic()
