"""A simulated shop from connect to reconciled: every object there, every figure equal to the oracle to the cent."""

from __future__ import annotations

from headgate.db import Database
from tests.stores_sync import shop


async def test_full_sync_equals_the_oracle_to_the_cent(database: Database) -> None:
    async with shop(database, seed=7) as synced:
        await synced.begin()
        await synced.settled()
        assert await synced.differences() == []
        assert set((await synced.milestones()).values()) == {"completed"}
        assert (
            await database.fetch_value("select state from stores.reconciliations order by id desc limit 1")
            == "tied"
        )
