"""Which rows: `limit` and `offset`, the Range header, and the Content-Range of the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

RANGE = re.compile(r"([0-9]+)-([0-9]*)\Z")
INTEGER = re.compile(r"\s*\(?(-?[0-9]{1,18})\)?\s*\Z")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows from `offset`, at most `limit` of them; None means all."""

    offset: int = 0
    limit: int | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self.offset == 0 and self.limit is None

    def capped(self, most: int | None) -> Rows:
        """These rows, but not more than `most`."""
        if most is None or (self.limit is not None and self.limit <= most):
            return self
        return Rows(self.offset, most)


def integer(text: str) -> int | None:
    """A whole number, or None for what is none."""
    found = INTEGER.match(text)
    return int(found.group(1)) if found else None


def header_range(text: str | None) -> tuple[int, int | None] | None:
    """`0-9` or `10-` as (first, last); None where the header says nothing that counts."""
    found = RANGE.match(text) if text else None
    if found is None:
        return None
    return int(found.group(1)), int(found.group(2)) if found.group(2) else None


def content_range(lower: int, upper: int, total: int | None) -> str:
    """The value of Content-Range; `*` for what is empty or not counted."""
    rows = f"{lower}-{upper}" if total != 0 and lower <= upper else "*"
    return f"{rows}/{'*' if total is None else total}"


def read_status(lower: int, rows: int, total: int | None) -> int:
    """200 for everything, 206 for a part, 416 for beyond the end."""
    if total is None:
        return 200
    if lower > total:
        return 416
    return 206 if rows < total else 200
