"""Every simulated event with its venue, performer and market, made from one seed. Holds state; serves nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from headgate.apps.tickets.simulator.clock import SimClock
from headgate.apps.tickets.simulator.market import DAY, Market, Rates, Zone

_VENUES = (
    ("Harbor Arena", "New York", "NY", "America/New_York"),
    ("Lakeside Center", "Chicago", "IL", "America/Chicago"),
    ("Sunset Bowl", "Los Angeles", "CA", "America/Los_Angeles"),
    ("Red Rock Hall", "Denver", "CO", "America/Denver"),
    ("Desert Dome", "Phoenix", "AZ", "America/Phoenix"),
    ("Bayfront Park", "San Francisco", "CA", "America/Los_Angeles"),
    ("Peachtree Stage", "Atlanta", "GA", "America/New_York"),
    ("Liberty Field", "Philadelphia", "PA", "America/New_York"),
)
_PERFORMERS = (
    ("The Paper Lanterns", "Concerts"),
    ("Harbor City Gulls", "Sports"),
    ("Nadia Volk", "Concerts"),
    ("Lakeside Comets", "Sports"),
    ("Midnight Arcade", "Concerts"),
    ("Capital Open Tennis", "Tennis"),
    ("The Glass Violins", "Theater"),
    ("Red Rock Rams", "Sports"),
    ("June & the Tides", "Concerts"),
    ("The Late Quartet", "Theater"),
)
_ZONES = (("Floor", 3.2), ("Lower", 1.9), ("Club", 2.4), ("Mezzanine", 1.2), ("Upper", 0.7))


@dataclass(frozen=True)
class WorldOptions:
    """How much there is. Events start between `days_from` and `days_ahead` days from now."""

    seed: int = 1
    events: int = 12
    listings: int = 60
    days_from: float = 0.25
    days_ahead: float = 45.0
    parking: bool = True
    rates: Rates = field(default_factory=Rates)


@dataclass
class Production:
    """One production: what the catalogue says of it, and its market."""

    id: int
    name: str
    venue: int
    performer: int
    starts_at: float
    market: Market
    parking: bool = False
    cancelled: bool = False
    cached: tuple[object, bytes] | None = None

    @property
    def tz(self) -> ZoneInfo:
        """The venue's zone."""
        return ZoneInfo(_VENUES[self.venue][3])

    @property
    def venue_row(self) -> tuple[str, str, str, str]:
        """Name, city, state, zone."""
        return _VENUES[self.venue]

    @property
    def performer_row(self) -> tuple[str, str]:
        """Name, category."""
        return _PERFORMERS[self.performer]


class World:
    """All productions, by id, and the clock they share."""

    def __init__(self, options: WorldOptions | None = None, clock: SimClock | None = None) -> None:
        self.options = options or WorldOptions()
        self.clock = clock or SimClock()
        self.productions: dict[int, Production] = {}
        self._build()

    def _build(self) -> None:
        rng = Random(f"world {self.options.seed}")
        for number in range(self.options.events):
            production = self._make(5_000_001 + number * 7, number, rng)
            self.productions[production.id] = production
            if self.options.parking and number % 5 == 0:
                lot = self._parking(production, rng)
                self.productions[lot.id] = lot

    def _make(self, id_: int, number: int, rng: Random) -> Production:
        venue, performer = rng.randrange(len(_VENUES)), rng.randrange(len(_PERFORMERS))
        start = self._start(number, rng, ZoneInfo(_VENUES[venue][3]))
        level = rng.uniform(4_000, 26_000)
        zones = [
            Zone(
                id=str(400_000 + id_ % 1000 * 10 + z),
                name=name,
                level=level * weight,
                sections=[(str(100 * (z + 1) + s), f"{name} {100 * (z + 1) + s}") for s in range(6 + 2 * z)],
            )
            for z, (name, weight) in enumerate(_ZONES)
        ]
        if number % 3 == 0:
            zones.append(Zone(str(409_999), "GA", level, [("9001", "General Admission")], general=True))
        name = f"{_PERFORMERS[performer][0]} at {_VENUES[venue][0]}"
        return Production(
            id_, name, venue, performer, start, self._market(id_, zones, start, self._target(rng))
        )

    def _target(self, rng: Random) -> int:
        return max(3, round(self.options.listings * rng.uniform(0.6, 1.4)))

    def _start(self, number: int, rng: Random, tz: ZoneInfo) -> float:
        days = self.options.days_from + (self.options.days_ahead - self.options.days_from) * (
            number + rng.random()
        ) / max(self.options.events, 1)
        day = datetime.fromtimestamp(self.clock.now() + days * DAY, tz)
        at = day.replace(hour=rng.choice((19, 20)), minute=rng.choice((0, 30)), second=0, microsecond=0)
        if at.timestamp() < self.clock.now() + 6 * 3600:
            at += timedelta(days=1)
        return at.timestamp()

    def _parking(self, main: Production, rng: Random) -> Production:
        lots = [Zone("499999", "Parking", 3_500.0, [("9901", "Lot A"), ("9902", "Lot B")], general=True)]
        market = self._market(main.id + 1, lots, main.starts_at, max(3, self.options.listings // 10))
        name = f"PARKING PASSES ONLY {main.name}"
        return Production(main.id + 1, name, main.venue, main.performer, main.starts_at, market, parking=True)

    def _market(self, id_: int, zones: list[Zone], start: float, target: int) -> Market:
        market = Market(
            rng=Random(f"market {self.options.seed} {id_}"),
            zones=zones,
            target=target,
            starts_at=start,
            now=self.clock.now(),
            rates=self.options.rates,
        )
        market.fill()
        return market

    def get(self, id_: int) -> Production | None:
        """The production, its market brought up to now; None if there is none or it is cancelled."""
        production = self.productions.get(id_)
        if production is None or production.cancelled:
            return None
        production.market.advance(self.clock.now())
        return production

    def set_pace(self, pace: float) -> None:
        """From now on every market is `pace` times livelier than a real one."""
        for production in self.productions.values():
            production.market.advance(self.clock.now())
            production.market.set_pace(pace)

    # --- on order ---------------------------------------------------------------------------------------
    def act(self, production: Production, action: str, options: dict[str, float]) -> dict[str, object]:
        """Change a production on order; raises KeyError for an unknown action."""
        market = production.market
        market.advance(self.clock.now())
        done: object = None
        if action == "rotate":
            done = market.rotate(float(options.get("share", 1.0)))
        elif action == "flap":
            market.flap(float(options.get("share", 0.022)))
        elif action == "rename_sections":
            rename(market, "Gallery")
        elif action == "remap_zones":
            remap(market)
        elif action == "reschedule":
            production.starts_at = market.starts_at = (
                production.starts_at + float(options.get("days", 1)) * DAY
            )
        elif action == "cancel":
            production.cancelled = True
        elif action == "doors":
            market.close()
        else:
            raise KeyError(action)
        production.cached = None
        return {
            "action": action,
            "done": done,
            "at": datetime.fromtimestamp(self.clock.now(), UTC).isoformat(),
        }


def rename(market: Market, word: str) -> None:
    """Every section of the first zone gets a new name (same id), as when a venue sells its naming rights."""
    zone = market.zones[0]
    zone.sections = [(i, f"{word} {i}") for i, _ in zone.sections]
    market.touch()


def remap(market: Market) -> None:
    """Zones get new ids and swap names, as when the seating map is drawn anew."""
    names = [zone.name for zone in market.zones]
    for zone, name in zip(market.zones, names[1:] + names[:1], strict=True):
        zone.id, zone.name = str(int(zone.id) + 10_000), name
    market.touch()
