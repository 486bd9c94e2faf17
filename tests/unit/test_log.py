"""Secrets never reach a log line."""

from __future__ import annotations

import pytest

from headgate.base.log import redact


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET with Authorization: Bearer abc.def-123", "abc.def-123"),
        ("postgresql://app:hunter2@db.example/x failed", "hunter2"),
        ("key sb_secret_Zm9vYmFy was refused", "Zm9vYmFy"),
        ("https://api.example/events?apikey=K1234&size=20", "K1234"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2ln expired", "c2ln"),
    ],
)
def test_redact_removes_the_secret_and_keeps_the_rest(text: str, secret: str) -> None:
    clean = redact(text)
    assert secret not in clean
    assert "***" in clean


def test_redact_leaves_ordinary_text_alone() -> None:
    assert redact("poll of event 7 took 12 ms") == "poll of event 7 took 12 ms"
