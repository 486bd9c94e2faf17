"""Applies webhooks that need no reading, in whatever order they came; repairs subscriptions; looks after the inbox.

What an entity's webhook means is the sync's to know (`Apply`; `rereads` for what is read again); this module handles
what concerns the connection itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from headgate.apps.stores import staged
from headgate.apps.stores.admin import SHOP, SUBSCRIBE, SUBSCRIPTIONS, UNSUBSCRIBE, Admin
from headgate.apps.stores.bulk_jobs import take_up
from headgate.apps.stores.connect import Q as CONNECT
from headgate.apps.stores.connect import coverage_of, sync_later
from headgate.apps.stores.members import Q as MEMBERS
from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.tokens import NotConnected, ShopRefused, Tokens
from headgate.apps.stores.tokens import Q as TOKENS
from headgate.apps.stores.topics import TOPICS, subject, wanted
from headgate.apps.stores.wire import Wire
from headgate.base import log
from headgate.base.clock import now
from headgate.base.errors import HeadgateError
from headgate.base.settings import Settings
from headgate.db import Jsonb
from headgate.db.queries import load
from headgate.engine.jobs import JobContext, Rejected, Snooze, enqueue
from headgate.engine.manifest import Handler, Services

Q = load("headgate.apps.stores", "webhooks.sql")
PATH = "/api/stores/webhooks"
_log = log.get(__name__)


@dataclass(frozen=True, kw_only=True)
class Change:
    """A webhook for one connection. `about`: order, customer, product or bulk."""

    connection_id: int
    topic: str
    about: str
    payload: Mapping[str, Any]
    triggered_at: datetime | None
    received_at: datetime


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a webhook, with a remark for the log page."""

    state: Literal["applied", "stale", "ignored"] = "applied"
    note: str | None = None


#: Applies one change, idempotently and in any order; may ask Shopify. Raises to be tried again.
Apply = Callable[[JobContext, Services, Change], Awaitable[Outcome]]


@dataclass
class Means:
    """What the jobs of one process share."""

    services: Services
    settings: StoresSettings
    tokens: Tokens
    admin: Admin
    locals: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, services: Services) -> Means:
        """From what the composition root hands out."""
        settings = StoresSettings.of(services.settings)
        wire = Wire(settings, keep=False)
        tokens = Tokens(services.db, settings, wire=wire, data_dir=services.settings.get("data_dir"))
        return cls(services, settings, tokens, Admin(settings, wire))


def webhook_apply(apply: Apply) -> Callable[[Services], Handler]:
    """The factory of the job `stores.webhook_apply`; `apply` is the sync's."""

    def factory(services: Services) -> Handler:
        means = Means.of(services)

        async def handler(ctx: JobContext) -> None:
            inbox = int(ctx.job.args["inbox_id"])
            row = await ctx.db.fetch_one(Q.waiting, {"inbox": inbox})
            if row is None:
                return
            if row["connection_ids"] and (about := subject(row["topic"], row["payload"])) is not None:
                await _read_instead(ctx, row, about)
                return
            try:
                outcome = await _apply(ctx, means, apply, row)
            except Snooze:
                raise
            except Exception as error:
                if ctx.job.tries < ctx.job.max_attempts:
                    raise
                note = f"given up after {ctx.job.tries} tries: {type(error).__name__}"
                await ctx.db.execute(Q.done, {"inbox": inbox, "state": "failed", "note": note})
                raise
            await ctx.finish((Q.done, {"inbox": inbox, "state": outcome.state, "note": outcome.note}))

        return handler

    return factory


async def _read_instead(ctx: JobContext, row: Mapping[str, Any], about: tuple[str, int]) -> None:
    """For a webhook that an earlier version of the server took: its object waits to be read from now on."""
    given = {"inbox": row["id"], "shop": row["shop_domain"], "entity": about[0], "object": about[1]}
    async with ctx.transaction() as conn:
        await conn.execute(Q.ask, given)
        await conn.execute(Q.to_be_read, given)
        await ctx.settle(conn)


