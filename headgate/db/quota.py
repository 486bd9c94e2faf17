"""Request quotas per hour, exact in sum over all processes, cheap in each.

A process takes a lease of several requests from `control.quotas` at once and spends it from memory; what it does
not spend it gives back. So the limit is never exceeded, and most requests touch no database.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

from headgate.base import log
from headgate.base.clock import monotonic, now
from headgate.db import Database, errors

_LOG = log.get(__name__)
_IDLE_S = 5.0
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Quota:
    """What is left of a bucket's hour after one request; `allowed` says whether that request may go on."""

    allowed: bool
    limit: int
    remaining: int
    reset_at: datetime

    def headers(self) -> dict[str, str]:
        """`X-RateLimit-*` as clients read them; Reset in seconds since 1970."""
        values = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(int(self.reset_at.timestamp())),
        }
        if not self.allowed:
            values["Retry-After"] = str(max(1, int((self.reset_at - now()).total_seconds())))
        return values


@dataclass
class _Lease:
    held: int = 0
    used: int = 0
    reset_at: datetime = _LONG_AGO
    touched: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Quotas:
    """The leases of this process."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._leases: dict[str, _Lease] = {}

    async def take(self, bucket: str, limit: int) -> Quota:
        """Count one request of `bucket`, which may make `limit` an hour."""
        lease = self._leases.setdefault(bucket, _Lease())
        if lease.held < 1 or lease.reset_at <= now():
            async with lease.lock:
                await self._refill(bucket, lease, limit)
                return self._spend(lease, limit)
        return self._spend(lease, limit)

    @staticmethod
    def _spend(lease: _Lease, limit: int) -> Quota:
        allowed = lease.held > 0
        if allowed:
            lease.held -= 1
            lease.touched = monotonic()  # not when refused: then the lease grows idle and asks again
        return Quota(allowed, limit, max(0, limit - lease.used + lease.held), lease.reset_at)

    def refund(self, bucket: str) -> None:
        """Take the last request back: an answer 304 costs nothing."""
        lease = self._leases.get(bucket)
        if lease and lease.reset_at > now():
            lease.held += 1

    async def _refill(self, bucket: str, lease: _Lease, limit: int) -> None:
        if lease.reset_at > now() and (lease.held > 0 or lease.used >= limit):
            return  # another request refilled it, or the hour is spent
        left = limit - lease.used if lease.reset_at > now() else limit
        want = max(1, min(200, left // 20))
        row = await self._db.fetch_one(
            "select granted, used, reset_at from control.take_quota(%s, %s, %s)", (bucket, want, limit)
        )
        assert row is not None  # noqa: S101 - the function always returns one row
        lease.held, lease.used, lease.reset_at = row["granted"], row["used"], row["reset_at"]

    async def give_back(self, *, idle_s: float = 0.0) -> None:
        """Return the unspent part of every lease that nobody touched for `idle_s` seconds, and forget it."""
        due = monotonic() - idle_s
        for bucket, lease in list(self._leases.items()):
            if lease.touched <= due and not lease.lock.locked():
                del self._leases[bucket]
                if lease.held > 0:
                    await self._db.execute(
                        "select control.return_quota(%s, %s, %s)", (bucket, lease.held, lease.reset_at)
                    )

    async def keep_tidy(self) -> None:
        """Give idle leases back for as long as the process runs; cancel it to stop."""
        while True:
            await asyncio.sleep(_IDLE_S)
            try:
                await self.give_back(idle_s=_IDLE_S)
            except (errors.Error, OSError) as error:
                _LOG.warning("quota leases not returned", error=str(error))
