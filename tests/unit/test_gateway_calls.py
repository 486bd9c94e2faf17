"""A call that takes long is stopped when its client goes away, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from headgate.surface.gateway import Calls
from headgate.surface.rest.respond import Answer


class Client:
    """A client that goes away when told."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()

    async def receive(self) -> MutableMapping[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}


class Work:
    """A function that runs until told to end, and notes whether it was stopped."""

    def __init__(self) -> None:
        self.ends = asyncio.Event()
        self.stopped = False

    async def run(self) -> Answer:
        try:
            await self.ends.wait()
        except asyncio.CancelledError:
            self.stopped = True
            raise
        return Answer(200, [])


async def test_stops_the_call_whose_client_left_and_no_other() -> None:
    calls, clients, works = Calls(), [Client(), Client()], [Work(), Work()]
    running = [
        asyncio.create_task(calls.run(work.run(), client.receive))
        for work, client in zip(works, clients, strict=True)
    ]
    clients[0].leaves.set()
    assert (await asyncio.wait_for(running[0], 10)).status == 499
    assert [work.stopped for work in works] == [True, False]
    works[1].ends.set()
    assert (await asyncio.wait_for(running[1], 10)).status == 200
    assert not (calls._new or calls._seen or calls._watchers)  # nothing is left behind


async def test_a_cancellation_from_outside_goes_through() -> None:
    calls, client, work = Calls(), Client(), Work()
    running = asyncio.create_task(calls.run(work.run(), client.receive))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert work.stopped
