"""Recorded replies: kept in the database for some days, and replayed in place of the network.

Secrets never reach a recording: they are cut from URLs, and only harmless headers are kept.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import zlib
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import orjson
from yarl import URL

from headgate.db import Database, Jsonb
from headgate.engine.fetch_errors import NotRecorded
from headgate.engine.limits import Q
from headgate.engine.transport import CHUNK, Answer, Request

KEEP_DAYS = 7
_KEPT_HEADERS = frozenset(
    {
        "content-type",
        "content-language",
        "etag",
        "last-modified",
        "retry-after",
        "date",
        "age",
        "cache-control",
    }
    | {"location", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}
)
_SECRET_WORDS = ("key", "token", "secret", "password", "passwd", "signature", "auth", "credential", "session")
_SECRET_NAMES = frozenset({"sig", "client_id", "pwd", "jwt", "code", "sid"})


def is_secret_name(name: str) -> bool:
    """Whether a query parameter or header of this name is likely to carry a secret."""
    lower = name.lower()
    return lower in _SECRET_NAMES or any(word in lower for word in _SECRET_WORDS)


def safe_url(url: str | URL) -> str:
    """`url` without user, password and fragment, and with `***` for what looks like a secret in its query."""
    try:
        parsed = URL(str(url)).with_user(None).with_fragment(None)
    except ValueError:
        return "(malformed URL)"
    if not parsed.query_string:
        return str(parsed)
    pairs = [(name, "***" if is_secret_name(name) else value) for name, value in parsed.query.items()]
    return str(parsed.with_query(pairs))


@dataclass(frozen=True)
class Recording:
    """One reply as recorded: `url` without secrets, `headers` the harmless ones, `body` plain bytes."""

    url: str
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    elapsed_s: float = 0.0
    fetched_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    host: str = ""


class Recorder(Protocol):
    """Told of every reply that was read whole, whatever its status."""

    async def record(self, recording: Recording) -> None:
        """Keep `recording`."""
        ...


def harmless(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers worth keeping; a Location loses its secrets."""
    kept = {name: value for name, value in headers.items() if name in _KEPT_HEADERS}
    if "location" in kept:
        kept["location"] = safe_url(kept["location"])
    return kept


class BodyRecorder:
    """Keeps replies in `control.replies` and each distinct body once in `control.bodies`, for `days` days."""

    def __init__(self, db: Database, *, days: int = KEEP_DAYS) -> None:
        self._db = db
        self._days = days

    async def record(self, recording: Recording) -> None:
        """Keep `recording` in one transaction; a body already there only lives longer."""
        digest = hashlib.sha256(recording.body).digest()
        packed = zlib.compress(recording.body, 6)
        common = {"hash": digest, "days": self._days}
        async with self._db.transaction() as conn:
            await conn.execute(Q.keep_body, {**common, "body": packed, "size": len(recording.body)})
            await conn.execute(
                Q.keep_reply,
                {
                    **common,
                    "host": recording.host,
                    "url": recording.url,
                    "status": recording.status,
                    "headers": Jsonb(dict(recording.headers)),
                    "elapsed_s": recording.elapsed_s,
                    "fetched_at": recording.fetched_at,
                },
            )

    async def sweep(self, limit: int = 1000) -> int:
        """Delete up to `limit` expired replies and bodies each; returns how many went."""
        return int(await self._db.fetch_value(Q.sweep, {"limit": limit}) or 0)


async def recorded(
    db: Database, host: str, *, since: datetime = datetime(1970, 1, 1, tzinfo=UTC), limit: int = 1000
) -> list[Recording]:
    """The replies of `host` that are still kept, oldest first."""
    rows = await db.fetch_all(Q.replies, {"host": host, "since": since, "limit": limit})
    return [
        Recording(
            url=row["url"],
            status=row["status"],
            body=zlib.decompress(row["body"]),
            headers=row["headers"],
            elapsed_s=row["elapsed_s"],
            fetched_at=row["fetched_at"],
            host=host,
        )
        for row in rows
    ]


def write_recordings(path: Path, recordings: Iterable[Recording]) -> None:
    """Write recordings to a file, one JSON object a line, bodies in base64."""
    with path.open("wb") as file:
        for one in recordings:
            line: dict[str, Any] = {
                "url": one.url,
                "status": one.status,
                "headers": dict(one.headers),
                "elapsed_s": one.elapsed_s,
                "fetched_at": one.fetched_at,
                "host": one.host,
                "body": base64.b64encode(one.body).decode(),
            }
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def read_recordings(path: Path) -> list[Recording]:
    """Read what `write_recordings` wrote. Raises ValueError on anything else."""
    found = []
    for line in path.read_bytes().splitlines():
        fields = orjson.loads(line)
        fields["body"] = base64.b64decode(fields["body"], validate=True)
        fields["fetched_at"] = datetime.fromisoformat(fields["fetched_at"])
        found.append(Recording(**fields))
    return found


class RecordedTransport:
    """Replays recordings instead of sending: per URL in order, the last one again and again.

    A request whose URL (without secrets) was never recorded raises NotRecorded, except that a robots.txt that was
    not recorded is answered with 404. `asked` lists the URLs requested so far.
    """

    def __init__(self, recordings: Iterable[Recording]) -> None:
        self._by_url: dict[str, deque[Recording]] = defaultdict(deque)
        for one in recordings:
            self._by_url[safe_url(one.url)].append(one)
        self.asked: list[str] = []

    @contextlib.asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Answer]:
        """Answer from the recordings."""
        url = safe_url(request.target.url)
        self.asked.append(url)
        waiting = self._by_url.get(url)
        if waiting:
            yield _Replayed(waiting.popleft() if len(waiting) > 1 else waiting[0])
        elif request.target.url.path == "/robots.txt":
            yield _Replayed(Recording(url, 404, b""))
        else:
            raise NotRecorded(f"There is no recorded reply for {url}.", hint="Record it, or fetch live.")

    async def close(self) -> None:
        """Nothing is held."""


class _Replayed:
    def __init__(self, recording: Recording) -> None:
        self.status = recording.status
        self.headers: Mapping[str, str] = recording.headers
        self._body = recording.body

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        for start in range(0, len(self._body), CHUNK):
            yield self._body[start : start + CHUNK]
