"""The how-to of ticket sources says what the code does: settings, faults, the recording format."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import SecretStr

from headgate.apps.tickets.recording import read_event, read_polls
from headgate.apps.tickets.settings import TicketsSettings
from headgate.apps.tickets.simulator.faults import KINDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "tickets-sources.md").read_text()


def test_every_setting_is_listed_with_its_default_and_meaning() -> None:
    expected = []
    for name, field in TicketsSettings.model_fields.items():
        shown = "" if field.default is None or isinstance(field.default, SecretStr) else field.default
        expected.append((f"HEADGATE_TICKETS_{name.upper()}", str(shown), field.description))
    assert re.findall(r"^\| `(HEADGATE_TICKETS_\w+)` \| (.*?) ?\| (.*) \|$", PAGE, re.MULTILINE) == expected


def test_every_kind_of_fault_is_named() -> None:
    missing = [kind for kind in (*KINDS, "mixed") if f"`{kind}`" not in PAGE]
    assert not missing


def test_the_example_recording_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "recital.jsonl"
    found = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert found
    path.write_text(found.group(1))
    polls = read_polls(path)
    assert [(poll.market, len(poll.rows), poll.reason) for poll in polls] == [
        ("ours", 2, None),
        ("ours", 1, None),
    ]
    event = read_event(path)
    assert event is not None and event.venue == "Hall"
