"""Webhooks at 200 a second: acknowledged within 100 ms for 99 of 100, applied within 2 s for 95 of 100.

Twenty shops, ten webhooks a second each. Every shop has a bucket of points of its own that gives back 1,000 a second,
as Shopify's plan Plus does (its standard plan gives 100). The bodies are those of changes that really happened at the
simulated shops before (orders placed, edited, refunded, cancelled and deleted, customers changed and merged, products,
stock), in the mix of a busy shop, with every one of the 22 topics; few objects are told of twice, so nearly each order
is a reading of its own. Two of a hundred deliveries come twice, as Shopify's do.

Simulated Shopify, server, worker and sender are processes of their own; bodies are signed beforehand. Acknowledged
counts from the moment at which a delivery was due. Applied, by the database's clock: from receipt until the transaction
has committed that holds both the webhook's new state and what was read from the shop after it came. The first five
seconds warm up and do not count. An acknowledgement waits for the disk, so a lone fdatasync is timed beside them.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import tempfile
import threading
from collections import Counter
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from bench import _cpu
from bench._database import fresh_database
from bench._server import until_up
from bench.report import Figure, at_least, at_most, percentile, sized, write
from headgate.apps.stores.simulator import ShopOptions, Simulator, serve
from headgate.apps.stores.simulator.options import gid
from headgate.apps.stores.simulator.outlet import Outlet
from headgate.apps.stores.tokens import Grant, Tokens
from headgate.apps.stores.topics import TOPICS
from headgate.base.clock import monotonic
from headgate.db import Database
from tests import stores_shop as shop
from tests.tickets_simulator import free_port

PER_SECOND = 200
SHOPS = 20
WARM_S = 5
TWICE = 50  # every so many-th delivery comes a second time
PROBE_S = 0.05  # how far apart the disk's own answers are timed
Signed = list[tuple[dict[str, str], bytes]]

APPLIED = """
select state, topic, extract(epoch from pg_xact_commit_timestamp(xmin) - received_at)::float as s
  from stores.webhook_inbox where deliveries = 1 order by id
