"""Webhooks at 200 a second: acknowledged within 100 ms for 99 of 100, applied within 2 s for 95 of 100.

Simulated Shopify, server, worker and sender are processes of their own. Bodies name real objects of ten shops and are
signed beforehand. Acknowledged counts from the moment at which a delivery was due. Applied, by the database's clock: a
reading of the object that was asked for after the webhook was received has been committed.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import tempfile
from multiprocessing.connection import Connection as Pipe
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from bench import _cpu
from bench._database import fresh_database
from bench._server import until_up
from bench.report import Figure, at_least, at_most, percentile, sized, write
from headgate.apps.stores.simulator import ShopOptions, Simulator, serve
from headgate.apps.stores.simulator.oracle import ids
from headgate.apps.stores.tokens import Grant, Tokens
from headgate.base.clock import monotonic
from headgate.db import Database
from tests import stores_shop as shop
from tests.tickets_simulator import free_port

PER_SECOND = 200
SHOPS = 10
ENTITIES = {"orders": "orders/updated", "customers": "customers/update", "products": "products/update"}
Signed = list[tuple[dict[str, str], bytes]]

#: Notes each reading of an object that was asked for: the row goes after the reading is committed.
NOTE_READS = """
create table public.bench_reads as select connection_id, entity, shopify_id, asked_at, now() as at
  from stores.refetches limit 0;
create index on public.bench_reads (connection_id, entity, shopify_id);
create function public.bench_note() returns trigger language plpgsql as $$ begin
  insert into public.bench_reads
  values (old.connection_id, old.entity, old.shopify_id, old.asked_at, clock_timestamp());
  return old;
end $$;
create trigger bench_note after delete on stores.refetches for each row execute function public.bench_note()
"""
APPLIED = """
select extract(epoch from (
         select min(d.at) from public.bench_reads d
          where d.connection_id = w.connection_ids[1] and d.entity = split_part(w.topic, '/', 1)
            and d.shopify_id = (w.payload ->> 'id')::bigint
            and d.asked_at >= w.received_at) - w.received_at)::float as s
  from stores.webhook_inbox w
"""
LEFT = """
select (select count(*) from stores.webhook_inbox where state = 'received') + (select count(*) from stores.refetches)
"""


def _simulate(port: int, orders: int, tell: Pipe) -> None:
    """The simulated Shopify; tells each shop's grant and the numbers of its objects, then serves."""
    made = [ShopOptions(seed=n + 1, domain=f"bench-{n}.myshopify.com", orders=orders) for n in range(SHOPS)]
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
        found = ids(outlet.shop)
        told[domain] = (
            grant,
            {entity: sorted(int(one.rsplit("/", 1)[-1]) for one in found[entity]) for entity in ENTITIES},
        )
    tell.send(told)
    asyncio.run(serve(simulator, host="127.0.0.1", port=port))


def _sign(objects: dict[str, dict[str, list[int]]], count: int) -> Signed:
    """Deliveries over all shops and topics in turn; no two bodies are the same."""
    made = []
    domains, entities = sorted(objects), list(ENTITIES)
    for number in range(count):
        domain, entity = domains[number % SHOPS], entities[number // SHOPS % len(entities)]
        known = objects[domain][entity]
        payload = {
            "id": known[number // (SHOPS * len(entities)) % len(known)],
            "n": number,
            "note": "x" * 1500,
        }
        one = shop.Delivery(ENTITIES[entity], payload, shop=domain)
        made.append((one.headers(), one.body))
    return made


def _generate(base: str, deliveries: Signed, tell: Pipe) -> None:
    """Send at a constant rate whether answers come or not; tells milliseconds since each was due, and refusals."""
    tell.send(asyncio.run(_send(base, deliveries)))


async def _send(base: str, deliveries: Signed) -> tuple[list[float], int]:
    took: list[float] = []
    refused = 0
    connector = aiohttp.TCPConnector(limit=200)
    async with aiohttp.ClientSession(base, connector=connector) as session, asyncio.TaskGroup() as group:

        async def one(due: float, headers: dict[str, str], body: bytes) -> None:
            nonlocal refused
            async with session.post("/api/stores/webhooks", data=body, headers=headers) as answer:
                await answer.read()
                refused += answer.status != 200
            took.append(1000 * (monotonic() - due))

        begun = monotonic() + 0.2
        for number, (headers, body) in enumerate(deliveries):
            due = begun + number / PER_SECOND
            await asyncio.sleep(max(0.0, due - monotonic()))
            group.create_task(one(due, headers, body))
    return took, refused


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
    count, sim_port, port = PER_SECOND * sized(60, 2), free_port(), free_port()
    ours, theirs = spawn.Pipe()
    simulator = spawn.Process(target=_simulate, args=(sim_port, sized(300, 50), theirs), daemon=True)
    simulator.start()
    base = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        async with fresh_database(everything=True) as url, await Database.open(url, max_size=2) as db:
            told: dict[str, Any] = await asyncio.to_thread(ours.recv)
            await _connect(db, told)
            for statement in NOTE_READS.split(";\ncreate "):
                await db.execute(
                    statement if statement.lstrip().startswith("create") else "create " + statement
                )
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
                deliveries = _sign({domain: objects for domain, (_, objects) in told.items()}, count)
                backend = await db.fetch_value("select pg_backend_pid()")
                pids = {
                    "server": processes[0].pid,
                    "worker": processes[1].pid,
                    "simulated Shopify": simulator.pid or 0,
                    "PostgreSQL": _cpu.parent(backend),
                }
                before = _cpu.seconds(pids)
                spawn.Process(target=_generate, args=(base, deliveries, theirs), daemon=True).start()
                took, refused = await asyncio.to_thread(ours.recv)
                figures = await _figures(db, took, refused, count)
                after = _cpu.seconds(pids)
                return figures + [
                    Figure(
                        name=f"CPU of {name}, a webhook",
                        value=1000 * (after[name] - before[name]) / count,
                        unit="ms",
                    )
                    for name in pids
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
    applied = [row["s"] for row in await db.fetch_all(APPLIED) if row["s"] is not None]
    applied_or_never = applied + [1e9] * (count - len(applied))
    return [
        at_most("acknowledged, p99", percentile(took, 0.99), 100, "ms"),
        Figure(name="acknowledged, p50", value=percentile(took, 0.5), unit="ms"),
        at_most("not acknowledged", refused, 0),
        at_most("applied, p95", percentile(applied_or_never, 0.95), 2, "s"),
        Figure(name="applied, p50", value=percentile(applied_or_never, 0.5), unit="s"),
        at_least("applied", len(applied), count),
    ]


def main() -> None:
    """The entry point of `python -m bench`."""
    write(
        "stores_webhooks",
        f"Webhooks at {PER_SECOND} a second",
        asyncio.run(measure()),
        command="python -m bench stores_webhooks",
        about=f"Signed bodies of about 1.6 kB, three topics, {SHOPS} shops; simulated Shopify (1,000 points a second"
        " and shop), server, worker and sender are processes of their own on one machine. Applied: by the database's"
        " clock, from receipt until a reading of the object that was asked for later has been committed.",
    )


if __name__ == "__main__":
    main()
