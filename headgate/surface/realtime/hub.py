"""Channels by name: hands broadcasts and presence to every subscriber of this process, and to the other processes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from headgate.surface.realtime import protocol
from headgate.surface.realtime.presence import Address, Diff, Presences

if TYPE_CHECKING:
    from headgate.surface.realtime.channels import Channel

Tell = Callable[[dict[str, Any]], None]


class Broadcast:
    """One broadcast, encoded at most once for each form that some client wants."""

    def __init__(self, event: str, payload: Any, *, binary: bytes | None = None, meta: Any = None) -> None:
        self.event, self.payload, self.binary, self.meta = event, payload, binary, meta
        self._frames: dict[str, bytes | None] = {}
        self._text: bytes | None = None

    def text(self) -> bytes:
        """As the payload of a text message."""
        if self._text is None:
            body = {"type": "broadcast", "event": self.event, "payload": self.payload}
            self._text = orjson.dumps(body if self.meta is None else {**body, "meta": self.meta})
        return self._text

    def frame(self, topic: str) -> bytes | None:
        """As a binary frame; None where it does not fit into one."""
        if topic not in self._frames:
            metadata = b"" if self.meta is None else orjson.dumps(self.meta)
            encoding = protocol.JSON if self.binary is None else protocol.BINARY
            body = orjson.dumps(self.payload) if self.binary is None else self.binary
            self._frames[topic] = protocol.broadcast_frame(
                topic, self.event, body, encoding=encoding, metadata=metadata
            )
        return self._frames[topic]

    def told(self, address: Address) -> dict[str, Any]:
        """As other processes hear it."""
        body: dict[str, Any] = {
            "kind": "broadcast",
            "private": address[0],
            "topic": address[1],
            "event": self.event,
        }
        if self.meta is not None:
            body["id"] = self.meta["id"]
        if self.binary is None:
            return {**body, "payload": self.payload}
        return {**body, "binary": base64.b64encode(self.binary).decode()}


def heard(told: dict[str, Any]) -> Broadcast:
    """The broadcast that another process, or the database, told of."""
    binary = base64.b64decode(told["binary"]) if told.get("binary") else told.get("raw")
    meta = {"id": told["id"]} if told.get("id") else None
    return Broadcast(told["event"], told.get("payload"), binary=binary, meta=meta)


class Hub:
    """The channels of this process."""

    def __init__(self, presences: Presences, tell: Tell) -> None:
        self.presences = presences
        self._tell = tell
        self._channels: dict[Address, set[Channel]] = {}

    def join(self, channel: Channel) -> None:
        """From now on it gets what is sent to its name."""
        self._channels.setdefault(channel.address, set()).add(channel)

    def leave(self, channel: Channel) -> None:
        """No longer."""
        members = self._channels.get(channel.address)
        if members is not None:
            members.discard(channel)
            if not members:
                del self._channels[channel.address]

    def channels(self) -> list[Channel]:
        """All of them."""
        return [channel for members in self._channels.values() for channel in members]

    def send(self, address: Address, broadcast: Broadcast, *, sender: Channel | None = None) -> None:
        """To every subscriber of every process; to the sender itself only if it asked for that."""
        self.deliver(address, broadcast, sender=sender)
        self._tell(broadcast.told(address))

    def deliver(self, address: Address, broadcast: Broadcast, *, sender: Channel | None = None) -> None:
        """To the subscribers of this process."""
        for channel in self._channels.get(address, ()):
            if channel.rights.read_broadcast and (channel is not sender or channel.config.own):
                channel.push_broadcast(broadcast)

    def changed(self, address: Address, diff: Diff) -> None:
        """Presence changed on this process: tell everybody."""
        if diff:
            self.show(address, diff)
            self._tell(
                {"kind": "presence", "private": address[0], "topic": address[1], "diff": diff.payload()}
            )

    def show(self, address: Address, diff: Diff) -> None:
        """Presence changed: tell the subscribers of this process."""
        if not diff:
            return
        payload = orjson.dumps(diff.payload())
        for channel in self._channels.get(address, ()):
            if channel.config.presence and channel.rights.read_presence:
                channel.push("presence_diff", payload)
