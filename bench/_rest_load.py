"""Load by wrk: keep-alive connections that send one request after the other, as fast as answers come.

wrk is written in C, as pgbench is; a client in Python would take the machine's cores from the server it measures.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("_rest_load.lua")


@dataclass(frozen=True)
class Load:
    """What one run gave: requests per second, and the middle and 99th percentile in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int


async def load(
    url: str, make: Callable[[int], bytes], *, seconds: float, distinct: int, connections: int = 16
) -> Load:
    """Send `distinct` requests over and over for `seconds`; every answer must be a success."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("This measurement needs wrk: apt-get install wrk")
    with tempfile.NamedTemporaryFile() as file:
        for number in range(distinct):
            data = make(number)
            file.write(b"%d\n%b\n" % (len(data), data))
        file.flush()
        process = await asyncio.create_subprocess_exec(
            wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s", str(SCRIPT),
            url, "--", file.name,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        printed, _ = await process.communicate()
    lines = [line.split() for line in printed.decode().splitlines() if line.startswith("RESULT ")]
    if not lines or int(lines[0][3]) or not int(lines[0][1]):
        raise AssertionError(printed.decode()[-600:])
    _, requests, took_us, _, p50_us, p99_us = lines[0]
    return Load(
        int(requests) / (int(took_us) / 1e6), float(p50_us) / 1000, float(p99_us) / 1000, int(requests)
    )
