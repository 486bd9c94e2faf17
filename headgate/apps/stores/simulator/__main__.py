"""`python -m headgate.apps.stores.simulator`: the simulated Shopify on a port of this machine."""

from __future__ import annotations

import asyncio
import time

import click

from headgate.apps.stores.simulator.clock import SimClock
from headgate.apps.stores.simulator.options import ShopOptions
from headgate.apps.stores.simulator.server import CLIENT_ID, CLIENT_SECRET, Simulator, serve


@click.command(context_settings={"show_default": True})
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=8791, help="TCP port.")
@click.option(
    "--shop", "shops", multiple=True, default=["sim-one.myshopify.com"], help="Domain of a shop; repeatable."
)
@click.option("--seed", default=1, help="Everything follows from this number; each further shop adds one.")
@click.option("--orders", default=500, help="Orders per shop; one makes about nine lines of a bulk file.")
@click.option(
    "--customers", default=None, type=int, help="Customers per shop; by default two for five orders."
)
@click.option(
    "--products", default=None, type=int, help="Products per shop; by default one for twenty orders."
)
@click.option("--days", default=400, help="Days of history.")
@click.option(
    "--opened-at", default=None, type=int, help="Where the history ends, in seconds since 1970; default now."
)
@click.option("--currency", default="USD", help="The shops' currency.")
@click.option("--timezone", default="America/New_York", help="The shops' time zone.")
@click.option("--taxes-included", is_flag=True, help="Prices on the shelf include tax.")
@click.option("--scale", default=1.0, help="Simulated seconds per second.")
@click.option("--live", default=0.0, help="Changes per second of real time in each shop.")
@click.option("--bulk-seconds", default=0.0, help="A bulk operation runs at least this long.")
@click.option("--client-id", default=CLIENT_ID, help="Client id of the app.")
@click.option("--client-secret", default=CLIENT_SECRET, help="Client secret of the app; signs webhooks.")
@click.option("--compliance-url", default=None, help="Where the GDPR webhooks go.")
def main(
    *, host: str, port: int, shops: tuple[str, ...], seed: int, orders: int, customers: int | None,
    products: int | None, days: int, opened_at: int | None, currency: str, timezone: str, taxes_included: bool,
    scale: float, live: float, bulk_seconds: float, client_id: str, client_secret: str, compliance_url: str | None,
) -> None:  # fmt: skip
    """Serve a simulated Shopify."""
    opened = opened_at if opened_at is not None else int(time.time())
    made = [
        ShopOptions(
            seed=seed + n, domain=domain, orders=orders, customers=customers, products=products, history_days=days,
            opened_at=opened, currency=currency, timezone=timezone, taxes_included=taxes_included,
        )
        for n, domain in enumerate(shops)
    ]  # fmt: skip
    simulator = Simulator(
        made, clock=SimClock(start=float(opened), scale=scale), apps={client_id: client_secret}
    )
    for outlet in simulator.outlets.values():
        outlet.bulk.seconds = bulk_seconds
        outlet.webhooks.compliance_url = compliance_url
    asyncio.run(_main(simulator, host=host, port=port, live=live))


async def _main(simulator: Simulator, *, host: str, port: int, live: float) -> None:
    busy = asyncio.create_task(_busy(simulator, live)) if live > 0 else None
    try:
        await serve(simulator, host=host, port=port)
    finally:
        if busy is not None:
            busy.cancel()


async def _busy(simulator: Simulator, per_s: float) -> None:
    while True:
        await asyncio.sleep(1 / per_s)
        for outlet in simulator.outlets.values():
            outlet.live.run(1)


if __name__ == "__main__":
    main()
