"""300,000 nested JSON lines into a typed table with an upsert, against a plain COPY of ready-made rows, and dlt.

Ours: `ingest_file` with two promoters: stage by COPY, then per 8 MB chunk one transaction (fence, drift record,
newest row per key, upsert, cursor, progress). Plain COPY: the finished rows, tab-separated, into the same table with
its primary key, one statement. Both on one durable embedded PostgreSQL (fsync on), in alternating rounds, into
emptied tables. The unchanged file comes after a vacuum, as autovacuum would: the first reading of a fresh row sets
hint bits, which data checksums log as full pages whoever reads.

dlt: one merge load (it is slow, so it runs once), lists kept as JSON, which is its faster way.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bench import _ingest_data as data
from bench import report
from bench._database import fresh_database
from headgate.db import Database

HERE = Path(__file__).resolve().parent
DLT = ("dlt[postgres]==1.31.0", "orjson")
LINES = 300_000
PAIRS = 5


def ours(url: str, path: Path, promoters: int = 2) -> dict[str, Any]:
    """One ingest in a process of its own."""
    command = [sys.executable, "-m", "bench._ingest_ours", url, str(path), str(promoters)]
    done = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


async def plain(db: Database, path: Path) -> float:
    """Seconds of one COPY of the ready-made rows."""
    began = time.perf_counter()
    with path.open("rb") as file:
        async with (
            db.connection() as conn,
            conn.cursor() as cur,
            cur.copy("copy bench_plain from stdin") as copy,
        ):
            while block := file.read(1 << 20):
                await copy.write(block)
    return time.perf_counter() - began


def dlt(url: str, path: Path, script: str = "_ingest_dlt.py") -> float:
    """Seconds of one merge load by dlt (`script` of this folder), installed on first use."""
    folder = Path(tempfile.gettempdir()) / "headgate-bench-peers" / "dlt"
    python = folder / "bin" / "python"
    if not (folder / "bin" / "dlt").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *DLT], check=True)
    where = urlsplit(url)
    query = parse_qs(where.query)
    arguments = [query["host"][0], query["port"][0], where.username or "", where.path[1:], str(path)]
    done = subprocess.run(
        [str(python), "-P", str(HERE / script), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


async def empty(db: Database) -> None:
    """Both tables empty, the last round's dirt written out, so that no round pays for another."""
    await db.execute("truncate bench_products, bench_plain, stage.rows")
    await db.execute("select pg_logical_emit_message(false, 'bench', '')")


async def wal(db: Database) -> int:
    return int(await db.fetch_value("select pg_current_wal_insert_lsn() - '0/0'"))


async def measure(url: str, folder: Path, lines: int, pairs: int) -> dict[str, Any]:
    """Every sample."""
    raw, ready = data.write(folder, lines)
    found: dict[str, Any] = {"bytes": raw.stat().st_size, "ours": [], "copy": []}
    async with await Database.open(url, max_size=2) as db:
        for name in ("bench_products", "bench_plain"):
            await db.execute(data.DDL.format(name=name))
        for _ in range(pairs):
            await empty(db)
            found["copy"].append(await plain(db, ready))
            before = await wal(db)
            found["ours"].append(await asyncio.to_thread(ours, url, raw))
            found["wal_first"] = await wal(db) - before
        same = await db.fetch_value(
            "select (select count(*) from bench_plain) = (select count(*) from bench_products) and not exists"
            " (select * from bench_plain except select * from bench_products)"
        )
        if not same:
            raise SystemExit("ingest: the table does not equal the ready-made rows")
        await db.execute("vacuum bench_products")
        before = await wal(db)
        found["again"] = await asyncio.to_thread(ours, url, raw)
        found["wal_again"] = await wal(db) - before
        await empty(db)
        found["one promoter"] = await asyncio.to_thread(ours, url, raw, 1)
        found["dlt"] = await asyncio.to_thread(dlt, url, raw)
    return found


def figures(found: dict[str, Any], lines: int) -> list[report.Figure]:
    """The table."""
    seconds = [o["seconds"] for o in found["ours"]]
    ratios = [c / o for c, o in zip(found["copy"], seconds, strict=True)]
    made = [
        report.Figure(name="file", value=found["bytes"] / 1e6, unit="MB"),
        report.Figure(name="plain COPY", value=report.middle(found["copy"]), unit="s"),
        report.Figure(name="ours, two promoters", value=report.middle(seconds), unit="s"),
        report.Figure(name="ours", value=lines / report.middle(seconds), unit="lines/s"),
        report.at_least("ours ÷ plain COPY", report.middle(ratios), 0.35),
        report.Figure(
            name="ours with one promoter ÷ plain COPY",
            value=report.middle(found["copy"]) / found["one promoter"]["seconds"],
        ),
        report.Figure(name="unchanged file again", value=found["again"]["seconds"], unit="s"),
        report.at_most("WAL of the unchanged file ÷ first", found["wal_again"] / found["wal_first"], 0.01),
        report.Figure(
            name="peak memory of our process", value=max(o["memory_mb"] for o in found["ours"]), unit="MB"
        ),
    ]
    made += [
        report.Figure(name="dlt, merge", value=found["dlt"], unit="s"),
        report.at_least("ours ÷ dlt", found["dlt"] / report.middle(seconds), 12),
    ]
    return made


async def run() -> None:
    """Measure and report. A trial (`BENCH_SCALE` below 1) has fewer rounds."""
    lines = max(3000, round(LINES * report.scale()))
    pairs = PAIRS if report.scale() >= 1 else 3
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as folder:
        async with fresh_database() as url:
            found = await measure(url, Path(folder), lines, pairs)
    report.write(
        "ingest",
        "Ingest and promote against plain COPY and dlt",
        figures(found, lines),
        command="python -m bench ingest",
        about=(__doc__ or "").strip() + "\nRatios are medians over the rounds of each round's ratio.",
        samples=found,
    )


def main() -> None:
    """The full measurement, or a trial: `BENCH_SCALE=0.1 python -m bench ingest`."""
    asyncio.run(run())


if __name__ == "__main__":
    main()
