"""dlt's side of the stores measurement; runs in an environment of its own. Arguments: host, port, user, database, file.

One table for each kind of object, merged by id. Nested objects become columns and lists stay JSON
(`max_table_nesting=0`), which is dlt's faster way. Parents and figures are not resolved: that would be more SQL.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dlt
import orjson
from dlt.destinations import postgres


def kind(row: dict[str, Any]) -> str:
    """The table of a row, by its global id."""
    return str(row["id"].split("/")[-2]).lower()


def main() -> None:
    """One merge load of the file; prints its seconds."""
    host, port, user, database, path = sys.argv[1:]

    @dlt.resource(
        name="objects", table_name=kind, write_disposition="merge", primary_key="id", max_table_nesting=0
    )
    def objects() -> Iterator[list[dict[str, Any]]]:
        rows = []
        with Path(path).open("rb") as file:
            for line in file:
                rows.append(orjson.loads(line))
                if len(rows) == 5000:
                    yield rows
                    rows = []
        yield rows

    credentials = {
        "host": quote(host, safe=""),
        "port": int(port),
        "username": user,
        "password": "-",
        "database": database,
    }
    with tempfile.TemporaryDirectory(prefix="headgate-bench-dlt-") as folder:
        pipeline = dlt.pipeline(
            "bench_stores",
            pipelines_dir=folder,
            destination=postgres(credentials=credentials),
            dataset_name="bench_dlt_stores",
        )
        began = time.perf_counter()
        pipeline.run(objects())
        print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
