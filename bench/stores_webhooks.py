"""Webhooks at 200 a second: acknowledged within 100 ms for 99 of 100, applied within 2 s for 95 of 100.

Server and worker are processes of their own, as `headgate serve` and `headgate work` run them; the simulated Shopify
answers what is read again. The sender keeps its pace whether answers come or not.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from typing import Any

import httpx

from bench._database import fresh_database
from bench.report import Figure, at_least, at_most, percentile, sized, write
from headgate.apps.stores.simulator import ShopOptions, Simulator, running
from headgate.base.clock import monotonic
from headgate.db import Database
from tests import stores_shop as shop
from tests.tickets_simulator import free_port

PER_SECOND = 200
TOPICS = ("orders/updated", "customers/update", "products/update", "orders/edited")


async def _process(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headgate",
        *arguments,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
    )


async def _until_up(client: httpx.AsyncClient) -> None:
    for _ in range(300):
        try:
            if (await client.get("/health")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.2)
    raise RuntimeError("the server did not start")


async def _send(client: httpx.AsyncClient, ids: list[int], count: int) -> tuple[list[float], int]:
    """Milliseconds until each was acknowledged, and how many were not."""
    took: list[float] = []
    refused = 0

    async def one(number: int) -> None:
        nonlocal refused
        payload: dict[str, Any] = {
            "id": ids[number % len(ids)],
            "updated_at": str(number),
            "note": "x" * 1500,
        }
        topic = TOPICS[number % len(TOPICS)]
        if topic == "orders/edited":
            payload = {"order_edit": {"order_id": payload["id"], "id": number}}
        started = monotonic()
        answer = await shop.Delivery(topic, payload).send(client)
        took.append(1000 * (monotonic() - started))
        refused += answer.status_code != 200

    begun = monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            wait = begun + number / PER_SECOND - monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(one(number))
    return took, refused


async def measure() -> list[Figure]:
    """Run it; the figures."""
    count = PER_SECOND * sized(60, 2)
    simulator = Simulator(
        [ShopOptions(domain=shop.SHOP, orders=300)], apps={shop.CLIENT_ID: shop.CLIENT_SECRET}
    )
    with tempfile.TemporaryDirectory() as folder:
        async with (
            fresh_database(everything=True) as url,
            running(simulator) as sim,
            await Database.open(url) as db,
        ):
            port = free_port()
            environment = {
                "HEADGATE_DATABASE_URL": url,
                "HEADGATE_DATA_DIR": folder,
                "HEADGATE_APPS": "stores",
                "HEADGATE_PORT": str(port),
                "HEADGATE_LOG_LEVEL": "error",
                "HEADGATE_STORES_CLIENT_ID": shop.CLIENT_ID,
                "HEADGATE_STORES_CLIENT_SECRET": shop.CLIENT_SECRET,
                "HEADGATE_STORES_TOKEN_KEY": shop.TOKEN_KEY,
                "HEADGATE_STORES_SIMULATOR_URL": sim,
            }
            processes = [await _process("serve", **environment), await _process("work", **environment)]
            try:
                async with httpx.AsyncClient(
                    base_url=f"http://127.0.0.1:{port}", timeout=30, limits=httpx.Limits(max_connections=200)
                ) as client:
                    await _until_up(client)
                    await shop.connection(db, await shop.brand(db, shop.someone()), access="no-token")
                    took, refused = await _send(client, [1000 + n for n in range(500)], count)
                    return await _figures(db, took, refused, count)
            finally:
                for process in processes:
                    if process.returncode is None:
                        process.terminate()
                await asyncio.gather(*(process.wait() for process in processes))


async def _figures(db: Database, took: list[float], refused: int, count: int) -> list[Figure]:
    for _ in range(600):
        if not await db.fetch_value("select count(*) from stores.webhook_inbox where state = 'received'"):
            break
        await asyncio.sleep(0.5)
    rows = await db.fetch_all(
        "select extract(epoch from applied_at - received_at)::float as s from stores.webhook_inbox"
        " where state = 'applied'"
    )
    applied = [row["s"] for row in rows]
    return [
        at_most("acknowledged, p99", percentile(took, 0.99), 100, "ms"),
        at_most("acknowledged, p50", percentile(took, 0.5), 100, "ms"),
        at_most("applied, p95", percentile(applied or [1e9], 0.95), 2, "s"),
        at_least("applied", len(applied), count),
        at_most("not acknowledged", refused, 0),
    ]


def main() -> None:
    """The entry point of `python -m bench`."""
    figures = asyncio.run(measure())
    write(
        "stores_webhooks",
        f"Webhooks at {PER_SECOND} a second",
        figures,
        command="python -m bench stores_webhooks",
        about="Signed bodies of about 1.6 kB over four topics at a fixed pace; one server and one worker process."
        " Applied: what the webhook means is recorded and the object's next reading asked for.",
    )


if __name__ == "__main__":
    main()