async def _apply(ctx: JobContext, means: Means, apply: Apply, row: Mapping[str, Any]) -> Outcome:
    topic, about = row["topic"], TOPICS.get(row["topic"])
    if about is None:
        return Outcome(state="ignored", note="nothing here knows this topic")
    if not row["connection_ids"]:
        return Outcome(state="ignored", note="the shop was not connected when this came")
    if about == "privacy":
        from headgate.apps.stores.privacy import receive

        return await receive(ctx, row)
    if about == "app":
        return await _OWN[topic](ctx, means, row)
    live = {one["id"] for one in await ctx.db.fetch_all(Q.live, {"connection": None})}
    outcomes = []
    for number in row["connection_ids"]:
        if number not in live:
            outcomes.append(Outcome(state="ignored", note="the shop was disconnected meanwhile"))
            continue
        change = Change(
            connection_id=number,
            topic=topic,
            about=about,
            payload=row["payload"],
            triggered_at=row["triggered_at"],
            received_at=row["received_at"],
        )
        outcomes.append(await apply(ctx, means.services, change))
    ranked = sorted(outcomes, key=lambda one: ("applied", "stale", "ignored").index(one.state))
    return ranked[0]


async def _uninstalled(ctx: JobContext, means: Means, row: Mapping[str, Any]) -> Outcome:
    """The merchant removed the app. Headers are not signed and old news come late, so the shop itself is asked."""
    shop = row["shop_domain"]
    if await still_in(means, shop):
        return Outcome(state="stale", note="the shop still accepts our access, so it was connected again")
    await let_go(means, shop, row["triggered_at"] or row["received_at"])
    return Outcome(note="the app was removed at Shopify; tokens erased")


async def still_in(means: Means, shop: str) -> bool:
    """Whether a shop that is live here accepts our access. Raises while it cannot be asked."""
    for one in await means.services.db.fetch_all(Q.connections_of, {"shop": shop}):
        if one["state"] not in ("connected", "error"):
            continue
        try:
            await means.admin.with_token(means.tokens, one, SHOP)
        except (NotConnected, ShopRefused) as error:
            status = (error.details or {}).get("status")
            if isinstance(error, ShopRefused) and status not in (400, 401, 402, 403, 404):
                raise
            return False
        return True
    return False


async def let_go(means: Means, shop: str, at: datetime) -> None:
    """The app is gone from the shop since `at`: connections from before are not live any more, the token is erased."""
    async with means.services.db.transaction() as conn:
        await conn.execute(TOKENS.hold, {"shop": shop})
        await conn.execute(CONNECT.mark_uninstalled, {"shop": shop, "at": at})
        await conn.execute(TOKENS.erase, {"shop": shop})


async def _scopes(ctx: JobContext, means: Means, row: Mapping[str, Any]) -> Outcome:
    """Granted scopes changed; the shop says which they are now, whatever this webhook remembers."""
    return await _look(ctx, means, row["shop_domain"])


async def _shop(ctx: JobContext, means: Means, row: Mapping[str, Any]) -> Outcome:
    """Name, currency or time zone changed."""
    return await _look(ctx, means, row["shop_domain"])


async def _look(ctx: JobContext, means: Means, shop: str) -> Outcome:
    rows = await ctx.db.fetch_all(Q.connections_of, {"shop": shop})
    live = [one for one in rows if one["state"] in ("connected", "error")]
    if not live:
        return Outcome(state="ignored", note="the shop is not connected")
    about = await means.admin.with_token(means.tokens, live[0], SHOP)
    told = about["shop"]
    installed = (about.get("currentAppInstallation") or {}).get("accessScopes") or []
    scopes = sorted(s["handle"] for s in installed) or list(live[0]["scopes"])
    coverage = coverage_of(scopes)
    coverage.pop("orders_from")
    async with ctx.db.transaction() as conn:
        await conn.execute(Q.tell_scopes, {"shop": shop, "scopes": scopes, "coverage": Jsonb(coverage)})
        await conn.execute(Q.tell_shop, {"shop": shop, "name": told["name"]})
        zone = {"shop": shop, "currency": told["currencyCode"], "time_zone": told["ianaTimezone"]}
        await conn.execute(Q.tell_zone, zone)
        if set(scopes) != set(live[0]["scopes"]):
            args, unique = {"connection_id": live[0]["id"]}, str(live[0]["id"])
            await enqueue(conn, "stores.webhooks_repair", args, unique=unique)
        for one in live:
            if set(scopes) - set(one["scopes"]):
                await sync_later(conn, one["id"], shop)
    return Outcome(note="read again from the shop")


_OWN: dict[str, Callable[[JobContext, Means, Mapping[str, Any]], Awaitable[Outcome]]] = {
    "app/uninstalled": _uninstalled,
    "app/scopes_update": _scopes,
    "shop/update": _shop,
}


