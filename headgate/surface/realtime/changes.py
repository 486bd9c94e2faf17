"""postgres_changes: reads the feed once for all subscribers of this process, and brings late ones up to date."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from headgate.base.clock import monotonic
from headgate.base.errors import HeadgateError
from headgate.base.settings import Settings
from headgate.base.tasks import ended
from headgate.db import Database, errors
from headgate.surface.realtime import prepare
from headgate.surface.realtime.authorize import Authorizer, UndecidedError
from headgate.surface.realtime.config import JoinError
from headgate.surface.realtime.deliver import Delivery
from headgate.surface.realtime.feed import FeedError, LogicalFeed, drop_own_anchor, slots_allowed
from headgate.surface.realtime.outbox import OutboxFeed, drop_triggers
from headgate.surface.realtime.pgoutput import Change, Position
from headgate.surface.realtime.subscriptions import Group, Index, Subscription

if TYPE_CHECKING:
    from headgate.surface.realtime.channels import Channel

READY_S = 20.0
_IDLE_S = 60.0
_GATHER_S = 0.02
_RETRY_S = (0.1, 0.3, 1.0, 2.0, 5.0)
_UNDECIDED_TRIES = 6
FAILURES = (errors.Error, HeadgateError, OSError, FeedError, TimeoutError)
log = structlog.get_logger(__name__)
AnyFeed = LogicalFeed | OutboxFeed


class Changes:
    """The subscribers of this process. Reads nothing while there are none."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db, self._settings = db, settings
        self._authorizer = Authorizer(db)
        self._live = Index()
        self._late: list[Subscription] = []
        self._lock = asyncio.Lock()  # held while live subscribers are served
        self._starting = asyncio.Lock()
        self._ready = asyncio.Event()
        self._head: Position = (0, 0)  # live subscribers have been served up to here
        self._task: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self.feed: AnyFeed | None = None
        self._delivery: Delivery | None = None

    async def start(self) -> None:
        """Nothing is opened before the first subscriber; an anchor from before replay was switched off goes at once."""
        if self._settings.realtime_replay_s == 0:
            await drop_own_anchor(self._db)

    async def close(self) -> None:
        """Stop reading."""
        await ended(self._task, self._catching_up)
        if self.feed is not None:
            await self.feed.close()

    # --- subscribers

    async def prepare(self, channel: Channel) -> Subscription:
        """A subscription that gets every change committed from now on (or since its cursor) once it has begun.

        Raises JoinError for what the client asked wrongly or cannot have now.
        """
        asked = channel.config.changes
        group = Group.of(channel.caller.claims, channel.caller.role)
        found = await prepare.bindings(self._db, group, asked)
        try:
            feed = await self._running()
            cursors = {one.since for one in asked if one.since}
            since = min([await feed.parse(cursor) for cursor in cursors], default=None)
            position = since or await feed.now()
        except (FeedError, TimeoutError) as error:
            raise JoinError(str(error) or "The change feed is not ready") from None
        subscription = Subscription(
            channel, found, group, position, since=since, cursors=any(one.cursors for one in asked)
        )
        if since is None:
            self._live.add(subscription)
        return subscription

    async def begin(self, subscription: Subscription) -> None:
        """Its join has been answered: say so, and send what has come since."""
        assert self.feed is not None  # noqa: S101 - `prepare` opened it
        told = self.feed.cursor(subscription.position)
        subscription.channel.system(
            "ok", "Subscribed to PostgreSQL", extension="postgres_changes", cursor=told
        )
        held, subscription.held = subscription.held or [], None
        subscription.send(held, self.feed.cursor)
        if subscription.since is not None:
            self._late.append(subscription)
            if self._catching_up is None or self._catching_up.done():
                self._catching_up = asyncio.create_task(self._catch_up())

    def end(self, subscription: Subscription) -> None:
        """It wants no more."""
        subscription.ended = True
        self._live.remove(subscription)

    def reassign(self, subscription: Subscription) -> None:
        """Its channel has a new token: other claims from now on."""
        caller = subscription.channel.caller
        group = Group.of(caller.claims, caller.role)
        live = self._live.holds(subscription)
        self._live.remove(subscription)
        subscription.group = group
        if live:
            self._live.add(subscription)

    # --- the live feed

    async def _running(self) -> AnyFeed:
        """The feed, opened if it is not. Raises FeedError, TimeoutError."""
        async with self._starting:
            if self.feed is None:
                reason = await slots_allowed(self._db)
                feed: AnyFeed
                if reason is None:
                    await drop_triggers(self._db, all_tables=True)
                    feed = LogicalFeed(self._db, self._settings)
                else:
                    log.warning("realtime_uses_triggers", reason=reason)
                    feed = OutboxFeed(self._db, self._settings)
                await feed.start()
                self.feed, self._delivery = feed, Delivery(self._db, self._authorizer, feed.cursor)
            if self._task is None or self._task.done():
                self._ready.clear()
                self._task = asyncio.create_task(self._run(self.feed))
        async with asyncio.timeout(READY_S):
            await self._ready.wait()
        return self.feed

    async def _run(self, feed: AnyFeed) -> None:
        """Serve live subscribers; come back after failures; end when nobody has been there for a while."""
        start: Position | None = None
        attempt = 0
        while True:
            try:
                reader = await feed.open(start)
                try:
                    self._head = max(self._head, start or reader.position)
                    self._ready.set()
                    attempt = 0
                    if await self._serve(reader):
                        return
                finally:
                    reader.close()
            except FAILURES as error:
                log.warning("realtime_feed_lost", reason=str(error))
            except Exception:
                log.exception("realtime_feed_failed")
            if feed.replays:
                start = self._head
            else:
                self._interrupt("Changes may have been missed; subscribe again")
            await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
            attempt += 1

    async def _serve(self, reader: object) -> bool:
        """Read on and on; True when there has been nobody to serve for a while."""
        loop = asyncio.get_running_loop()
        busy = loop.time()
        while True:
            found: list[Change] = await reader.read()  # type: ignore[attr-defined]
            async with self._lock:
                new = [change for change in found if change.position > self._head]
                if new:
                    await self._deliver(new, self._live)
                self._head = max(self._head, reader.position)  # type: ignore[attr-defined]
            if self._live or self._late:
                busy = loop.time()
            elif loop.time() - busy > _IDLE_S and not self._starting.locked():
                self._ready.clear()
                return True

    async def _deliver(self, changes: list[Change], index: Index) -> None:
        """Deliver, trying again while the database cannot say who may see what; then end those it cannot be said of."""
        assert self._delivery is not None  # noqa: S101 - made with the feed
        for attempt in range(_UNDECIDED_TRIES):
            try:
                await self._delivery.deliver(changes, index)
                return
            except UndecidedError as error:
                log.warning("realtime_undecided", reason=str(error))
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
        self._interrupt("It could not be decided who may see a change; subscribe again", index)

    def _interrupt(self, message: str, index: Index | None = None) -> None:
        """Tell subscribers that they must subscribe again."""
        for subscription in (self._live if index is None else index).members():
            self.end(subscription)
            if index is not None:
                index.remove(subscription)
            subscription.channel.system("error", message, extension="postgres_changes")
            subscription.channel.closed("phx_error", {"reason": message})

    # --- those who come with a cursor

    async def _catch_up(self) -> None:
        """Rounds: everybody who waits is read to from the oldest cursor on, until the live feed is met."""
        while self._late:
            await asyncio.sleep(_GATHER_S)
            waiting, self._late = self._late, []
            late = Index()
            for subscription in waiting:
                if not subscription.ended:
                    late.add(subscription)
            try:
                await self._round(late)
            except FAILURES as error:
                log.warning("realtime_catch_up_failed", reason=str(error))
                self._interrupt("The changes since your cursor could not be read; subscribe again", late)

    async def _round(self, late: Index) -> None:
        members = late.members()
        if not members:
            return
        assert self.feed is not None  # noqa: S101 - `prepare` opened it
        began, count = monotonic(), 0
        reader = await self.feed.open(min(member.position for member in members))
        try:
            while True:
                found = await reader.read()
                count += len(found)
                if found:
                    await self._deliver(found, late)
                if reader.position < self._head:
                    continue
                async with self._lock:
                    if reader.position >= self._head:
                        self._switch(late, reader.position)
                        seconds = round(monotonic() - began, 3)
                        log.info("realtime_caught_up", channels=len(members), changes=count, seconds=seconds)
                        return
        finally:
            reader.close()

    def _switch(self, late: Index, position: Position) -> None:
        """They have been served as far as the live feed has: from here on it serves them."""
        for subscription in late.members():
            if not subscription.ended:
                subscription.position = max(subscription.position, position)
                self._live.add(subscription)
