"""Cron expressions: what they match, across the clock changes, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.base.errors import JobError
from headgate.engine.cron import Cron
from headgate.engine.schedule import Schedule, next_tick

NEW_YORK = ZoneInfo("America/New_York")
EARLIEST, LATEST = datetime.fromisoformat("2020-01-01"), datetime.fromisoformat("2030-01-01")


def ticks(text: str, start: str, count: int, timezone: str = "UTC") -> list[str]:
    """The first `count` ticks after `start` (local ISO time), as local ISO times with their offsets."""
    zone = ZoneInfo(timezone)
    cron, moment = Cron.parse(text, timezone), datetime.fromisoformat(start).replace(tzinfo=zone)
    found = []
    for _ in range(count):
        moment = cron.after(moment)
        found.append(moment.astimezone(zone).isoformat(timespec="minutes"))
    return found


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("*/20 * * * *", "2026-03-01T00:05", ["00:20", "00:40", "01:00"]),
        ("5,35 8-9 * * *", "2026-03-01T08:05", ["08:35", "09:05", "09:35"]),
        ("10-50/20 4 * * *", "2026-03-01T00:00", ["04:10", "04:30", "04:50"]),
        ("30/15 4 * * *", "2026-03-01T04:00", ["04:30", "04:45"]),
    ],
)
def test_minutes_and_hours(text: str, start: str, expected: list[str]) -> None:
    assert [t[11:16] for t in ticks(text, start, len(expected))] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 * * mon", ["2026-03-02", "2026-03-09"]),
        ("0 0 * * 7", ["2026-03-08", "2026-03-15"]),
        ("0 0 * * 5-7", ["2026-03-06", "2026-03-07", "2026-03-08", "2026-03-13"]),
        ("0 0 13 * fri", ["2026-03-06", "2026-03-13", "2026-03-20"]),
        ("0 0 31 * *", ["2026-03-31", "2026-05-31", "2026-07-31"]),
        ("0 0 29 2 *", ["2028-02-29", "2032-02-29"]),
        ("0 0 1 jan,JUL *", ["2026-07-01", "2027-01-01"]),
        ("@monthly", ["2026-04-01", "2026-05-01"]),
        ("@weekly", ["2026-03-08", "2026-03-15"]),
    ],
)
def test_days(text: str, expected: list[str]) -> None:
    assert [t[:10] for t in ticks(text, "2026-03-01T12:00", len(expected))] == expected


def test_clock_forward_takes_a_missing_time_as_later() -> None:
    assert ticks("30 2 * * *", "2026-03-07T12:00", 2, "America/New_York") == [
        "2026-03-08T03:30-04:00",
        "2026-03-09T02:30-04:00",
    ]


def test_clock_forward_keeps_an_hourly_rhythm() -> None:
    assert ticks("0 * * * *", "2026-03-08T00:30", 3, "America/New_York") == [
        "2026-03-08T01:00-05:00",
        "2026-03-08T03:00-04:00",
        "2026-03-08T04:00-04:00",
    ]


def test_clock_back_runs_a_daily_time_once() -> None:
    assert ticks("30 1 * * *", "2026-10-31T12:00", 2, "America/New_York") == [
        "2026-11-01T01:30-04:00",
        "2026-11-02T01:30-05:00",
    ]


def test_clock_back_keeps_a_half_hourly_rhythm() -> None:
    assert ticks("*/30 * * * *", "2026-11-01T00:45", 5, "America/New_York") == [
        "2026-11-01T01:00-04:00",
        "2026-11-01T01:30-04:00",
        "2026-11-01T01:00-05:00",
        "2026-11-01T01:30-05:00",
        "2026-11-01T02:00-05:00",
    ]


@given(st.datetimes(EARLIEST, LATEST, timezones=st.just(NEW_YORK)))
def test_every_quarter_of_an_hour_is_met_whatever_the_clocks_do(moment: datetime) -> None:
    after = Cron.parse("*/15 * * * *", "America/New_York").after(moment)
    start = moment.astimezone(UTC)
    assert timedelta(0) < after - start <= timedelta(minutes=15)
    assert after.minute % 15 == after.second == after.microsecond == 0


@given(
    st.datetimes(EARLIEST, LATEST, timezones=st.just(UTC)),
    st.sets(st.integers(0, 59), min_size=1, max_size=4),
    st.sets(st.integers(0, 23), min_size=1, max_size=4),
    st.sets(st.integers(0, 6), min_size=1, max_size=3),
)
def test_next_tick_equals_the_first_match_of_a_search(
    moment: datetime, minutes: set[int], hours: set[int], weekdays: set[int]
) -> None:
    text = " ".join([",".join(map(str, minutes)), ",".join(map(str, hours)), "*", "*"])
    cron = Cron.parse(text + " " + ",".join(map(str, weekdays)))
    probe = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while probe.hour not in hours or probe.minute not in minutes or probe.isoweekday() % 7 not in weekdays:
        probe += timedelta(minutes=1)
    assert cron.after(moment) == probe


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *",
     "5-1 * * * *", "a * * * *", "1,,2 * * * *", "* * 30 2 *", "-1 * * * *", "1-2-3 * * * *", "*/x * * * *",
     "١ * * * *", "@never"],
)  # fmt: skip
def test_wrong_expressions_are_refused(text: str) -> None:
    with pytest.raises(JobError) as caught:
        Cron.parse(text)
    assert caught.value.code == "HG307"


def test_unknown_zone_and_ambiguous_schedules_are_refused() -> None:
    for bad in (
        {"cron": "* * * * *", "timezone": "Mars/Olympus"},
        {"cron": "* * * * *", "every_s": 5},
        {},
        {"every_s": 0},
    ):
        with pytest.raises(JobError):
            Schedule(name="x", kind="y", **bad)  # type: ignore[arg-type]


def test_missed_intervals_are_caught_up_once_and_keep_their_phase() -> None:
    due = datetime(2026, 3, 1, 12, tzinfo=UTC)
    now = due + timedelta(seconds=95)
    assert next_tick(due, now, cron=None, every_s=30, timezone="UTC") == due + timedelta(seconds=120)
    assert next_tick(due, due, cron=None, every_s=30, timezone="UTC") == due + timedelta(seconds=30)
    assert next_tick(due, now, cron="* * * * *", every_s=None, timezone="UTC") == due + timedelta(minutes=2)
