"""What the auth service forgets: sessions past their end, codes and sign-ins that nobody used. Never users."""

from __future__ import annotations

import asyncio
import random

from headgate.base import log
from headgate.base.errors import HeadgateError
from headgate.base.settings import Settings
from headgate.db import Database, errors
from headgate.db.queries import load

Q = load("headgate.surface.auth", "upkeep.sql")
EVERY_S = 3600.0
_log = log.get(__name__)


async def tidy(db: Database, settings: Settings) -> int:
    """Delete what ended more than a day ago, in pieces; how many rows went. Several processes may do it at once."""
    values = {"idle_s": settings.auth_session_idle_s, "expiry_s": settings.auth_otp_expiry_s}
    gone = 0
    for query in (Q.end_sessions, Q.forget_codes, Q.forget_flows):
        while count := await db.execute(query, values):
            gone += count
    return gone


async def keep_tidy(db: Database, settings: Settings) -> None:
    """`tidy` about once an hour for as long as the process runs; cancel it to stop."""
    while True:
        await asyncio.sleep(EVERY_S * random.uniform(0.5, 1.5))
        try:
            await tidy(db, settings)
        except (errors.Error, HeadgateError, OSError) as error:
            _log.warning("auth.upkeep_failed", reason=str(error))
