"""Are promises kept? A thousand simulated events, time compressed, one answer in twenty spoilt, two worker processes.

Scheduler, queue, fetcher, parser, promote and refresher are the product's own, as `headgate work` runs them.
`python -m bench.tickets_freshness --events 1000 --scale 10 --seconds 600`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import urllib.error
import urllib.request
from typing import Any

from bench import report
from bench._database import fresh_database
from headgate.db import Database
from tests.tickets_simulator import free_port

RESULT = "tickets-freshness"
ERRORS = 0.05
_ALL_SCRAPED = "select count(*) from public.events where active and last_scraped is null"
_SCRAPES = """
select extract(epoch from finished_at - started_at)::float as s from control.runs
where source = 'tickets.listings' and state = 'succeeded' and started_at > %s
"""
_WAITS = """
select extract(epoch from finished_at - run_at)::float as s from control.jobs
where kind = 'tickets.poll' and state = 'succeeded' and run_at > %s
"""
_POLLS = "select status, count(*) as n from public.polls where observed_at > %s group by 1"


async def measure(given: argparse.Namespace) -> list[report.Figure]:
    """Start everything, wait until every event was scraped once, then watch."""
    port = free_port()
    async with (
        fresh_database(everything=True) as url,
        await Database.open(url, max_size=2, application_name="bench") as db,
    ):
        simulator = await _start(
            "-m", "headgate.apps.tickets.simulator", "--port", str(port), "--events", str(given.events),
            "--listings", str(given.listings), "--days-from", "1.2", "--pace", str(given.scale),
            "--errors", str(ERRORS),
        )  # fmt: skip
        await _until_up(port)
        environment = _environment(url, port, given)
        workers = [await _start("-m", "headgate", "work", **environment) for _ in range(given.workers)]
        try:
            return await _watch(db, given)
        finally:
            for process in [*workers, simulator]:
                if process.returncode is None:
                    process.terminate()
            await asyncio.gather(*(process.wait() for process in [*workers, simulator]))


def _environment(url: str, port: int, given: argparse.Namespace) -> dict[str, str]:
    return {
        "HEADGATE_DATABASE_URL": url,
        "HEADGATE_APPS": "tickets",
        "HEADGATE_LOG_LEVEL": "error",
        "HEADGATE_CONCURRENCY": str(given.concurrency),
        "HEADGATE_ALLOW_PRIVATE_HOSTS": f"127.0.0.1:{port}",
        "HEADGATE_TICKETS_VIVID_URL": f"http://127.0.0.1:{port}",
        "HEADGATE_TICKETS_TIME_SCALE": str(given.scale),
        "HEADGATE_TICKETS_RATE_PER_S": str(given.rate),
        "HEADGATE_TICKETS_BURST": "10",
        "HEADGATE_TICKETS_PARALLEL": str(given.concurrency * given.workers),
        "HEADGATE_TICKETS_SWEEP_S": "600",
    }


async def _start(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env={**os.environ, **environment}, stdin=asyncio.subprocess.DEVNULL
    )


async def _until_up(port: int) -> None:
    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/robots.txt", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    for _ in range(300):
        if await asyncio.to_thread(answers):
            return
        await asyncio.sleep(0.1)
    raise SystemExit("The simulator did not start.")


async def _watch(db: Database, given: argparse.Namespace) -> list[report.Figure]:
    begun: Any = await db.fetch_value("select clock_timestamp()")
    for _ in range(given.warm_up):
        await asyncio.sleep(1)
        known = await db.fetch_value("select count(*) from public.events where active")
        if known >= given.events and await db.fetch_value(_ALL_SCRAPED) == 0:
            break
    start: Any = await db.fetch_value("select clock_timestamp()")
    cold = (start - begun).total_seconds()
    await asyncio.sleep(given.seconds)
    now: Any = await db.fetch_value("select clock_timestamp()")
    fresh = await db.fetch_one("select * from tickets.freshness(%s, %s)", [now - start, now])
    whole = await db.fetch_one("select * from tickets.freshness('24 hours', %s)", [now])
    scrapes = [row["s"] for row in await db.fetch_all(_SCRAPES, [start])]
    waits = [row["s"] for row in await db.fetch_all(_WAITS, [start])]
    polls = {row["status"]: row["n"] for row in await db.fetch_all(_POLLS, [start])}
    assert fresh is not None and whole is not None
    total = sum(polls.values())
    bad = polls.get("failed", 0) + polls.get("rejected", 0)
    rows = [
        ("events", fresh["events"], ""),
        ("event-minutes watched", fresh["event_minutes"], "min"),
        ("within the promise from the cold start on", whole["within_promise"], "share"),
        ("time until every event was scraped once", cold, "s"),
        ("stretch of the promises", fresh["stretch"], ""),
        ("shortest promise", await _promise(db, "min"), "s"),
        ("longest promise", await _promise(db, "max"), "s"),
        ("age p50", fresh["age_p50_s"], "s"),
        ("age p99", fresh["age_p99_s"], "s"),
        ("age max", fresh["age_max_s"], "s"),
        ("polls a second", total / given.seconds, "/s"),
        ("polls failed or rejected", bad / max(1, total), "share"),
        ("event scrape p50", report.percentile(scrapes, 0.5), "s"),
        ("due until done p50", report.percentile(waits, 0.5), "s"),
        ("due until done p99", report.percentile(waits, 0.99), "s"),
    ]
    return [
        report.at_least("event-minutes within the promise", fresh["within_promise"], 0.99, "share"),
        report.at_most("event scrape p99", report.percentile(scrapes, 0.99), 30, "s"),
        report.at_most("starved events", fresh["starved"], 0),
        *(report.Figure(name=name, value=float(value), unit=unit) for name, value, unit in rows),
    ]


async def _promise(db: Database, which: str) -> float:
    return float(await db.fetch_value(f"select {which}(promise_s) from public.events where active"))


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=report.sized(1000, 20))
    parser.add_argument("--listings", type=int, default=60)
    parser.add_argument("--scale", type=float, default=10.0, help="How much time is compressed.")
    parser.add_argument("--seconds", type=int, default=report.sized(480, 30))
    parser.add_argument("--warm-up", type=int, default=300)
    parser.add_argument("--rate", type=float, default=40.0, help="Requests a second that the host allows.")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--concurrency", type=int, default=8)
    given = parser.parse_args()
    report.write(
        RESULT,
        "Freshness of a thousand events",
        asyncio.run(measure(given)),
        command="python -m bench tickets_freshness",
        about=f"{given.events} simulated events of about {given.listings} listings with promises of 10 to 20 minutes,"
        f" time compressed {given.scale:g} times, {ERRORS:.0%} of answers spoilt, {given.workers} worker processes"
        " on one database.",
    )


if __name__ == "__main__":
    main()
