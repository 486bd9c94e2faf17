"""One event's market: listings that arrive, sell, change price, leave and come back under new ids.

A continuous-time process, sampled event by event from the event's own random stream, so that its state at a
time depends on the seed alone and never on who asked when. The truth is kept as it happens. Money in cents.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

HOUR = 3600.0
DAY = 86400.0


@dataclass(frozen=True)
class Rates:
    """Per listing and hour, unless said otherwise. About 12% of listings vanish in an hour, half of them to
    come back within two polls: what was measured on a real market (431 to 640 of 1067)."""

    sale: float = 0.045
    pull: float = 0.050  # taken off and put back under a new id soon after
    withdraw: float = 0.0005  # taken off for good, unsold: an owner in eighty a day decides to go
    reprice: float = 0.18
    arrive: float = 0.047  # times the target number of listings
    flap_per_event: float = 0.25  # fee level switches per event and hour
    sold_elsewhere: float = 0.25  # share of sales made on another market, which take the whole listing off
    partial: float = 0.25  # share of sales that leave part of the listing, where its splits allow
    pace: float = 1.0  # multiplies every rate and divides the time until a relisting


@dataclass(slots=True)
class Listing:
    """One seller's offer. `splits`: quantities that can really be bought."""

    id: str
    zone: int
    section: int
    row: str
    quantity: int
    rule: str
    base: int
    seats: tuple[str, str]
    stock: str
    fragment: bytes | None = None  # the encoded answer, until something changes

    @property
    def splits(self) -> list[int]:
        """Quantities a buyer may take now."""
        return allowed(self.rule, self.quantity)


def allowed(rule: str, quantity: int) -> list[int]:
    """The sellable quantities of `quantity` seats under a seller's rule."""
    if rule == "all":
        return [quantity]
    if rule == "any":
        return list(range(1, quantity + 1))
    if rule == "pairs":
        return [n for n in range(1, quantity + 1) if n % 2 == 0 or n == quantity]
    return [n for n in range(1, quantity + 1) if quantity - n != 1]  # never leave a single seat


@dataclass
class Zone:
    """A price level of the venue with its sections."""

    id: str
    name: str
    level: float  # cents
    sections: list[tuple[str, str]]  # (id, name)
    general: bool = False


@dataclass(frozen=True)
class Fact:
    """What really happened: `kind` is sale, relist, withdraw or closed. `at` is simulated seconds."""

    at: float
    kind: str
    listing: str
    quantity: int
    price: int
    left: int = 0
    new_id: str | None = None
    elsewhere: bool = False

    def as_dict(self, real_at: Callable[[float], float]) -> dict[str, Any]:
        """JSON shape of the truth endpoints; times in seconds since 1970."""
        return {
            "at": self.at,
            "real_at": real_at(self.at),
            "kind": self.kind,
            "listing": self.listing,
            "quantity": self.quantity,
            "price_cents": self.price,
            "left": self.left,
            "new_id": self.new_id,
            "elsewhere": self.elsewhere,
        }


