"""The shapes of the answers, for OpenAPI and for the tests that hold the API to them. Nothing is rendered from here.

Prices are all-in, per ticket, in the major unit of `meta.currency` with two decimals; times are ISO 8601 in UTC.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Data = TypeVar("Data")


class Shape(BaseModel):
    """A closed object."""

    model_config = ConfigDict(extra="forbid")


class Meta(BaseModel):
    """What every answer says about itself. Endpoints add their own facts."""

    model_config = ConfigDict(extra="allow")

    as_of: datetime | None = Field(
        description="When the newest accepted poll was observed; the oldest, if many events."
    )
    age_s: int | None = Field(description="Seconds since `as_of`.")
    promise_s: int | None = Field(
        description="How old data may get before the freshness promise is broken, in seconds."
    )
    coverage: float = Field(ge=0, le=1, description="Share of the time asked for that accepted polls cover.")
    complete: bool = Field(
        description="Nothing is missing: the promise holds and the time asked for is covered."
    )


class Envelope(BaseModel, Generic[Data]):
    """Success."""

    success: Literal[True] = True
    data: Data
    meta: Meta


class ErrorBody(BaseModel):
    """What went wrong."""

    code: Literal["VALIDATION_ERROR", "NOT_FOUND", "UNAUTHORIZED", "RATE_LIMIT_EXCEEDED", "INTERNAL_ERROR"]
    message: str
    details: Any = None


class Failure(BaseModel):
    """Failure."""

    success: Literal[False] = False
    error: ErrorBody


class PricePoint(Shape):
    """One bucket of the price trend."""

    timestamp: datetime
    min_price: float | None
    avg_price: float | None
    max_price: float | None


class GroupPrice(Shape):
    """The cheapest price per ticket at which a group could sit together."""

    timestamp: datetime
    price: float | None


class TicketCount(Shape):
    """The level of the inventory: an average over the observed time, not a sum of observations."""

    timestamp: datetime
    total_tickets: float
    total_listings: float


class Event(Shape):
    """An event and how it is watched."""

    id: int
    external_id: str | None
    source: str | None
    name: str
    venue: str | None
    city: str | None
    state: str | None
    tz: str | None
    starts_at: datetime | None
    local_date: date | None
    category: str | None
    performer_id: str | None
    performer_name: str | None
    image_url: str | None
    status: str | None
    active: bool
    promise_s: int
    last_scraped: datetime | None


class Now(Shape):
    """The market at the newest accepted poll."""

    get_in: float | None
    get_in_pair: float | None
    get_in_four: float | None
    min_price: float | None
    avg_price: float | None
    median_price: float | None
    max_price: float | None
    total_listings: int
    total_tickets: int


class Zone(Now):
    """One zone, now."""

    zone: str
    sections: int


class Section(Shape):
    """One section, now; `change_24h` in percent."""

    zone: str
    section: str
    get_in: float | None
    get_in_pair: float | None
    median_price: float | None
    total_listings: int
    total_tickets: int
    change_24h: float | None


class Snapshot(Shape):
    """An event, its whole market and its zones, now."""

    event: Event
    now: Now
    zones: list[Zone]


class LatestPrice(Shape):
    """One zone's prices at the newest accepted poll, over all its sections."""

    event_id: int
    zone: str
    timestamp: datetime
    min_price: float | None
    avg_price: float | None
    max_price: float | None
    min_price_2tickets: float | None
    min_price_4tickets: float | None
    total_tickets: int
    total_listings: int


class SeriesPoint(Shape):
    """One bucket. Sums are over observed time only: `coverage` says how much of the bucket that is."""

    timestamp: datetime
    coverage: float
    polls: int
    min_price: float | None
    p25: float | None
    median_price: float | None
    p75: float | None
    avg_price: float | None
    max_price: float | None
    get_in: float | None
    get_in_pair: float | None
    get_in_four: float | None
    total_listings: float
    total_tickets: float
    entered: int
    exited: int
    sold_lo: int
    sold_hi: int


class Listing(Shape):
    """A listing on sale now. `splits` are the quantities that can be bought."""

    listing_id: str
    zone: str | None
    section: str | None
    row: str | None
    quantity: int
    splits: list[int]
    price: float
    base_price: float | None
    face_price: float | None
    since: datetime


class Poll(Shape):
    """One attempt to read an event's listings; rejected and failed ones change no price."""

    observed_at: datetime
    status: Literal["accepted", "unchanged", "rejected", "failed"]
    reason: str | None
    latency_ms: int | None
    total_listings: int | None
    total_tickets: int | None
    get_in: float | None
    get_in_pair: float | None
    get_in_four: float | None
    p25: float | None
    median_price: float | None
    p75: float | None


