"""Webhook subscriptions and deliveries: signed, retried with backoff on the simulated clock, to this machine only."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import heapq
import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

from headgate.apps.stores.simulator.clock import stamp
from headgate.apps.stores.simulator.faults import Faults
from headgate.apps.stores.simulator.options import DAY, gid
from headgate.apps.stores.simulator.shop import Change, Shop

COMPLIANCE = ("customers/data_request", "customers/redact", "shop/redact")
#: Seconds from one attempt to the next: eight retries within four hours.
BACKOFF = (60, 180, 480, 900, 1800, 2700, 3600, 4680)
TIMEOUT_S = 5.0
IN_FLIGHT = 32


@dataclass
class Subscription:
    """A topic and where to tell of it."""

    number: int
    topic: str
    uri: str
    app: str
    created_at: float
    version: str
    filter: str | None = None
    include_fields: tuple[str, ...] = ()
    failures: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Its GraphQL fields."""
        return {
            "id": gid("WebhookSubscription", self.number), "legacyResourceId": str(self.number), "topic": self.topic,
            "uri": self.uri, "callbackUrl": self.uri, "format": "JSON", "filter": self.filter,
            "includeFields": list(self.include_fields), "metafieldNamespaces": [],
            "endpoint": {"__typename": "WebhookHttpEndpoint", "callbackUrl": self.uri},
            "apiVersion": {"handle": self.version, "displayName": self.version, "supported": True},
            "createdAt": stamp(self.created_at), "updatedAt": stamp(self.created_at),
        }  # fmt: skip


@dataclass(order=True)
class Delivery:
    """One webhook on its way. `due`: simulated time of the next attempt."""

    due: float
    order: int
    topic: str = field(compare=False)
    uri: str = field(compare=False)
    body: bytes = field(compare=False)
    headers: dict[str, str] = field(compare=False)
    subscription: Subscription | None = field(compare=False)
    attempt: int = field(default=0, compare=False)
    #: delivered once this many later ones were sent
    behind: int = field(default=0, compare=False)


def header_topic(topic: str) -> str:
    """`orders/create` from `ORDERS_CREATE`."""
    known = {"order_transactions": 2, "inventory_levels": 2, "bulk_operations": 2}
    low = topic.lower()
    for head in known:
        if low.startswith(head + "_"):
            return f"{head}/{low[len(head) + 1 :]}"
    head, _, rest = low.partition("_")
    return f"{head}/{rest}"


