"""What a client asks for when it joins a channel: read and checked, before anything happens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from headgate.surface.realtime.filters import Condition, FilterError, read_filter
from headgate.surface.realtime.limits import Limits

EVENTS = frozenset({"*", "INSERT", "UPDATE", "DELETE"})
REPLAY_MAX = 25


class JoinError(Exception):
    """The join is refused; the text is for the client."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One postgres_changes binding. `table` and `schema` are None for any; `asked` is what the client sent."""

    event: str
    schema: str | None
    table: str | None
    conditions: tuple[Condition, ...]
    select: frozenset[str] | None
    since: str | None
    cursors: bool
    asked: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Config:
    """A channel's configuration. `own`: broadcasts come back to their sender."""

    private: bool = False
    ack: bool = False
    own: bool = False
    presence: bool = False
    key: str = ""
    replay: tuple[int, int] | None = None  # since (ms of the epoch), limit
    wait: bool = False
    changes: tuple[Asked, ...] = field(default=())


def read_config(payload: dict[str, Any], limits: Limits) -> Config:
    """The configuration of a join's payload. Raises JoinError."""
    config = _object(payload.get("config"), "config")
    broadcast = _object(config.get("broadcast"), "config.broadcast")
    presence = _object(config.get("presence"), "config.presence")
    options = _object(config.get("postgres_changes_options"), "config.postgres_changes_options")
    changes = config.get("postgres_changes") or []
    if not isinstance(changes, list) or len(changes) > limits.bindings:
        raise JoinError(f"config.postgres_changes must be a list of at most {limits.bindings}")
    private = config.get("private") is True
    key = presence.get("key") or ""
    if not isinstance(key, str) or len(key) > 255:
        raise JoinError("config.presence.key must be a string of at most 255 characters")
    return Config(
        private=private,
        ack=broadcast.get("ack") is True,
        own=broadcast.get("self") is True,
        presence=presence.get("enabled") is True,
        key=key or str(uuid4()),
        replay=_replay(broadcast.get("replay"), private),
        wait=options.get("wait") is True,
        changes=tuple(_asked(one) for one in changes),
    )


def _object(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise JoinError(f"{name} must be an object")
    return value


def _replay(value: Any, private: bool) -> tuple[int, int] | None:
    if value is None:
        return None
    asked = _object(value, "config.broadcast.replay")
    since, limit = asked.get("since"), asked.get("limit", REPLAY_MAX)
    if not private:
        raise JoinError("UnableToReplayMessages: replay needs a private channel")
    if isinstance(since, bool) or not isinstance(since, int | float) or not 0 <= since < 1e14:
        raise JoinError("UnableToReplayMessages: since must be milliseconds of the epoch")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= REPLAY_MAX:
        raise JoinError(f"UnableToReplayMessages: limit must be between 1 and {REPLAY_MAX}")
    return int(since), limit


def _asked(value: Any) -> Asked:
    if not isinstance(value, dict):
        raise JoinError("each of config.postgres_changes must be an object")
    event = value.get("event", "*")
    if not isinstance(event, str) or event.upper() not in EVENTS:
        raise JoinError(
            f"the event {event!r} of postgres_changes is unknown; it is one of *, INSERT, UPDATE, DELETE"
        )
    names = {}
    for name in ("schema", "table", "filter", "since"):
        given = value.get(name)
        if given is not None and (not isinstance(given, str) or "\0" in given or len(given) > 5000):
            raise JoinError(f"{name} of postgres_changes must be a string")
        names[name] = given
    select = value.get("select")
    if select is not None and not (isinstance(select, list) and all(isinstance(one, str) for one in select)):
        raise JoinError("select of postgres_changes must be a list of columns")
    table = None if names["table"] in (None, "", "*") else names["table"]
    if (names["filter"] or select) and table is None:
        raise JoinError("filter and select of postgres_changes need a table")
    try:
        conditions = read_filter(names["filter"]) if names["filter"] else ()
    except FilterError as error:
        raise JoinError(f"the filter {names['filter']!r} cannot be read: {error}") from None
    return Asked(
        event=event.upper(),
        schema=None if names["schema"] == "*" else (names["schema"] or "public"),
        table=table,
        conditions=conditions,
        select=frozenset(select) if select else None,
        since=names["since"] or None,
        cursors=value.get("cursors") is True or bool(names["since"]),
        asked=value,
    )