def webhook_address(settings: StoresSettings, process: Settings) -> str:
    """Where Shopify is to deliver. Raises Rejected when the operator has not said, and it is a real Shopify."""
    if settings.public_url:
        return settings.public_url.rstrip("/") + PATH
    if settings.simulator_url:
        host = "127.0.0.1" if process.host in ("0.0.0.0", "::") else process.host  # noqa: S104 - compared, not bound
        return f"http://{host}:{process.port}{PATH}"
    raise Rejected(
        "Shopify cannot deliver webhooks to an address that nobody named.",
        hint="Set HEADGATE_STORES_PUBLIC_URL to the https address of this server.",
    )


def webhooks_repair(services: Services) -> Handler:
    """The job `stores.webhooks_repair`: every live connection (or `connection_id`) has each subscription, once."""
    means = Means.of(services)

    async def handler(ctx: JobContext) -> None:
        address = webhook_address(means.settings, Settings())
        asked = {"connection": ctx.job.args.get("connection_id")}
        shops: dict[str, dict[str, Any]] = {}
        for one in await ctx.db.fetch_all(Q.live, asked):
            shops.setdefault(one["shop_domain"], one)
        for shop, one in shops.items():
            told: dict[str, Any]
            try:
                told = await _repair(means, one, address)
            except HeadgateError as error:  # whatever befalls one shop, the others are looked at
                if asked["connection"] is not None:
                    raise
                told = {"error": error.message}
            told["checked_at"] = now().isoformat()
            await ctx.db.execute(Q.told_webhooks, {"shop": shop, "webhooks": Jsonb(told)})

    return handler


async def _repair(means: Means, connection: Mapping[str, Any], address: str) -> dict[str, Any]:
    """Subscribe to what is missing, drop ours that point elsewhere; what was found and done."""
    have: dict[str, list[tuple[str, str]]] = {}
    after = None
    while True:
        data = await means.admin.with_token(means.tokens, connection, SUBSCRIPTIONS, {"after": after})
        page = data["webhookSubscriptions"]
        for node in page["nodes"]:
            have.setdefault(node["topic"], []).append((node["id"], node["uri"]))
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    want = wanted(list(connection["scopes"]))
    missing = [member for member in want if all(uri != address for _, uri in have.get(member, []))]
    refused: dict[str, str] = {}
    for member in missing:
        try:
            await means.admin.with_token(
                means.tokens, connection, SUBSCRIBE, {"topic": member, "uri": address}
            )
        except (
            ShopRefused
        ) as error:  # such as orders, where access to protected customer data was not granted
            if (error.details or {}).get("status") != 200:
                raise
            if "already been taken" not in error.message:  # somebody else was quicker
                refused[want[member]] = error.message
    stray = [
        number for found in have.values() for number, uri in found if uri != address and uri.endswith(PATH)
    ]
    for number in stray:
        await means.admin.with_token(means.tokens, connection, UNSUBSCRIBE, {"id": number})
    if missing and have:
        _log.warning("webhook subscriptions repaired", shop=connection["shop_domain"], missing=missing)
    told = {"topics": len(want), "repaired": [want[m] for m in missing if want[m] not in refused]}
    return {**told, "removed": len(stray), **({"refused": refused} if refused else {})}


def inbox_care(services: Services) -> Handler:
    """The job `stores.inbox_care`: lost jobs again, of webhooks and of syncs; old bodies, rows and files away, tokens
    kept alive. Its result says how many jobs of syncs were lost: `{"taken_up": …}`."""
    means = Means.of(services)

    async def handler(ctx: JobContext) -> None:
        async with ctx.transaction() as conn:
            taken_up = await take_up(conn)
        if taken_up:
            ctx.log.warning("syncs without a job taken up", jobs=taken_up)
        await ctx.db.execute(Q.requeue)
        await ctx.db.execute(Q.forget_bodies, {"days": means.settings.payload_days})
        await ctx.db.execute(Q.forget_rows)
        await ctx.db.execute(Q.forget_letters)
        await ctx.db.execute(Q.forget_collected)
        await ctx.db.execute(MEMBERS.forget)
        listed = await asyncio.to_thread(staged.files, services.settings)
        if listed:
            rows = await ctx.db.fetch_all(Q.files_in_use)
            wanted = {staged.name(row["id"], row["attempts"]) for row in rows}
            await asyncio.to_thread(staged.remove, listed, wanted)
        await means.tokens.refresh_due()
        await ctx.finish(result={"taken_up": taken_up})

    return handler
