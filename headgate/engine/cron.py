"""Cron expressions: five fields or a name such as @daily, in a time zone. Knows no database and never sleeps.

Rules: crontab(5). Day of month and day of week, when both are restricted, match either. Where clocks go forward, a
time that does not exist is taken as much later as the clock jumps; where they go back, a time that comes twice
counts once, except when the hour field begins with `*`: then every such minute counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headgate.base.errors import JobError

_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = dict(
    zip(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
        range(1, 13),
        strict=True,
    )
)
_DAYS = dict(zip(("sun", "mon", "tue", "wed", "thu", "fri", "sat"), range(7), strict=True))
_Spec = tuple[str, int, int, dict[str, int]]
_FIELDS: tuple[_Spec, ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _DAYS),
)
_HORIZON_DAYS = 366 * 8 + 2  # 29 February may be eight years away, across a century


@dataclass(frozen=True)
class Cron:
    """One expression, parsed."""

    text: str
    zone: ZoneInfo
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    every_hour: bool

    @classmethod
    def parse(cls, text: str, timezone: str = "UTC") -> Self:
        """Read an expression. Raises JobError HG307 that names the field, or the zone, that is wrong."""
        parts = _NAMED.get(text.strip().lower(), text).split()
        if len(parts) != len(_FIELDS):
            raise _wrong(text, f"it has {len(parts)} fields and needs 5")
        values = [_field(text, part, spec) for part, spec in zip(parts, _FIELDS, strict=True)]
        try:
            zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise _wrong(text, f"the time zone {timezone!r} is unknown") from None
        cron = cls(
            text,
            zone,
            tuple(sorted(values[0])),
            tuple(sorted(values[1])),
            frozenset(values[2]),
            frozenset(values[3]),
            frozenset(v % 7 for v in values[4]),
            not parts[2].startswith("*") and not parts[4].startswith("*"),
            parts[1].startswith("*"),
        )
        cron.after(datetime(2000, 1, 1, tzinfo=UTC))
        return cron

    def after(self, moment: datetime) -> datetime:
        """The first tick later than `moment`, in UTC. Raises JobError HG307 if there is none in eight years."""
        today = moment.astimezone(self.zone).date() - timedelta(days=1)
        for offset in range(_HORIZON_DAYS):
            day = today + timedelta(days=offset)
            if self._on(day):
                ticks = [t for t in self._ticks(day) if t > moment]
                if ticks:
                    return min(ticks)
        raise _wrong(self.text, "no date matches it")

    def _on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return in_month or in_week if self.either_day else in_month and in_week

    def _ticks(self, day: date) -> Iterator[datetime]:
        for hour in self.hours:
            for minute in self.minutes:
                local = datetime.combine(day, time(hour, minute), self.zone)
                yield local.astimezone(UTC)
                if self.every_hour:
                    yield local.replace(fold=1).astimezone(UTC)


def _field(text: str, part: str, spec: _Spec) -> set[int]:
    name, low, high, names = spec
    found: set[int] = set()
    for item in part.lower().split(","):
        span, slash, step_text = item.partition("/")
        step = int(step_text) if step_text.isascii() and step_text.isdigit() else 0
        if slash and step < 1:
            raise _wrong(text, f"the {name} `{part}` has a wrong step")
        first, dash, last = span.partition("-")
        try:
            start = low if span == "*" else _number(first, names)
            end = high if span == "*" or (slash and not dash) else _number(last if dash else first, names)
        except ValueError:
            raise _wrong(text, f"the {name} `{part}` is no number, name, range or list") from None
        if not low <= start <= end <= high:
            raise _wrong(text, f"the {name} `{part}` is not within {low}–{high}")
        found.update(range(start, end + 1, step or 1))
    return found


def _number(word: str, names: dict[str, int]) -> int:
    if word in names:
        return names[word]
    if not (word.isascii() and word.isdigit()):
        raise ValueError(word)
    return int(word)


def _wrong(text: str, why: str) -> JobError:
    return JobError(
        f"The cron expression `{text}` is wrong: {why}.",
        code="HG307",
        details={"cron": text},
        hint="Write five fields: minute, hour, day of month, month, day of week.",
    )