class Percentiles(Shape):
    """Prices by percentile from a mergeable sketch (relative error at most 1 %)."""

    zone: str | None
    listing_hours: float
    p5: float | None
    p10: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p90: float | None
    p95: float | None


class Exit(Shape):
    """A listing that left, at its last listed state. `kind` says how sure a sale is."""

    listing_id: str
    zone: str | None
    section: str | None
    row: str | None
    quantity: int
    price: float
    last_seen: datetime
    gone_at: datetime
    kind: Literal["sold", "unsure", "frozen"]


class Velocity(Shape):
    """Tickets sold a day as an interval, and how long today's inventory lasts at that pace."""

    days: int
    observed_days: float
    total_tickets: int
    sold_lo: int
    sold_hi: int
    sold_per_day_lo: float | None
    sold_per_day_hi: float | None
    days_of_supply_lo: float | None
    days_of_supply_hi: float | None


class ForecastPoint(Shape):
    """An expected price with its interval."""

    timestamp: datetime
    price: float
    lo: float
    hi: float


class Forecast(Shape):
    """A forecast of the get-in price, or why there is none."""

    status: Literal["ok", "not_enough_data", "over"]
    reason: str | None
    method: str | None
    points: list[ForecastPoint]
    interval: float | None = Field(description="Share of outcomes that the interval should contain.")
    backtest: dict[str, float | int | None] | None = Field(
        description="On held-out history: origins, mae, mape, naive_mae, covered (share inside the interval)."
    )


class Row(Shape):
    """One event in the screener; changes in percent over the named time."""

    id: int
    name: str
    venue: str | None
    city: str | None
    state: str | None
    tz: str | None
    category: str | None
    performer_name: str | None
    starts_at: datetime | None
    days_to_event: float | None
    status: str | None
    active: bool
    currency: str | None
    promise_s: int
    as_of: datetime | None
    age_s: int | None
    get_in: float | None
    get_in_pair: float | None
    get_in_four: float | None
    avg_price: float | None
    median_price: float | None
    max_price: float | None
    total_listings: int | None
    total_tickets: int | None
    change_24h: float | None
    change_7d: float | None
    tickets_change_24h: float | None
    sold_lo_24h: int | None
    sold_hi_24h: int | None
    spark: list[float | None] | None = None


class Comparison(Shape):
    """One of the compared events: its screener row and its daily get-in price by days to the event."""

    event: Row
    daily: list[dict[str, Any]]


class Freshness(Shape):
    """One event's age against its promise, and the share of the last 24 h within it."""

    event_id: int
    name: str
    status: str | None
    starts_at: datetime | None
    promise_s: int
    as_of: datetime | None
    age_s: int | None
    within: bool
    service_24h: float | None
    polls_24h: int
    failed_24h: int
    last_failure: str | None
    next_due: datetime | None


class Session(Shape):
    """A visitor: keep the token, it is shown this once."""

    user_id: str
    access_token: str


AlertKind = Literal["price_below", "price_drop_pct", "inventory_below", "new_listing", "back_in_stock"]


class NewAlert(BaseModel):
    """A rule to create."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"event_id": 1001, "kind": "price_below", "threshold": 120, "zone": None, "group_size": 2}
            ]
        },
    )

    event_id: int = Field(ge=1, lt=2**63)
    kind: AlertKind
    threshold: float | None = Field(
        default=None,
        gt=0,
        le=10_000_000,
        allow_inf_nan=False,
        description="A price, a percentage or a number of tickets; none for new_listing and back_in_stock.",
    )
    zone: str | None = Field(default=None, min_length=1, max_length=200, pattern="^[^\\x00]*$")
    group_size: Literal[1, 2, 4] = 1
    note: str | None = Field(default=None, max_length=500, pattern="^[^\\x00]*$")


class AlertChange(BaseModel):
    """What may change in a rule; changing it arms it again."""

    model_config = ConfigDict(extra="forbid")

    threshold: float | None = Field(default=None, gt=0, le=10_000_000, allow_inf_nan=False)
    active: bool | None = None
    note: str | None = Field(default=None, max_length=500, pattern="^[^\\x00]*$")


class Alert(Shape):
    """A rule and its state."""

    id: int
    event_id: int
    event_name: str | None
    kind: AlertKind
    threshold: float | None
    zone: str | None
    group_size: int
    note: str | None
    active: bool
    armed: bool
    created_at: datetime
    fired_at: datetime | None


class AlertFire(Shape):
    """One firing of a rule: the value that met it, and when."""

    id: int
    rule_id: int
    event_id: int
    event_name: str | None
    kind: AlertKind
    value: float | None
    threshold: float | None
    message: str
    observed_at: datetime
    fired_at: datetime
