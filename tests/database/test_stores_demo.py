"""The demo connects its shop by itself, to the simulator that is there, and lets every account see it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from headgate.apps.stores import demo
from headgate.apps.stores.app import app
from headgate.apps.stores.simulator import ShopOptions, Simulator, running
from headgate.db import Database
from headgate.engine.fetch import Fetcher
from headgate.engine.jobs import enqueue
from headgate.engine.manifest import Services
from headgate.engine.worker import Limits, Worker
from tests import stores_shop

CONNECTIONS = """
select state, connected_at, (select count(*) from stores.brand_members) as members from stores.connections
"""
WAITING = "select kind from control.jobs where state in ('ready', 'scheduled') order by kind"


def simulator() -> Simulator:
    apps = {demo.CLIENT["client-id"]: demo.CLIENT["client-secret"]}
    return Simulator([ShopOptions(domain=demo.SHOP, orders=5)], apps=apps)


async def run(db: Database, **settings: Any) -> None:
    """Run the demo's job once, as `headgate up --demo` has it run."""
    given = Services(db=db, fetcher=Fetcher(db, user_agent="test"), app=app, settings=settings)
    worker = Worker(db, {demo.KIND: app.jobs[demo.KIND](given)}, concurrency=1, limits=Limits(poll_s=0.05))
    async with db.transaction() as conn:
        await conn.execute("delete from control.jobs")
        await enqueue(conn, demo.KIND, unique="demo")
    stop = asyncio.Event()
    working = asyncio.create_task(worker.run(stop))
    try:
        async with asyncio.timeout(30):
            while await db.fetch_value(  # noqa: ASYNC110 - a worker does it
                "select count(*) from control.jobs where kind = %s and state in ('ready', 'running')",
                [demo.KIND],
            ):
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await working


async def test_the_shop_is_connected_once_and_anew_to_a_new_simulator(
    database: Database, tmp_path: Path
) -> None:
    common = stores_shop.extras(
        client_id=demo.CLIENT["client-id"],
        client_secret=demo.CLIENT["client-secret"],
        demo_shop=demo.SHOP,
        simulator_url="http://127.0.0.1:9",
    ) | {"data_dir": tmp_path}
    await database.execute("insert into auth.users (id, email) values (gen_random_uuid(), 'a@example.com')")
    async with running(simulator()) as url:
        await run(database, **common | {"simulator_url": url})
        (before,) = await database.fetch_all(CONNECTIONS)
        assert (before["state"], before["members"]) == ("connected", 1)
        kinds = {row["kind"] for row in await database.fetch_all(WAITING)}
        assert kinds == {"stores.recent_sync", "stores.webhooks_repair", demo.KIND}
        await database.execute(
            "insert into auth.users (id, email) values (gen_random_uuid(), 'b@example.com')"
        )
        await run(database, **common | {"simulator_url": url})
        (again,) = await database.fetch_all(CONNECTIONS)
        assert again["connected_at"] == before["connected_at"] and again["members"] == 2
        assert {row["kind"] for row in await database.fetch_all(WAITING)} == {demo.KIND}
    await database.execute(
        "insert into public.shop_milestones (connection_id, label) select id, 'orders' from stores.connections"
    )
    async with running(simulator()) as url:
        await run(database, **common | {"simulator_url": url})
        (anew,) = await database.fetch_all(CONNECTIONS)
        assert anew["state"] == "connected" and anew["connected_at"] > before["connected_at"]
        assert await database.fetch_value("select count(*) from public.shop_milestones") == 0
        assert await database.fetch_value("select count(*) from stores.brands") == 1


async def test_without_a_demo_nothing_is_made(database: Database, tmp_path: Path) -> None:
    await run(database, **stores_shop.extras(simulator_url="http://127.0.0.1:9"), data_dir=tmp_path)
    assert await database.fetch_value("select count(*) from stores.brands") == 0
    assert await database.fetch_all(WAITING) == []


def test_the_demo_asks_for_what_the_simulator_takes() -> None:
    from headgate.apps.stores.simulator.__main__ import main

    made = demo.demo(18791)
    context = main.make_context("simulate", list(made.arguments[2:]))
    assert context.params["port"] == 18791 and context.params["shops"] == (demo.SHOP,)
    assert context.params["client_secret"] == made.environment["HEADGATE_STORES_CLIENT_SECRET"]
