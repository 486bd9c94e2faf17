"""What can go wrong upstream, on order or by a seeded percentage. Spoils answers; never touches the markets."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import Any

from headgate.apps.tickets.simulator.answers import encode, listings_document
from headgate.apps.tickets.simulator.world import Production

CHALLENGE = (
    b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body><h1>Checking your browser</h1>"
    b"<p>Please enable JavaScript and cookies to continue.</p></body></html>"
)
#: What `kind` may be. `slow` answers rightly, late; `skewed_date` answers rightly with a wrong Date header.
KINDS = (
    "http_403", "http_404", "http_500", "http_503", "challenge", "capped", "truncated", "empty", "currency",
    "duplicates", "stall", "slow", "rate_limited", "absurd_price", "skewed_date", "gzip_garbage", "blank",
)  # fmt: skip
MIXED = ("http_403", "http_500", "challenge", "capped", "truncated", "empty", "duplicates", "http_503")


@dataclass
class Answer:
    """A reply about to be sent. `delay_s` passes before it, `stall` keeps the connection open without an end."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    stall: bool = False


@dataclass
class Fault:
    """An order. `production` None means all; `count` is how often yet (None: until cleared); `rate` is the
    share of answers that it spoils; `options` are the kind's own (seconds, form, cap, skew_s)."""

    kind: str
    production: int | None = None
    count: int | None = None
    rate: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)


class Faults:
    """Orders in force; decides for each answer, from its own seeded stream, whether and how to spoil it."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(f"faults {seed}")
        self.orders: list[Fault] = []
        self.done: dict[str, int] = {}

    def pick(self, production: int | None) -> Fault | None:
        """The fault for the next answer about `production`, or None."""
        for order in self.orders:
            if order.production not in (None, production) or order.count == 0:
                continue
            if order.rate < 1.0 and self._rng.random() >= order.rate:
                continue
            if order.count is not None:
                order.count -= 1
            kind = self._rng.choice(MIXED) if order.kind == "mixed" else order.kind
            self.done[kind] = self.done.get(kind, 0) + 1
            return Fault(kind=kind, production=production, options=order.options)
        return None


def limited(options: dict[str, Any]) -> Answer:
    """429 with Retry-After in seconds, or as a date when `options["form"]` is `date`."""
    seconds = int(options.get("seconds", 2))
    value = str(seconds)
    if options.get("form") == "date":
        value = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    return Answer(429, b'{"error":"too many requests"}', headers={"retry-after": value})


def spoil(fault: Fault, production: Production, now: float) -> Answer:
    """The answer about `production` with `fault` in it."""
    kind, options = fault.kind, fault.options
    if kind.startswith("http_"):
        return Answer(int(kind[5:]), b'{"message":"unavailable"}')
    if kind == "challenge":
        return Answer(200, CHALLENGE, "text/html; charset=utf-8")
    if kind == "rate_limited":
        return limited(options)
    if kind == "blank":
        return Answer(200, b"")
    if kind == "currency":
        return Answer(200, encode(listings_document(production, now, "EUR", 0.92)))
    document = listings_document(production, now)
    tickets = document["tickets"]
    if kind == "capped":
        document["tickets"] = tickets[: int(options.get("cap", max(1, len(tickets) // 2)))]
    elif kind == "empty":
        document["tickets"] = []
    elif kind == "duplicates":
        document["tickets"] = tickets + tickets[: max(1, len(tickets) // 20)]
    elif kind == "absurd_price":
        document["tickets"] = [_absurd(tickets[0], options), *tickets[1:]] if tickets else tickets
    return _spoil_body(kind, options, encode(document))


def _absurd(fragment: Any, options: dict[str, Any]) -> dict[str, Any]:
    import orjson

    row: dict[str, Any] = orjson.loads(orjson.dumps(fragment))
    price = str(options.get("price", "99999999999.00"))
    return {**row, "p": price, "aip": price, "allInPricePerTicket": price}


def _spoil_body(kind: str, options: dict[str, Any], body: bytes) -> Answer:
    if kind == "truncated":
        return Answer(200, body[: max(1, len(body) * 3 // 5)])
    if kind == "stall":
        return Answer(200, body, stall=True, delay_s=float(options.get("seconds", 60.0)))
    if kind == "slow":
        return Answer(200, body, delay_s=float(options.get("seconds", 3.0)))
    if kind == "gzip_garbage":
        return Answer(200, gzip.compress(body)[: len(body) // 20], headers={"content-encoding": "gzip"})
    if kind == "skewed_date":
        date = datetime.now(UTC) + timedelta(seconds=float(options.get("skew_s", 86_400.0)))
        return Answer(200, body, headers={"date": format_datetime(date, usegmt=True)})
    return Answer(200, body)
