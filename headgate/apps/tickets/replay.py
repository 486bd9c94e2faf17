"""Replaying a recording: one event per market, every poll through the whole pipeline, then the rollups."""

from __future__ import annotations

import os
import re
from itertools import groupby
from pathlib import Path

from headgate.apps.tickets.jobs import Q
from headgate.apps.tickets.recording import RecordedEvent, RecordedPoll, read_event, read_polls
from headgate.apps.tickets.rollups import HOURS_AT_ONCE
from headgate.base.errors import SourceError
from headgate.db import Database, Jsonb
from headgate.engine.manifest import App
from headgate.engine.progress import RunReport
from headgate.engine.runs import run_source


async def replay(db: Database, app: App, path: Path, event: RecordedEvent | None = None) -> list[RunReport]:
    """Replay the recording at `path`; one run per market. `event` overrides what the recording says of itself.

    Replaying again adds nothing: a finished market's cursor stands at its end. Markets are never mixed: the same
    seats are often offered on several, so their counts must not be added up. Raises SourceError HG440–HG442.
    """
    where = os.path.abspath(path)  # noqa: PTH100, ASYNC240 - names the place, touches no disk
    described = event or read_event(path) or _guess(path, read_polls(path))
    reports = []
    for market, polls in groupby(read_polls(path), key=lambda p: p.market):
        if not list(polls):
            continue
        event_id = await _event(db, path, market, described)
        reports.append(
            await run_source(
                db,
                app,
                "tickets.recording",
                key=str(event_id),
                args={"path": where, "market": market, "event_id": event_id},
            )
        )
    if not reports:
        raise SourceError(f"{path.name} holds no polls.", code="HG441")
    while await db.fetch_value(Q.refresh, {"limit": HOURS_AT_ONCE}):
        pass
    return reports


def _guess(path: Path, polls: list[RecordedPoll]) -> RecordedEvent:
    """Without a description, the name is the recording's; the start is taken to lie after its last poll."""
    if not polls:
        raise SourceError(f"{path.name} holds no polls.", code="HG441")
    name = re.sub(r"[_-]+", " ", path.stem).strip().title()
    return RecordedEvent(name=name, starts_at=max(p.observed_at for p in polls))


async def _event(db: Database, path: Path, market: str, described: RecordedEvent) -> int:
    document = {
        "external_id": path.stem,
        "source": market,
        "match_key": f"recording/{path.stem}",
        "name": f"{described.name} ({market})",
        "venue": described.venue,
        "city": described.city,
        "state": described.state,
        "tz": described.tz,
        "starts_at": described.starts_at.isoformat(),
        "category": described.category,
        "active": False,
    }
    return int(await db.fetch_value(Q.put_event, {"event": Jsonb(document)}))
