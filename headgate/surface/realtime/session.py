"""One client's conversation: joins, leaves, tokens, broadcasts, presence, heartbeats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from headgate.base.errors import HeadgateError
from headgate.db import errors
from headgate.surface.callers import Caller, CallerError
from headgate.surface.realtime import protocol
from headgate.surface.realtime.broadcast import KeepError, Persist, read_persist
from headgate.surface.realtime.channels import PREFIX, Channel
from headgate.surface.realtime.config import Config, JoinError, read_config
from headgate.surface.realtime.hub import Broadcast
from headgate.surface.realtime.limits import Rate
from headgate.surface.realtime.policies import Rights
from headgate.surface.realtime.protocol import Frame
from headgate.surface.realtime.socket import Socket

if TYPE_CHECKING:
    from headgate.surface.realtime.service import Realtime

log = structlog.get_logger(__name__)
DATABASE_FAILURES = (errors.Error, HeadgateError, OSError, TimeoutError)
_NOT_READY = "The database cannot be asked at the moment"


class Session:
    """What one socket says and hears."""

    def __init__(self, service: Realtime, socket: Socket, caller: Caller) -> None:
        self._service = service
        self._socket = socket
        self._caller = caller
        self._channels: dict[str, Channel] = {}
        self._joins = Rate(socket.limits.joins_per_s)

    async def handle(self, frame: Frame) -> None:
        """Answer one message."""
        if frame.topic == "phoenix":
            self._reply(frame, "ok" if frame.event == "heartbeat" else "error", {})
        elif frame.event == "phx_join":
            await self._join(frame)
        elif (channel := self._channels.get(frame.topic)) is None:
            self._reply(frame, "error", {"reason": "unmatched topic"})
        elif frame.event == "phx_leave":
            self._end(channel)
            self._reply(frame, "ok", {})
            channel.closed()
        elif frame.event == "access_token":
            await self._refresh(channel, frame.payload.get("access_token"))
        elif frame.event == "broadcast":
            await self._broadcast(channel, frame)
        elif frame.event == "presence":
            self._presence(channel, frame)
        else:
            self._reply(frame, "error", {"reason": f"unknown event {frame.event[:100]}"})

    def _reply(self, frame: Frame, status: str, response: Any) -> None:
        self._socket.push((protocol.reply(self._socket.version, frame, status, response),))

    # --- joining

    async def _join(self, frame: Frame) -> None:
        try:
            channel = await self._admit(frame)
        except JoinError as error:
            self._reply(frame, "error", {"reason": str(error)})
            return
        except DATABASE_FAILURES as error:
            log.warning("realtime_join_failed", reason=str(error))
            self._reply(frame, "error", {"reason": _NOT_READY})
            return
        self._channels[frame.topic] = channel
        self._service.hub.join(channel)
        channel.watch_expiry(self._expired)
        await self._subscribe(channel, frame)

    async def _admit(self, frame: Frame) -> Channel:
        """The channel, with its rights decided. Raises JoinError."""
        limits = self._socket.limits
        if not self._joins.take():
            raise JoinError(f"ClientJoinRateLimitReached: more than {limits.joins_per_s} joins a second")
        name = frame.topic.removeprefix(PREFIX)
        if not frame.topic.startswith(PREFIX) or not name or "\0" in name:
            raise JoinError("unmatched topic: it must be realtime:<name>")
        if len(frame.topic.encode()) > limits.topic_bytes:
            raise JoinError(f"the topic is longer than {limits.topic_bytes} bytes")
        if (old := self._channels.get(frame.topic)) is not None:
            self._end(old)
            old.closed()
        if len(self._channels) >= limits.channels:
            raise JoinError(f"ChannelRateLimitReached: more than {limits.channels} channels on one socket")
        config = read_config(frame.payload, limits)
        caller = await self._caller_of(frame.payload.get("access_token"))
        rights = await self._rights(config, caller, name)
        join_ref = frame.join_ref or frame.ref
        return Channel(self._socket, frame.topic, join_ref, config=config, caller=caller, rights=rights)

    async def _caller_of(self, token: Any) -> Caller:
        if token is None:
            return self._caller
        if not isinstance(token, str):
            raise JoinError("access_token must be a string")
        try:
            return await self._service.callers.by(token)
        except CallerError as error:
            raise JoinError(f"InvalidJWTToken: {error.message}") from None

    async def _rights(self, config: Config, caller: Caller, name: str) -> Rights:
        if not config.private:
            return Rights()
        rights = await self._service.rights(caller.claims, name)
        if not (rights.read_broadcast or rights.read_presence):
            raise JoinError(
                f"Unauthorized: You do not have permissions to read from this Channel topic: {name}"
            )
        return rights

    async def _subscribe(self, channel: Channel, frame: Frame) -> None:
        """Answer the join and send what comes right after it."""
        changes = channel.config.changes
        try:
            subscription = await self._service.changes.prepare(channel) if changes else None
        except (JoinError, *DATABASE_FAILURES) as error:
            reason = str(error) if isinstance(error, JoinError) else _NOT_READY
            if not isinstance(error, JoinError):
                log.warning("realtime_subscribe_failed", reason=str(error))
            self._end(channel)
            self._reply(frame, "error", {"reason": reason})
            return
        listed = subscription.described() if subscription else []
        self._reply(frame, "ok", {"postgres_changes": listed})
        if channel.config.presence and channel.rights.read_presence:
            channel.push("presence_state", protocol.text(self._service.presences.state(channel.address)))
        if subscription is not None:
            channel.subscription = subscription
            await self._service.changes.begin(subscription)
        if channel.config.replay is not None and channel.rights.read_broadcast:
            await self._replay(channel, *channel.config.replay)

    async def _replay(self, channel: Channel, since_ms: int, limit: int) -> None:
        live = channel.live = set()
        try:
            kept = await self._service.keeper.since(channel.caller.claims, channel.name, since_ms, limit)
            fresh = [broadcast for broadcast in kept if broadcast.meta["id"] not in live]
            for broadcast in fresh:
                channel.push_broadcast(broadcast)
            channel.replayed = frozenset(broadcast.meta["id"] for broadcast in fresh)
        except DATABASE_FAILURES as error:
            log.warning("realtime_replay_failed", reason=str(error))
            channel.system("error", f"UnableToReplayMessages: {_NOT_READY}")
        finally:
            channel.live = None

    # --- leaving

    def _end(self, channel: Channel) -> None:
        self._channels.pop(channel.topic, None)
        channel.forget_expiry()
        self._service.hub.leave(channel)
        if channel.subscription is not None:
            self._service.changes.end(channel.subscription)
        diff = self._service.presences.untrack(channel.address, list(channel.metas.values()))
        channel.metas.clear()
        self._service.hub.changed(channel.address, diff)

    def _expired(self, channel: Channel) -> None:
        self._shut(channel, "Access token has expired")

    def _shut(self, channel: Channel, reason: str) -> None:
        if self._channels.get(channel.topic) is channel:
            self._end(channel)
            channel.system("error", reason)
            channel.closed()

    def close(self) -> None:
        """The socket is gone: leave every channel."""
        for channel in list(self._channels.values()):
            self._end(channel)

    # --- tokens

    async def _refresh(self, channel: Channel, token: Any) -> None:
        if token is None or token == channel.caller.token:
            return
        try:
            caller = await self._caller_of(token)
            rights = await self._rights(channel.config, caller, channel.name)
        except JoinError as error:
            self._shut(channel, str(error))
            return
        except DATABASE_FAILURES as error:
            log.warning("realtime_refresh_failed", reason=str(error))
            self._shut(channel, _NOT_READY)
            return
        channel.caller, channel.rights = caller, rights
        channel.watch_expiry(self._expired)
        if channel.subscription is not None:
            self._service.changes.reassign(channel.subscription)

    # --- broadcast and presence

    async def _broadcast(self, channel: Channel, frame: Frame) -> None:
        event = frame.payload.get("event")
        if not isinstance(event, str):
            self._reply(frame, "error", {"reason": "a broadcast needs an event"})
            return
        if not channel.rights.write_broadcast:
            self._refuse(
                channel, frame, "Unauthorized: You do not have permissions to send to this Channel topic"
            )
            return
        meta = None
        try:
            persist = read_persist(frame.payload.get("persist"))
            if persist is not None:
                meta = {"id": await self._keep(channel, frame, persist)}
        except KeepError as error:
            self._refuse(channel, frame, str(error))
            return
        except DATABASE_FAILURES as error:
            log.warning("realtime_keep_failed", reason=str(error))
            self._refuse(channel, frame, _NOT_READY)
            return
        broadcast = Broadcast(event, frame.payload.get("payload"), binary=frame.binary, meta=meta)
        self._service.hub.send(channel.address, broadcast, sender=channel)
        if channel.config.ack:
            self._reply(frame, "ok", {})

    async def _keep(self, channel: Channel, frame: Frame, persist: Persist) -> str:
        if not channel.config.private:
            raise KeepError("a message of a public channel cannot be stored")
        message = Broadcast(frame.payload["event"], frame.payload.get("payload"), binary=frame.binary)
        return await self._service.keeper.keep(channel.caller.claims, channel.name, message, persist)

    def _refuse(self, channel: Channel, frame: Frame, reason: str) -> None:
        """Senders that wait for no answer get none."""
        if channel.config.ack:
            self._reply(frame, "error", {"reason": reason})

    def _presence(self, channel: Channel, frame: Frame) -> None:
        kind = str(frame.payload.get("event", "")).lower()
        if not channel.rights.write_presence:
            self._reply(
                frame, "error", {"reason": "Unauthorized: You may not show presence on this Channel topic"}
            )
            return
        presences, key = self._service.presences, channel.config.key
        if kind == "track":
            payload = frame.payload.get("payload") or {}
            if not isinstance(payload, dict):
                self._reply(frame, "error", {"reason": "the payload of track must be an object"})
                return
            reference, diff = presences.track(channel.address, key, payload, channel.metas.get(key))
            channel.metas[key] = reference
        elif kind == "untrack":
            diff = presences.untrack(channel.address, list(channel.metas.values()))
            channel.metas.clear()
        else:
            self._reply(frame, "error", {"reason": "the event of presence is track or untrack"})
            return
        self._reply(frame, "ok", {})
        self._service.hub.changed(channel.address, diff)
