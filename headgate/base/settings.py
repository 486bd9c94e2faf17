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
    function_timeout_s: float = Field(
        default=150.0, gt=0, description="Seconds that one call of a function below `/functions/v1` may take."
    )
    servers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Server processes that share `port`, for `headgate up` and `serve`.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Addresses of proxies, comma-separated, whose X-Forwarded-For and -Proto are believed; `*` is any.",
    )
    simulator_port: int = Field(
        default=8790,
        ge=1,
        le=65000,
        description="TCP port of the first simulator of `headgate up --demo`; each further one takes the next port.",
    )
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
    realtime: str = Field(
        default="auto",
        pattern="^(auto|on|off)$",
        description="Serve `/realtime/v1`. `auto`: unless the database is hosted Supabase, which has its own.",
    )
    realtime_replay_s: int = Field(
        default=600,
        ge=0,
        le=86_400,
        description="Seconds for which a subscriber may come back with a cursor (`since`). "
        "0: none, and no persistent replication slot.",
    )
    realtime_replay_mb: int = Field(
        default=1024, ge=1, description="Megabytes of log that are kept for that, at most."
    )
    realtime_messages_per_s: int = Field(
        default=100, ge=1, description="Messages a second that one websocket may send."
    )
    jwt_secret: SecretStr | None = Field(
        default=None,
        description="What signs users' tokens: a secret of 32 characters or more, a JWK or a JWKS. "
        "Empty: one made at the first start, in `data_dir`.",
    )

    public_url: str = Field(
        default="",
        description="Where clients reach this server, for links and the claim `iss`. Empty: host and port.",
    )
    auth_site_url: str = Field(
        default="", description="Where people land after a link of a mail, unless told. Empty: `public_url`."
    )
    auth_redirect_urls: str = Field(
        default="",
        description="Further addresses that links may lead to, comma-separated; `*` stands for any characters but "
        "`.` and `/`, `**` for any.",
    )
    auth_signups: bool = Field(default=True, description="Whether people may make accounts themselves.")
    auth_email_enabled: bool = Field(
        default=True, description="Whether people may sign in by e-mail address."
    )
    auth_autoconfirm: bool = Field(
        default=False, description="Take addresses as confirmed without a mail. For development."
    )
    auth_anonymous_users: bool = Field(
        default=False, description="Whether people may sign in without an address."
    )
    auth_password_min: int = Field(
        default=6, ge=1, le=72, description="Characters of a new password, at least."
    )
    auth_password_classes: str = Field(
        default="",
        pattern="^((lower|upper|digit|symbol)(,(lower|upper|digit|symbol))*)?$",
        description="What a new password must contain: `lower`, `upper`, `digit`, `symbol`, comma-separated.",
    )
    auth_bcrypt_cost: int = Field(
        default=10, ge=4, le=16, description="Work of a password's hash, as a power of two."
    )
    auth_password_reauthentication: bool = Field(
        default=False,
        description="Setting a new password needs a code by mail if the session is older than a day.",
    )
    auth_password_current: bool = Field(
        default=False, description="Setting a new password needs the current one, where there is one."
    )
    auth_jwt_expiry_s: int = Field(
        default=3600, ge=30, le=604_800, description="Seconds that an access token holds."
    )
    auth_refresh_reuse_s: float = Field(
        default=10,
        ge=0,
        le=300,
        description="Seconds in which a used refresh token gives its successor again.",
    )
    auth_session_max_s: int = Field(
        default=0, ge=0, description="Seconds after which a session ends in any case. 0: never."
    )
    auth_session_idle_s: int = Field(
        default=0, ge=0, description="Seconds without a refresh after which a session ends. 0: never."
    )
    auth_otp_expiry_s: int = Field(
        default=3600, ge=30, le=86_400, description="Seconds that a code or link of a mail holds."
    )
    auth_otp_length: int = Field(default=6, ge=6, le=10, description="Digits of a code.")
    auth_secure_email_change: bool = Field(
        default=True, description="A change of address is confirmed from the old address as well."
    )
    auth_mail_interval_s: float = Field(
        default=60, ge=0, description="Seconds between two mails of one kind to one user, at least."
    )
    auth_mails_per_hour: int = Field(
        default=30, ge=0, description="Mails to one address an hour, at most. 0: any number."
    )
    auth_limit_sign_in: int = Field(
        default=60,
        ge=0,
        description="Sign-ins, sign-ups and codes that one IP address may try in 5 minutes. 0: any.",
    )
    auth_limit_account: int = Field(
        default=10, ge=0, description="Wrong passwords or codes for one account in 5 minutes. 0: any."
    )
    auth_limit_refresh: int = Field(
        default=600, ge=0, description="Refreshes that one IP address may ask for in 5 minutes. 0: any."
    )
    auth_mail_templates: Path | None = Field(
        default=None, description="Folder with mail templates of your own. Empty: the built-in ones."
    )
    auth_sms_hook_url: str = Field(
        default="",
        description="Where codes for telephones are posted to be sent. Empty: no sign-in by telephone.",
    )
    auth_hook_secret: SecretStr | None = Field(
        default=None, description="Signs what is posted to hooks (Standard Webhooks: `whsec_` and base64)."
    )
    auth_providers: SecretStr | None = Field(
        default=None,
        description="Identity providers as a JSON object of name and settings (`client_id`, `client_secret`, "
        "`issuer` …); see the page on providers.",
    )
    auth_manual_linking: bool = Field(
        default=False, description="Whether users may add and remove identities themselves."
    )
    auth_passkey_rp_id: str = Field(
        default="", description="Domain that passkeys belong to. Empty: that of `auth_site_url`."
    )
    auth_passkey_rp_name: str = Field(
        default="", description="Name that browsers show with passkeys. Empty: the domain."
    )
    auth_passkey_origins: str = Field(
        default="",
        description="Origins that may use passkeys, comma-separated. Empty: that of `auth_site_url`.",
    )
    auth_captcha_url: str = Field(
        default="",
        description="Where the token of a CAPTCHA is verified, in hCaptcha's and Turnstile's form. Empty: no CAPTCHA.",
    )
    auth_captcha_secret: SecretStr | None = Field(
        default=None, description="Secret for the verification of a CAPTCHA."
    )
    auth_hook_claims: str = Field(
        default="",
        description="PostgreSQL function `schema.name` that gives access tokens their claims. Empty: none.",
    )
    auth_hook_user_created: str = Field(
        default="",
        description="PostgreSQL function `schema.name` that may refuse a new user. Empty: none.",
    )
    auth_hook_password: str = Field(
        default="",
        description="PostgreSQL function `schema.name` that hears of each password tried. Empty: none.",
    )
    smtp_host: str = Field(
        default="", description="Mail server. Empty: mail stays in the database, as an inbox for development."
    )
    smtp_port: int = Field(default=587, ge=1, le=65535, description="TCP port of the mail server.")
    smtp_user: str = Field(default="", description="User at the mail server. Empty: none.")
    smtp_password: SecretStr | None = Field(default=None, description="Password at the mail server.")
    smtp_tls: str = Field(
        default="starttls",
        pattern="^(starttls|tls|none)$",
        description="`starttls`, `tls` from the start, or `none`.",
    )
    mail_from: str = Field(default="auth@localhost", description="Sender of mail.")
    mail_from_name: str = Field(default="", description="The sender's name.")

    storage_url: str = Field(
        default="",
        description="Where objects are kept: a folder, or `s3://bucket/prefix`. Empty: `storage` in `data_dir`.",
    )
    storage_s3_endpoint: str = Field(
        default="", description="URL of an S3 service other than Amazon's. Empty: Amazon's."
    )
    storage_s3_region: str = Field(default="us-east-1", description="Region of the S3 bucket.")
    storage_s3_access_key: str = Field(
        default="", description="Access key of S3. Empty: what the environment or the machine gives."
    )
    storage_s3_secret_key: SecretStr | None = Field(default=None, description="Secret key of S3.")
    storage_max_object_bytes: int = Field(
        default=5_000_000_000, ge=1, description="Bytes that an object may have, whatever its bucket allows."
    )
    storage_grace_s: int = Field(
        default=86_400,
        ge=1,
        description="Seconds that an upload may take; older bytes without an object are removed by the sweep.",
    )
    storage_sweep_minutes: int = Field(
        default=60, ge=1, description="Minutes between two sweeps that compare objects with their bytes."
    )
    storage_upload_expiry_s: int = Field(
        default=86_400, ge=1, description="Seconds after which an unfinished resumable upload is forgotten."
    )
    storage_render_workers: int = Field(
        default=2, ge=1, le=64, description="Processes that render images at a time."
    )
    storage_render_timeout_s: int = Field(
        default=20, ge=1, description="Seconds that rendering one image may take; then its process is killed."
    )
    storage_render_max_pixels: int = Field(
        default=50_000_000, ge=1, description="Pixels that an image may have to be rendered."
    )
    storage_render_max_bytes: int = Field(
        default=25_000_000, ge=1, description="Bytes that an image may have to be rendered."
    )
    storage_render_cache_bytes: int = Field(
        default=1_000_000_000, ge=0, description="Bytes of rendered images kept on disk."
    )
    storage_placeholder_image: Path | None = Field(
        default=None, description="Image rendered in the place of one that does not exist. Empty: an error."
    )
    storage_fallback_image: Path | None = Field(
        default=None, description="Image rendered in the place of one that cannot be. Empty: an error."
    )

    def url(self) -> str | None:
        """The database URL in clear, for the driver only."""
        return self.database_url.get_secret_value() if self.database_url else None
