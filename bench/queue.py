"""Jobs a second and enqueue-to-start latency, against BullMQ and Celery on Redis, in alternating rounds of one run.

Ours runs on a durable embedded PostgreSQL (fsync on), the others on a Redis without persistence. One worker process
each (Celery: two, its way of using two cores), no-op jobs, queued before the worker starts.

batch: handlers return, the worker settles many at once. transactional: each job's write and its end are one atomic
whole under the fence (`ctx.finish`; jobs that end at the same time share a commit). own transaction: each job opens a
transaction, checks the fence, writes, settles and commits by itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import _queue_peers as peers
from bench import report
from bench._database import fresh_database
from headgate.db import Database

HERE = Path(__file__).resolve().parent
ROUNDS = 5
SENT = 150
GAP_S = 0.02
COUNTS = {
    "ours, batch": 20_000,
    "BullMQ": 20_000,
    "ours, transactional": 10_000,
    "ours, own transaction": 3_000,
    "Celery": 3_000,
}
OURS = {"ours, batch": "batch", "ours, transactional": "transactional", "ours, own transaction": "own"}
LATENCIES = ("ours, batch", "BullMQ", "Celery")
Step = dict[str, Any]


def run(*command: str, env: dict[str, str] | None = None) -> Step:
    """Run a step to its end; its last line, read as JSON."""
    done = subprocess.run(
        command,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=HERE.parent,
    )
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}


def run_beside(worker: list[str], sender: list[str], env: dict[str, str] | None = None) -> Step:
    """Start `worker`, wait until it is ready, run `sender` to its end; the worker's last line."""
    environment = {**os.environ, **(env or {})}
    with subprocess.Popen(
        worker, env=environment, stdout=subprocess.PIPE, text=True, cwd=HERE.parent
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.5)
        subprocess.run(sender, env=environment, check=True, cwd=HERE.parent, stdout=subprocess.DEVNULL)
        last = process.stdout.read().splitlines()[-1]
    return dict(json.loads(last))


class Ours:
    """Headgate: one Python process for the worker, one for the sender."""

    def __init__(self, url: str, mode: str) -> None:
        self._url, self._mode = url, mode

    def _step(self, step: str, *words: str) -> list[str]:
        return [sys.executable, "-m", "bench._queue_ours", step, self._url, *words]

    def _clear(self) -> None:
        async def clear() -> None:
            async with await Database.open(self._url) as db:
                await db.execute("create table if not exists bench_effects (job bigint)")
                await db.execute("truncate control.jobs, bench_effects")
                await db.execute("vacuum analyze control.jobs")

        asyncio.run(clear())

    def throughput(self, count: int) -> Step:
        self._clear()
        fill = run(*self._step("fill", str(count)))
        done = run(*self._step("work", self._mode, str(count)))
        return {"jobs_s": count / done["seconds"], "bulk_s": count / fill["seconds"]}

    def latency(self, count: int) -> list[float]:
        self._clear()
        waits = run_beside(
            self._step("work", "batch", str(count)), self._step("send", str(count), str(GAP_S))
        )
        return list(waits["waits"])