@dataclass
class Market:
    """The offers of one production, lazily brought up to the time asked for by `advance`."""

    rng: Random
    zones: list[Zone]
    target: int
    starts_at: float
    now: float
    rates: Rates = field(default_factory=Rates)
    fee: float = 0.22
    listings: dict[str, Listing] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    version: int = 0
    closed: bool = False
    _order: list[str] = field(default_factory=list)
    _returning: list[tuple[float, int, Listing]] = field(default_factory=list)
    _sequence: int = 0
    _next: float | None = None

    def fill(self) -> None:
        """The opening stock."""
        for _ in range(self.target):
            self._arrive(self.now)

    # --- time -------------------------------------------------------------------------------------------
    def advance(self, until: float) -> None:
        """Bring the market to `until`; going back does nothing."""
        if self.closed or until <= self.now:
            self.now = max(self.now, until)
            return
        horizon = min(until, self.starts_at)
        while True:
            if self._next is None:
                self._next = self.now + self.rng.expovariate(self._ceiling() * self.rates.pace / HOUR)
            returning = self._returning[0][0] if self._returning else math.inf
            if min(self._next, returning) > horizon:
                break
            if returning <= self._next:
                at, _, listing = heapq.heappop(self._returning)
                self.now = max(self.now, at)
                self._add(listing)
            else:
                self.now = self._next
                self._happen()
            self._next = None  # the process has no memory: after any change it is sampled anew
        self.now = until
        if until >= self.starts_at:
            self.close()

    def _ceiling(self) -> float:
        """An upper bound of all rates together, per hour; the process is thinned down from it."""
        r = self.rates
        per_listing = r.sale * _MOST_WANTED * _MOST_URGENT + r.pull + r.withdraw + r.reprice
        return (
            len(self._order) * per_listing + r.arrive * self.target * _MOST_URGENT + r.flap_per_event + 1e-9
        )

    def _happen(self) -> None:
        r, n = self.rates, len(self._order)
        urgent = urgency(self.starts_at - self.now)
        at = self.rng.random() * self._ceiling()
        sale = n * r.sale * _MOST_WANTED * _MOST_URGENT
        if at < sale:
            listing = self._any()
            wanted = self._appeal(listing) * urgent
            if self.rng.random() * _MOST_WANTED * _MOST_URGENT < wanted:
                self._sell(listing)
            return
        at -= sale
        for rate, action in (
            (n * r.pull, self._pull),
            (n * r.withdraw, self._withdraw),
            (n * r.reprice, self._reprice),
        ):
            if at < rate:
                action(self._any())
                return
            at -= rate
        if at < r.flap_per_event:
            self.flap()
        elif self.rng.random() * _MOST_URGENT < urgent:
            self._arrive(self.now)

    # --- what can happen --------------------------------------------------------------------------------
    def _any(self) -> Listing:
        return self.listings[self._order[self.rng.randrange(len(self._order))]]

    def _appeal(self, listing: Listing) -> float:
        """Hazard by where the price stands among its zone's prices: the cheapest tenth sells 3 times the mean."""
        percentile = 0.5 * (
            1 + math.erf(math.log(listing.base / self.zones[listing.zone].level) / 0.45 / 1.4142)
        )
        return _MOST_WANTED * math.exp(-2.2 * percentile)

    def _new_id(self) -> str:
        return f"VB{self.rng.randrange(10**10, 10**11)}"

    def _arrive(self, at: float) -> Listing:
        rng = self.rng
        zone = rng.choices(range(len(self.zones)), [1.0 + len(z.sections) for z in self.zones])[0]
        section = rng.randrange(len(self.zones[zone].sections))
        quantity = rng.choices((1, 2, 3, 4, 5, 6, 8), (14, 46, 8, 22, 3, 5, 2))[0]
        general = self.zones[zone].general
        first = rng.randrange(1, 24)
        seats = (
            ("", "")
            if general
            else rng.choice((("", ""), ("N/A", "N/A"), ("0", "0"), (str(first), str(first + quantity - 1))))
        )
        listing = Listing(
            id=self._new_id(),
            zone=zone,
            section=section,
            row="GA" if general else rng.choice(_ROWS),
            quantity=quantity,
            rule=rng.choice(("any", "all", "pairs", "no-single", "no-single")),
            base=max(500, round(self.zones[zone].level * rng.lognormvariate(0.0, 0.45))),
            seats=seats,
            stock=rng.choice(("E-tickets", "Ticketmaster Transfer", "AXS Transfer")),
        )
        self._add(listing)
        return listing

    def _add(self, listing: Listing) -> None:
        self.listings[listing.id] = listing
        self._order.append(listing.id)
        self.version += 1

    def _remove(self, listing: Listing) -> None:
        del self.listings[listing.id]
        self._order.remove(listing.id)
        self.version += 1

    def _record(self, kind: str, listing: Listing, quantity: int, **more: Any) -> None:
        self.facts.append(Fact(self.now, kind, listing.id, quantity, listing.base, **more))

    def _sell(self, listing: Listing) -> None:
        rng = self.rng
        elsewhere = rng.random() < self.rates.sold_elsewhere
        parts = [n for n in listing.splits if n < listing.quantity]
        if parts and not elsewhere and rng.random() < self.rates.partial:
            sold = rng.choice(parts)
            listing.quantity -= sold
            listing.fragment = None
            self.version += 1
            self._record("sale", listing, sold, left=listing.quantity)
            return
        self._record("sale", listing, listing.quantity, elsewhere=elsewhere)
        self._remove(listing)

    def _pull(self, listing: Listing) -> None:
        back = replace(
            listing,
            id=self._new_id(),
            base=max(500, round(listing.base * self.rng.uniform(0.96, 1.04))),
            fragment=None,
        )
        self._record("relist", listing, listing.quantity, new_id=back.id)
        self._remove(listing)
        self._sequence += 1
        delay = (0.2 + self.rng.expovariate(1 / 2.0)) * 60 / self.rates.pace
        heapq.heappush(self._returning, (self.now + delay, self._sequence, back))

    def _withdraw(self, listing: Listing) -> None:
        self._record("withdraw", listing, listing.quantity)
        self._remove(listing)

    def _reprice(self, listing: Listing) -> None:
        listing.base = max(500, round(listing.base * self.rng.uniform(0.93, 1.06)))
        listing.fragment = None
        self.version += 1

    def set_pace(self, pace: float) -> None:
        """How many times livelier than a real market this one is from now on."""
        self.rates = replace(self.rates, pace=pace)
        self._next = None

    # --- on order ---------------------------------------------------------------------------------------
    def flap(self, share: float = 0.022) -> None:
        """The marketplace shows the other fee level: all-in prices move, base prices do not."""
        self.fee = self.fee - share if self.fee > 0.22 else self.fee + share
        self.touch()

    def touch(self) -> None:
        """Everything must be encoded anew."""
        for listing in self.listings.values():
            listing.fragment = None
        self.version += 1

    def rotate(self, share: float = 1.0) -> int:
        """Give `share` of the listings new ids, as a seller's tool does on a bulk update."""
        chosen = [self.listings[i] for i in list(self._order) if self.rng.random() < share]
        for old in chosen:
            back = replace(old, id=self._new_id(), fragment=None)
            self._record("relist", old, old.quantity, new_id=back.id)
            self._remove(old)
            self._add(back)
        return len(chosen)

    def close(self) -> None:
        """The doors have opened: everything left goes off the market, unsold."""
        for listing in list(self.listings.values()):
            self._record("closed", listing, listing.quantity)
            self._remove(listing)
        self._returning.clear()
        self.closed = True


_ROWS = [*"ABCDEFGHJKLMNPQRSTUVWXYZ", "AA", "BB", *map(str, range(1, 21))]
_MOST_WANTED = 2.6
_MOST_URGENT = 4.0


def urgency(seconds_left: float) -> float:
    """How much busier a market is than a month before: 1 far away, 4 at the doors."""
    return 1.0 + (_MOST_URGENT - 1.0) * math.exp(-max(seconds_left, 0.0) / DAY / 2.5)
