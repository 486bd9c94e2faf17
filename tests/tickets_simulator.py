"""A simulated marketplace in the test's own process, on a free port, and the pieces that poll it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from headgate.apps.tickets.app import app
from headgate.apps.tickets.settings import TicketsSettings, host_key
from headgate.apps.tickets.simulator import SimClock, Simulator, World, WorldOptions
from headgate.apps.tickets.simulator.faults import Fault
from headgate.db import Database
from headgate.engine.fetch import Fetcher
from headgate.engine.limits import set_host
from headgate.engine.progress import RunReport
from headgate.engine.runs import run_source
from tests.serving import on_loopback


@dataclass
class Bench:
    """The simulator, and a fetcher and settings that reach it."""

    db: Database
    simulator: Simulator
    fetcher: Fetcher
    settings: TicketsSettings

    @property
    def world(self) -> World:
        """The simulated events."""
        return self.simulator.world

    def order(
        self,
        kind: str,
        *,
        production: int | None = None,
        count: int | None = None,
        rate: float = 1.0,
        **options: Any,
    ) -> None:
        """Have answers spoilt from now on."""
        self.simulator.faults.orders.append(
            Fault(kind=kind, production=production, count=count, rate=rate, options=options)
        )

    def heal(self) -> None:
        """No more faults."""
        self.simulator.faults.orders.clear()

    async def sweep(self) -> RunReport:
        """Look through the catalogue once."""
        await self.db.execute("select tickets.sweep_due('vivid', 0)")
        return await self.run("tickets.productions")

    async def events(self) -> list[dict[str, Any]]:
        """Every event that may be polled."""
        return await self.db.fetch_all("select * from public.events where active order by id")

    async def poll(self, event: dict[str, Any], **args: Any) -> RunReport:
        """Poll one event, as the poll job does."""
        given = {"event_id": event["id"], "external_id": event["external_id"], **args}
        return await self.run("tickets.listings", key=str(event["id"]), args=given)

    async def run(
        self, source: str, *, key: str | None = None, args: dict[str, Any] | None = None
    ) -> RunReport:
        """Run one source to its end."""
        values = {name: getattr(self.settings, name) for name in TicketsSettings.model_fields}
        return await run_source(
            self.db, app, source, key=key, args=args or {}, fetcher=self.fetcher, settings=values
        )

    async def last_poll(self, event: dict[str, Any]) -> dict[str, Any]:
        """The newest poll of an event."""
        row = await self.db.fetch_one(
            "select * from public.polls where event_id = %s order by observed_at desc, received_at desc limit 1",
            [event["id"]],
        )
        assert row is not None
        return row


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def marketplace(
    db: Database, options: WorldOptions | None = None, *, clock: SimClock | None = None, **given: Any
) -> AsyncIterator[Bench]:
    """A simulator that stands still until told (its clock's scale is 0) and everything that polls it."""
    world = World(options or WorldOptions(seed=5, events=3, listings=40), clock or SimClock(scale=0.0))
    simulator = Simulator(world)
    async with on_loopback(simulator, date_header=False) as url:
        settings = TicketsSettings(vivid_url=url, **{"rate_per_s": 500.0, "burst": 50, **given})
        async with db.transaction() as conn:
            await set_host(conn, settings.host, settings.rate_per_s, settings.burst)
        async with Fetcher(db, user_agent="headgate-test", allow_private={host_key(url)}) as fetcher:
            yield Bench(db, simulator, fetcher, settings)
