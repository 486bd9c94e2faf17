"""`/health` answers soon, whatever the database does."""

from __future__ import annotations

import contextlib
from pathlib import Path

import aiohttp

from headgate.base.clock import monotonic
from headgate.db import Database
from tests import ticket_market as market


async def test_health_says_down_soon_when_the_database_does_not_answer(
    database: Database, tmp_path: Path
) -> None:
    async with (
        await Database.open(database.url, max_size=2) as small,
        market.serving(small, data_dir=tmp_path) as base,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(f"{base}/health") as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, "up")
        async with contextlib.AsyncExitStack() as taken:
            for _ in range(2):
                await taken.enter_async_context(small.connection())
            started = monotonic()
            async with session.get(f"{base}/health") as answer:
                assert (answer.status, (await answer.json())["status"]) == (503, "down")
            assert monotonic() - started < 3
        async with session.get(f"{base}/health") as answer:
            assert answer.status == 200
