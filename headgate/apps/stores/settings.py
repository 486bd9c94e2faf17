"""What an operator may set for the stores application: `HEADGATE_STORES_*`. Secrets are never logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

#: What the application reads; without `read_all_orders` Shopify shows the last 60 days of orders only.
SCOPES = "read_orders,read_all_orders,read_products,read_customers,read_inventory"


class StoresSettings(BaseSettings):
    """Nothing is connected until the client id and secret of a Shopify app are set."""

    model_config = SettingsConfigDict(
        env_prefix="HEADGATE_STORES_", env_file=".env", extra="ignore", frozen=True
    )

    client_id: str = Field(
        default="", description="Client id of your Shopify app. Empty: no shop can connect."
    )
    client_secret: SecretStr = Field(
        default=SecretStr(""), description="Client secret of your Shopify app; it also signs webhooks."
    )
    old_client_secret: SecretStr = Field(
        default=SecretStr(""),
        description="The client secret before a rotation; webhooks signed with it are still taken.",
    )
    api_version: str = Field(
        default="2026-07",
        pattern=r"^(20\d\d-(01|04|07|10)|unstable)$",
        description="Version of the Admin API that is asked for.",
    )
    scopes: str = Field(default=SCOPES, description="Access scopes asked for when a shop connects.")
    public_url: str = Field(
        default="",
        description="Where Shopify and browsers reach this server, such as `https://sync.example.com`. "
        "Empty: the address that a request came to, on this machine only.",
    )
    return_urls: str = Field(
        default="",
        description="Origins, comma-separated, that a browser may be sent back to after connecting, beside our own.",
    )
    token_key: SecretStr = Field(
        default=SecretStr(""),
        description="32 random bytes in base64 that encrypt access tokens; several, comma-separated: the first "
        "encrypts, all decrypt. Empty: one made at the first use, in `data_dir`.",
    )
    allow_shared_shops: bool = Field(
        default=False, description="Let one shop be connected to several brands."
    )
    simulator_url: str = Field(
        default="",
        description="Base address of the Shopify simulator. Set: every shop is taken to be there, and no real one.",
    )
    demo_shop: str = Field(
        default="",
        description="A shop of the simulator that is connected by itself, with every account as its owner. Set by "
        "`headgate up --demo`.",
    )
    state_minutes: int = Field(
        default=10, ge=1, le=60, description="Minutes that a merchant has to approve a connection."
    )
    payload_days: int = Field(
        default=14, ge=1, le=365, description="Days that the bodies of applied webhooks are kept."
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if bool(self.client_id) != bool(self.client_secret.get_secret_value()):
            raise ValueError("client_id and client_secret belong together")
        return self

    @classmethod
    def of(cls, given: Mapping[str, Any] | None = None) -> StoresSettings:
        """The settings handed to a job or a router, or those of the environment if none were."""
        known = {name: value for name, value in dict(given or {}).items() if name in cls.model_fields}
        return cls(**known)

    @property
    def scope_list(self) -> tuple[str, ...]:
        """The scopes asked for, one by one."""
        return tuple(part.strip() for part in self.scopes.split(",") if part.strip())

    def shop_url(self, shop_domain: str) -> str:
        """The base address of a shop, real or simulated: requests go to `{shop_url}/admin/...`."""
        if self.simulator_url:
            return f"{self.simulator_url.rstrip('/')}/{shop_domain}"
        return f"https://{shop_domain}"
