"""`headgate run tickets.listings --key N`: the key alone says which event, and a wrong one is answered plainly."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.apps.tickets.app import app
from headgate.apps.tickets.simulator import WorldOptions
from headgate.base.errors import SourceError
from headgate.db import Database
from headgate.engine.runs import run_source
from tests.tickets_simulator import marketplace

WORLD = WorldOptions(seed=7, events=2, listings=30, parking=False)


async def test_the_key_alone_names_the_event(database: Database) -> None:
    async with marketplace(database, WORLD) as bench:
        await bench.sweep()
        event = (await bench.events())[0]
        report = await run_source(
            database,
            app,
            "tickets.listings",
            key=str(event["id"]),
            fetcher=bench.fetcher,
            settings=_of(bench),
        )
        assert (report.state, report.seen > 0) == ("succeeded", True)
        assert (await bench.last_poll(event))["status"] == "accepted"


@pytest.mark.parametrize("key", [None, "", "nosuch", "999999", "-1", "9" * 40])
async def test_a_key_of_no_event_is_said_so(database: Database, key: str | None) -> None:
    async with marketplace(database, WORLD) as bench:
        with pytest.raises(SourceError) as caught:
            await run_source(
                database, app, "tickets.listings", key=key, fetcher=bench.fetcher, settings=_of(bench)
            )
        assert caught.value.code == "HG445"


async def test_a_worker_without_the_markets_address_writes_no_poll(database: Database) -> None:
    async with marketplace(database, WORLD) as bench:
        await bench.sweep()
        event = (await bench.events())[0]
        settings = {**_of(bench), "vivid_url": ""}
        for source in ("tickets.listings", "tickets.productions"):
            with pytest.raises(SourceError) as caught:
                await run_source(
                    database, app, source, key=str(event["id"]), fetcher=bench.fetcher, settings=settings
                )
            assert caught.value.code == "HG443"
        assert await database.fetch_value("select count(*) from public.polls") == 0


def _of(bench: Any) -> dict[str, Any]:
    return {name: getattr(bench.settings, name) for name in type(bench.settings).model_fields}
