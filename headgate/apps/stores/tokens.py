"""Access tokens of shops: kept sealed, refreshed once for all who need one. Never logs or returns one to a client.

A shop has one token for this app, whatever brands share it, because each refresh retires the token before. Refreshes
of one shop queue at its row, so of any number of workers one asks Shopify and the others read what it got. When the
answer is lost, the stored refresh token still works until its successor is used:
https://shopify.dev/changelog/more-resilient-refreshes-for-expiring-offline-access-tokens
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from headgate.apps.stores.sealing import Sealer
from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.wire import Wire
from headgate.base import log
from headgate.base.errors import HeadgateError, SourceError
from headgate.db import Connection, Database, errors
from headgate.db.queries import load

Q = load("headgate.apps.stores", "tokens.sql")
#: A token that has less than this left is refreshed before it is used, in seconds.
MARGIN_S = 300.0
_log = log.get(__name__)
_locks: WeakValueDictionary[tuple[int, str], asyncio.Lock] = WeakValueDictionary()


class NotConnected(SourceError):
    """The connection has no usable token: a person has to connect the shop (again)."""

    default_code = "HG460"


class ShopRefused(SourceError):
    """The shop's server refused a request of ours, or answered with what cannot be read."""

    default_code = "HG461"


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What Shopify gives for a code or a refresh token. Lifetimes in seconds; None: it does not expire."""

    access: str
    refresh: str | None
    scopes: tuple[str, ...]
    expires_s: float | None
    refresh_expires_s: float | None

    @classmethod
    def read(cls, shop: str, value: Any, *, before: tuple[str, ...] = ()) -> Grant:
        """The grant in an answer of the token endpoint. Raises ShopRefused when there is none."""
        token = value.get("access_token") if isinstance(value, Mapping) else None
        if not isinstance(token, str) or not token:
            raise ShopRefused(f"{shop} answered without an access token.", hint="Try again.")
        scopes = tuple(s.strip() for s in str(value.get("scope") or "").split(",") if s.strip())
        refresh = value.get("refresh_token")
        return cls(
            access=token,
            refresh=refresh if isinstance(refresh, str) else None,
            scopes=scopes or before,
            expires_s=_seconds(value.get("expires_in")),
            refresh_expires_s=_seconds(value.get("refresh_token_expires_in")),
        )


def _seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


class _Ended(Exception):
    """There is no access any more: what the connections say of it, and what the caller is told."""

    def __init__(self, told: str, error: NotConnected) -> None:
        super().__init__(told)
        self.told = told
        self.error = error


class Tokens:
    """The tokens of one process. `data_dir`: where the sealing key is, unless the settings have one."""

    def __init__(
        self,
        db: Database,
        settings: StoresSettings,
        *,
        wire: Wire | None = None,
        data_dir: Path | None = None,
    ) -> None:
        self._db = db
        self._settings = settings
        self._wire = wire
        self._data_dir = data_dir
        self._made: Sealer | None = None

    @property
    def _sealer(self) -> Sealer:
        if self._made is None:
            self._made = Sealer.of(self._settings, self._data_dir)
        return self._made

    async def access_token(self, connection_id: int) -> str:
        """A token that is good for at least five minutes. Raises NotConnected HG460, ShopRefused, FetchError."""
        row = await self._db.fetch_one(Q.of_connection, {"connection": connection_id, "margin_s": MARGIN_S})
        if row is None or row["sealed"] is None:
            raise self._none(connection_id)
        if row["stale"]:
            return await self._refresh_shop(row["shop_domain"], used=None)
        return str(self._open(row)["access"])

    async def refresh(self, connection_id: int, *, used: str) -> str:
        """A token other than `used`, which the shop refused: one that somebody else got meanwhile, or a new one."""
        row = await self._db.fetch_one(Q.of_connection, {"connection": connection_id, "margin_s": 0.0})
        if row is None or row["sealed"] is None:
            raise self._none(connection_id)
        current = str(self._open(row)["access"])
        if current != used and not row["stale"]:
            return current
        return await self._refresh_shop(row["shop_domain"], used=used)

    async def keep(self, conn: Connection, shop: str, grant: Grant) -> None:
        """Store a grant in the transaction of `conn`, in place of any before."""
        sealed = self._sealer.seal({"access": grant.access, "refresh": grant.refresh}, shop)
        await conn.execute(
            Q.keep,
            {
                "shop": shop,
                "sealed": sealed,
                "key_id": self._sealer.key_id,
                "scopes": list(grant.scopes),
                "expires_s": grant.expires_s,
                "refresh_expires_s": grant.refresh_expires_s,
            },
        )

    async def refresh_due(self) -> int:
        """Refresh what expires soon, so that a quiet shop's refresh token does not die of age; how many were.

        Whatever befalls one shop, the others are refreshed.
        """
        done = 0
        for row in await self._db.fetch_all(Q.due):
            try:
                await self._refresh_shop(row["shop_domain"], used=None, force=True)
                done += 1
            except (HeadgateError, errors.LockNotAvailable) as error:
                _log.warning("token not refreshed", shop=row["shop_domain"], reason=type(error).__name__)
        return done

    async def _refresh_shop(self, shop: str, *, used: str | None, force: bool = False) -> str:
        lock = _locks.setdefault((id(self._db), shop), asyncio.Lock())
        async with lock, self._db.transaction() as conn:
            await conn.execute("set local lock_timeout = '45s'")
            params = {"shop": shop, "margin_s": 0.0 if used else MARGIN_S}
            row = await (await conn.execute(Q.lock, params)).fetchone()
            if row is None:
                raise NotConnected(f"{shop} is not connected any more.", hint="Connect the shop again.")
            pair = self._open(row)
            renewed = pair["access"] != used if used else not (row["stale"] or force)
            if renewed:
                return str(pair["access"])
            refused: NotConnected | None = None
            try:
                grant = await self._ask(shop, pair.get("refresh"))
            except _Ended as ended:
                # in the transaction that holds the token: whoever connects the shop anew or lets it go waits for it
                await conn.execute(Q.tell_error, {"shop": shop, "error": ended.told})
                refused = ended.error
            else:
                await self.keep(conn, shop, grant)
        if refused is not None:
            raise refused
        _log.info("token refreshed", shop=shop)
        return grant.access

    async def _ask(self, shop: str, refresh: str | None) -> Grant:
        if not refresh:
            raise _Ended(
                "Shopify does not accept the access token any more.",
                NotConnected(f"The access of {shop} has ended.", hint="Connect the shop again."),
            )
        values = {
            "client_id": self._settings.client_id,
            "client_secret": self._settings.client_secret.get_secret_value(),
            "grant_type": "refresh_token",
            "refresh_token": refresh,
        }
        async with self._wires() as wire:
            answer = await wire.post_form(f"{self._settings.shop_url(shop)}/admin/oauth/access_token", values)
        if answer.status == 200:
            return Grant.read(shop, answer.json())
        if answer.status in {400, 401, 403}:
            raise _Ended(
                "Shopify refused to renew the access token.",
                NotConnected(
                    f"{shop} refused to renew our access (status {answer.status}).",
                    hint="Connect the shop again.",
                    details={"status": answer.status},
                ),
            )
        raise ShopRefused(
            f"{shop} answered {answer.status} instead of a renewed token.",
            details={"status": answer.status},
            hint="It is tried again.",
        )

    @contextlib.asynccontextmanager
    async def _wires(self) -> AsyncIterator[Wire]:
        if self._wire is not None:
            yield self._wire
            return
        wire = Wire(self._settings)
        try:
            yield wire
        finally:
            await wire.close()

    def _open(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return self._sealer.open(row["sealed"], row["shop_domain"], row["key_id"])

    @staticmethod
    def _none(connection_id: int) -> NotConnected:
        return NotConnected(
            f"Connection {connection_id} has no access to its shop.",
            hint="Connect the shop again.",
            details={"connection": connection_id},
        )


async def access_token(
    db: Database, connection_id: int, *, settings: StoresSettings | None = None, wire: Wire | None = None
) -> str:
    """`Tokens.access_token` for callers without a `Tokens` of their own; settings of the environment by default."""
    return await Tokens(db, settings or StoresSettings(), wire=wire).access_token(connection_id)


async def refresh(
    db: Database,
    connection_id: int,
    *,
    used: str,
    settings: StoresSettings | None = None,
    wire: Wire | None = None,
) -> str:
    """`Tokens.refresh` likewise: call it once when the shop answered 401 to `used`."""
    return await Tokens(db, settings or StoresSettings(), wire=wire).refresh(connection_id, used=used)
