"""Secrets never reach a log line."""

from __future__ import annotations

import json

import pytest
import structlog

from headgate.base import log
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


def test_a_logger_made_before_the_set_up_follows_it_level_stream_and_redaction(
    capsys: pytest.CaptureFixture[str],
) -> None:
    early = log.get("early", host="h")
    log.configure(level="warning", json=True)
    try:
        early.debug("too little")
        early.warning("failed", error="postgresql://u:hunter2@h/d", token="hunter2")
        early.bind(more=1).warning("bound")
    finally:
        structlog.reset_defaults()
    told = capsys.readouterr()
    assert told.out == ""
    lines = [json.loads(line) for line in told.err.splitlines()]
    assert [line["event"] for line in lines] == ["failed", "bound"]
    assert lines[0]["logger"] == "early" and lines[0]["host"] == "h" and lines[1]["more"] == 1
    assert "hunter2" not in told.err
