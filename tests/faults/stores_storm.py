"""One storm over a simulated shop: seeded faults of all 32 kinds, workers truly killed, and the oracle at the end.

`python -m tests.faults.stores_storm --first 0 --count 1000` runs schedules outside pytest and prints what they were;
a seed alone (`--count 1`) runs again with the same faults and kills.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx

from headgate.apps.stores.app import app
from headgate.apps.stores.connect import Connecting
from headgate.apps.stores.simulator.options import ShopOptions
from headgate.apps.stores.simulator.oracle import ids
from headgate.apps.stores.simulator.server import CLIENT_ID, CLIENT_SECRET, Simulator
from headgate.apps.stores.tokens import Tokens
from headgate.apps.stores.wire import Wire
from headgate.base import log
from headgate.db import Database, migrate
from headgate.engine.jobs import enqueue
from headgate.testing.database import FULL, TestCluster
from tests import stores_shop
from tests.faults import stores_twin
from tests.faults.stores_child import POINTS, WAYS
from tests.faults.stores_ground import Ground, Process, ground
from tests.faults.stores_watch import (
    BEGUN,
    FULL_DATABASE,
    FULL_DISK,
    HOLDS,
    NOTES,
    OPEN,
    STUCK,
    TAKEN_UP,
    WATCH,
)
from tests.stores_sync import Synced

#: Every fault of the list by name, with its number. The lower-case ones are Shopify's; the others are ours to make.
AT_SHOPIFY = (
    "duplicate_webhook", "out_of_order_webhook", "late_webhook", "bad_hmac", "reencoded_body", "webhook_never_sent",
    "subscription_deleted", "finish_lost", "finish_early", "submit_response_lost", "download_cut", "url_expired",
    "operation_expired", "truncated_jsonl", "malformed_line", "duplicate_line", "child_before_parent", "orphan",
    "child_without_id", "completed_null_url", "failed_with_partial", "access_denied", "slot_taken", "throttled_200",
    "throttled_429", "server_error", "html_body", "token_expired", "refresh_response_lost", "uninstalled",
    "scope_read_all_orders", "version_retired", "changed_during_bulk", "deleted_during_bulk", "redacted_during_bulk",
    "exchange_story", "awkward_money",
)  # fmt: skip
HERE = {
    "KILLED_AFTER_SUBMIT": 8,
    "KILLED_MID_DOWNLOAD": 9,
    "KILLED_MID_PROMOTE": 10,
    "TWO_WORKERS": 11,
    "TWO_BRANDS": 31,
    "DISK_FULL": 32,
    "DATABASE_FULL": 32,
}
ALL = (*AT_SHOPIFY, *HERE)
#: Faults after which only a person helps: the merchant installs the app again.
CUT_OFF = {"uninstalled", "access_denied", "scope_read_all_orders"}
_POINT_OF = {
    "KILLED_AFTER_SUBMIT": "submit",
    "KILLED_MID_DOWNLOAD": "download",
    "KILLED_MID_PROMOTE": "promote",
}
PER_SCHEDULE = 4
#: So many schedules in a row have every fault.
CYCLE = -(-len(ALL) // PER_SCHEDULE)
LEASE_S = 4.0
TABLES = ("public.shop_orders", "public.shop_sales", "stores.bulk_operations", "stores.webhook_inbox")


def faults_of(seed: int) -> list[str]:
    """What goes wrong in a schedule: each cycle of seeds deals out every fault, and some come on top."""
    cycle, place = divmod(seed, CYCLE)
    deck = list(ALL)
    random.Random(f"storm deck {cycle}").shuffle(deck)
    dealt = deck[place * PER_SCHEDULE : (place + 1) * PER_SCHEDULE]
    dice = random.Random(f"storm extra {seed}")
    return dealt + dice.sample(
        [f for f in ALL if f not in dealt], dice.randint(0, 2) + PER_SCHEDULE - len(dealt)
    )


@dataclass
class Report:
    """What a schedule was and what is wrong after it; nothing may be."""

    seed: int
    faults: list[str]
    wrong: list[str] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)
    asked_again: int = 0
    taken_up: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        wrong = "; ".join(self.wrong) or "well"
        return (
            f"seed {self.seed} ({self.seconds:.1f} s): {wrong} | ordered {self.faults} | struck {self.struck}"
            f" | kills {self.kills} | synced again {self.asked_again} | taken up by the timetable {self.taken_up}"
        )


class Storm:
    """One schedule."""

    def __init__(self, of: Ground, seed: int, db: Database, folder: Path, patch: str = "") -> None:
        self.ground, self.db, self.folder = of, db, folder
        self.dice = random.Random(f"stores storm {seed}")
        self.hours = random.Random(f"stores storm {seed} timetable")
        self.report = Report(seed, faults_of(seed))
        self.domain = f"storm-{seed}.myshopify.com"
        zone = self.dice.choice(
            ("America/New_York", "Asia/Tokyo", "Europe/Berlin", "Pacific/Auckland", "UTC")
        )
        options = ShopOptions(
            seed=seed, domain=self.domain, orders=self.dice.randint(10, 30), history_days=90, timezone=zone,
            currency=self.dice.choice(("USD", "EUR", "JPY", "KWD")), taxes_included=self.dice.random() < 0.4,
        )  # fmt: skip
        self.simulator = Simulator([options])
        self.keeper = socket.socket()
        self.keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.keeper.bind(("127.0.0.1", 0))
        self.port = self.keeper.getsockname()[1]
        self.settings: dict[str, Any] = {
            "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "simulator_url": of.url,
            "public_url": f"http://127.0.0.1:{self.port}", "allow_shared_shops": "TWO_BRANDS" in self.report.faults,
        }  # fmt: skip
        hooks = self.simulator.outlet.webhooks
        hooks.pace, hooks.compliance_url = 0.004, f"{self.settings['public_url']}/api/stores/webhooks"
        self.connections: list[int] = []
        self.brands: list[Any] = []
        self.processes: list[Process] = []
        self.shared_jobs = 0
        self.patch = patch

    @property
    def outlet(self) -> Any:
        """The shop."""
        return self.simulator.outlet

    async def run(self) -> Report:
        """The schedule from connecting to the comparison with the oracle."""
        begun = time.monotonic()
        self.ground.switch.simulators[self.domain] = self.simulator
        self.simulator.start()
        try:
            await self.db.execute(WATCH)
            if self.patch:
                await self.db.execute(self.patch)
            self.brands = [
                await stores_shop.brand(self.db, uuid4()) for _ in range(1 + self._has("TWO_BRANDS"))
            ]
            await self.connect()
            await self.order_faults()
            await self.rage()
            await self.calm()
            self.report.wrong += await self.wrong()
            self.report.taken_up = await self.db.fetch_value(TAKEN_UP)
        except Exception as error:
            self.report.wrong.append(f"{type(error).__name__}: {error} ({await self.left()})")
        finally:
            for process in self.processes:
                process.signal(signal.SIGKILL)
                await process.gone(5)
                os.close(process.handle)
            del self.ground.switch.simulators[self.domain]
            self.report.struck = [f"{one['name']}" for one in self.simulator.faults.done] + await self.here()
            await self.simulator.close()
            self.keeper.close()
        self.report.seconds = time.monotonic() - begun
        return self.report

    def _has(self, name: str) -> bool:
        return name in self.report.faults

    async def connect(self) -> None:
        """The merchant of every brand approves, as a browser would."""
        ours = stores_shop.settings(**self.settings)
        wire = Wire(ours, keep=False)
        connecting = Connecting(self.db, ours, Tokens(self.db, ours, wire=wire, data_dir=self.folder), wire)
        for brand in self.brands:
            begun = await connecting.begin(
                brand=brand, shop=self.domain, user=None, base_url=ours.public_url, link=True
            )
            async with httpx.AsyncClient() as merchant:
                approved = await merchant.get(begun.url)
            await connecting.finish(dict(parse_qsl(urlsplit(approved.headers["location"]).query)), "")
        rows = await self.db.fetch_all("select id from stores.connections order by id")
        self.connections = [row["id"] for row in rows]

    async def order_faults(self) -> None:
        """Order what Shopify does wrong, each once or twice, and fill the database if that is to be."""
        for name in self.report.faults:
            if name in HERE:
                continue
            options: dict[str, Any] = {"count": self.dice.randint(1, 2), "seed": self.dice.randrange(1000)}
            if name == "truncated_jsonl":
                options["at_newline"] = self.dice.random() < 0.5
            if name == "failed_with_partial":
                options["late"] = self.dice.randint(0, 2)
            if name == "slot_taken":
                options["seconds"] = 0.3
            if name == "late_webhook":
                options["delay_s"] = 0.8
            if name == "scope_read_all_orders":
                continue  # lost in the midst of the storm
            if (
                name == "refresh_response_lost"
            ):  # nothing is refreshed within an hour unless a token ends early
                self.simulator.control.order_fault({"fault": "token_expired", **options})
            self.simulator.control.order_fault({"fault": name, **options})
        if self._has("DATABASE_FULL"):
            await self.db.execute(
                "create function public.storm_full() returns trigger language plpgsql as $$ begin"
                f" if nextval('public.storm_full_database') <= {self.dice.randint(2, 8)} then raise exception"
                " 'could not extend file: No space left on device' using errcode = '53100'; end if;"
                " return null; end $$"
            )
            for table in self.dice.sample(TABLES, 2):
                await self.db.execute(
                    f"create trigger storm_full before insert or update on {table}"
                    " for each statement execute function public.storm_full()"
                )

    async def here(self) -> list[str]:
        """Which of our own faults truly happened."""
        points = {kill.partition("/")[0] for kill in self.report.kills}
        happened = {name: point in points for name, point in _POINT_OF.items()}
        happened["TWO_WORKERS"] = self.shared_jobs > 0
        happened["TWO_BRANDS"] = len(self.connections) > 1
        happened["DISK_FULL"] = await self.db.fetch_value(FULL_DISK)
        happened["DATABASE_FULL"] = await self.db.fetch_value(FULL_DATABASE)
        return [name for name in self.report.faults if happened.get(name)]

    async def left(self) -> list[str]:
        """The jobs that have not ended, and why."""
        rows = await self.db.fetch_all(
            "select id, kind, state, attempt, args, error from control.jobs where kind like 'stores.%%'"
            " and state not in ('succeeded', 'cancelled')"
        )
        return [" ".join(f"{k}={v}" for k, v in row.items()) for row in rows]

    # --- the storm
    async def rage(self) -> None:
        """Workers come and are killed while the sync runs, and the shop goes on selling."""
        plans = [_POINT_OF[f] for f in self.report.faults if f in _POINT_OF]
        plans += [self.dice.choice((*POINTS, "")) for _ in range(self.dice.randint(1, 2))]
        self.dice.shuffle(plans)
        plans.sort(
            key=lambda point: point in _POINT_OF.values()
        )  # those of the list when there is something to cut
        if self._has("TWO_WORKERS"):
            plans.insert(self.dice.randint(0, len(plans)), "freeze")
        if self._has("DISK_FULL"):
            plans.insert(self.dice.randint(0, len(plans)), "disk")
        for turn, point in enumerate(plans):
            if self._has("scope_read_all_orders") and turn == min(1, len(plans) - 1):
                self.outlet.lose_scopes("read_all_orders")
                self.simulator.faults.done.append({"name": "scope_read_all_orders"})
            if point == "freeze":
                await self.freeze()
            elif point == "disk":
                await self.fill()
            else:
                await self.kill(point)
            if self.dice.random() < 0.6:
                self.outlet.live.run(self.dice.randint(1, 6))
            if self.hours.random() < 0.4:
                await self.tick()
        await self.spend()

    async def tick(self) -> None:
        """Every line of the timetable is due, and fires unless its job of the time before has not ended."""
        async with self.db.transaction() as conn:
            for line in app.schedules:
                await enqueue(conn, line.kind, line.args, unique=f"schedule:{line.name}")

    async def start(self, **given: Any) -> Process:
        """Another worker, with the endpoints unless told otherwise."""
        name = f"worker {len(self.processes) + 1}"
        order = {
            "url": self.db.url, "settings": self.settings, "data_dir": str(self.folder), "port": self.port,
            "lease_s": LEASE_S, "name": name, **given,
        }  # fmt: skip
        self.processes.append(await self.ground.nursery.start(order))
        return self.processes[-1]

    async def kill(self, point: str) -> None:
        """One worker that dies at a point, or after a while if it never comes there."""
        plan = None
        if point:
            nth = 1 if point in ("submit", "download", "promote") else self.dice.choice((1, 1, 2))
            plan = {"point": point, "nth": nth, "how": self.dice.choice(WAYS), "seed": self.report.seed}
        if point in _POINT_OF.values():
            await self.something_to_do()
        worker = await self.start(kill=plan)
        await self.awake(worker)
        while_s = self.dice.uniform(0.15, 0.7)
        if self.dice.random() < 0.5:
            await asyncio.sleep(0.1)
            self.outlet.live.run(self.dice.randint(1, 5))
        if plan and await worker.gone(6.0 if point in _POINT_OF.values() else 0.9):
            self.report.kills.append(f"{point}/{plan['nth']}/{plan['how']}")
        else:
            if not plan:
                await asyncio.sleep(while_s)
            worker.signal(signal.SIGKILL)
            await worker.gone(5)
            self.report.kills.append("time")
        await self.bury(worker)

    async def something_to_do(self) -> None:
        """Bulk operations are open; all may have been done before the one that is to meet them came."""
        if not await self.db.fetch_value(OPEN):
            await self.synced(self.connections[0]).begin()

    async def spend(self, within_s: float = 2.5) -> None:
        """A last worker meets what is ordered and has not struck yet, and is killed wherever it is then."""
        if not self.simulator.faults.orders:
            return
        await self.something_to_do()
        worker = await self.start()
        await self.awake(worker)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.simulator.faults.orders:  # noqa: ASYNC110 requests to the simulator change it
                    await asyncio.sleep(0.05)
        worker.signal(signal.SIGKILL)
        await worker.gone(5)
        self.report.kills.append("time")
        await self.bury(worker)

    async def fill(self) -> None:
        """A worker whose disk is full, until it has noticed."""
        await self.something_to_do()
        worker = await self.start(file_bytes=self.dice.choice((0, 500, 2000)))
        await self.until(FULL_DISK, within_s=6.0)
        worker.signal(signal.SIGKILL)
        await worker.gone(5)
        await self.bury(worker)

    async def freeze(self) -> None:
        """A worker stops (SIGSTOP), another has its jobs, then the first goes on with what it held: two at one job."""
        await self.something_to_do()
        first = await self.start()
        await self.until(HOLDS, [first.name], within_s=4.0)
        await asyncio.sleep(self.dice.uniform(0.0, 0.1))
        first.signal(signal.SIGSTOP)
        self.shared_jobs += await self.bury(first)
        second = await self.start(port=None)
        await self.awake(second)
        await asyncio.sleep(self.dice.uniform(0.2, 0.4))
        first.signal(signal.SIGCONT)
        await asyncio.sleep(self.dice.uniform(0.1, 0.4))
        self.report.kills.append("freeze")
        for one in self.dice.sample((first, second), 2):
            one.signal(signal.SIGKILL)
            await one.gone(5)
            await self.bury(one)

    async def awake(self, worker: Process) -> None:
        """Until it takes jobs, so that a slow machine does not kill workers that have not begun; or it died at once."""
        if not await self.until(BEGUN, [worker.name], within_s=30.0) and not await worker.gone(0):
            raise TimeoutError(f"{worker.name} does not begin")

    async def until(self, query: str, values: Sequence[Any] = (), *, within_s: float) -> bool:
        """Wait until the query gives true, and no longer; whether it did."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not await self.db.fetch_value(query, values):  # noqa: ASYNC110 another process changes it
                    await asyncio.sleep(0.02)
                return True
        return False

    async def bury(self, worker: Process) -> int:
        """Its lease is over, as it would be a little later; how many jobs it held."""
        await self.db.execute(
            "update control.workers set lease_until = clock_timestamp() where name = %s", [worker.name]
        )
        return int(await self.db.fetch_value("select control.recover_jobs()"))

    # --- afterwards
    async def calm(self) -> None:
        """Nothing goes wrong any more; what a person has to do is done; the timetable's jobs run."""
        await self.db.execute("drop function if exists public.storm_full() cascade")
        self.simulator.faults.clear()
        self.outlet.oauth.withheld = frozenset()
        await self.start()
        synced = self.synced(self.connections[0])
        if CUT_OFF & set(self.report.faults):
            await self.flush()
            await self.connect()
        await self.flush()
        await synced.idle()
        for _ in range(2):  # subscriptions that are repaired tell of nothing that was before them
            await self.tick()
            await synced.idle()
            await self.flush()
        await synced.idle()
        for connection in self.connections:
            if await self.overall(connection) != "completed":
                self.report.asked_again += 1
                await self.synced(connection).begin()
        if self.report.asked_again:
            await synced.idle()

    async def flush(self) -> None:
        """Every webhook is delivered, or tried as often as Shopify would."""
        hooks = self.outlet.webhooks
        hooks.release()
        async with asyncio.timeout(20):
            while hooks.queue or hooks._flights:
                if hooks.log and hooks.log[-1]["status"] == 0:  # nobody listens yet
                    await asyncio.sleep(0.05)
                hooks.hurry()
                await hooks.drain(timeout_s=15)

    def synced(self, connection: int) -> Synced:
        """The helper of other tests over one connection."""
        given = stores_shop.extras(**self.settings) | {"data_dir": str(self.folder)}
        return Synced(self.db, self.simulator, connection, given, self.folder)

    async def overall(self, connection: int) -> str:
        """`overall_status` as the status has it."""
        told = await self.db.fetch_value("select stores.shop_status(%s)", [connection])
        return str(told["overall_status"])

    async def wrong(self) -> list[str]:
        """Everything that is not as it must be."""
        found: list[str] = []
        for connection in self.connections:
            synced = self.synced(connection)
            found += await synced.differences() + await stores_twin.tombstones(synced, ids(self.outlet.shop))
            if (state := await self.overall(connection)) != "completed":
                told = await self.db.fetch_value("select stores.shop_status(%s)", [connection])
                why = [m["error"] for m in told["milestones"] if m["error"]]
                found.append(f"the status is {state}: {why}")
            untied = await self.db.fetch_value("select count(*) from stores.untied(%s, 100)", [connection])
            if untied:
                found.append(f"{untied} orders do not tie")
        found += await self.beside_its_twin()
        for note in await self.db.fetch_all(NOTES):
            found.append("{what}: {kind}, operation {operation}, job {job}".format(**note))
        for what, query in STUCK.items():
            if count := await self.db.fetch_value(query):
                found.append(f"{count} {what}")
        if not CUT_OFF & set(self.report.faults):
            rows = await self.db.fetch_all("select kind, error from control.jobs where state = 'failed'")
            found += [f"failed {row['kind']}: {row['error']}" for row in rows]
        return found

    async def beside_its_twin(self) -> list[str]:
        """Each connection's rows, column by column, against the shop as it is now."""
        other = await stores_twin.twin(self.synced(self.connections[0]))
        found: list[str] = []
        for connection in self.connections:
            found += await stores_twin.differences(self.synced(connection), other)
        return found


