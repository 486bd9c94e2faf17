"""`python -m headgate.apps.tickets.simulator`: the simulated marketplace on a port of this machine."""

from __future__ import annotations

import asyncio
import time

import click

from headgate.apps.tickets.simulator.clock import SimClock
from headgate.apps.tickets.simulator.faults import Fault
from headgate.apps.tickets.simulator.market import Rates
from headgate.apps.tickets.simulator.server import Simulator, serve
from headgate.apps.tickets.simulator.world import World, WorldOptions


@click.command(context_settings={"show_default": True})
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=8790, help="TCP port.")
@click.option("--seed", default=1, help="Everything follows from this number.")
@click.option("--events", default=12, help="How many events.")
@click.option("--listings", default=60, help="Listings per event, on average.")
@click.option("--days-from", default=0.25, help="Events start this many days from now at the earliest.")
@click.option("--days", default=45.0, help="And this many at the latest.")
@click.option("--scale", default=1.0, help="Simulated seconds per second.")
@click.option("--pace", default=1.0, help="How many times livelier than a real market.")
@click.option("--behind", default=0.0, help="Begin this many hours in the past and stand still until told.")
@click.option("--errors", default=0.0, help="Share of listing answers with some fault in them, 0 to 1.")
@click.option("--limit", default=0.0, help="Answers per second before 429 begins; 0 for no limit.")
def main(
    *, host: str, port: int, seed: int, events: int, listings: int, days_from: float, days: float,
    scale: float, pace: float, behind: float, errors: float, limit: float,
) -> None:  # fmt: skip
    """Serve a simulated ticket marketplace."""
    clock = SimClock(start=time.time() - behind * 3600, scale=0.0 if behind else scale)
    world = World(
        WorldOptions(
            seed=seed,
            events=events,
            listings=listings,
            days_from=days_from,
            days_ahead=days,
            rates=Rates(pace=pace),
        ),
        clock,
    )
    simulator = Simulator(world, limit_per_s=limit or None)
    if errors:
        simulator.faults.orders.append(Fault(kind="mixed", rate=errors))
    asyncio.run(serve(simulator, host=host, port=port))


if __name__ == "__main__":
    main()
