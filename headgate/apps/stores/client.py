"""The Admin API of one connection: points, tokens, versions and every way in which Shopify says no.

All workers share one limit per shop, in the database. Raises what a job understands; never retries a mutation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.tokens import NotConnected, Q, ShopRefused, Tokens
from headgate.apps.stores.wire import Answered, Wire
from headgate.base import log
from headgate.base.errors import SourceError
from headgate.db import Database
from headgate.engine import limits
from headgate.engine.fetch_errors import FetchError, RateLimited

_log = log.get(__name__)
#: How long one call waits for points before its job is told to come back later, in seconds.
PATIENCE_S = 20.0
TRIES = 4
#: Requests a second to one shop that are never worth more; Shopify's own limit is in points.
PER_SECOND = 100.0


class Denied(SourceError):
    """A scope is missing for what was asked; it can only be granted by a person."""

    default_code = "HG463"


class Throttled(Exception):
    """Shopify wants us to wait `wait_s` seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"throttled for {wait_s:.1f} s")
        self.wait_s = wait_s


@dataclass(frozen=True)
class Told:
    """`data` of one answer, and the API version that gave it."""

    data: dict[str, Any]
    version: str | None


class Shopify:
    """Queries of one connection (a row with id, shop_domain, state), in the version that the settings name."""

    def __init__(
        self,
        db: Database,
        settings: StoresSettings,
        *,
        tokens: Tokens,
        wire: Wire,
        connection: Mapping[str, Any],
    ) -> None:
        self.db = db
        self.id = int(connection["id"])
        self.shop = str(connection["shop_domain"])
        self.version = settings.api_version
        self.served = self.version
        self._settings = settings
        self._tokens = tokens
        self._wire = wire
        self._prepared = False
        self._shut = connection["state"] == "error"

    async def query(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """`data` of a query, tried again where that makes sense.

        Raises NotConnected, Denied, RateLimited, ShopRefused or FetchError.
        """
        waited = 0.0
        for attempt in range(1, TRIES + 1):
            try:
                return await self.once(document, variables)
            except Throttled as error:
                waited += error.wait_s
                if waited > PATIENCE_S or attempt == TRIES:
                    raise RateLimited(f"{self.shop} asks for rest.", retry_after_s=error.wait_s) from None
                await asyncio.sleep(error.wait_s)
            except (ShopRefused, FetchError) as error:
                lasting = isinstance(error, (NotConnected, RateLimited)) or not _passing(error)
                if lasting or attempt == TRIES:
                    raise
                await asyncio.sleep(min(0.1 * 2**attempt, 2.0))
        raise AssertionError  # pragma: no cover - the loop returns or raises

    async def once(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One exchange; only a refused token is tried again, with a new one. For mutations."""
        slot = await self._slot()
        token = await self._tokens.access_token(self.id)
        answer = await self._send(slot, token, document, variables)
        if answer.status == 401:
            token = await self._tokens.refresh(self.id, used=token)
            answer = await self._send(slot, token, document, variables)
        return await self._read(slot, answer)

    async def _slot(self) -> limits.Slot:
        if not self._prepared:
            async with self.db.connection() as conn:
                await limits.set_host(conn, self.shop, PER_SECOND, 50)
            self._prepared = True
        return await limits.take(self.db, self.shop, wait_s=PATIENCE_S)

    async def _send(
        self, slot: limits.Slot, token: str, document: str, variables: Mapping[str, Any] | None
    ) -> Answered:
        url = f"{self._settings.shop_url(self.shop)}/admin/api/{self.version}/graphql.json"
        body = {"query": document, "variables": dict(variables or {})}
        try:
            return await self._wire.post_json(url, body, {"x-shopify-access-token": token})
        except FetchError as error:
            await limits.report(self.db, slot, limits.Outcomes("bad", note=type(error).__name__))
            raise

    async def _read(self, slot: limits.Slot, answer: Answered) -> dict[str, Any]:
        value = answer.json()
        problems = value.get("errors") if isinstance(value, dict) else None
        if answer.status == 429 or _code(problems) == "THROTTLED":
            wait = _wait(value)
            await limits.report(self.db, slot, limits.Outcomes("neutral", retry_after_s=wait))
            raise Throttled(wait)
        if answer.status in {401, 402, 403, 404, 423}:
            await limits.report(self.db, slot, limits.Outcomes("ok", answer.status))
            raise await self._shut_out(answer.status, _reason(problems))
        data = value.get("data") if isinstance(value, dict) else None
        if answer.status != 200 or not isinstance(value, dict):
            await limits.report(self.db, slot, limits.Outcomes("bad", answer.status, note="no JSON"))
            raise ShopRefused(
                f"{self.shop} answered with status {answer.status} and no JSON.",
                details={"status": 502},
                hint="It is tried again.",
            )
        await limits.report(self.db, slot, limits.Outcomes("ok", 200))
        self._note_version(answer)
        if self._shut:
            await self.db.execute(Q.tell_open, {"shop": self.shop})
            self._shut = False
        if _code(problems) == "ACCESS_DENIED":
            raise Denied(
                f"{self.shop}: {_reason(problems)}", hint="Grant the scope, then connect the shop again."
            )
        if problems or not isinstance(data, dict):
            raise ShopRefused(f"{self.shop} refused a query: {_reason(problems)}", details={"status": 200})
        return data

    async def _shut_out(self, status: int, reason: str) -> NotConnected:
        """Have the status say that the shop is closed to us, as when frozen or locked, until it answers again."""
        error = f"{self.shop} does not let us in (status {status}): {reason}"
        await self.db.execute(Q.tell_error, {"shop": self.shop, "error": error})
        self._shut = True
        return NotConnected(error, hint="Connect the shop again.", details={"status": status})

    def _note_version(self, answer: Answered) -> None:
        served = answer.headers.get("x-shopify-api-version")
        if served and served != self.served:
            _log.warning("another API version answers", shop=self.shop, asked=self.version, served=served)
            self.served = served

    async def fetch(self, url: str, start: int, end: int) -> Answered:
        """Bytes `start` to `end` (inclusive) of a bulk file."""
        return await self._wire.send("GET", url, headers={"range": f"bytes={start}-{end}"}, timeout_s=60.0)


def _passing(error: Exception) -> bool:
    if isinstance(error, ShopRefused):
        return int((error.details or {}).get("status", 0)) >= 500
    return getattr(error, "retryable", True)


def _code(problems: Any) -> str:
    for one in problems if isinstance(problems, list) else ():
        code = (one.get("extensions") or {}).get("code") if isinstance(one, dict) else None
        if code in ("THROTTLED", "ACCESS_DENIED"):
            return str(code)
    return ""


def _reason(problems: Any) -> str:
    if isinstance(problems, str):
        return problems[:300]
    if isinstance(problems, list) and problems and isinstance(problems[0], dict):
        return str(problems[0].get("message", ""))[:300]
    return "no reason given"


def _wait(value: Any) -> float:
    """Seconds until there are points enough for the same request."""
    cost = ((value.get("extensions") or {}).get("cost") or {}) if isinstance(value, dict) else {}
    status = cost.get("throttleStatus") or {}
    missing = float(cost.get("requestedQueryCost") or 50) - float(status.get("currentlyAvailable") or 0)
    return min(max(missing / float(status.get("restoreRate") or 50), 0.05), 30.0)
