"""Structured logs: lines for people on a terminal, JSON elsewhere. Redacts what looks like a secret."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET_KEYS = re.compile(
    r"(?i)^(authorization|apikey|api_key|cookie|password|passwd|token|secret|jwt)$"
    r"|(?i:_secret|_token|_password|_key)$"
)
_SECRET_TEXT = re.compile(
    r"(?i)(bearer\s+)[\w\-.=+/]+|(://[^:/@\s]+:)[^@\s]+(?=@)|\b(?:sb_secret_|eyJ)[\w\-.]+"
    r"|((?:apikey|api_key|token|access_token|client_id|password)=)[^&\s]+"
)


def redact(text: str) -> str:
    """`text` with bearer tokens, passwords in URLs, keys and query secrets replaced by `***`."""
    return _SECRET_TEXT.sub(lambda m: (m.group(1) or m.group(2) or m.group(3) or "") + "***", text)


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if _SECRET_KEYS.search(key):
            event[key] = "***"
        elif isinstance(value, str):
            event[key] = redact(value)
    return event


def _name_logger(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # structlog keeps the name `logger` for itself until a line is written
    if "_logger" in event:
        event["logger"] = event.pop("_logger")
    return event


def configure(*, level: str = "info", json: bool | None = None) -> None:
    """Set up logging for this process, once. `json=None` means: JSON unless standard error is a terminal."""
    as_json = not sys.stderr.isatty() if json is None else json
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _name_logger,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def get(name: str, **bound: Any) -> Any:
    """A logger for the module `name` with fixed key–value pairs.

    It asks for the configuration at each line, so a module may make one before `configure` was called.
    """
    return structlog.get_logger(_logger=name, **bound)
