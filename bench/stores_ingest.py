"""A shop's bulk file of orders into the stores tables, against plain COPY and dlt; and 1,000,000 lines to the cent.

Ours: what the application does with a downloaded file: count every line (in processes of their own, about 130 MB, gone
before the peak), then `ingest_file` with two promoters (parse, stage the rest, prepare, and `stores.promote_batch`:
parents, freshness, upsert into seven tables with 16 indexes, marks for the daily figures, cursor, progress). Plain
COPY: the rows that ours made, written out once and copied back into the same tables with their indexes, one statement a
table. Both from files, into emptied tables, in alternating rounds on one durable embedded PostgreSQL. dlt: one merge
load of the same file into one table a kind, without parents and figures.

The file, and all that is compared with, is made by a process of its own: memory is that of the ingesting process alone.
Rows lost or doubled: the numbers of rows of each table and the sums of their Shopify numbers against what was written
into the file. Figures: every figure of every day against the simulator's ledger, which shares no code with ours.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench import ingest, report
from bench._database import fresh_database
from bench._stores_file import FIGURES, TABLES
from headgate.apps.stores.app import app
from headgate.db import Database, migrate
from headgate.engine.rollup import refresh

LINES = 1_000_000
ROUNDS_LINES = 100_000
PAIRS = 5
SHOP_TABLES = tuple(f"public.shop_{name}" for name in TABLES.values())


def child(module: str, *arguments: str) -> str:
    """What a module of this folder prints, run in a process of its own."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=report.ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


class Made:
    """A generated file and what is known of it."""

    def __init__(self, folder: Path, lines: int) -> None:
        folder.mkdir()
        child("bench._stores_file", str(folder), str(lines))
        self.folder = folder
        self.path = folder / "orders.jsonl"
        self.about: dict[str, Any] = json.loads((folder / "about.json").read_text())
        self.bytes = self.path.stat().st_size


async def connected(db: Database, made: Made) -> int:
    """A connection to fill."""
    brand = await db.fetch_value("insert into stores.brands (name) values (%s) returning id", [str(uuid4())])
    connection: int = await db.fetch_value(
        "insert into stores.connections (brand_id, shop_domain, api_version, time_zone, currency)"
        " values (%s, %s, '2026-07', %s, %s) returning id",
        [brand, f"{uuid4().hex[:8]}-{made.about['domain']}", made.about["zone"], made.about["currency"]],
    )
    return connection


async def ours(url: str, made: Made, connection: int) -> dict[str, Any]:
    """One bulk operation in a process of its own."""
    arguments = (url, str(connection), str(made.path), str(made.about["read_at"]))
    answer: dict[str, Any] = json.loads(await asyncio.to_thread(child, "bench._stores_ours", *arguments))
    return answer


async def export(db: Database, folder: Path) -> None:
    """The rows as they are, ready to be copied back."""
    async with db.connection() as conn, conn.cursor() as cur:
        for table in SHOP_TABLES:
            with (folder / table).open("wb") as file:
                async with cur.copy(f"copy {table} to stdout") as copy:
                    async for block in copy:
                        file.write(block)


async def plain(db: Database, folder: Path) -> float:
    """Seconds of one COPY a table of the exported rows."""
    async with db.connection() as conn, conn.cursor() as cur:
        began = time.perf_counter()
        for table in SHOP_TABLES:
            with (folder / table).open("rb") as file:
                async with cur.copy(f"copy {table} from stdin") as copy:
                    while block := file.read(1 << 20):
                        await copy.write(block)
        return time.perf_counter() - began


async def empty(db: Database) -> None:
    """Nothing of a round is left for the next."""
    await db.execute(f"truncate {', '.join(SHOP_TABLES)}, stores.file_parents, stage.rows")


async def wal(db: Database) -> int:
    """Bytes of the log so far."""
    return int(await db.fetch_value("select pg_current_wal_insert_lsn() - '0/0'"))


async def rows_differ(db: Database, made: Made) -> int:
    """Tables whose rows are not the file's: too few, too many, or others. Shopify gives some lines no number."""
    wrong = 0
    for name in TABLES.values():
        found = await db.fetch_one(
            "select count(*) as rows, coalesce(sum(shopify_id), 0) as numbers"
            f" from public.shop_{name} where shopify_id > 0"
        )
        told = made.about["rows"].get(name, [0, 0])
        wrong += found is None or [int(found["rows"]), int(found["numbers"])] != told
    return wrong


async def figures_differ(db: Database, made: Made) -> int:
    """How many figures of how many days differ from the simulator's ledger; a day too many counts as one."""
    rows = {r["day"].isoformat(): r for r in await db.fetch_all("select * from public.shop_daily_sales")}
    wrong = 0
    for told in made.about["days"]:
        mine = rows.pop(told["day"], None)
        wrong += sum(mine is None or Decimal(mine[name]) != Decimal(told[name]) for name in FIGURES)
    return wrong + len(rows)


