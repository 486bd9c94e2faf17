"""The simulated upstream over HTTP: the marketplace's paths, and `/_admin` and `/_truth` for whoever tests.

A plain ASGI application on loopback. Never reachable from outside unless its host is set so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import orjson
import uvicorn

from headgate.apps.tickets.simulator.answers import encode, listings_document, production_item
from headgate.apps.tickets.simulator.faults import KINDS, Answer, Fault, Faults, limited, spoil
from headgate.apps.tickets.simulator.world import Production, World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ROBOTS = b"User-agent: *\nAllow: /hermes/api/\nDisallow: /_admin/\nDisallow: /_truth/\nDisallow: /checkout/\n"


class Simulator:
    """The ASGI application. `limit_per_s`: answers per second before 429 begins; None for no limit."""

    def __init__(self, world: World, *, limit_per_s: float | None = None) -> None:
        self.world = world
        self.faults = Faults(world.options.seed)
        self.limit_per_s = limit_per_s
        self.counts: dict[str, int] = {}
        self._tokens = limit_per_s or 0.0
        self._refilled = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        query = {k: v[-1] for k, v in parse_qs(scope["query_string"].decode("latin-1")).items()}
        path, method = scope["path"], scope["method"]
        if path.startswith(("/_admin/", "/_truth/")):
            body = await _read(receive) if method in ("POST", "PUT") else b""
            answer = self._inside(method, path, query, body)
        else:
            answer = self._upstream(path, query)
        self.counts[str(answer.status)] = self.counts.get(str(answer.status), 0) + 1
        await _send(answer, send)

    # --- the marketplace --------------------------------------------------------------------------------
    def _upstream(self, path: str, query: dict[str, str]) -> Answer:
        if path == "/robots.txt":
            return Answer(200, ROBOTS, "text/plain")
        if not self._admit():
            return limited({"seconds": 1})
        if path == "/hermes/api/v1/listings":
            return self._listings(query)
        if path == "/hermes/api/v1/productions":
            return self._productions(query)
        return Answer(404, b'{"message":"not found"}')

    def _admit(self) -> bool:
        if self.limit_per_s is None:
            return True
        now = time.monotonic()
        self._tokens = min(self.limit_per_s, self._tokens + (now - self._refilled) * self.limit_per_s)
        self._refilled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _listings(self, query: dict[str, str]) -> Answer:
        text = query.get("productionId", "")
        production = self.world.get(int(text)) if text.isdigit() and len(text) < 16 else None
        if production is None:
            return Answer(404, b'{"message":"production not found"}')
        now = self.world.clock.now()
        fault = self.faults.pick(production.id)
        if fault is not None:
            return spoil(fault, production, now)
        state = (production.market.version, int(now // 86_400), production.name)
        if production.cached is None or production.cached[0] != state:
            production.cached = (state, encode(listings_document(production, now)))
        return Answer(200, production.cached[1])

    def _productions(self, query: dict[str, str]) -> Answer:
        fault = self.faults.pick(0)
        now = self.world.clock.now()
        found = [p for p in self.world.productions.values() if not p.cancelled and _wanted(p, query)]
        if fault is not None and found:
            return spoil(fault, found[0], now)
        size = min(max(_number(query.get("pageSize"), 50), 1), 100)
        page = max(_number(query.get("page"), 1), 1)
        part = found[(page - 1) * size : page * size]
        for production in part:
            production.market.advance(now)
        document = {
            "items": [production_item(p, now) for p in part],
            "numberOfPages": -(-len(found) // size),
            "total": len(found),
            "pageNumber": page,
        }
        return Answer(200, orjson.dumps(document))

    # --- for whoever tests ------------------------------------------------------------------------------
    def _inside(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        try:
            given = orjson.loads(body) if body else {}
            found = self._order(method, path.strip("/").split("/"), query, given)
        except (KeyError, ValueError, TypeError) as error:
            return Answer(400, orjson.dumps({"message": f"{type(error).__name__}: {error}"}))
        return (
            Answer(200, orjson.dumps(found)) if found is not None else Answer(404, b'{"message":"not found"}')
        )

    def _order(self, method: str, parts: list[str], query: dict[str, str], given: dict[str, Any]) -> Any:
        match [method, *parts]:
            case ["GET", "_admin", "state"]:
                return self._state()
            case ["POST", "_admin", "clock"]:
                return self._set_clock(given)
            case ["GET", "_admin", "clock"]:
                return self._set_clock(query)
            case ["POST", "_admin", "faults"]:
                return self._add_fault(given)
            case ["GET", "_admin", "faults"]:
                return {"done": self.faults.done, "kinds": [*KINDS, "mixed"]}
            case ["DELETE", "_admin", "faults"]:
                self.faults.orders.clear()
                return {"orders": 0}
            case ["POST", "_admin", "limit"]:
                self.limit_per_s = float(given["per_s"]) if given.get("per_s") else None
                return {"per_s": self.limit_per_s}
            case ["POST", "_admin", "productions", id_, action]:
                return self.world.act(self.world.productions[int(id_)], action, given)
            case ["GET", "_truth", "productions"]:
                return [self._head(p) for p in self.world.productions.values()]
            case ["GET", "_truth", "productions", id_]:
                return self._truth(self.world.productions[int(id_)], query)
        return None

    def _state(self) -> dict[str, Any]:
        clock = self.world.clock
        return {
            "now": clock.now(),
            "scale": clock.scale if not clock._legs else clock._legs[-1][2],
            "productions": len(self.world.productions),
            "answers": self.counts,
            "faults_done": self.faults.done,
        }

    def _set_clock(self, given: Mapping[str, Any]) -> dict[str, Any]:
        clock = self.world.clock
        if "scale" in given:
            clock.set_scale(float(given["scale"]))
        if "now" in given:
            clock.set_now(float(given["now"]))
        if "advance_s" in given:
            clock.advance(float(given["advance_s"]))
        if "pace" in given:
            self.world.set_pace(float(given["pace"]))
        return {"now": clock.now()}

    def _add_fault(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["kind"] not in (*KINDS, "mixed"):
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, mixed")
        self.faults.orders.append(
            Fault(
                kind=given["kind"],
                production=given.get("production"),
                count=given.get("count"),
                rate=float(given.get("rate", 1.0)),
                options=given.get("options") or {},
            )
        )
        return {"orders": len(self.faults.orders)}

    def _head(self, production: Production) -> dict[str, Any]:
        return {
            "id": production.id,
            "name": production.name,
            "parking": production.parking,
            "starts_at": production.starts_at,
            "cancelled": production.cancelled,
            "facts": len(production.market.facts),
        }

    def _truth(self, production: Production, query: dict[str, str]) -> dict[str, Any]:
        production.market.advance(self.world.clock.now())
        since, until = float(query.get("since", 0)), float(query.get("until", 1e12))
        real_at = self.world.clock.real_at
        return {
            **self._head(production),
            "listings": len(production.market.listings),
            "facts": [f.as_dict(real_at) for f in production.market.facts if since <= f.at < until],
        }


def _wanted(production: Production, query: dict[str, str]) -> bool:
    if "performerId" in query and query["performerId"] != str(production.performer + 1):
        return False
    if "venueId" in query and query["venueId"] != str(production.venue + 1):
        return False
    day = time.strftime("%Y-%m-%d", time.gmtime(production.starts_at))
    return query.get("startDate", day) <= day <= query.get("endDate", day)


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() and len(text) < 10 else default


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _send(answer: Answer, send: Send) -> None:
    headers = {"content-type": answer.content_type, "content-length": str(len(answer.body)), **answer.headers}
    if answer.delay_s and not answer.stall:
        await asyncio.sleep(answer.delay_s)
    raw = [(k.encode(), v.encode()) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    if answer.stall:
        await send({"type": "http.response.body", "body": answer.body[:64], "more_body": True})
        await asyncio.sleep(answer.delay_s)
        await send({"type": "http.response.body", "body": answer.body[64:]})
        return
    await send({"type": "http.response.body", "body": answer.body})


async def serve(simulator: Simulator, *, host: str = "127.0.0.1", port: int = 8790) -> None:
    """Serve until cancelled or told to stop by a signal."""
    config = uvicorn.Config(
        simulator, host=host, port=port, log_level="warning", access_log=False, date_header=False
    )
    await uvicorn.Server(config).serve()
