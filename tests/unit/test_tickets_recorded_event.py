"""A recording's own word about its event is read, or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.apps.tickets.recording import read_event
from headgate.base.errors import SourceError


def test_event_json_that_is_not_json_is_refused_with_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text("{not json")
    with pytest.raises(SourceError) as caught:
        read_event(tmp_path)
    assert caught.value.code == "HG440"
    assert "starts_at" in str(caught.value)


def test_folder_without_event_json_says_nothing_of_its_event(tmp_path: Path) -> None:
    assert read_event(tmp_path) is None
