"""Connecting a shop to a brand: one-time states, the code's exchange, the connection, and letting go of it again.

A state is good once, for one shop, brand and user, and in a browser only together with the cookie that the same
browser was given: a merchant who was sent somebody else's link connects nothing to that person's brand.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from headgate.apps.stores.admin import SHOP, UNINSTALL, Admin
from headgate.apps.stores.answers import Refusal, not_found
from headgate.apps.stores.bulk_jobs import take_up
from headgate.apps.stores.means import HEAD_START_S
from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.tokens import Grant, NotConnected, ShopRefused, Tokens
from headgate.apps.stores.tokens import Q as TOKENS
from headgate.apps.stores.wire import Wire
from headgate.base import ids, log
from headgate.base.clock import now
from headgate.base.errors import SettingsError
from headgate.db import Connection, Database, Jsonb, errors
from headgate.db.queries import load
from headgate.engine.fetch_errors import FetchError
from headgate.engine.jobs import enqueue

Q = load("headgate.apps.stores", "connect.sql")
HOME = "/console/#/stores/progress"
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")  # one leading slash, printable, no backslash
_log = log.get(__name__)


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A connection under way: where the merchant approves it, and the browser's half of the secret."""

    url: str
    state: str
    nonce: str


class Connecting:
    """Connects and disconnects shops for one process. `base_url`: where Shopify reaches this server."""

    def __init__(self, db: Database, settings: StoresSettings, tokens: Tokens, wire: Wire) -> None:
        self._db = db
        self._settings = settings
        self._tokens = tokens
        self._admin = Admin(settings, wire)
        self._wire = wire

    async def role_of(self, claims: Mapping[str, Any], brand: UUID) -> str | None:
        """The caller's role in a brand as row-level security shows it; None: no such brand for them."""
        params = {"brand": brand, "service": claims["role"] == "service_role"}
        async with self._db.as_role(claims) as conn:
            row = await (await conn.execute(Q.role_of, params)).fetchone()
        return row["role"] if row else None

    async def require(self, claims: Mapping[str, Any], brand: UUID) -> None:
        """Raises Refusal 404 for a brand that the caller does not see, 403 for one they may only look at."""
        role = await self.role_of(claims, brand)
        if role is None:
            raise not_found("brand")
        if role not in ("owner", "admin"):
            raise Refusal(403, "FORBIDDEN", "Only owners and admins of the brand may do that.")

    async def begin(
        self,
        *,
        brand: UUID,
        shop: str,
        user: UUID | None,
        base_url: str,
        return_to: str = "",
        link: bool = False,
    ) -> Begun:
        """A state for `shop`, kept for minutes. `link`: good in any browser, for a link that an operator hands out.

        Raises Refusal 409 when another brand has the shop, 400 for a return address elsewhere.
        """
        if not self._settings.client_id:
            raise SettingsError(
                "No Shopify app is set up.",
                code="HG118",
                hint="Set HEADGATE_STORES_CLIENT_ID and HEADGATE_STORES_CLIENT_SECRET.",
            )
        back = self.return_address(return_to)
        await self._refuse_taken(shop, brand)
        state, nonce = ids.token(size=32), "" if link else ids.token(size=32)
        params = {
            "state": _hashed(state, nonce),
            "brand": brand,
            "user": user,
            "shop": shop,
            "return_to": back,
            "minutes": self._settings.state_minutes,
        }
        await self._db.execute(Q.make_state, params)
        return Begun(url=self._approval(shop, state, base_url), state=state, nonce=nonce)

    def _approval(self, shop: str, state: str, base_url: str) -> str:
        query = {
            "client_id": self._settings.client_id,
            "scope": ",".join(self._settings.scope_list),
            "redirect_uri": f"{base_url}/api/stores/callback",
            "state": state,
        }
        return f"{self._settings.shop_url(shop)}/admin/oauth/authorize?{urlencode(query)}"

    def return_address(self, asked: str) -> str:
        """Where the browser goes afterwards: a path of this server, or below an origin that the settings name."""
        if not asked:
            return HOME
        if len(asked) <= 2000 and _PATH.fullmatch(asked):
            return asked
        allowed = {
            one.strip().rstrip("/").lower() for one in self._settings.return_urls.split(",") if one.strip()
        }
        try:
            parts = urlsplit(asked)
            plain = parts.username is None and parts.password is None
            origin = f"{parts.scheme}://{parts.netloc}".lower()
        except ValueError:
            plain, origin = False, ""
        if plain and origin in allowed and "\\" not in asked and asked.isprintable() and len(asked) <= 2000:
            return asked
        raise Refusal(
            400,
            "VALIDATION_ERROR",
            "return_to is neither a path here nor below an origin of HEADGATE_STORES_RETURN_URLS.",
        )

    async def finish(self, query: Mapping[str, str], nonce: str) -> str:
        """Use up the state of a signed callback, exchange its code, keep the connection; where the browser goes.

        Raises Refusal 400 for a state that is unknown, used, expired, of another shop or another browser.
        """
        shop, state, code = query["shop"], query.get("state", ""), query.get("code", "")
        halves = [_hashed(state, nonce)] if nonce else []
        states = [*halves, _hashed(state, "")]
        begun = await self._db.fetch_one(Q.use_state, {"states": states, "shop": shop})
        if begun is None or not 0 < len(code) <= 500:
            raise Refusal(
                400,
                "BAD_STATE",
                "This approval was not begun here in this browser, is used up, or took too long.",
            )
        await self._refuse_taken(shop, begun["brand_id"])
        grant = await self._exchange(shop, code)
        connection = await self._keep(shop, grant, begun)
        _log.info("shop connected", shop=shop, connection=connection)
        return str(begun["return_to"])

    async def _refuse_taken(self, shop: str, brand: UUID) -> None:
        if self._settings.allow_shared_shops:
            return
        if await self._db.fetch_value(Q.taken, {"shop": shop, "brand": brand}):
            raise _taken()

    async def _exchange(self, shop: str, code: str) -> Grant:
        values = {
            "client_id": self._settings.client_id,
            "client_secret": self._settings.client_secret.get_secret_value(),
            "code": code,
            "expiring": "1",
        }
        answer = await self._wire.post_form(
            f"{self._settings.shop_url(shop)}/admin/oauth/access_token", values
        )
        if answer.status != 200:
            raise ShopRefused(
                f"{shop} did not accept the approval (status {answer.status}).",
                details={"status": answer.status},
                hint="Connect the shop again.",
            )
        return Grant.read(shop, answer.json())

    async def _keep(self, shop: str, grant: Grant, begun: Mapping[str, Any]) -> int:
        """The connection's number. The token is kept even if somebody else was quicker: it replaced theirs."""
        about = await self._admin.call(shop, grant.access, SHOP)
        told = about["shop"]
        if told.get("myshopifyDomain") not in (None, shop):
            raise ShopRefused(
                f"{shop} says that it is another shop.", hint="Connect the shop by its own domain."
            )
        scopes = _scopes(about, grant)
        params = {
            "brand": begun["brand_id"],
            "shop": shop,
            "shop_id": int(str(told["id"]).rsplit("/", 1)[-1]),
            "name": told["name"],
            "version": self._settings.api_version,
            "scopes": scopes,
            "time_zone": told["ianaTimezone"],
            "currency": told["currencyCode"],
            "coverage": Jsonb(coverage_of(scopes)),
            "user": begun["user_id"],
        }
        try:
            async with self._db.transaction() as conn:
                await self._tokens.keep(conn, shop, grant)
                return await self._connect(conn, params)
        except errors.UniqueViolation:
            async with self._db.transaction() as conn:
                await self._tokens.keep(conn, shop, grant)
            raise _taken() from None

    async def _connect(self, conn: Connection, params: dict[str, Any]) -> int:
        others = {"shop": params["shop"], "brand": params["brand"]}
        row = await (await conn.execute(Q.taken, others)).fetchone()
        shared = bool(row and row["taken"]) and self._settings.allow_shared_shops
        row = await (await conn.execute(Q.keep_connection, {**params, "shared": shared})).fetchone()
        if row is None:
            raise RuntimeError("an upsert gave no row")
        number = int(row["id"])
        siblings = await (await conn.execute(Q.siblings, {**params, "connection": number})).fetchall()
        for one in (number, *(sibling["id"] for sibling in siblings if sibling["gained"])):
            await sync_later(conn, one, params["shop"])
        args = {"connection_id": number}
        # a sync that the shop left in the midst of goes on, even where an older job keeps another from being added
        await take_up(conn, number, delay_s=HEAD_START_S)
        # what changes before the webhooks are there is read anyway, so that they do not hold up the recent days
        soon = now() + timedelta(seconds=HEAD_START_S)
        await enqueue(conn, "stores.webhooks_repair", args, unique=str(number), priority=10, run_at=soon)
        return number

    async def disconnect(self, number: int) -> None:
        """Let go of a shop: the app is uninstalled there when no other brand uses it, and the token erased."""
        row = await self._db.fetch_one(Q.connection, {"connection": number})
        if row is None or row["state"] not in ("connected", "error"):
            raise not_found("live connection")
        shop = row["shop_domain"]
        token = None
        try:
            token = await self._tokens.access_token(number)
        except (NotConnected, ShopRefused, FetchError, SettingsError) as error:
            _log.info("disconnecting without a token", shop=shop, reason=error.code)
        async with self._db.transaction() as conn:
            await conn.execute(TOKENS.hold, {"shop": shop})
            await conn.execute(Q.mark_disconnected, {"connection": number})
            live = await (await conn.execute(Q.is_live, {"shop": shop})).fetchone()
            await conn.execute(TOKENS.erase, {"shop": shop})
        if token and not (live and live["live"]):
            try:
                await self._admin.call(shop, token, UNINSTALL)
            except (ShopRefused, FetchError) as error:
                # our side is let go of already; the merchant can remove the app by hand
                _log.warning("could not uninstall", shop=shop, reason=error.message)
        _log.info("shop disconnected", shop=shop, connection=number)


