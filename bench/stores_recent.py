"""From connecting a shop to the last three days in its status: within 5 s, server, worker and simulated Shopify being
processes of their own.

A merchant approves; from the moment the browser comes back from Shopify the status is asked every 50 ms until the
milestone `recent` is completed. The shop's bulk operations run meanwhile, and last longer. Afterwards, once the whole
sync has been verified, every order of these days is looked for among those that were there then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp

from bench._database import fresh_database
from bench._server import until_up
from bench.report import Figure, at_least, at_most, middle, sized, write
from headgate.base.clock import monotonic
from headgate.db import Database
from tests import stores_shop as shop
from tests.tickets_simulator import free_port

COMMAND = "python -m bench stores_recent"
ASK_EVERY_S = 0.05
BULK_SECONDS = 10
PATIENCE_S = 300
LATER = """
select (select count(*) from public.shop_orders o where o.connection_id = m.connection_id
          and o.updated_at >= m.completed_at - interval '3 days' and o.updated_at < m.started_at) as orders
  from public.shop_milestones m where m.connection_id = %s and m.label = 'recent'
"""


@dataclass(frozen=True)
class Round:
    """One shop: seconds until its first recent orders and until all, how many these were, how many there truly are."""

    first_s: float
    all_s: float
    bulk_open: bool
    seen: int
    true: int


@contextlib.asynccontextmanager
async def process(*arguments: str, **environment: str) -> AsyncIterator[None]:
    """A process of `headgate`, ended afterwards."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headgate", *arguments, env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        if started.returncode is None:
            started.terminate()
        await started.wait()


async def one_round(session: aiohttp.ClientSession, db: Database, domain: str) -> Round:
    """Connect a shop and watch its status until everything is reconciled."""
    owner = shop.someone()
    brand = await shop.brand(db, owner, name=domain)
    bearer = shop.bearer(owner)
    wish = {"brand_id": str(brand), "shop": domain}
    async with session.post("/api/stores/connect", json=wish, headers=bearer) as answer:
        approve = (await answer.json())["data"]["url"]
    async with session.get(approve, allow_redirects=False) as answer:
        callback = answer.headers["location"]
    begun = monotonic()
    async with session.get(callback, allow_redirects=False) as answer:
        if answer.status != 303:
            raise RuntimeError(f"the connection was refused: {await answer.text()}")
    first_s = 0.0
    while True:
        told = await _status(session, brand, bearer)
        recent = told["milestones"].get("recent", {})
        if not first_s and recent.get("objects_seen"):
            first_s = monotonic() - begun
        if recent.get("status") == "completed":
            break
        await asyncio.sleep(ASK_EVERY_S)
        if monotonic() - begun > PATIENCE_S:
            raise RuntimeError(f"the recent days never came: {told}")
    all_s = monotonic() - begun
    bulk_open = all(told["milestones"][entity]["status"] != "completed" for entity in ("orders", "customers"))
    while told["overall"] == "syncing":
        await asyncio.sleep(0.5)
        told = await _status(session, brand, bearer)
    if told["overall"] != "completed":
        raise RuntimeError(f"the sync ended as {told}")
    true = int(await db.fetch_value(LATER, [told["connection"]]))
    return Round(first_s or all_s, all_s, bulk_open, int(recent["objects_seen"]), true)


async def _status(session: aiohttp.ClientSession, brand: UUID, bearer: dict[str, str]) -> dict[str, Any]:
    async with session.get(f"/api/sync/{brand}/status", headers=bearer) as answer:
        told = (await answer.json())["shopify"]
    return {
        "overall": told["overall_status"],
        "milestones": {one["label"]: one for one in told["milestones"]},
        "connection": told["shops"][0]["connection_id"] if told["shops"] else None,
    }


async def measure() -> tuple[list[Figure], list[Round]]:
    """Run it; the figures, and each round."""
    shops = [f"recent-{n}.myshopify.com" for n in range(sized(7, 2))]
    sim_port, port = free_port(), free_port()
    simulate = [part for domain in shops for part in ("--shop", domain)]
    simulate += ["--orders", str(sized(5000, 300)), "--bulk-seconds", str(BULK_SECONDS)]
    simulate += [
        "--client-id",
        shop.CLIENT_ID,
        "--client-secret",
        shop.CLIENT_SECRET,
        "--port",
        str(sim_port),
    ]
    with tempfile.TemporaryDirectory() as folder:
        async with fresh_database(everything=True) as url, await Database.open(url, max_size=2) as db:
            environment = {
                "HEADGATE_DATABASE_URL": url,
                "HEADGATE_DATA_DIR": folder,
                "HEADGATE_APPS": "stores",
                "HEADGATE_PORT": str(port),
                "HEADGATE_LOG_LEVEL": "error",
                "HEADGATE_JWT_SECRET": shop.JWT_SECRET,
                "HEADGATE_STORES_CLIENT_ID": shop.CLIENT_ID,
                "HEADGATE_STORES_CLIENT_SECRET": shop.CLIENT_SECRET,
                "HEADGATE_STORES_TOKEN_KEY": shop.TOKEN_KEY,
                "HEADGATE_STORES_SIMULATOR_URL": f"http://127.0.0.1:{sim_port}",
            }
            base = f"http://127.0.0.1:{port}"
            async with (
                process("stores", "simulate", *simulate),
                process("serve", **environment),
                process("work", **environment),
                aiohttp.ClientSession(base, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
            ):
                await until_up(base)
                await asyncio.sleep(3)  # the worker too has begun
                rounds = [await one_round(session, db, domain) for domain in shops]
    took = [one.all_s for one in rounds]
    return [
        at_most("all of the last three days, worst", max(took), 5, "s"),
        Figure(name="all of the last three days, median", value=middle(took), unit="s"),
        Figure(name="first of them, median", value=middle([one.first_s for one in rounds]), unit="s"),
        Figure(name="orders of these days, median", value=middle([one.seen for one in rounds])),
        at_most("orders of these days that were not there", sum(max(0, r.true - r.seen) for r in rounds), 0),
        at_least("while the bulk operations ran", sum(r.bulk_open for r in rounds), len(rounds), "rounds"),
    ], rounds


def main() -> None:
    """The entry point of `python -m bench`."""
    figures, rounds = asyncio.run(measure())
    write(
        "stores_recent",
        "From connecting a shop to its last three days in the status",
        figures,
        command=COMMAND,
        about=f"{len(rounds)} shops of {sized(5000, 300):,} orders in 400 days, one after the other; bulk operations of"
        f" at least {BULK_SECONDS} s. Counted from the request that comes back from Shopify; the status is asked every"
        f" {1000 * ASK_EVERY_S:.0f} ms. Server, worker and simulated Shopify are processes on one machine.",
        samples=[vars(one) for one in rounds],
    )


if __name__ == "__main__":
    main()
