"""What an operator may set about the REST surface. Each name is PostgREST's, with underscores."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

HOISTED = ("statement_timeout", "plan_filter.statement_cost_limit", "default_transaction_isolation")
ALIASES = {"db_pool": "db_pool_size", "db_schema": "db_schemas"}  # older names
TRUE = ("true", "1", "on", "yes")


@dataclass(frozen=True, kw_only=True)
class RestSettings:
    """Settings of the surface; the defaults are those of hosted Supabase where it differs from PostgREST."""

    db_uri: str = ""
    db_schemas: tuple[str, ...] = ("public",)
    db_extra_search_path: tuple[str, ...] = ("public", "extensions")
    db_anon_role: str | None = "anon"
    db_aggregates_enabled: bool = False
    db_plan_enabled: bool = False
    db_max_rows: int | None = None
    db_pre_request: str | None = None
    db_tx_end: str = "commit"
    db_prepared_statements: bool = True
    db_root_spec: str | None = None
    db_hoisted_tx_settings: tuple[str, ...] = HOISTED
    db_pool_size: int = 10
    db_pool_acquisition_timeout: float = 10.0
    db_channel: str = "pgrst"
    db_channel_enabled: bool = True
    db_config: bool = True
    db_pre_config: str | None = None
    openapi_mode: str = "follow-privileges"
    openapi_security_active: bool = False
    openapi_server_proxy_uri: str | None = None
    server_timing_enabled: bool = False
    server_trace_header: str | None = None
    server_cors_allowed_origins: tuple[str, ...] = ()
    client_error_verbosity: str = "verbose"
    url_use_legacy_target_names: bool = True
    jwt_secret: str | None = None
    jwt_secret_is_base64: bool = False
    jwt_audience: str | None = None
    jwt_role_claim_key: str = "$.role"
    jwt_cache_max_entries: int = 1000
    api_keys: Mapping[str, str] = field(default_factory=dict)
    api_key_required: bool = False
    max_body_bytes: int = 50_000_000
    statement_timeout_ms: int = 0
    request_settings: str = "auto"
    app_settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def rollback_all(self) -> bool:
        """Whether requests are rolled back unless they ask otherwise."""
        return self.db_tx_end.startswith("rollback")

    @property
    def tx_override(self) -> bool:
        """Whether `Prefer: tx=` is heeded."""
        return self.db_tx_end.endswith("allow-override")

    def overlaid(self, stored: Mapping[str, str]) -> RestSettings:
        """These settings with those of `ALTER ROLE authenticator SET pgrst.…` over them."""
        return replace(
            self, **_read({k.removeprefix("pgrst."): v for k, v in stored.items() if k[:6] == "pgrst."})
        )


def _list(text: str) -> tuple[str, ...]:
    return tuple(p for p in re.split(r"\s*,\s*", text.strip()) if p)


def _read(raw: Mapping[str, str]) -> dict[str, Any]:
    """Texts by setting name as values of the right type; what is unknown or unreadable is left out."""
    out: dict[str, Any] = {}
    app: dict[str, str] = {}
    for f in fields(RestSettings):
        text = raw.get(f.name)
        if text is None or f.name in ("api_keys", "app_settings"):
            continue
        kind = str(f.type)
        if kind.startswith("bool"):
            out[f.name] = text.strip().lower() in TRUE
        elif kind.startswith("tuple"):
            out[f.name] = _list(text)
        elif kind.startswith("int"):
            if text.strip().lstrip("-").isdigit():
                out[f.name] = int(text)
        elif kind.startswith("float"):
            out[f.name] = float(text)
        else:
            out[f.name] = text or None
    for key, text in raw.items():
        if key.startswith("app.settings.") or key.startswith("app_settings_"):
            app["app.settings." + key[13:]] = text
    if app:
        out["app_settings"] = app
    return out


def from_environment(environment: Mapping[str, str], **fixed: Any) -> RestSettings:
    """Settings from PostgREST's own variables, `PGRST_DB_URI` and so on; `fixed` ones have the last word."""
    raw: dict[str, str] = {}
    for key, text in environment.items():
        if key.startswith("PGRST_APP_SETTINGS_"):
            raw["app_settings_" + key[19:].lower()] = text
        elif key.startswith("PGRST_"):
            raw[ALIASES.get(key[6:].lower(), key[6:].lower())] = text
    return RestSettings(**{**_read(raw), **fixed})
