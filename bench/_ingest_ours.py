"""Headgate's side of the ingest measurement, in a process of its own so that its peak memory is its own."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from headgate.db import Database
from headgate.engine.bulk import ingest_file
from headgate.engine.manifest import App, Column, Page, Source, SourceContext, Table

PRODUCTS = Table(
    name="public.bench_products",
    key=("id",),
    columns={
        "id": "bigint",
        "sku": Column(type="text", required=True),
        "title": "text",
        "amount": Column(type="numeric", path="price.amount"),
        "currency": Column(type="text", path="price.currency"),
        "qty": Column(type="int", path="stock.qty"),
        "warehouse": Column(type="text", path="stock.warehouse"),
        "updated_at": "timestamptz",
        "vendor_id": Column(type="int", path="vendor.id"),
        "vendor": Column(type="text", path="vendor.name"),
        "city": Column(type="text", path="vendor.address.city"),
        "description": "text",
    },
    version="updated_at",
)


async def nothing(ctx: SourceContext, cursor: Any) -> AsyncIterator[Page]:
    """The rows come from a file."""
    yield Page(last=True)


APP = App(
    name="bench",
    title="Bench",
    folder=Path(__file__).parent,
    tables=(PRODUCTS,),
    sources=(Source(name="bench.products", fetch=nothing, table=PRODUCTS.name),),
)


async def main() -> None:
    """One ingest of the file; prints its seconds, counts and the peak memory in MB."""
    url, path, promoters = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    async with await Database.open(url, min_size=promoters + 1, max_size=promoters + 1) as db:
        began = time.perf_counter()
        report = await ingest_file(db, APP, "products", path, promoters=promoters)
        seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "memory_mb": _peak_mb(), **vars(report)}))


def _peak_mb() -> float:
    """Peak resident memory of this process. `ru_maxrss` would count what the process had before `exec` as well."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    asyncio.run(main())
