"""The measurement's story, small: subscribers hang up and come back, the server is killed, and nothing is missed.

REALTIME_SUBSCRIBERS and REALTIME_CHANGES make it as large as one likes.
"""

from __future__ import annotations

import os

from bench.realtime import story
from headgate.testing.database import TestCluster


async def test_reconnects_and_a_killed_server_lose_and_repeat_nothing(cluster: TestCluster) -> None:
    subscribers = int(os.environ.get("REALTIME_SUBSCRIBERS", "30"))
    changes = int(os.environ.get("REALTIME_CHANGES", "2000"))
    async with cluster.database() as db:
        outcome = await story(
            db.url,
            subscribers=subscribers,
            changes=changes,
            watchers=2,
            processes=2,
            drops=2,
            steady=subscribers,
        )
    assert (outcome.missed, outcome.doubled, outcome.foreign) == (0, 0, 0)
    assert outcome.expected >= changes * 3, "each change is due to its owner and to both watchers"
    assert outcome.connections >= subscribers * 2, "they did come back"
