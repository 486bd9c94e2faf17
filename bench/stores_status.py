"""`GET /api/sync/{brandId}/status` with 1,000 brands: answered within 30 ms for 95 of 100, under row-level security.

The server is a process of its own. Clients ask at fixed moments, so an answer counts from the moment at which it was
due, not from when a busy client came to ask; webhooks are delivered to the same server meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from typing import Any
from uuid import UUID

import aiohttp

from bench._database import fresh_database
from bench._server import served
from bench.report import Figure, at_least, at_most, percentile, sized, write
from headgate.base.clock import monotonic
from headgate.db import Database
from tests import stores_shop as shop

COMMAND = "python -m bench stores_status"
CLIENTS = 20
WEBHOOKS_PER_S = 20
Brands = list[tuple[UUID, UUID]]

FILL = """
with made as (
    insert into stores.brands (name) select 'Brand ' || n from generate_series(1, %(brands)s) n returning id
), member as (
    insert into stores.brand_members select id, gen_random_uuid(), 'owner' from made
), shop as (
    insert into stores.connections (brand_id, shop_domain, state, api_version, scopes, currency, coverage)
    select m.id, 'shop-' || row_number() over () || '.myshopify.com', 'connected', '2026-07', '{read_orders}', 'USD',
           '{"orders": "60_days"}' from made m, generate_series(1, 3) returning id
), run as (
    insert into stores.sync_runs (connection_id, kind, state)
    select s.id, 'full', case n when 3 then 'running' else 'completed' end from shop s, generate_series(1, 3) n
    returning id, connection_id
), operation as (
    insert into stores.bulk_operations (run_id, connection_id, entity, state, query, gid, lines)
    select r.id, r.connection_id, e, 'staged', repeat('x', 500), 'gid://shopify/BulkOperation/' || r.id, 400
      from run r, unnest('{orders,customers,products}'::text[]) e
)
insert into public.shop_milestones
    (connection_id, label, status, rows_written, total_rows, objects_seen, started_at, detail)
select s.id, l, 'in_progress', 400, 1000, 400, now() - interval '1 minute', '{"state": "downloading"}'
  from shop s, unnest('{connected,recent,orders,customers,products,reconciled}'::text[]) l
"""
INBOX = """
insert into stores.webhook_inbox (topic, shop_domain, event_id, webhook_id, connection_ids, state, bytes, payload)
select 'orders/updated', c.shop_domain, 'e' || c.id || '-' || n, 'w' || c.id || '-' || n, array[c.id], 'applied', 1600,
       jsonb_build_object('id', n, 'note', repeat('x', 1500))
  from stores.connections c, generate_series(1, 20) n
"""


def _application(db: Database) -> Any:
    from headgate.apps.stores.app import app
    from headgate.base.settings import Settings
    from headgate.server import create_app

    settings = Settings(_env_file=None, jwt_secret=shop.JWT_SECRET)  # type: ignore[call-arg]
    return create_app(settings, db, apps=[app], extras=shop.extras())


async def fill(db: Database, brands: int) -> Brands:
    """Brands with an owner, three shops each, and each of these with milestones, runs, operations and webhooks."""
    await db.execute(FILL, {"brands": brands})
    await db.execute(INBOX)
    await db.execute("analyze")
    rows = await db.fetch_all("select brand_id, user_id from stores.brand_members")
    return [(row["brand_id"], row["user_id"]) for row in rows]


async def _status(session: aiohttp.ClientSession, brand: UUID, bearer: dict[str, str]) -> tuple[int, int]:
    """The answer's status, and how many shops it tells of."""
    async with session.get(f"/api/sync/{brand}/status", headers=bearer) as answer:
        told = await answer.json()
        return answer.status, len(told.get("shopify", {}).get("shops", ()))


async def strangers(session: aiohttp.ClientSession, brands: Brands) -> Counter[int]:
    """Each of the clients asks for a brand of another user's; the statuses of the answers."""
    found: Counter[int] = Counter()
    for (_, user), (brand, _) in itertools.pairwise(brands[: CLIENTS + 1]):
        found[(await _status(session, brand, shop.bearer(user)))[0]] += 1
    return found


async def _client(session: aiohttp.ClientSession, brands: Brands, begun: float, seconds: int) -> list[float]:
    """Milliseconds from the moment that each question was due until its whole answer was there, one a second."""
    dice = random.Random(begun)
    took = []
    asked = [(brand, shop.bearer(user)) for brand, user in dice.sample(brands, min(10, len(brands)))]
    for number in range(seconds):
        brand, bearer = asked[number % len(asked)]
        due = begun + number
        await asyncio.sleep(max(0.0, due - monotonic()))
        status, shops = await _status(session, brand, bearer)
        took.append(1000 * (monotonic() - due))
        if (status, shops) != (200, 3):
            raise RuntimeError(f"status {status} with {shops} shops")
    return took


async def _deliver(session: aiohttp.ClientSession, begun: float, seconds: int) -> int:
    """Deliver webhooks at a steady pace; how many were taken."""
    taken = 0
    for number in range(seconds * WEBHOOKS_PER_S):
        await asyncio.sleep(max(0.0, begun + number / WEBHOOKS_PER_S - monotonic()))
        one = shop.Delivery(
            "orders/updated",
            {"id": number, "note": "x" * 1500},
            shop=f"shop-{number % 100 + 1}.myshopify.com",
        )
        async with session.post("/api/stores/webhooks", data=one.body, headers=one.headers()) as answer:
            taken += (await answer.json()).get("result") == "taken"
    return taken


async def measure() -> list[Figure]:
    """Run it; the figures."""
    seconds = sized(60, 5)
    async with (
        fresh_database(everything=True) as url,
        await Database.open(url, max_size=2) as db,
        served(url, _application) as base,
        aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(limit=CLIENTS + 5)) as session,
    ):
        brands = await fill(db, sized(1000, 50))
        hidden = await strangers(session, brands)
        begun = monotonic() + 0.5
        delivering = asyncio.create_task(_deliver(session, begun, seconds))
        found = await asyncio.gather(
            *(_client(session, brands, begun + n / CLIENTS, seconds) for n in range(CLIENTS))
        )
        taken = await delivering
    took = [one for part in found for one in part]
    return [
        at_most("p95", percentile(took, 0.95), 30, "ms"),
        Figure(name="p50", value=percentile(took, 0.5), unit="ms"),
        Figure(name="p99", value=percentile(took, 0.99), unit="ms"),
        at_least("answers", len(took), CLIENTS * seconds),
        at_least("of another's brand: 404", hidden[404], CLIENTS),
        at_least("webhooks taken meanwhile", taken, seconds * WEBHOOKS_PER_S),
    ]


def main() -> None:
    """The entry point of `python -m bench`."""
    write(
        "stores_status",
        f"Status of a brand's sync, {sized(1000, 50):,} brands",
        asyncio.run(measure()),
        command=COMMAND,
        about=f"Three shops a brand, each with milestones, three runs of three operations and 20 webhooks. {CLIENTS}"
        f" clients ask once a second each, counted from the moment the question was due, while {WEBHOOKS_PER_S} signed"
        " webhooks a second are taken by the same server process. All on one machine.",
    )


if __name__ == "__main__":
    main()
