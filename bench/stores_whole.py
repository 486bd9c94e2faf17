"""A shop of 1,000,000 lines from connecting to reconciled, with nothing lost, doubled or off by a cent.

The simulated Shopify and the worker are processes of their own, as in production: the merchant approves, the worker
runs the bulk operations, downloads, counts, promotes, reads the refunds' lines and reconciles. Afterwards every object,
when it last changed, the stock, every order's total and every figure of every day are compared with the simulator's
ledger. Seconds of a state are as the operation's row told it, looked at ten times a second.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from bench._database import fresh_database
from bench.report import Figure, at_most, sized, write
from headgate.apps.stores.connect import Connecting
from headgate.apps.stores.simulator.options import ShopOptions
from headgate.apps.stores.simulator.server import CLIENT_ID, CLIENT_SECRET, Simulator
from headgate.apps.stores.tokens import Tokens
from headgate.apps.stores.wire import Wire
from headgate.db import Database
from tests import stores_shop
from tests.stores_sync import Synced
from tests.tickets_simulator import free_port

LINES = 1_000_000
#: Of all three files together.
LINES_PER_ORDER = 9.5
DOMAIN = "whole.myshopify.com"
#: Until then the sync has ended, or the measurement is given up, in seconds.
LONGEST = 3600.0
STATES = "select entity, state, lines, remote_created_at from stores.bulk_operations where connection_id = %s"


async def start(*words: str, environment: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
    """A process of this Python."""
    return await asyncio.create_subprocess_exec(
        sys.executable, *words, env={**os.environ, **(environment or {})}, stdin=asyncio.subprocess.DEVNULL
    )


async def end(process: asyncio.subprocess.Process) -> None:
    """Stop a process that `start` made, if it runs still."""
    if process.returncode is None:
        process.terminate()
        await process.wait()


async def db_has_worker(db: Database) -> None:
    """Return when the worker has reported for work. Raises RuntimeError after a minute."""
    for _ in range(300):
        if await db.fetch_value("select exists (select from control.workers where lease_until > now())"):
            return
        await asyncio.sleep(0.2)
    raise RuntimeError("the worker did not start")


async def answering(url: str) -> None:
    """Return when something answers at `url`. Raises RuntimeError after a minute."""
    async with httpx.AsyncClient() as client:
        for _ in range(300):
            try:
                await client.get(url)
            except httpx.TransportError:
                await asyncio.sleep(0.2)
            else:
                return
    raise RuntimeError(f"nothing answers at {url}")


async def connect(db: Database, settings: dict[str, Any], folder: Path) -> int:
    """The merchant approves, as a browser would; the connection."""
    ours = stores_shop.settings(**settings)
    wire = Wire(ours, keep=False)
    tokens = Tokens(db, ours, wire=wire, data_dir=folder)
    connecting = Connecting(db, ours, tokens, wire)
    brand = await stores_shop.brand(db, stores_shop.someone())
    begun = await connecting.begin(
        brand=brand, shop=DOMAIN, user=None, base_url="http://127.0.0.1:9", link=True
    )
    async with httpx.AsyncClient() as merchant:
        approved = await merchant.get(begun.url)
    await connecting.finish(dict(parse_qsl(urlsplit(approved.headers["location"]).query)), "")
    await wire.close()
    return int(await db.fetch_value("select id from stores.connections"))


async def watch(db: Database, connection: int, begun: float) -> dict[str, Any]:
    """Follow the sync to its end: seconds since `begun` of each milestone, and seconds in each state of `orders`."""
    ended: dict[str, float] = {}
    spent: dict[str, float] = defaultdict(float)
    last = time.monotonic()
    while time.monotonic() - begun < LONGEST:
        for row in await db.fetch_all(
            "select label, status from public.shop_milestones where connection_id = %s", [connection]
        ):
            if row["status"] in ("completed", "partial", "error") and row["label"] not in ended:
                ended[row["label"]] = time.monotonic() - begun
                print(f"  {ended[row['label']]:7.1f} s  {row['label']}: {row['status']}", flush=True)
        now = time.monotonic()
        for row in await db.fetch_all(STATES, [connection]):
            if row["entity"] == "orders":
                spent[row["state"]] += now - last
        last = now
        if "reconciled" in ended:
            break
        await asyncio.sleep(0.1)
    return {"ended": ended, "spent": dict(spent)}


def peak_mb(pid: int) -> float:
    """The most memory that a process ever held, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel tells no peak of memory")