"""
LEFT = "select count(*) from stores.webhook_inbox where state = 'received'"
WORKING = "select count(*) from control.workers where stopped_at is null"
QUERIES = "select sum(requests) from control.hosts where host like 'bench-%%'"


def _simulate(port: int, each: int, tell: Pipe) -> None:
    """The simulated Shopify: lets things happen at each shop, tells its grant and what webhooks say, then serves."""
    made = [ShopOptions(seed=n + 1, domain=f"bench-{n}.myshopify.com", orders=500) for n in range(SHOPS)]
    simulator = Simulator(made, apps={shop.CLIENT_ID: shop.CLIENT_SECRET})
    scopes = "read_orders,read_all_orders,read_products,read_customers,read_inventory"
    given = {"client_id": shop.CLIENT_ID, "client_secret": shop.CLIENT_SECRET, "expiring": "1"}
    wish = {
        "client_id": shop.CLIENT_ID,
        "redirect_uri": "http://127.0.0.1/callback",
        "scope": scopes,
        "state": "s",
    }
    told = {}
    for domain, outlet in simulator.outlets.items():
        code = dict(parse_qsl(urlsplit(outlet.oauth.approve(wish)).query))["code"]
        grant = Grant.read(domain, outlet.oauth.exchange({**given, "code": code}))
        told[domain] = (grant, _happen(outlet, each))
    tell.send(told)
    asyncio.run(serve(simulator, host="127.0.0.1", port=port))


def _happen(outlet: Outlet, count: int) -> list[tuple[str, dict[str, Any]]]:
    """Topics and bodies of `count` webhooks of one shop, in the order of what happened."""
    heard: list[tuple[str, dict[str, Any]]] = []
    outlet.shop.listeners.append(lambda change: heard.append((change.topic, change.payload)))
    outlet.live.run(20)
    for one in ("update_shop", "data_request", "redact_customer"):
        outlet.live.act(one)
    outlet.live.tell_scopes([], [])
    outlet.live.tell_uninstalled()
    outlet.live.tell_shop_redact()
    operation = {"admin_graphql_api_id": gid("BulkOperation", 1), "status": "completed", "type": "query"}
    heard.append(("bulk_operations/finish", operation))
    while len(heard) < count:
        outlet.live.run(1)
    outlet.shop.listeners.pop()
    return heard[:count]


def _sign(told: dict[str, Any]) -> Signed:
    """The shops' webhooks in turn, each shop's in order."""
    made: Signed = []
    for turn in zip(*(heard for _, heard in told.values()), strict=True):
        for domain, (topic, payload) in zip(told, turn, strict=True):
            one = shop.Delivery(topic, payload, shop=domain)
            made.append((one.headers(), one.body))
            if len(made) % TWICE == 0:
                made.append(made[-1])
    return made


def _generate(base: str, deliveries: Signed, tell: Pipe) -> None:
    """Send at a constant rate whether answers come or not; tells milliseconds since each was due, and refusals."""
    tell.send(asyncio.run(_send(base, deliveries)))


async def _send(base: str, deliveries: Signed) -> tuple[list[float], int]:
    took: list[float] = []
    refused = 0
    connector = aiohttp.TCPConnector(limit=200)
    async with aiohttp.ClientSession(base, connector=connector) as session, asyncio.TaskGroup() as group:

        async def one(due: float, headers: dict[str, str], body: bytes, counts: bool) -> None:
            nonlocal refused
            async with session.post("/api/stores/webhooks", data=body, headers=headers) as answer:
                await answer.read()
                refused += answer.status != 200
            if counts:
                took.append(1000 * (monotonic() - due))

        begun = monotonic() + 0.2
        for number, (headers, body) in enumerate(deliveries):
            due = begun + number / PER_SECOND
            await asyncio.sleep(max(0.0, due - monotonic()))
            group.create_task(one(due, headers, body, number >= WARM_S * PER_SECOND))
    return took, refused


class Disk:
    """Times a lone write of 8 kB and its fdatasync in `folder`, again and again: what no acknowledgement can beat."""

    def __init__(self, folder: str) -> None:
        self.took: list[float] = []  # milliseconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(Path(folder) / "probe",))

    def _run(self, path: Path) -> None:
        with path.open("wb", buffering=0) as file:
            while not self._stop.wait(PROBE_S):
                begun = monotonic()
                os.pwrite(file.fileno(), bytes(8192), 0)
                os.fdatasync(file.fileno())
                self.took.append(1000 * (monotonic() - begun))

    def __enter__(self) -> Disk:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


async def _process(command: str, environment: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headgate", command, env={**os.environ, **environment}, stdin=asyncio.subprocess.DEVNULL
    )  # fmt: skip


async def _connect(db: Database, told: dict[str, Any]) -> None:
    """A brand and a connection with the granted access for each shop."""
    for domain, (grant, _) in told.items():
        await shop.connection(db, await shop.brand(db, shop.someone(), name=domain), domain)
        async with db.transaction() as conn:
            await Tokens(db, shop.settings()).keep(conn, domain, grant)


async def measure() -> list[Figure]:
    """Run it; the figures."""
    spawn = multiprocessing.get_context("spawn")
    each = PER_SECOND * sized(65, WARM_S + 3) // SHOPS
    sim_port, port = free_port(), free_port()
    ours, theirs = spawn.Pipe()
    simulator = spawn.Process(target=_simulate, args=(sim_port, each, theirs), daemon=True)
    simulator.start()
    base = f"http://127.0.0.1:{port}"
    keep_times = {"track_commit_timestamp": "on"}
    with tempfile.TemporaryDirectory() as folder:
        async with (
            fresh_database(everything=True, settings=keep_times) as url,
            await Database.open(url, max_size=2) as db,
        ):
            told: dict[str, Any] = await asyncio.to_thread(ours.recv)
            await _connect(db, told)
            environment = {
                "HEADGATE_DATABASE_URL": url,
                "HEADGATE_DATA_DIR": folder,
                "HEADGATE_APPS": "stores",
                "HEADGATE_PORT": str(port),
                "HEADGATE_LOG_LEVEL": "error",
                "HEADGATE_STORES_CLIENT_ID": shop.CLIENT_ID,
                "HEADGATE_STORES_CLIENT_SECRET": shop.CLIENT_SECRET,
                "HEADGATE_STORES_TOKEN_KEY": shop.TOKEN_KEY,
                "HEADGATE_STORES_SIMULATOR_URL": f"http://127.0.0.1:{sim_port}",
            }
            processes = [await _process("serve", environment), await _process("work", environment)]
            try:
                await until_up(base)
                while not await db.fetch_value(WORKING):  # noqa: ASYNC110 - it polls a database
                    await asyncio.sleep(0.2)
                deliveries = _sign(told)
                pids = {
                    "server": processes[0].pid,
                    "worker": processes[1].pid,
                    "PostgreSQL": _cpu.parent(await db.fetch_value("select pg_backend_pid()")),
                    "simulated Shopify": simulator.pid or 0,
                }
                before = _cpu.seconds(pids)
                spawn.Process(target=_generate, args=(base, deliveries, theirs), daemon=True).start()
                with Disk(folder) as disk:
                    took, refused = await asyncio.to_thread(ours.recv)
                figures = await _figures(db, took, refused, each * SHOPS)
                figures += [
                    Figure(name=f"a lone fdatasync, {name}", value=percentile(disk.took, share), unit="ms")
                    for name, share in (("p50", 0.5), ("p99", 0.99), ("worst", 1.0))
                ]
                spent = {name: late - before[name] for name, late in _cpu.seconds(pids).items()}
                return figures + [
                    Figure(name=f"CPU of {name}, a delivery", value=1000 * s / len(deliveries), unit="ms")
                    for name, s in spent.items()
                ]
            finally:
                for process in processes:
                    if process.returncode is None:
                        process.terminate()
                await asyncio.gather(*(process.wait() for process in processes))
                simulator.terminate()


async def _figures(db: Database, took: list[float], refused: int, count: int) -> list[Figure]:
    for _ in range(240):
        if not await db.fetch_value(LEFT):
            break
        await asyncio.sleep(0.5)
    rows = await db.fetch_all(APPLIED)
    states = Counter(row["state"] for row in await db.fetch_all("select state from stores.webhook_inbox"))
    seconds = [
        row["s"] if row["state"] in ("applied", "stale") else 1e9 for row in rows[WARM_S * PER_SECOND :]
    ]
    topics = await db.fetch_value("select count(distinct topic) from stores.webhook_inbox")
    return [
        at_most("acknowledged, p99", percentile(took, 0.99), 100, "ms"),
        Figure(name="acknowledged, p50", value=percentile(took, 0.5), unit="ms"),
        at_most("not acknowledged", refused, 0),
        at_most("applied, p95", percentile(seconds, 0.95), 2, "s"),
        Figure(name="applied, p50", value=percentile(seconds, 0.5), unit="s"),
        at_least("applied", states["applied"] + states["stale"], count),
        at_least("topics", topics, len(TOPICS)),
        Figure(
            name="requests to the shops, a webhook", value=float(await db.fetch_value(QUERIES) or 0) / count
        ),
    ]


def main() -> None:
    """The entry point of `python -m bench`."""
    write(
        "stores_webhooks",
        f"Webhooks at {PER_SECOND} a second",
        asyncio.run(measure()),
        command="python -m bench stores_webhooks",
        about=f"Signed bodies of changes that really happened at {SHOPS} simulated shops (1,000 points a second each,"
        " as plan Plus has), all 22 topics in the mix of a busy shop, two of a hundred delivered twice; simulated"
        " Shopify, server, worker and sender are processes of their own on one machine. Applied: by database time,"
        " from receipt until the commit that holds what was read from the shop afterwards.",
    )


if __name__ == "__main__":
    main()
