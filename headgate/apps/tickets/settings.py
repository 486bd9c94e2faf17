"""What an operator may set for the ticket application: `HEADGATE_TICKETS_*`. Keys are never logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class TicketsSettings(BaseSettings):
    """Nothing is collected until an address or a key is set: whoever sets one has read that source's terms."""

    model_config = SettingsConfigDict(
        env_prefix="HEADGATE_TICKETS_", env_file=".env", extra="ignore", frozen=True
    )

    vivid_url: str = Field(
        default="", description="Base address of the Vivid Seats API or its simulator. Empty: not collected."
    )
    vivid_query: str = Field(
        default="",
        description="Which productions to follow, as a query: `performerId=1&venueId=2`. Empty: all.",
    )
    rate_per_s: float = Field(
        default=2.0,
        gt=0,
        le=1000,
        description="Requests per second to the listings host, all workers together.",
    )
    burst: int = Field(default=4, ge=1, le=100, description="Requests that may come at once after a pause.")
    parallel: int = Field(default=8, ge=1, le=256, description="Polls of one host that run at the same time.")
    sweep_s: float = Field(default=120.0, gt=0, description="Seconds between looks through the catalogue.")
    time_scale: float = Field(
        default=1.0,
        gt=0,
        le=10_000,
        description="Divides every promise and interval; above 1 in simulations only.",
    )
    demo_history_h: float = Field(
        default=0.0,
        ge=0,
        le=720,
        description="Hours of history to collect first from a simulator that stands still.",
    )
    timeout_s: float = Field(
        default=20.0, gt=0, le=25, description="Seconds that one listings answer may take."
    )
    seatgeek_url: str = Field(
        default="https://api.seatgeek.com", description="Base address of SeatGeek's API."
    )
    seatgeek_client_id: SecretStr | None = Field(
        default=None, description="Client id of SeatGeek's official API."
    )
    ticketmaster_url: str = Field(
        default="https://app.ticketmaster.com", description="Base address of the Discovery API."
    )
    ticketmaster_key: SecretStr | None = Field(
        default=None, description="Key of Ticketmaster's official API."
    )
    ticketmaster_query: str = Field(
        default="countryCode=US&segmentName=Music",
        description="Which Ticketmaster events to follow, as a query.",
    )

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> TicketsSettings:
        """The settings handed to a job or a source, or those of the environment if none were."""
        return cls.model_validate(dict(given)) if given else cls()

    @property
    def host(self) -> str:
        """The listings host's key for limits and lanes: `host` or `host:port` in lower case; empty if not set."""
        return host_key(self.vivid_url)


def host_key(url: str) -> str:
    """The limits' key of an address."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return host if parts.port in (None, default) else f"{host}:{parts.port}"
