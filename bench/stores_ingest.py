"""A shop's bulk file of orders (1,000,000 lines from the simulator) into the stores tables, against plain COPY.

Ours: `ingest_file` with two promoters through `stores.promote_batch`. Plain COPY: the rows that ours made, written out
and copied back into the same tables with their indexes, one statement a table. The unchanged file again: its WAL.
The daily figures are compared with the simulator's ledger, to the cent.
"""

from __future__ import annotations

import asyncio
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench import report
from bench._database import fresh_database
from headgate.apps.stores import documents
from headgate.apps.stores.app import app
from headgate.apps.stores.completeness import count
from headgate.apps.stores.simulator import ledger
from headgate.apps.stores.simulator.options import ShopOptions
from headgate.apps.stores.simulator.projection import Compiler, dump
from headgate.apps.stores.simulator.roots import root_nodes
from headgate.apps.stores.simulator.schema import schema_for
from headgate.apps.stores.simulator.shop import Shop
from headgate.db import Database, migrate
from headgate.engine.bulk import ingest_file
from headgate.engine.rollup import refresh

LINES = 1_000_000
PER_ORDER = 11
TABLES = ("orders", "line_items", "shipping_lines", "sales_agreements", "sales", "refunds", "transactions")
SCOPES = frozenset({"read_orders", "read_all_orders", "read_products", "read_customers", "read_inventory"})


def generate(path: Path, orders: int) -> tuple[Shop, int]:
    """The bulk file of a seeded shop; how many lines it has."""
    shop = Shop(ShopOptions(seed=11, orders=orders))
    projection = Compiler(schema_for("2026-07"), documents.BULK["orders"]).compile()
    lines = 0
    with path.open("wb") as file:
        for node in root_nodes(shop, projection, SCOPES):
            for line in projection.lines(node):
                file.write(dump(line.values))
                lines += 1
    return shop, lines


async def connected(db: Database, shop: Shop) -> int:
    """A connection to fill."""
    brand = await db.fetch_value("insert into stores.brands (name) values (%s) returning id", [str(uuid4())])
    made: int = await db.fetch_value(
        "insert into stores.connections (brand_id, shop_domain, api_version, time_zone, currency)"
        " values (%s, %s, '2026-07', %s, %s) returning id",
        [brand, shop.domain, shop.options.timezone, shop.options.currency],
    )
    return made


async def ours(db: Database, path: Path, connection: int, shop: Shop) -> float:
    """Seconds of one ingest: the file counted, as it is before it may be promoted, then promoted."""
    run = await db.fetch_value(
        "insert into stores.sync_runs (connection_id, kind) values (%s, 'full') returning id", [connection]
    )
    operation = await db.fetch_value(
        "insert into stores.bulk_operations (run_id, connection_id, entity) values (%s, %s, 'orders') returning id",
        [run, connection],
    )
    meta = {
        "connection_id": connection,
        "operation_id": operation,
        "read_at": f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(shop.options.opened_at + 120))}",
    }
    began = time.perf_counter()
    await asyncio.to_thread(count, path)
    await ingest_file(db, app, "bulk", path, key=str(operation), meta=meta)
    took = time.perf_counter() - began
    await db.execute("delete from stores.file_parents where operation_id = %s", [operation])
    return took


async def plain(db: Database, folder: Path) -> float:
    """Seconds of one COPY a table of the rows that ours made, into the same tables, emptied before."""
    async with db.connection() as conn, conn.cursor() as cur:
        for table in TABLES:
            with (folder / table).open("wb") as file:
                async with cur.copy(f"copy public.shop_{table} to stdout") as copy:
                    async for block in copy:
                        file.write(block)
        await cur.execute(f"truncate {', '.join(f'public.shop_{t}' for t in TABLES)}")
        began = time.perf_counter()
        for table in TABLES:
            with (folder / table).open("rb") as file:
                async with cur.copy(f"copy public.shop_{table} from stdin") as copy:
                    while block := file.read(1 << 20):
                        await copy.write(block)
        return time.perf_counter() - began


async def wal(db: Database) -> int:
    """Bytes of the log so far."""
    return int(await db.fetch_value("select pg_current_wal_insert_lsn() - '0/0'"))


async def figures_differ(db: Database, shop: Shop) -> int:
    """How many figures of how many days differ from the simulator's ledger."""
    await refresh(db, app)
    rows = {r["day"].isoformat(): r for r in await db.fetch_all("select * from public.shop_daily_sales")}
    wrong = 0
    for told in ledger.as_rows(ledger.daily(shop.orders, shop.options.timezone)):
        mine = rows.get(told["day"], {})
        for name in (
            "gross",
            "discounts",
            "reversals",
            "net",
            "shipping",
            "taxes",
            "duties",
            "fees",
            "total",
            "orders",
        ):
            wrong += str(name) not in mine or mine[name] != type(mine[name])(told[name])
    return wrong


async def measure(url: str, folder: Path, lines: int) -> dict[str, Any]:
    """Every sample."""
    path = folder / "orders.jsonl"
    shop, made = await asyncio.to_thread(generate, path, max(50, lines // PER_ORDER))
    await migrate.up(url, migrate.built_in_sources())
    async with await Database.open(url, max_size=4) as db:
        connection = await connected(db, shop)
        before = await wal(db)
        found: dict[str, Any] = {"lines": made, "bytes": path.stat().st_size}
        found["ours"] = await ours(db, path, connection, shop)
        found["wal_first"] = await wal(db) - before
        found["wrong"] = await figures_differ(db, shop)
        # as autovacuum would: the first reading of a fresh row sets hint bits, which are logged
        for table in TABLES:
            await db.execute(f"vacuum public.shop_{table}")
        before = await wal(db)
        found["again"] = await ours(db, path, connection, shop)
        found["wal_again"] = await wal(db) - before
        found["copy"] = await plain(db, folder)
    found["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


async def run() -> None:
    """Measure and report."""
    lines = report.sized(LINES, 1000)
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as folder:
        async with fresh_database() as url:
            found = await measure(url, Path(folder), lines)
    figures = [
        report.Figure(name="lines", value=found["lines"]),
        report.Figure(name="file", value=found["bytes"] / 1e6, unit="MB"),
        report.Figure(name="ours", value=found["lines"] / found["ours"], unit="lines/s"),
        report.Figure(name="plain COPY", value=found["copy"], unit="s"),
        report.at_least("ours ÷ plain COPY", found["copy"] / found["ours"], 0.35),
        report.at_most("WAL of the unchanged file ÷ first", found["wal_again"] / found["wal_first"], 0.01),
        report.at_most("peak memory, generator included", found["memory_mb"], 300, "MB"),
        report.at_most("figures that differ from the ledger", found["wrong"], 0),
    ]
    about = (__doc__ or "").strip()
    command = "python -m bench stores_ingest"
    report.write(
        "stores_ingest",
        "Stores: ingest of a shop's orders",
        figures,
        command=command,
        about=about,
        samples=found,
    )
    print(json.dumps(found))


def main() -> None:
    """The full measurement, or a trial: `BENCH_SCALE=0.01 python -m bench stores_ingest`."""
    asyncio.run(run())


if __name__ == "__main__":
    main()
