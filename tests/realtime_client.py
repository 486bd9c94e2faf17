"""A websocket client that speaks Phoenix 1.0.0 or 2.0.0 byte by byte, and a server of our own to speak to."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import orjson
import uvicorn
from joserfc import jwt
from joserfc.jwk import OctKey
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from headgate.base.settings import Settings
from headgate.db import Database
from headgate.surface.auth.tokens import Verifier, read_keys
from headgate.surface.callers import Callers
from headgate.surface.realtime.limits import Limits
from headgate.surface.realtime.service import Realtime
from headgate.surface.services import Door

SECRET = "a-secret-that-only-tests-of-realtime-use-0123456789"
KEYS = {"sb_publishable_test": "anon", "sb_secret_test": "service_role"}
PATIENCE_S = 20.0


def token(role: str = "authenticated", **claims: Any) -> str:
    """A user's token."""
    body = {"role": role, "exp": int(time.time()) + 3600, **claims}
    return jwt.encode({"alg": "HS256"}, body, OctKey.import_key(SECRET))


class Server:
    """Realtime alone behind its door, on a port of its own."""

    def __init__(self, db: Database, *, limits: Limits | None = None, **settings: Any) -> None:
        keys = read_keys(SECRET, is_base64=False)
        verifier = Verifier(keys, anon_role="anon", audience=None, role_path="$.role", cache_max=100)

        async def role_of(key: str) -> str | None:
            return KEYS.get(key)

        self.service = Realtime(Settings(**settings), db, Callers(verifier, role_of), limits=limits)
        self._door = Door({"/realtime/v1": self.service}, origins=["*"])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app, host="127.0.0.1", port=self.port, log_config=None, access_log=False, lifespan="off",
                interface="asgi3", timeout_keep_alive=1,
                ws_per_message_deflate=False, timeout_graceful_shutdown=1,
            )
        )  # fmt: skip
        self._task: asyncio.Task[None] | None = None

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await self._door(scope, receive, send)

    async def __aenter__(self) -> Self:
        await self._door.start()
        self._task = asyncio.create_task(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._door.close()
        self._server.should_exit = True
        assert self._task is not None
        await self._task

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}/realtime/v1"

    @contextlib.asynccontextmanager
    async def client(self, *, vsn: str = "2.0.0", key: str = "sb_publishable_test") -> AsyncIterator[Client]:
        """A connected client."""
        url = f"ws://127.0.0.1:{self.port}/realtime/v1/websocket?apikey={key}&vsn={vsn}"
        async with connect(url, max_size=None, compression=None, ping_interval=None) as connection:
            client = Client(connection, vsn)
            try:
                yield client
            finally:
                await client.stop()


class Client:
    """What it hears is kept, and waited for."""

    def __init__(self, connection: ClientConnection, vsn: str) -> None:
        self.connection = connection
        self._vsn = vsn
        self._refs = itertools.count(1)
        self.heard: list[tuple[str, str, Any]] = []  # topic, event, payload
        self.replies: dict[str, Any] = {}
        self._more = asyncio.Event()
        self.closed: tuple[int, str] | None = None
        self._task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _listen(self) -> None:
        try:
            async for message in self.connection:
                self._take(message)
                self._more.set()
        except ConnectionClosed:
            pass  # how it was closed is told below
        finally:
            self.closed = (self.connection.close_code or 1006, self.connection.close_reason or "")
            self._more.set()

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            assert message[0] == 4
            ends = list(itertools.accumulate(message[1:4], initial=5))
            topic, event, meta = (message[a:b].decode() for a, b in itertools.pairwise(ends))
            body: Any = message[ends[-1] :]
            payload = {
                "type": "broadcast",
                "event": event,
                "payload": orjson.loads(body) if message[4] else body,
            }
            if meta:
                payload["meta"] = orjson.loads(meta)
            self.heard.append((topic, "broadcast", payload))
            return
        found = orjson.loads(message)
        if self._vsn == "2.0.0":
            _, ref, topic, event, payload = found
        else:
            ref, topic, event, payload = found["ref"], found["topic"], found["event"], found["payload"]
        if event == "phx_reply":
            self.replies[ref] = payload
        else:
            self.heard.append((topic, event, payload))

    async def send(self, topic: str, event: str, payload: Any, *, join: bool = False) -> str:
        """Send a message; its reference."""
        ref = str(next(self._refs))
        if self._vsn == "2.0.0":
            await self.connection.send(orjson.dumps(["1", ref, topic, event, payload]).decode())
        else:
            body = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": "1"}
            await self.connection.send(orjson.dumps(body).decode())
        return ref

    async def ask(self, topic: str, event: str, payload: Any) -> Any:
        """Send a message and wait for the reply."""
        ref = await self.send(topic, event, payload)
        await self.until(lambda: ref in self.replies)
        return self.replies.pop(ref)

    async def join(self, name: str, *, token: str | None = None, changes: Any = (), **config: Any) -> Any:
        """Join a channel; the reply. With changes, wait until they are subscribed to."""
        body: dict[str, Any] = {"config": {**config, "postgres_changes": list(changes)}}
        if token:
            body["access_token"] = token
        reply = await self.ask(f"realtime:{name}", "phx_join", body)
        if changes and reply["status"] == "ok":
            await self.until(
                lambda: any(e == "system" and "Subscribed" in p["message"] for _, e, p in self.heard)
            )
        return reply

    async def until(self, holds: Any) -> None:
        """Wait until it holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                if self.closed is not None:
                    raise AssertionError(f"the socket was closed: {self.closed}")
                self._more.clear()
                await self._more.wait()

    def events(self, event: str) -> list[Any]:
        """The payloads of an event, in order."""
        return [payload for _, e, payload in self.heard if e == event]

    async def wait_for(self, event: str, count: int = 1) -> list[Any]:
        """The payloads of an event once there are so many."""
        await self.until(lambda: len(self.events(event)) >= count)
        return self.events(event)

    def changes(self) -> list[Mapping[str, Any]]:
        """The data of all changes."""
        return [payload["data"] for payload in self.events("postgres_changes")]

    async def quiet(self) -> None:
        """When this returns, whatever was sent to this socket before has arrived."""
        await self.ask("phoenix", "heartbeat", {})
