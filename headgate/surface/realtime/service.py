"""The service at /realtime/v1: accepts websockets, answers its REST paths, and joins the parts of realtime."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

import structlog

from headgate.base.settings import Settings
from headgate.base.tasks import ended
from headgate.db import Database
from headgate.surface.callers import CallerError, Callers
from headgate.surface.realtime import hosted, http
from headgate.surface.realtime import limits as codes
from headgate.surface.realtime.broadcast import Keeper
from headgate.surface.realtime.bus import Bus
from headgate.surface.realtime.changes import Changes
from headgate.surface.realtime.feed import drop_own_anchor
from headgate.surface.realtime.hub import Hub, heard
from headgate.surface.realtime.limits import Limits
from headgate.surface.realtime.policies import Rights, channel_rights
from headgate.surface.realtime.presence import Presences
from headgate.surface.realtime.protocol import Version
from headgate.surface.realtime.session import DATABASE_FAILURES, Session
from headgate.surface.realtime.socket import Socket

_FORGET_EVERY_S = 300.0
log = structlog.get_logger(__name__)


class Realtime:
    """One process's realtime. `off` says why it serves nothing, where that is so."""

    def __init__(
        self, settings: Settings, db: Database, callers: Callers, *, limits: Limits | None = None
    ) -> None:
        self.limits = limits or Limits(messages_per_s=settings.realtime_messages_per_s)
        self.callers = callers
        self.db = db
        self._settings = settings
        self.off: str | None = None
        self.bus = Bus(db, self._heard, joined=self._rejoined, left=self._others)
        self.presences = Presences(self.bus.node)
        self.hub = Hub(self.presences, self.bus.tell)
        self.keeper = Keeper(db)
        self.changes = Changes(db, settings)
        self._sockets: set[Socket] = set()
        self._forgetting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Find out whether this database is ours to serve; then listen to the other processes."""
        self.off = await hosted.reason_to_stay_off(self._settings, self.db)
        if self.off is not None:
            log.info("realtime_off", reason=self.off)
            if self._settings.realtime == "off":
                await drop_own_anchor(self.db)  # nobody moves it on any more
            return
        await self.bus.start()
        await self.changes.start()
        self._forgetting = asyncio.create_task(self._forget())

    async def close(self) -> None:
        """Say goodbye to every client and stop."""
        for socket in list(self._sockets):
            socket.close(codes.GOING_AWAY, "The server is stopping")
        await ended(self._forgetting)
        if self.off is None:
            await self.changes.close()
            await self.bus.close()

    async def rights(self, claims: Any, topic: str) -> Rights:
        """What the caller may do on a private channel."""
        return await channel_rights(self.db, claims, topic)

    # --- ASGI

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request or one websocket."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await http.answer(self, scope, receive, send)

    async def _websocket(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()  # websocket.connect
        if not scope["path"].rstrip("/").endswith("/websocket"):
            await http.refuse_websocket(send, 404, "realtime is at /realtime/v1/websocket")
            return
        if self.off is not None:
            await http.refuse_websocket(send, 503, self.off)
            return
        query = scope.get("query_string", b"")
        version = parse_qs(query.decode("latin-1")).get("vsn", ["1.0.0"])[0]
        if version not in ("1.0.0", "2.0.0"):
            await http.refuse_websocket(send, 400, "vsn is 1.0.0 or 2.0.0")
            return
        try:
            caller = await self.callers.of(scope["headers"], query)
        except CallerError as error:
            await http.refuse_websocket(send, error.status, error.message)
            return
        except DATABASE_FAILURES as failure:
            log.warning("realtime_not_ready", reason=str(failure))
            await http.refuse_websocket(send, 503, "The database cannot be asked at the moment")
            return
        await send({"type": "websocket.accept"})
        known: Version = "2.0.0" if version == "2.0.0" else "1.0.0"
        socket = Socket(receive, send, version=known, limits=self.limits)
        session = Session(self, socket, caller)
        self._sockets.add(socket)
        try:
            await socket.run(session.handle)
        except Exception:
            log.exception("realtime_socket_failed")
            raise
        finally:
            self._sockets.discard(socket)
            session.close()

    # --- the other processes

    async def _heard(self, told: dict[str, Any]) -> None:
        kind = told.get("kind")
        if kind == "ask":
            for address, state in self.presences.own():
                self.bus.tell({"kind": "state", "private": address[0], "topic": address[1], "state": state})
            return
        if kind == "message" and "topic" not in told:
            found = await self.keeper.message(told["id"])
            if found is None:
                return
            told = found
        address = (bool(told["private"]), told["topic"])
        if kind in ("broadcast", "message"):
            self.hub.deliver(address, heard(told))
        elif kind == "presence":
            self.hub.show(address, self.presences.merge(told["node"], address, told["diff"]))
        elif kind == "state":
            self.hub.show(address, self.presences.merge(told["node"], address, {"joins": told["state"]}))

    def _rejoined(self) -> None:
        """Notifications may have been missed: what others have is asked for anew, what we have is told anew."""
        for node in self.presences.nodes():
            self._drop(node)
        for address, state in self.presences.own():
            self.bus.tell({"kind": "state", "private": address[0], "topic": address[1], "state": state})

    def _others(self, alive: set[str]) -> None:
        for node in self.presences.nodes() - alive:
            self._drop(node)

    def _drop(self, node: str) -> None:
        for address, diff in self.presences.replace(node, {}).items():
            self.hub.show(address, diff)

    async def _forget(self) -> None:
        while True:
            try:
                await self.keeper.forget()
            except DATABASE_FAILURES as error:
                log.warning("realtime_forget_failed", reason=str(error))
            await asyncio.sleep(_FORGET_EVERY_S)
