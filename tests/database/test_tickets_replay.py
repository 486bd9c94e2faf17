"""Real observations of a real final on three markets, through the whole pipeline: totals as counted independently."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from headgate.apps.tickets.app import app
from headgate.apps.tickets.recording import RecordedEvent, read_polls
from headgate.apps.tickets.replay import replay
from headgate.base.errors import SourceError
from headgate.db import Database
from tests.shared_data import shared

FINAL = RecordedEvent(
    name="US Open men's final 2022",
    starts_at=datetime(2022, 9, 11, 20, 0, tzinfo=UTC),
    tz="America/New_York",
    venue="Arthur Ashe Stadium",
    city="New York",
    state="NY",
    category="Tennis",
)
Seen = dict[str, dict[int, dict[str, Decimal]]]


def independent_count(folder: Path) -> Seen:
    """Market → millisecond → ticket → price, read without any of our code. Four observations of one minute ask more
    than half a million dollars for a seat; the product leaves such listings out, and so does this count."""
    sites = {}
    with (folder / "listings.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            sites[row["ticket"]] = row["site"]
    seen: Seen = defaultdict(lambda: defaultdict(dict))
    with (folder / "observations.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            poll = seen[sites[row["ticket"]]][int(row["timestampmillis"])]
            if Decimal(row["price"]) <= 250_000:
                poll[row["ticket"]] = Decimal(row["price"])
    return seen


async def replayed(database: Database) -> tuple[Path, dict[str, int]]:
    """The recording, replayed, and the event of each market."""
    folder = shared("tickets/us_open_mens_final_2022")
    reports = await replay(database, app, folder, FINAL)
    assert [report.state for report in reports] == ["succeeded"] * 3
    rows = await database.fetch_all("select source, id from public.events")
    return folder, {row["source"]: row["id"] for row in rows}


async def test_three_markets_are_three_events_and_every_poll_and_price_arrives(database: Database) -> None:
    folder, events = await replayed(database)
    counted = independent_count(folder)
    assert set(events) == set(counted) == {"seatgeek", "stubhub", "vividseats"}
    for market, event in events.items():
        polls = await database.fetch_all(
            "select (extract(epoch from observed_at) * 1000)::bigint as at, status, n_listings, get_in"
            " from public.polls where event_id = %s order by observed_at",
            [event],
        )
        assert [p["at"] for p in polls] == sorted(counted[market])
        assert {p["status"] for p in polls} <= {"accepted", "unchanged"}
        for poll in polls:
            prices = counted[market][poll["at"]]
            assert poll["n_listings"] == len(prices)
            assert poll["get_in"] == min(prices.values()) * 100
    assert sum(len(p) for m in counted.values() for p in m.values()) == 22_278


async def test_the_market_at_every_poll_can_be_read_back_from_the_spans(database: Database) -> None:
    folder, events = await replayed(database)
    counted = independent_count(folder)
    for market, event in events.items():
        spans = await database.fetch_all(
            "select external_id, (extract(epoch from valid_from) * 1000)::bigint as since,"
            " (extract(epoch from valid_to) * 1000)::bigint as until, aip_cents"
            " from public.listing_spans where event_id = %s",
            [event],
        )
        for at, prices in counted[market].items():
            held = {
                s["external_id"]: s["aip_cents"]
                for s in spans
                if s["since"] <= at and (s["until"] is None or at < s["until"])
            }
            assert held == {ticket: price * 100 for ticket, price in prices.items()}


async def test_hourly_levels_equal_an_independent_integral(database: Database) -> None:
    """Listing-time of each hour: every poll holds until the next, thirty minutes at most."""
    folder, events = await replayed(database)
    counted = independent_count(folder)
    for market, event in events.items():
        moments = sorted(counted[market])
        expected: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        for origin, following in zip(moments, [*moments[1:], moments[-1] + 1_800_000], strict=True):
            at, end = origin, min(following, origin + 1_800_000)
            while at < end:
                hour = at // 3_600_000
                part = min(end, (hour + 1) * 3_600_000) - at
                expected[hour][0] += part
                expected[hour][1] += part * len(counted[market][origin])
                at += part
        rows = await database.fetch_all(
            "select (extract(epoch from hour) / 3600)::bigint as hour, covered_ms, listing_ms from public.rollup_hours"
            " where event_id = %s and scope = 'event'",
            [event],
        )
        # What the newest poll covers is known only when the next one comes.
        last = moments[-1] // 3_600_000
        found = {r["hour"]: [r["covered_ms"], r["listing_ms"]] for r in rows}
        assert {h: v for h, v in found.items() if h < last} == {h: v for h, v in expected.items() if h < last}


async def test_replaying_again_changes_nothing(database: Database) -> None:
    folder, _ = await replayed(database)
    before = await state(database)
    reports = await replay(database, app, folder, FINAL)
    assert sum(r.upserted for r in reports) == 0
    assert await state(database) == before


async def state(database: Database) -> list[Any]:
    """Polls, spans and rollups."""
    return [
        await database.fetch_all(f"select to_jsonb(x)::text as row from {name} x order by 1")
        for name in ("public.polls", "public.listing_spans", "public.rollup_hours", "public.rollup_days")
    ]


def write_lines(path: Path) -> Path:
    """A recording in JSON lines: three good polls, one capped, one in euros."""
    listing = {"id": "a", "section": "Loge 1", "row": "B", "quantity": 2, "splits": [2], "price": "120.50"}
    listings = [listing, {**listing, "id": "b", "price": 99, "base_price": "80.00", "face_value": 45}]
    lines: list[dict[str, Any]] = [
        {"event": {"name": "Recital", "starts_at": "2026-05-02T19:30:00+00:00", "tz": "Europe/London"}}
    ]
    for minute in (0, 10, 20, 30, 40):
        at = f"2026-05-01T10:{minute:02d}:00Z"
        lines.append({"market": "ours", "observed_at": at, "listing_count": 2, "listings": listings})
    lines[4] |= {"listings": listings[:1]}
    lines[5] |= {"currency": "EUR"}
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


async def test_a_recording_in_json_lines_tells_its_event_and_bad_polls_are_kept_apart(
    database: Database, tmp_path: Path
) -> None:
    (report,) = await replay(database, app, write_lines(tmp_path / "recital.jsonl"))
    assert (report.state, report.pages) == ("succeeded", 5)
    event = await database.fetch_one("select * from public.events")
    assert event is not None
    assert (event["name"], event["tz"], event["source"]) == ("Recital (ours)", "Europe/London", "ours")
    polls = await database.fetch_all(
        "select status, reason, n_listings from public.polls order by observed_at"
    )
    assert [p["status"] for p in polls] == ["accepted", "unchanged", "unchanged", "rejected", "rejected"]
    latest = await database.fetch_one("select get_in, get_in_pair, n_tickets from public.event_latest")
    assert latest == {"get_in": 9900, "get_in_pair": 9900, "n_tickets": 4}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", "{"),
        ("a.jsonl", ""),
        ("a.txt", "x"),
        ("a.jsonl", '{"market":"m","observed_at":"yesterday"}'),
    ],
)
async def test_an_unreadable_recording_is_one_clear_error(
    database: Database, tmp_path: Path, name: str, content: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(SourceError):
        await replay(database, app, path)


def test_a_pass_with_two_prices_for_one_ticket_is_rejected_and_repeats_count_once(tmp_path: Path) -> None:
    (tmp_path / "listings.csv").write_text("ticket,site,row,section\na,m,1,2\nb,m,1,3\n")
    (tmp_path / "observations.csv").write_text(
        "ticket,timestampmillis,price\na,1662861034307,10\na,1662861034307,10\nb,1662861034307,7.5\n"
        "a,1662861101933,10\na,1662861101933,11\n"
    )
    first, second = read_polls(tmp_path)
    assert (len(first.rows), first.repeats, first.reason) == (2, 1, None)
    assert second.rows == [] and "contradiction" in str(second.reason)
