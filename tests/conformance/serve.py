"""Serves the REST surface in one configuration of PostgREST's own suite, as its tool describes it.

The tool starts this once per configuration with CONF_SETTINGS (JSON), CONF_PORT and PGRST_DB_URI.
"""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from dataclasses import fields

import uvicorn

from headgate.surface.gateway import create_surface
from headgate.surface.rest.settings import RestSettings

LISTS = ("db_schemas", "db_extra_search_path", "db_hoisted_tx_settings", "server_cors_allowed_origins")


def settings() -> RestSettings:
    """The settings that the tool names; what it leaves empty is empty, not our default."""
    raw = {k.replace("-", "_"): v for k, v in json.loads(os.environ["CONF_SETTINGS"]).items()}
    known = {f.name for f in fields(RestSettings)}
    chosen = {k: v for k, v in raw.items() if k in known and v is not None}
    chosen.update({k: tuple(raw.get(k) or ()) for k in LISTS})
    chosen["db_uri"] = os.environ["PGRST_DB_URI"]
    chosen["db_anon_role"] = raw.get("db_anon_role")
    chosen["db_channel"] = raw.get("db_channel") or "pgrst"
    chosen["app_settings"] = dict(raw["app_settings"])
    chosen["jwt_cache_max_entries"] = int(raw["jwt_cache_max_entries"])
    return RestSettings(**chosen)


def main() -> None:
    """Serve until killed: the tool starts the next configuration the moment it has signalled this one."""
    config = uvicorn.Config(
        create_surface(settings(), prefix="/rest/v1"), host="127.0.0.1", port=int(os.environ["CONF_PORT"]),
        log_level="warning", access_log=False, server_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
    server.run()


if __name__ == "__main__":
    main()