class BullMQ:
    """One Node process for the worker, one for the sender."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._env = {"PEER_MODULES": str(peers.bullmq())}

    def _step(self, step: str, *words: str) -> list[str]:
        return ["node", str(HERE / "_queue_bullmq.mjs"), step, str(self._port), *words]

    def throughput(self, count: int) -> Step:
        peers.command(self._port, "flushall")
        fill = run(*self._step("fill", str(count)), env=self._env)
        done = run(*self._step("work", str(count)), env=self._env)
        return {"jobs_s": count / done["seconds"], "bulk_s": count / fill["seconds"]}

    def latency(self, count: int) -> list[float]:
        peers.command(self._port, "flushall")
        sender = self._step("send", str(count), str(GAP_S))
        return list(run_beside(self._step("work", str(count)), sender, self._env)["waits"])


class Celery:
    """A prefork worker with two processes; the sender is plain Python."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._python = str(peers.celery())
        # Copied away: beside this file, `import queue` would not find the standard library's.
        self._folder = peers.FOLDER / "celery"
        self._script = shutil.copy(HERE / "_queue_celery.py", self._folder)
        self._env = {**os.environ, "PEER_REDIS": f"redis://127.0.0.1:{port}/0"}

    def _send(self, step: str, *words: str) -> float:
        done = subprocess.run(
            [self._python, str(self._script), step, *words],
            env=self._env,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return float(done.stdout)

    def _work(self, key: str, wanted: int, meanwhile: Callable[[], Any]) -> list[float]:
        """Start the worker, do `meanwhile`, wait until `wanted` values are in the Redis list `key`; stop it."""
        process = subprocess.Popen(
            [self._python, "-m", "celery", "-A", "_queue_celery", "worker", "-c", "2", "-l", "ERROR",
             "--without-gossip", "--without-mingle", "--without-heartbeat"],
            cwd=self._folder, env=self._env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            meanwhile()
            deadline = time.monotonic() + 120
            while int(peers.command(self._port, "llen", key)) < wanted:
                if time.monotonic() > deadline or process.poll() is not None:
                    sys.exit("bench: the Celery worker did not finish")
                time.sleep(0.1)
            return [float(v) for v in peers.command(self._port, "lrange", key, "0", "-1").splitlines()]
        finally:
            process.terminate()
            process.wait(30)

    def throughput(self, count: int) -> Step:
        peers.command(self._port, "flushall")
        bulk = count / self._send("fill", str(count))
        times = self._work("bench:times", 44, lambda: None)
        return {"jobs_s": count / (max(times) - min(times)), "bulk_s": bulk}

    def latency(self, count: int) -> list[float]:
        peers.command(self._port, "flushall")

        def send() -> None:
            time.sleep(4)
            self._send("send", str(count), str(GAP_S))

        return self._work("bench:waits", count, send)


async def _with_database() -> None:
    async with fresh_database() as url:
        await asyncio.to_thread(_measure, url)


def _measure(url: str) -> None:
    absent = peers.missing()
    if absent:
        print(f"bench: without {', '.join(absent)} only our own side is measured")
        _rounds({name: Ours(url, mode) for name, mode in OURS.items()})
        return
    with peers.redis() as port:
        _rounds(
            {
                "ours, batch": Ours(url, OURS["ours, batch"]),
                "BullMQ": BullMQ(port),
                "ours, transactional": Ours(url, OURS["ours, transactional"]),
                "ours, own transaction": Ours(url, OURS["ours, own transaction"]),
                "Celery": Celery(port),
            }
        )


def _rounds(sides: dict[str, Any]) -> None:
    rates: dict[str, list[Step]] = {name: [] for name in sides}
    waits: dict[str, list[float]] = {name: [] for name in LATENCIES if name in sides}
    for turn in range(ROUNDS if report.scale() >= 1 else 1):
        for name, side in sides.items():
            rates[name].append(side.throughput(report.sized(COUNTS[name], 200)))
            print(f"  round {turn + 1}: {name:20} {rates[name][-1]['jobs_s']:>9,.0f} jobs/s", flush=True)
        for name in waits:
            waits[name] += sides[name].latency(report.sized(SENT, 20))
    _publish(rates, waits)


def _publish(rates: dict[str, list[Step]], waits: dict[str, list[float]]) -> None:
    figures = []
    for name, steps in rates.items():
        figures.append(
            report.Figure(name=f"{name}: jobs", value=report.middle([s["jobs_s"] for s in steps]), unit="1/s")
        )
    for name, steps in rates.items():
        if name in LATENCIES:
            value = report.middle([s["bulk_s"] for s in steps])
            figures.append(report.Figure(name=f"{name}: enqueued in bulk", value=value, unit="1/s"))
    for name, values in waits.items():
        for share in (0.5, 0.95):
            value = report.percentile(values, share)
            figures.append(
                report.Figure(name=f"{name}: enqueue to start, p{share * 100:.0f}", value=value, unit="ms")
            )

    def ratio(ours: str, other: str) -> float:
        pairs = zip(rates[ours], rates[other], strict=True)
        return report.middle([a["jobs_s"] / b["jobs_s"] for a, b in pairs])

    if "BullMQ" in rates:
        figures += [
            report.at_least("batch settlement ÷ BullMQ", ratio("ours, batch", "BullMQ"), 1),
            report.at_least(
                "transactional settlement ÷ BullMQ", ratio("ours, transactional", "BullMQ"), 0.25
            ),
            report.Figure(
                name="a transaction of its own for each ÷ BullMQ",
                value=ratio("ours, own transaction", "BullMQ"),
            ),
            report.at_least("batch settlement ÷ Celery", ratio("ours, batch", "Celery"), 2),
            report.at_least("transactional settlement ÷ Celery", ratio("ours, transactional", "Celery"), 2),
        ]
    report.write(
        "queue",
        "The queue against BullMQ and Celery",
        figures,
        command="python -m bench queue",
        about=(__doc__ or "").strip() + "\nRatios are medians over the rounds of each round's ratio.",
        samples={"rates": rates, "waits_ms": {k: sorted(round(v, 2) for v in w) for k, w in waits.items()}},
    )


def main() -> None:
    """Measure, print the table, and keep it as a result."""
    asyncio.run(_with_database())


if __name__ == "__main__":
    main()
