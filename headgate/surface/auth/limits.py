"""How often one may try: attempts per address and per account, counted in the database for all processes."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass

from headgate.db import Database
from headgate.surface.auth.errors import AuthError


@dataclass(frozen=True)
class Limit:
    """At most `count` within `window_s` seconds, at once or spread. `count` 0: any number."""

    name: str
    count: int
    window_s: float


class Limits:
    """Counts attempts. Buckets are kept by hash, so that the table holds no addresses."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, limit: Limit, who: str) -> None:
        """Count one attempt of `who`. Raises AuthError 429 with Retry-After when there were too many."""
        if limit.count <= 0:
            return
        wait = await self._db.fetch_value(
            "select control.take_attempt(%s, %s, %s)", (_bucket(limit, who), limit.count, limit.window_s)
        )
        if wait:
            raise too_many(float(wait))

    async def give_back(self, limit: Limit, who: str) -> None:
        """Forget the last attempt of `who`, which succeeded."""
        if limit.count > 0:
            await self._db.execute(
                "select control.return_attempt(%s, %s, %s)",
                (_bucket(limit, who), limit.count, limit.window_s),
            )

    @contextlib.asynccontextmanager
    async def failures(self, limit: Limit, who: str) -> AsyncIterator[None]:
        """Count only what fails inside; counted first, so that many at once do not slip through."""
        await self.take(limit, who)
        yield
        await self.give_back(limit, who)


def too_many(
    wait_s: float, *, error_code: str = "over_request_rate_limit", what: str = "requests"
) -> AuthError:
    """What the client is told, with when to come back."""
    seconds = max(1, math.ceil(wait_s))
    msg = f"Too many {what}. Try again after {seconds} seconds."
    return AuthError(429, error_code, msg, headers={"Retry-After": str(seconds)})


def _bucket(limit: Limit, who: str) -> bytes:
    return hashlib.sha256(f"{limit.name}\n{who}".encode()).digest()
