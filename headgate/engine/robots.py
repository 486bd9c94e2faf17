"""robots.txt (RFC 9309): read once per origin and day, shared in `control.robots`, obeyed for every request.

No robots.txt (4xx) allows everything; one that cannot be read (5xx, no connection) forbids everything for a
while, except that rules read earlier stay in force. Never fetches by itself: the Fetcher hands it a function.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from protego import Protego

from headgate.base.clock import monotonic
from headgate.db import Database
from headgate.engine.limits import Q

MAX_BYTES = 500 * 1024
"""RFC 9309 section 2.5: at least 500 KiB must be parsed; what follows is cut off."""
FRESH_S = 24 * 3600.0
RETRY_S = 600.0
MAX_CRAWL_DELAY_S = 300.0
_MEMORY_S = 600.0
_MEMORY_ORIGINS = 2000
_MEMORY_CHARACTERS = 8_000_000
Verdict = Literal["rules", "allow", "disallow"]


@dataclass(frozen=True)
class Found:
    """What asking for robots.txt came to. `status` is None if there was no reply. `body` holds at most 500 KiB."""

    status: int | None
    body: bytes = b""


Ask = Callable[[], Awaitable[Found]]
Tell = Callable[[float], Awaitable[None]]


class Rules:
    """The rules of one origin for one user agent."""

    def __init__(self, verdict: Verdict, text: str, agent: str) -> None:
        self._verdict = verdict
        self._agent = agent
        self._parsed = Protego.parse(text) if verdict == "rules" else None

    def allows(self, url: str) -> bool:
        """Whether `url` may be fetched. robots.txt itself always may."""
        if self._parsed is None:
            return self._verdict == "allow"
        return bool(self._parsed.can_fetch(url, self._agent))

    @property
    def crawl_delay_s(self) -> float:
        """The seconds between requests that the rules ask for, 0 if they ask for none, 300 at most."""
        if self._parsed is None:
            return 0.0
        asked = [0.0, self._parsed.crawl_delay(self._agent) or 0.0]
        rate = self._parsed.request_rate(self._agent)
        if rate is not None and rate.requests > 0:
            asked.append(rate.seconds / rate.requests)
        return min(max(one for one in asked if not math.isnan(one)), MAX_CRAWL_DELAY_S)


def product_token(user_agent: str) -> str:
    """The part of a User-Agent that robots.txt names: the word before the first `/` or space."""
    return user_agent.split("/", 1)[0].split(" ", 1)[0] or "*"


def decide(found: Found) -> tuple[Verdict, str]:
    """What a reply means (RFC 9309 section 2.3.1), and the text of the rules."""
    if found.status is None or found.status >= 500 or found.status == 429:
        return "disallow", ""
    if 200 <= found.status < 300:
        return "rules", _text(found.body[:MAX_BYTES])
    return "allow", ""


def _text(body: bytes) -> str:
    text = body.decode("utf-8", errors="replace").removeprefix("\ufeff").replace("\x00", "\ufffd")
    if len(text.encode()) > 512 * 1024:  # replacement characters are longer than what they stand for
        text = text.encode()[:MAX_BYTES].decode("utf-8", errors="ignore")
    return text


class Robots:
    """The rules of every origin, from memory, else from the table, else from the origin itself."""

    def __init__(self, db: Database, user_agent: str) -> None:
        self._db = db
        self._agent = product_token(user_agent)
        self._memory: OrderedDict[str, tuple[float, Rules, int]] = OrderedDict()
        self._characters = 0
        self._locks: dict[str, asyncio.Lock] = {}

    async def rules(self, origin: str, ask: Ask, tell: Tell) -> Rules:
        """The rules of `origin`; `ask` fetches its robots.txt, `tell` learns the crawl-delay when it was read."""
        known = self._remembered(origin)
        if known is not None:
            return known
        lock = self._locks.setdefault(origin, asyncio.Lock())
        try:
            async with lock:
                known = self._remembered(origin)
                if known is None:
                    known = await self._load(origin) or await self._read(origin, ask, tell)
                return known
        finally:
            if not lock.locked():
                self._locks.pop(origin, None)

    def _remembered(self, origin: str) -> Rules | None:
        entry = self._memory.get(origin)
        if entry is None or entry[0] < monotonic():
            return None
        self._memory.move_to_end(origin)
        return entry[1]

    def _remember(self, origin: str, verdict: Verdict, text: str, for_s: float) -> Rules:
        rules = Rules(verdict, text, self._agent)
        if origin in self._memory:
            self._characters -= self._memory.pop(origin)[2]
        self._memory[origin] = (monotonic() + min(for_s, _MEMORY_S), rules, len(text))
        self._characters += len(text)
        while len(self._memory) > _MEMORY_ORIGINS or self._characters > _MEMORY_CHARACTERS:
            self._characters -= self._memory.popitem(last=False)[1][2]
        return rules

    async def _load(self, origin: str) -> Rules | None:
        row = await self._db.fetch_one(Q.robots, {"origin": origin})
        if row is None:
            return None
        return self._remember(origin, row["verdict"], row["body"] or "", float(row["left_s"]))

    async def _read(self, origin: str, ask: Ask, tell: Tell) -> Rules:
        found = await ask()
        verdict, text = decide(found)
        for_s = RETRY_S if verdict == "disallow" else FRESH_S
        if verdict == "disallow":
            old = await self._db.fetch_one(Q.stale_robots, {"origin": origin})
            if old is not None:
                verdict, text = "rules", old["body"] or ""
        values = {"origin": origin, "ttl_s": for_s, "status": found.status, "verdict": verdict, "body": text}
        await self._db.execute(Q.keep_robots, values)
        rules = self._remember(origin, verdict, text, for_s)
        await tell(rules.crawl_delay_s)
        return rules
