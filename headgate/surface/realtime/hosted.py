"""Whether this database has a realtime of its own, so that ours stays off."""

from __future__ import annotations

from headgate.base.settings import Settings
from headgate.db import Database

_HOSTED = "This database's own realtime serves its channels; connect to the project's URL instead"


async def reason_to_stay_off(settings: Settings, db: Database) -> str | None:
    """Why realtime stays off, in words for a client, or None. `HEADGATE_REALTIME` decides; `auto` looks."""
    if settings.realtime == "off":
        return "Realtime is switched off (HEADGATE_REALTIME=off)"
    found = await db.fetch_one(
        "select to_regrole('supabase_realtime_admin') is not null as hosted,"
        " to_regclass('realtime.messages') is not null and to_regclass('realtime.relay') is not null as ready"
    )
    if found is None or (found["hosted"] and settings.realtime != "on"):
        return _HOSTED
    if not found["ready"]:
        return "Realtime's tables are missing: run `headgate migrate up` once as the database's administrator"
    return None
