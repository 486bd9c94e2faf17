"""How far a run is, as plain values: what sources, commands and pages are told. Stores nothing.

Counts, the smoothed rate (half-life 30 s) and the ETA are kept by `control.promote_finish` on the database's clock,
so that they survive the process and mean the same to everybody who looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Run:
    """A running run: its row's id, its fencing token, and what it was started for.

    `key` is the scope the source sees; `cursor_key` the row of `control.cursors` that it holds, which differs for
    a backfill, so that history and the present never fence one another.
    """

    id: int
    app: str
    source: str
    key: str | None
    fence: int
    cursor: Any = None
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What a run did. Every row seen is one of upserted, unchanged, stale, rejected or held.

    `state`: succeeded, held (a check kept a batch for a person) or running. `stale`: a newer row of the same key
    was there already, in the table or in the batch.
    """

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

    @classmethod
    def of(cls, totals: Mapping[str, Any]) -> RunReport:
        """The report for the totals that promote returns."""
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in totals.items() if k in known and v is not None})


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is: `seen` of `expected` rows, `rate` in rows/s, `eta_s` seconds left; None is unknown."""

    seen: int
    expected: int | None
    rate: float | None
    eta_s: float | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Progress:
        """From a row of the named queries `list` or `one`."""
        return cls(seen=row["seen"], expected=row["expected"], rate=row["rate"], eta_s=row["eta_s"])

    @property
    def share(self) -> float | None:
        """0 to 1, or None when nobody knows how much there is."""
        if self.expected is None:
            return None
        return min(1.0, self.seen / self.expected) if self.expected else 1.0
