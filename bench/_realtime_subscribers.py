"""One process of subscribers: each reads its changes, drops its connection now and then, and comes back with a cursor.

Standard input is a JSON object (see `main`). Standard output says `ready` when all have subscribed and `caught up` when
all have seen the row that ends the first part; the file `out` gets one JSON line a subscriber when it has seen the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

LATENCIES_MAX = 20_000
HEARTBEAT_S = 25.0
HEARTBEAT = '[null,"h","phoenix","heartbeat",{}]'


class Subscriber:
    """Everything that one subscriber got, over all its connections."""

    def __init__(self, url: str, token: str, drops: list[int]) -> None:
        self._url, self._token = url, token
        self._drops = drops  # numbers of changes after which it hangs up by itself
        self.cursor: str | None = None
        self.events: list[str] = []
        self.latencies: list[float] = []
        self.connections = 0
        self.refused: list[str] = []
        self.ended = False
        self.caught_up = asyncio.Event()

    async def run(self, ready: asyncio.Semaphore) -> None:
        """Until the row that says that all is over."""
        first = True
        while not self.ended:
            try:
                async with connect(
                    self._url,
                    compression=None,
                    max_size=None,
                    ping_interval=None,
                    open_timeout=60,
                    close_timeout=0.1,
                ) as socket:
                    self.connections += 1
                    beating = asyncio.create_task(self._beat(socket))
                    try:
                        await self._listen(socket, ready if first else None)
                    finally:
                        beating.cancel()
                    first = False
            except (OSError, WebSocketException, TimeoutError):
                first = first and self.cursor is None
                await asyncio.sleep(random.uniform(0.05, 0.5))

    async def _beat(self, socket: Any) -> None:
        """Heartbeats, as the official clients send them: a silent socket is closed after a minute."""
        with contextlib.suppress(WebSocketException):
            while True:
                await asyncio.sleep(HEARTBEAT_S)
                await socket.send(HEARTBEAT)

    async def _listen(self, socket: Any, ready: asyncio.Semaphore | None) -> None:
        bindings = [{"event": "*", "schema": "public", "table": name} for name in ("bench_rows", "bench_end")]
        if self.cursor:
            bindings = [{**binding, "since": self.cursor} for binding in bindings]
        config = {"config": {"postgres_changes": bindings}, "access_token": self._token}
        await socket.send(orjson.dumps(["1", "1", "realtime:bench", "phx_join", config]).decode())
        async for message in socket:
            _, _, _, event, payload = orjson.loads(message)
            if event == "phx_reply" and payload["status"] != "ok":
                self.refused.append(str(payload))
                await asyncio.sleep(0.2)
                return
            if event in ("phx_error", "phx_close"):
                return
            if event == "system" and payload.get("cursor") and payload["message"] != "cursor":
                self.cursor = self.cursor or payload["cursor"]
                if ready is not None:
                    ready.release()
                    ready = None
            if event == "postgres_changes":
                self._take(payload["data"])
                if self.ended or (self._drops and len(self.events) >= self._drops[0]):
                    self._drops = self._drops[1:]
                    return

    def _take(self, data: dict[str, Any]) -> None:
        self.cursor = data["cursor"]
        if data["table"] == "bench_end":
            self.caught_up.set()
            self.ended = data["record"]["id"] == 1
            return
        row = data.get("record") or data["old_record"]
        self.events.append(f"{data['type'][0]}{row['id']}.{row['n']}")
        if len(self.latencies) < LATENCIES_MAX and row.get("timed"):
            at = time.time() - row["sent"]
            self.latencies.append(at)


async def main() -> None:
    """Read what to do: url, tokens, out, drops (how often each hangs up), expected (changes of each)."""
    order = json.loads(sys.stdin.readline())
    rng = random.Random(order["seed"])
    subscribers = []
    for token, expected in zip(order["tokens"], order["expected"], strict=True):
        drops = sorted(rng.sample(range(1, max(3, expected - 1)), min(order["drops"], max(1, expected - 2))))
        subscribers.append(Subscriber(order["url"], token, drops))
    ready = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(one.run(ready)) for one in subscribers]
    for _ in tasks:
        await ready.acquire()
    print("ready", flush=True)
    for one in subscribers:
        await one.caught_up.wait()
    print("caught up", flush=True)
    await asyncio.gather(*tasks)
    lines = [
        orjson.dumps(
            {"events": s.events, "latencies": s.latencies, "connections": s.connections, "refused": s.refused}
        )
        for s in subscribers
    ]
    await asyncio.to_thread(Path(order["out"]).write_bytes, b"\n".join(lines))


if __name__ == "__main__":
    asyncio.run(main())
