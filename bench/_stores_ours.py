"""Headgate's side of the stores measurement, in a process of its own so that its peak memory is its own.

Arguments: URL, connection, file, when it was read (seconds since 1970). One bulk operation from the file on disk to
promoted rows, as the application does it: every line counted, then `ingest_file` with two promoters.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bench._ingest_ours import _peak_mb
from headgate.apps.stores.app import app
from headgate.apps.stores.completeness import count_apart
from headgate.db import Database
from headgate.engine.bulk import ingest_file


async def main() -> None:
    """One ingest of the file; prints its seconds, counts and the peak memory in MB."""
    url, connection, path = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    read_at = datetime.fromtimestamp(float(sys.argv[4]), UTC)
    async with await Database.open(url, min_size=3, max_size=3) as db:
        run = await db.fetch_value(
            "insert into stores.sync_runs (connection_id, kind) values (%s, 'full') returning id",
            [connection],
        )
        operation = await db.fetch_value(
            "insert into stores.bulk_operations (run_id, connection_id, entity) values (%s, %s, 'orders')"
            " returning id",
            [run, connection],
        )
        meta = {"connection_id": connection, "operation_id": operation, "read_at": read_at.isoformat()}
        began = time.perf_counter()
        counted = await count_apart(path)
        verified = time.perf_counter() - began
        told = await ingest_file(db, app, "bulk", path, key=str(operation), meta=meta)
        seconds = time.perf_counter() - began
        parted = await db.fetch_value(
            "select count(*) from stores.orphans where operation_id = %s", [operation]
        )
    whole = counted.lines == told.seen and not told.rejected and not parted
    print(
        json.dumps(
            {"seconds": seconds, "counting": verified, "memory_mb": _peak_mb(), "whole": whole, **vars(told)}
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