async def sync_later(conn: Connection, connection_id: int, shop: str) -> None:
    """Enqueue a full sync: of a shop that connects, and of one that shows more than before, as older orders."""
    args, unique = {"connection_id": connection_id}, str(connection_id)
    await enqueue(conn, "stores.recent_sync", args, key=f"stores:{shop}", unique=unique, priority=20)


def coverage_of(scopes: list[str]) -> dict[str, Any]:
    """What can be read with these scopes: Shopify shows 60 days of orders without `read_all_orders`."""
    if "read_orders" not in scopes:
        return {"orders": "none", "orders_from": None, "reason": "The scope read_orders was not granted."}
    if "read_all_orders" not in scopes:
        return {
            "orders": "60_days",
            "orders_from": None,
            "reason": "Orders of the last 60 days only: the scope read_all_orders was not granted.",
        }
    return {"orders": "all", "orders_from": None, "reason": None}


def _scopes(about: Mapping[str, Any], grant: Grant) -> list[str]:
    installed = (about.get("currentAppInstallation") or {}).get("accessScopes") or []
    return sorted({one["handle"] for one in installed} or set(grant.scopes))


def _taken() -> Refusal:
    return Refusal(409, "SHOP_TAKEN", "This shop is connected to another brand. Disconnect it there first.")


def _hashed(state: str, nonce: str) -> bytes:
    return hashlib.sha256(f"{state}|{nonce}".encode()).digest()
