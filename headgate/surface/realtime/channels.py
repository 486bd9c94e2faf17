"""One channel of one socket: what it asked for, what it may do, and until when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from headgate.surface.callers import Caller
from headgate.surface.realtime.config import Config
from headgate.surface.realtime.hub import Broadcast
from headgate.surface.realtime.policies import Rights
from headgate.surface.realtime.presence import Address
from headgate.surface.realtime.protocol import Envelope

if TYPE_CHECKING:
    from headgate.surface.realtime.socket import Socket
    from headgate.surface.realtime.subscriptions import Subscription

PREFIX = "realtime:"
_LOOK_AGAIN_S = 3600.0


class Channel:
    """Made by a join that was let in; ends with a leave, an error, its token or its socket."""

    def __init__(
        self,
        socket: Socket,
        topic: str,
        join_ref: str | None,
        *,
        config: Config,
        caller: Caller,
        rights: Rights,
    ) -> None:
        self.socket = socket
        self.topic = topic
        self.name = topic.removeprefix(PREFIX)
        self.join_ref = join_ref
        self.config = config
        self.caller = caller
        self.rights = rights
        self.address: Address = (config.private, self.name)
        self.metas: dict[str, str] = {}  # presence key → reference
        self.subscription: Subscription | None = None
        self.live: set[str] | None = None  # ids sent while a replay is being read
        self.replayed: frozenset[str] = frozenset()  # ids that the replay sent
        self._envelope = Envelope(topic, join_ref, socket.version)
        self._timer: asyncio.TimerHandle | None = None

    def push(self, event: str, payload: bytes) -> None:
        """Send the JSON `payload` to the client."""
        self.socket.push((self._envelope.push(event, payload),))

    def push_many(self, event: str, payloads: list[bytes]) -> None:
        """Send several in order."""
        envelope = self._envelope
        self.socket.push([envelope.push(event, payload) for payload in payloads])

    def push_broadcast(self, broadcast: Broadcast) -> None:
        """Send a broadcast in the form that the client speaks; one without binary frames gets no binary payload."""
        if broadcast.meta:
            if broadcast.meta["id"] in self.replayed:
                return  # its live copy, which came late
            if self.live is not None:
                self.live.add(broadcast.meta["id"])
        if self.socket.version == "2.0.0":
            frame = broadcast.frame(self.topic)
            if frame is not None:
                self.socket.push((frame,))
                return
        if broadcast.binary is None:
            self.push("broadcast", broadcast.text())

    def system(self, status: str, message: str, *, extension: str = "system", **more: Any) -> None:
        """Tell the client how it stands."""
        payload = {"channel": self.name, "extension": extension, "status": status, "message": message, **more}
        self.push("system", orjson.dumps(payload))

    def closed(self, event: str = "phx_close", payload: Any = None) -> None:
        """Tell the client that the channel is over."""
        body = payload or {}
        if self.socket.version == "2.0.0":
            message: Any = [self.join_ref, self.join_ref, self.topic, event, body]
        else:
            message = {"topic": self.topic, "event": event, "payload": body, "ref": self.join_ref,
                       "join_ref": self.join_ref}  # fmt: skip
        self.socket.push((orjson.dumps(message).decode(),))

    def watch_expiry(self, expired: Callable[[Channel], None]) -> None:
        """Call `expired` when the token's time is over."""
        self.forget_expiry()
        until = self.caller.claims.get("exp")
        if isinstance(until, int | float):
            left = max(0.0, float(until) - time.time())
            again = left > _LOOK_AGAIN_S
            loop = asyncio.get_running_loop()
            if again:
                self._timer = loop.call_later(_LOOK_AGAIN_S, self.watch_expiry, expired)
            else:
                self._timer = loop.call_later(left, expired, self)

    def forget_expiry(self) -> None:
        """No longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
