"""`GET /api/sync/{brandId}/status` with 1,000 brands: answered within 30 ms for 95 of 100, under row-level security."""

from __future__ import annotations

import asyncio
import random
from uuid import UUID

import httpx

from bench.report import at_most, middle, percentile, sized, write
from headgate.base.clock import monotonic
from headgate.db import Database
from headgate.testing.database import TestCluster
from tests import stores_shop as shop

COMMAND = "python -m bench stores_status"
LABELS = ("connected", "recent", "orders", "customers", "products", "reconciled")


async def fill(db: Database, brands: int) -> list[tuple[UUID, UUID]]:
    """Brands with an owner, a shop and its milestones: (brand, user) of each."""
    found = []
    for number in range(brands):
        user = shop.someone()
        brand = await shop.brand(db, user, name=f"Brand {number}")
        made = await shop.connection(db, brand, f"shop-{number}.myshopify.com")
        await db.execute(
            "insert into public.shop_milestones (connection_id, label, status, rows_written, total_rows, started_at)"
            " select %s, l, 'in_progress', 400, 1000, now() - interval '1 minute' from unnest(%s::text[]) l",
            (made, list(LABELS)),
        )
        found.append((brand, user))
    await db.execute("analyze")
    return found


async def ask(client: httpx.AsyncClient, brands: list[tuple[UUID, UUID]], requests: int) -> list[float]:
    """Milliseconds of each of `requests` answers, one after the other; every twentieth is for a brand of another's."""
    dice = random.Random(1)
    took = []
    for number in range(requests):
        brand, user = dice.choice(brands)
        other = number % 20 == 19
        bearer = shop.bearer(dice.choice(brands)[1] if other else user)
        started = monotonic()
        answer = await client.get(f"/api/sync/{brand}/status", headers=bearer)
        took.append(1000 * (monotonic() - started))
        if answer.status_code != (404 if other else 200) and not other:
            raise RuntimeError(f"status {answer.status_code}")
    return took


async def measure() -> None:
    """Run it and write the result."""
    cluster = await TestCluster.start()
    try:
        async with cluster.database() as db:
            brands = await fill(db, sized(1000, 50))
            async with shop.serving(db) as client:
                await ask(client, brands, 50)
                alone = await ask(client, brands, sized(2000, 200))
                four = [
                    one
                    for part in await asyncio.gather(*(ask(client, brands, sized(500, 50)) for _ in range(4)))
                    for one in part
                ]
    finally:
        await cluster.stop()
    write(
        "stores_status",
        f"Status of a brand's sync, {len(brands)} brands",
        [
            at_most("p95, one client", percentile(alone, 0.95), 30, "ms"),
            at_most("p50, one client", middle(alone), 30, "ms"),
            at_most("p95, four clients at once", percentile(four, 0.95), 30, "ms"),
        ],
        command=COMMAND,
        about="Each answer is made by one SQL function under the caller's claims; the client runs in the same process.",
    )


def main() -> None:
    """The entry point of `python -m bench`."""
    asyncio.run(measure())


if __name__ == "__main__":
    main()