async def weather(of: Ground, seed: int, *, patch: str = "") -> Report:
    """Run one schedule in a database of its own. `patch`: SQL that breaks the product, to see that it is noticed."""
    async with of.cluster.database(max_size=6) as db:
        with tempfile.TemporaryDirectory(prefix="hg-storm-") as folder:
            return await Storm(of, seed, db, Path(folder), patch).run()


async def many(first: int, count: int, together: int) -> int:
    """Run schedules, a few at a time; print each that went wrong and the sums. How many went wrong."""
    log.configure(level="critical", json=True)
    ordered: Counter[str] = Counter()
    struck: Counter[str] = Counter()
    kills: Counter[str] = Counter()
    seconds: list[float] = []
    bad = taken_up = 0
    cluster = await TestCluster.start()
    await cluster.template(FULL, migrate.built_in_sources())
    seeds = iter(range(first, first + count))
    begun = time.monotonic()

    async def lane(of: Ground) -> None:
        nonlocal bad, taken_up
        for seed in seeds:
            report = await weather(of, seed)
            ordered.update(report.faults)
            struck.update(set(report.struck) & set(report.faults))
            kills.update(report.kills)
            seconds.append(report.seconds)
            bad += bool(report.wrong)
            taken_up += report.taken_up
            if report.wrong or report.taken_up:
                print(report, flush=True)
            if len(seconds) % 50 == 0:
                print(
                    f"{len(seconds)} schedules in {time.monotonic() - begun:.0f} s, {bad} wrong", flush=True
                )

    try:
        async with ground(cluster) as of, asyncio.TaskGroup() as group:
            for _ in range(together):
                group.create_task(lane(of))
    finally:
        await cluster.stop()
    print(f"{len(seconds)} schedules of seeds {first} to {first + count - 1}: {bad} wrong,"
          f" {sum(seconds) / max(1, len(seconds)):.2f} s each, {time.monotonic() - begun:.0f} s in all")  # fmt: skip
    print("schedules struck by each fault, of those that ordered it:")
    print("", ", ".join(f"{name} {struck[name]}/{ordered[name]}" for name in ALL))
    print("never struck:", sorted(set(ALL) - set(struck)))
    print(f"taken up by the timetable, since nobody looked after it: {taken_up}")
    print(f"kills: {sum(kills.values())}:", dict(kills.most_common()))
    return bad


def main() -> None:
    """`--first`, `--count`, `--together`."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--first", type=int, default=0)
    given.add_argument("--count", type=int, default=20)
    given.add_argument("--together", type=int, default=3)
    asked = given.parse_args()
    sys.exit(asyncio.run(many(asked.first, asked.count, asked.together)) > 0)


__all__ = ["ALL", "CYCLE", "Ground", "Report", "faults_of", "ground", "weather"]

if __name__ == "__main__":
    main()
