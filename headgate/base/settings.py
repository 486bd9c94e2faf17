"""Every setting, with its unit and default, read from `HEADGATE_*` and a `.env` file. Never logged whole."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator may set. `docs/reference/settings.md` is tested against this class."""

    model_config = SettingsConfigDict(env_prefix="HEADGATE_", env_file=".env", extra="ignore", frozen=True)

    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("HEADGATE_DATABASE_URL", "DATABASE_URL"),
        description="Any PostgreSQL 15 or newer. Empty: the embedded PostgreSQL in `data_dir`.",
    )
    data_dir: Path = Field(
        default=Path(".headgate"), description="Where the embedded PostgreSQL and keys live."
    )
    postgres_bin: Path | None = Field(
        default=None, description="Folder with `postgres` and `initdb`. Empty: those of the installed wheel."
    )
    postgres_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="TCP port on 127.0.0.1 for the embedded PostgreSQL, with a password. 0: any free one. Empty: none.",
    )
    host: str = Field(default="127.0.0.1", description="Address that the server listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="TCP port of the server.")
    simulator_port: int = Field(default=8790, ge=0, le=65535, description="TCP port of the ticket simulator.")
    workers: int = Field(default=1, ge=0, le=64, description="Worker processes that `headgate up` starts.")
    concurrency: int = Field(
        default=8, ge=1, le=256, description="Jobs that one worker process runs at a time."
    )
    pool_size: int = Field(
        default=10, ge=1, le=200, description="Database connections of one process, at most."
    )
    apps: str = Field(
        default="", description="Installed applications to run, by name, comma-separated. Empty: all."
    )
    log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="Least level logged."
    )
    allow_private_hosts: str = Field(
        default="", description="`host:port` pairs, comma-separated, that may be fetched although private."
    )
    user_agent: str = Field(
        default="headgate/0.1 (+https://pypi.org/project/headgate)",
        description="How fetches introduce themselves.",
    )
    record_bodies: bool = Field(
        default=False,
        description="Keep every reply of an upstream for 7 days in the database, to look into or to replay.",
    )

    rate_limit_key: int = Field(default=1000, ge=1, description="Requests an hour that one API key may make.")
    rate_limit_ip: int = Field(
        default=100, ge=1, description="Requests an hour that one address may make without a key."
    )
    rate_limit_loopback: int = Field(
        default=1_000_000,
        ge=0,
        description="Requests an hour from this machine itself, if more than the above.",
    )
    cors_origins: str = Field(
        default="*", description="Origins whose pages may read answers, comma-separated; `*` is any."
    )
    max_body_bytes: int = Field(
        default=2_000_000, ge=1, description="Bytes that the body of a request may have, at most."
    )

    rest_schemas: str = Field(
        default="public",
        description="Schemas that `/rest/v1` serves, comma-separated; the first is the default.",
    )
    rest_max_rows: int = Field(
        default=1000, ge=0, description="Rows that one answer of `/rest/v1` has, at most. 0: no limit."
    )
    rest_max_body_bytes: int = Field(
        default=50_000_000, ge=1, description="Bytes that a body sent to `/rest/v1` may have, at most."
    )
    rest_statement_timeout_ms: int = Field(
        default=8000,
        ge=0,
        description="Milliseconds that a statement of `/rest/v1` may run, unless its role has a limit. 0: any.",
    )
    jwt_secret: SecretStr | None = Field(
        default=None,
        description="What signs users' tokens: a secret of 32 characters or more, a JWK or a JWKS. "
        "Empty: one made at the first start, in `data_dir`.",
    )

    def url(self) -> str | None:
        """The database URL in clear, for the driver only."""
        return self.database_url.get_secret_value() if self.database_url else None