async def measure(folder: Path) -> dict[str, Any]:
    """One sync; what it took and what is wrong after it."""
    options = ShopOptions(
        seed=11, domain=DOMAIN, orders=max(60, int(sized(LINES, 500) / LINES_PER_ORDER)),
        opened_at=int(time.time()) // 60 * 60,
    )  # fmt: skip
    port = free_port()
    settings: dict[str, Any] = {
        "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "simulator_url": f"http://127.0.0.1:{port}",
    }  # fmt: skip
    simulator = await start(
        "-m", "headgate.apps.stores.simulator", "--port", str(port), "--shop", DOMAIN, "--seed", str(options.seed),
        "--orders", str(options.orders), "--opened-at", str(options.opened_at),
    )  # fmt: skip
    try:
        await answering(f"http://127.0.0.1:{port}/")
        async with fresh_database(everything=True) as url, await Database.open(url, max_size=4) as db:
            environment = {
                "HEADGATE_DATABASE_URL": url,
                "HEADGATE_DATA_DIR": str(folder),
                "HEADGATE_APPS": "stores",
                "HEADGATE_LOG_LEVEL": "error",
                "HEADGATE_STORES_CLIENT_ID": CLIENT_ID,
                "HEADGATE_STORES_CLIENT_SECRET": CLIENT_SECRET,
                "HEADGATE_STORES_TOKEN_KEY": stores_shop.TOKEN_KEY,
                "HEADGATE_STORES_SIMULATOR_URL": settings["simulator_url"],
            }
            worker = await start("-m", "headgate", "work", environment=environment)
            try:
                await db_has_worker(db)
                begun = time.monotonic()
                connection = await connect(db, settings, folder)
                found = await watch(db, connection, begun)
                found["memory_mb"] = peak_mb(worker.pid)
            finally:
                await end(worker)
            found["lines"] = int(
                await db.fetch_value("select coalesce(sum(lines), 0) from stores.bulk_operations")
            )
            print(f"  {time.monotonic() - begun:7.1f} s  compare with the ledger", flush=True)
            local = Simulator([options])  # the same seed gives the same shop
            synced = Synced(db, local, connection, settings, folder)
            found["wrong"] = await synced.differences()
            told = await db.fetch_value("select stores.shop_status(%s)", [connection])
            if told["overall_status"] != "completed":
                found["wrong"].append(f"the status is {told['overall_status']}")
            await local.close()
    finally:
        await end(simulator)
    return found


async def run() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as folder:
        found = await measure(Path(folder))
    for one in found["wrong"]:
        print(f"  wrong: {one}")
    spent, ended = found["spent"], found["ended"]
    ours = sum(spent.get(state, 0.0) for state in ("downloading", "staged", "verified", "promoted"))
    figures = [
        Figure(name="lines", value=found["lines"]),
        Figure(name="last three days visible after", value=ended.get("recent", float("inf")), unit="s"),
        *(
            Figure(name=f"orders: {state.replace('_', ' ')}", value=seconds, unit="s")
            for state, seconds in spent.items()
            if seconds >= 0.05 and state not in ("completed", "partial")
        ),
        Figure(name="lines ÷ download to completed", value=found["lines"] / max(ours, 1e-9), unit="lines/s"),
        Figure(name="connect to reconciled", value=ended.get("reconciled", float("inf")), unit="s"),
        at_most("worker's peak memory", found["memory_mb"], 300, "MB"),
        at_most("differences from the ledger", len(found["wrong"]), 0),
    ]
    write(
        "stores_whole",
        "Stores: a whole shop, from connect to reconciled",
        figures,
        command="python -m bench stores_whole",
        about=(__doc__ or "").strip(),
        samples=found,
    )


def main() -> None:
    """The full measurement, or a trial: `BENCH_SCALE=0.01 python -m bench stores_whole`."""
    asyncio.run(run())


if __name__ == "__main__":
    main()