def sign(body: bytes, secret: str) -> str:
    """The base64 HMAC-SHA256 of a body."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


@dataclass
class Webhooks:
    """The subscriptions of one shop and what is on its way. `compliance_url`: where the GDPR topics go.

    `pace`: by what the seconds between two attempts are multiplied.
    """

    shop: Shop
    faults: Faults
    apps: dict[str, str]
    subscriptions: list[Subscription] = field(default_factory=list)
    compliance_url: str | None = None
    pace: float = 1.0
    installed: set[str] = field(default_factory=set)
    log: list[dict[str, Any]] = field(default_factory=list)
    queue: list[Delivery] = field(default_factory=list)
    waiting: list[Delivery] = field(default_factory=list)
    _count: int = 0
    _task: asyncio.Task[None] | None = None
    _flights: set[asyncio.Task[None]] = field(default_factory=set)
    _keep_open: dict[str, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = field(
        default_factory=dict
    )

    # --- subscriptions ------------------------------------------------------------
    def subscribe(
        self, topic: str, given: dict[str, Any], *, app: str, version: str
    ) -> tuple[Subscription | None, str]:
        """A new subscription, or why not."""
        uri = given.get("uri") or given.get("callbackUrl") or ""
        try:
            allowed(uri)
        except ValueError as error:
            return None, str(error)
        if any(s.topic == topic and s.uri == uri and s.app == app for s in self.subscriptions):
            return None, "Address for this topic has already been taken"
        self._count += 1
        made = Subscription(
            self.shop.numbers.make(self._count), topic, uri, app, self.shop.clock.now(), version,
            given.get("filter"), tuple(given.get("includeFields") or ()),
        )  # fmt: skip
        self.subscriptions.append(made)
        return made, ""

    def remove(self, found: Subscription) -> None:
        """No more webhooks for it; what is on its way is dropped."""
        if found in self.subscriptions:
            self.subscriptions.remove(found)
        self.queue = [d for d in self.queue if d.subscription is not found]
        heapq.heapify(self.queue)

    # --- sending ------------------------------------------------------------
    def hear(self, change: Change) -> None:
        """A change of the shop: a delivery for each subscription of its topic."""
        if change.topic in COMPLIANCE:
            for app in sorted(self.installed) or sorted(self.apps)[:1]:
                if self.compliance_url:
                    self._send(change, self.compliance_url, app, None)
            return
        for found in [s for s in self.subscriptions if header_topic(s.topic) == change.topic]:
            if self.faults.take("subscription_deleted", topic=change.topic) is not None:
                self.remove(found)
                continue
            self._send(change, found.uri, found.app, found)

    def _send(self, change: Change, uri: str, app: str, found: Subscription | None) -> None:
        topic = change.topic
        if self.faults.take("webhook_never_sent", topic=topic) is not None:
            return
        payload = change.payload
        if found is not None and found.include_fields:
            payload = {k: v for k, v in payload.items() if k in found.include_fields}
        body = orjson.dumps(payload)
        headers = {
            "Content-Type": "application/json", "X-Shopify-Topic": topic, "X-Shopify-Shop-Domain": self.shop.domain,
            "X-Shopify-API-Version": found.version if found else "2026-07",
            "X-Shopify-Webhook-Id": secrets.token_hex(16), "X-Shopify-Event-Id": secrets.token_hex(16),
            "X-Shopify-Triggered-At": stamp(change.at), "X-Shopify-Hmac-Sha256": sign(body, self.apps[app]),
            "User-Agent": "Shopify-Captain-Hook",
        }  # fmt: skip
        if self.faults.take("bad_hmac", topic=topic) is not None:
            headers["X-Shopify-Hmac-Sha256"] = sign(body, "not the secret")
        if self.faults.take("reencoded_body", topic=topic) is not None:
            body = orjson.dumps(payload, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
        late = self.faults.take("late_webhook", topic=topic)
        due = change.at + (float(late.get("delay_s", DAY)) if late is not None else 0.0)
        delivery = Delivery(due, self._next(), topic, uri, body, headers, found)
        behind = self.faults.take("out_of_order_webhook", topic=topic)
        if behind is not None:
            delivery.behind = int(behind.get("behind", 1))
            self.waiting.append(delivery)
        else:
            heapq.heappush(self.queue, delivery)
        if self.faults.take("duplicate_webhook", topic=topic) is not None:
            again = {**headers, "X-Shopify-Webhook-Id": secrets.token_hex(16)}
            heapq.heappush(self.queue, Delivery(due, self._next(), topic, uri, body, again, found))

    def _next(self) -> int:
        self._count += 1
        return self._count

    def start(self) -> None:
        """Begin to deliver."""
        self._task = self._task or asyncio.get_running_loop().create_task(self._pump())

    async def close(self) -> None:
        """Stop delivering."""
        tasks = [t for t in (self._task, *self._flights) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for streams in self._keep_open.values():
            for _, writer in streams:
                writer.close()

    async def drain(self, *, timeout_s: float = 30.0) -> None:
        """Wait until nothing that is due is left; what waits for a later time or for others stays."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while self._flights or (self.queue and self.queue[0].due <= self.shop.clock.now()):
            if loop.time() > until:
                raise TimeoutError("webhooks are still on their way")
            await asyncio.sleep(0.005)

    def hurry(self) -> None:
        """What waits for a later time is due now."""
        for delivery in self.queue:
            delivery.due = min(delivery.due, self.shop.clock.now())
        heapq.heapify(self.queue)

    def release(self) -> None:
        """Let go of what waits behind others."""
        for delivery in self.waiting:
            heapq.heappush(self.queue, delivery)
        self.waiting.clear()

    async def _pump(self) -> None:
        while True:
            while (
                self.queue and self.queue[0].due <= self.shop.clock.now() and len(self._flights) < IN_FLIGHT
            ):
                delivery = heapq.heappop(self.queue)
                task = asyncio.get_running_loop().create_task(self._deliver(delivery))
                self._flights.add(task)
                task.add_done_callback(self._flights.discard)
                self._let_pass(delivery)
            await asyncio.sleep(0.005)

    def _let_pass(self, sent: Delivery) -> None:
        for waiting in list(self.waiting):
            waiting.behind -= 1
            if waiting.behind <= 0 and waiting is not sent:
                self.waiting.remove(waiting)
                waiting.due, waiting.order = self.shop.clock.now(), self._next()
                heapq.heappush(self.queue, waiting)

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            status = await asyncio.wait_for(self._post(delivery), TIMEOUT_S)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            status = 0
        self.log.append(
            {"topic": delivery.topic, "status": status, "attempt": delivery.attempt, "uri": delivery.uri,
             "webhook_id": delivery.headers["X-Shopify-Webhook-Id"], "at": self.shop.clock.now()}
        )  # fmt: skip
        found = delivery.subscription
        if 200 <= status < 300:
            if found is not None:
                found.failures = 0
            return None
        delivery.attempt += 1
        if found is not None:
            found.failures += 1
            if delivery.attempt > len(BACKOFF) or found.failures > len(BACKOFF):
                return self.remove(found)
        if delivery.attempt <= len(BACKOFF):
            delivery.due = self.shop.clock.now() + BACKOFF[delivery.attempt - 1] * self.pace
            heapq.heappush(self.queue, delivery)
        return None

    async def _post(self, delivery: Delivery) -> int:
        host, port, path = allowed(delivery.uri)
        place = f"{host}:{port}"
        spare = self._keep_open.setdefault(place, [])
        while spare:
            reader, writer = spare.pop()
            if not writer.is_closing() and not reader.at_eof():
                try:
                    return await self._exchange(delivery, path, reader, writer, place=place)
                except (OSError, asyncio.IncompleteReadError):
                    writer.close()
        reader, writer = await asyncio.open_connection(host, port)
        return await self._exchange(delivery, path, reader, writer, place=place)

    async def _exchange(
        self,
        delivery: Delivery,
        path: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        place: str,
    ) -> int:
        head = {"Host": place, "Content-Length": str(len(delivery.body)), "Accept": "*/*", **delivery.headers}
        lines = "".join(f"{k}: {v}\r\n" for k, v in head.items())
        done = False
        try:
            writer.write(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + delivery.body)
            await writer.drain()
            raw = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = next(
                (int(x.split(":")[1]) for x in raw.split("\r\n") if x.startswith("content-length:")), None
            )
            if length:
                await reader.readexactly(length)
            done = length is not None and "connection: close" not in raw
            return int(raw.split(" ", 2)[1])
        finally:
            if done:
                self._keep_open[place].append((reader, writer))
            else:
                writer.close()


def allowed(uri: str) -> tuple[str, int, str]:
    """Host, port and path of a callback; raises ValueError unless it is on this machine."""
    parts = urlsplit(uri)
    host = parts.hostname or ""
    if parts.scheme != "http" or not host:
        raise ValueError("Address is invalid: the simulator delivers to http:// on this machine only")
    try:
        address = socket.gethostbyname(host) if host == "localhost" else host
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError("Address is invalid: the simulator delivers to this machine only")
    return host, parts.port or 80, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