async def rounds(url: str, db: Database, made: Made, pairs: int) -> dict[str, Any]:
    """Ours and plain COPY in turns, the unchanged file again, and dlt."""
    connection = await connected(db, made)
    await ours(url, made, connection)
    await export(db, made.folder)
    found: dict[str, Any] = {"lines": made.about["lines"], "ours": [], "copy": []}
    for _ in range(pairs):
        await empty(db)
        found["copy"].append(await plain(db, made.folder))
        await empty(db)
        found["ours"].append(await ours(url, made, connection))
    await empty(db)
    found["dlt"] = await asyncio.to_thread(ingest.dlt, url, made.path, "_stores_dlt.py")
    await db.execute("drop schema if exists bench_dlt_stores, bench_dlt_stores_staging cascade")
    return found


async def whole(url: str, db: Database, made: Made) -> dict[str, Any]:
    """The full file once, checked against the oracle, and the unchanged file again."""
    await db.execute("delete from control.rollup_dirty")
    connection = await connected(db, made)
    before = await wal(db)
    found: dict[str, Any] = {"lines": made.about["lines"], "ours": await ours(url, made, connection)}
    found["wal_first"] = await wal(db) - before
    began = time.perf_counter()
    await refresh(db, app)
    found["refresh"] = time.perf_counter() - began
    found["rows_differ"] = await rows_differ(db, made)
    found["figures_differ"] = await figures_differ(db, made)
    # as autovacuum would: the first reading of a fresh row sets hint bits, which are logged
    for table in SHOP_TABLES:
        await db.execute(f"vacuum {table}")
    before = await wal(db)
    found["again"] = await ours(url, made, connection)
    found["wal_again"] = await wal(db) - before
    await empty(db)
    return found


async def measure(url: str, folder: Path, lines: int, pairs: int) -> dict[str, Any]:
    """Every sample."""
    small = await asyncio.to_thread(Made, folder / "rounds", lines * ROUNDS_LINES // LINES)
    await migrate.up(url, migrate.built_in_sources())
    async with await Database.open(url, max_size=2) as db:
        found = {"small": await rounds(url, db, small, pairs)}
        full = await asyncio.to_thread(Made, folder / "whole", lines)
        found["whole"] = await whole(url, db, full)
        found["whole"]["bytes"] = full.bytes
        found["rounds"] = await rounds(url, db, full, pairs)
    return found


def figures(found: dict[str, Any]) -> list[report.Figure]:
    """The table."""
    small, whole, full = found["small"], found["whole"], found["rounds"]
    runs = [*small["ours"], *full["ours"], whole["ours"], whole["again"]]
    seconds = report.middle([one["seconds"] for one in full["ours"]])
    return [
        report.Figure(name="lines", value=full["lines"]),
        report.Figure(name="file", value=whole["bytes"] / 1e6, unit="MB"),
        report.Figure(name="plain COPY", value=report.middle(full["copy"]), unit="s"),
        report.Figure(name="ours", value=seconds, unit="s"),
        report.Figure(
            name="of that, counting", value=report.middle([one["counting"] for one in full["ours"]]), unit="s"
        ),
        report.Figure(name="ours, lines", value=full["lines"] / seconds, unit="lines/s"),
        report.at_least("ours ÷ plain COPY", ratio(full), 0.35),
        report.Figure(name="dlt, merge", value=full["dlt"], unit="s"),
        report.at_least("ours ÷ dlt", full["dlt"] / seconds, 12),
        report.Figure(name="daily figures afterwards", value=whole["refresh"], unit="s"),
        report.at_most("tables with lost or doubled rows", whole["rows_differ"], 0),
        report.at_most("figures that differ from the ledger", whole["figures_differ"], 0),
        report.at_most("runs with lines unread or parted", sum(not one["whole"] for one in runs), 0),
        report.at_most("WAL of the unchanged file ÷ first", whole["wal_again"] / whole["wal_first"], 0.01),
        report.at_most("peak memory", max(one["memory_mb"] for one in runs), 300, "MB"),
        report.Figure(name="a small file: lines", value=small["lines"]),
        report.Figure(name="a small file: ours ÷ plain COPY", value=ratio(small)),
        report.Figure(
            name="a small file: ours ÷ dlt",
            value=small["dlt"] / report.middle([one["seconds"] for one in small["ours"]]),
        ),
    ]


def ratio(rounds: dict[str, Any]) -> float:
    """Plain COPY's seconds to ours, the median over the rounds."""
    pairs = zip(rounds["copy"], rounds["ours"], strict=True)
    return report.middle([copy / mine["seconds"] for copy, mine in pairs])


async def run() -> None:
    """Measure and report. A trial has smaller files and three rounds."""
    lines = report.sized(LINES, 10_000)
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as folder:
        async with fresh_database() as url:
            found = await measure(url, Path(folder), lines, PAIRS if report.scale() >= 1 else 3)
    report.write(
        "stores_ingest",
        "Stores: ingest of a shop's orders",
        figures(found),
        command="python -m bench stores_ingest",
        about=(__doc__ or "").strip() + "\nRatios are medians over the rounds of each round's ratio.",
        samples=found,
    )


def main() -> None:
    """The full measurement, or a trial: `BENCH_SCALE=0.05 python -m bench stores_ingest`."""
    asyncio.run(run())


if __name__ == "__main__":
    main()
