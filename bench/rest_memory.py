"""`python -m bench.rest_memory`: memory of one server process over 1,000,000 requests of mixed shapes, distinct ids.

Each share is sent by wrk on loopback in slices of a few seconds; the process is measured when a mark is passed.
"""

from __future__ import annotations

import asyncio
import itertools

from bench import report
from bench._database import fresh_database
from bench._rest_load import load
from bench.rest import HERE, ONE, http, memory_mb, ours
from headgate.db import Database

MARKS = (100_000, 250_000, 500_000, 750_000, 1_000_000)
DISTINCT = 20_000  # requests in one file of wrk's; each slice has new ones
SLICE_S = 10
SLICES_MAX = 2000


def mixed(number: int) -> bytes:
    """The number decides the shape and the ids: reads, embeds, calls, lists, and one insert in ten."""
    kind, key = number % 10, number // 10
    if kind == 9:
        return http("POST", "/events", number, ONE)
    if kind < 3:
        return http("GET", f"/orders?select=id,total,customers(name),lines(qty,label)&id=eq.{key}", number)
    if kind < 6:
        return http("GET", f"/items?select=id,name,price&id=gt.{key}&order=id&limit={key % 40 + 1}", number)
    if kind == 6:
        return http("GET", f"/rpc/spent?customer={key}", number)
    return http("GET", f"/orders?select=*&or=(id.eq.{key},id.eq.{key + 1})&offset={key % 7}", number)


async def measure() -> None:
    """Send them and write the result."""
    marks = [report.sized(mark) for mark in MARKS]
    figures, sent, measured = [], 0, []
    async with fresh_database() as url:
        async with await Database.open(url, max_size=1) as db, db.connection() as conn:
            await conn.execute((HERE / "rest.sql").read_text())
        async with ours(url) as (base, pid):
            for part in itertools.islice(itertools.count(), SLICES_MAX):
                first = part * DISTINCT
                got = await load(base, lambda n, at=first: mixed(at + n), seconds=SLICE_S, distinct=DISTINCT)  # type: ignore[misc]
                sent += got.requests
                while marks and sent >= marks[0]:
                    name = f"after {marks.pop(0):,} requests"
                    measured.append(memory_mb(pid))
                    figures.append(report.at_most(name, measured[-1], 120, "MB"))
                if not marks:
                    break
    if marks:
        raise SystemExit(f"only {sent} requests were answered")
    growth = measured[-1] - measured[1]
    figures.append(report.at_most("growth from the second mark to the last", growth, 5, "MB"))
    report.write(
        "rest-memory", "Memory of the REST surface", figures, command="python -m bench.rest_memory",
        about="Resident memory of one server process, while wrk sends mixed requests over 16 connections: embeds, "
        "filtered reads, function calls, trees of conditions, inserts; every 20,000 with ids of their own.",
    )  # fmt: skip


def main() -> None:
    """Measure."""
    asyncio.run(measure())


if __name__ == "__main__":
    main()
