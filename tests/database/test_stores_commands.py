"""`headgate stores`: as an operator types it, against a simulated Shopify, with server and worker beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from headgate.db import Database
from tests import stores_shop
from tests.tickets_simulator import free_port

SECRET = "a-secret-that-nobody-may-read"
SHOP = "acme.myshopify.com"


@dataclass
class Typed:
    """What a command did."""

    code: int
    out: str
    err: str


@dataclass
class Operator:
    """Somebody at a terminal with these settings."""

    environment: dict[str, str]
    folder: Path

    async def types(self, *arguments: str, **environment: str) -> Typed:
        """Run `headgate ...` to its end; whatever it did, it shows neither a traceback nor the secret."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headgate", *arguments, env=self.environment | environment, cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await asyncio.wait_for(process.communicate(), 120)
        finally:
            if process.returncode is None:
                process.kill()
        done = Typed(process.returncode or 0, out.decode(), err.decode())
        assert "Traceback" not in done.out + done.err
        assert SECRET not in done.out + done.err
        assert not re.search(r"shp(at|ca|ua|rt)_", done.out + done.err), "no token is shown"
        return done

    async def refused(self, code: str, *arguments: str, **environment: str) -> str:
        """Run a command that must fail with this code, in one line of its own; the line."""
        done = await self.types(*arguments, **environment)
        assert (done.code, done.err.count("\n")) == (1, 1), done
        assert done.err.startswith(f"headgate: {code}: "), done.err
        return done.err

    @contextlib.asynccontextmanager
    async def runs(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A process of `headgate` that runs meanwhile."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headgate", *arguments, env=self.environment, cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def operator(database: Database, folder: Path, **environment: Any) -> Operator:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HEADGATE_") and k != "DATABASE_URL"}
    ours = {
        "HEADGATE_DATABASE_URL": database.url,
        "HEADGATE_DATA_DIR": str(folder / "data"),
        "HEADGATE_APPS": "stores",
        "HEADGATE_LOG_LEVEL": "error",
        "HEADGATE_STORES_CLIENT_ID": "cli-app",
        "HEADGATE_STORES_CLIENT_SECRET": SECRET,
        "COLUMNS": "200",
    }
    return Operator(kept | ours | {k: str(v) for k, v in environment.items()}, folder)


async def until_up(*urls: str) -> None:
    async with httpx.AsyncClient() as client, asyncio.timeout(60):
        for url in urls:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(url)).status_code == 200:
                        break
                await asyncio.sleep(0.1)


@pytest.mark.timeout(300)
async def test_a_shop_from_connect_to_an_order_that_does_not_tie(database: Database, tmp_path: Path) -> None:
    port, sim_port = free_port(), free_port()
    simulator = f"http://127.0.0.1:{sim_port}"
    here = operator(
        database, tmp_path, HEADGATE_PORT=port, HEADGATE_STORES_SIMULATOR_URL=simulator
    )  # fmt: skip
    simulate = ("stores", "simulate", "--port", str(sim_port), "--shop", SHOP, "--orders", "30", "--days", "40",
                "--client-id", "cli-app", "--client-secret", SECRET)  # fmt: skip
    async with here.runs("serve"), here.runs("work"):
        async with here.runs(*simulate), httpx.AsyncClient(timeout=30) as client:
            await until_up(f"http://127.0.0.1:{port}/health", f"{simulator}/_control/ready")
            taken = await here.refused("HG101", *simulate)
            assert str(sim_port) in taken

            begun = await here.types("stores", "connect", "acme", "--brand", "Acme")
            assert begun.code == 0
            approve = begun.out.splitlines()[-1]
            assert approve.startswith(f"{simulator}/{SHOP}/admin/oauth/authorize?")
            callback = (await client.get(approve)).headers["location"]
            assert (await client.get(callback)).status_code == 303
            again = await client.get(callback)
            assert again.status_code == 400, "the address is good once"

            synced = await here.types("stores", "sync", SHOP)
            assert synced.code == 0 and "reconciled" in synced.out and SHOP in synced.out
            shown = await here.types("stores", "status")
            assert shown.code == 0 and shown.out.count("completed") == 7, shown.out
            told = json.loads((await here.types("stores", "status", "acme", "--json")).out)
            assert (told["shop"], told["overall_status"], told["verified"]) == (SHOP, "completed", True)

            tied = await here.types("stores", "reconcile", "acme")
            assert (tied.code, tied.err) == (0, "")
            assert re.fullmatch(rf"{SHOP}: tied, (\d+) of \1 orders tie to the cent", tied.out.strip())

            await client.post(f"{simulator}/_control/faults", json={"fault": "untied_ledger"})
            oracle = (await client.get(f"{simulator}/_control/oracle/orders")).json()
            (name,) = [gid for gid, row in oracle.items() if row["current_total"] != row["ledger_total"]]
            open_ = await here.types("stores", "reconcile", "acme")
            assert open_.code == 1
            first, *named = open_.out.strip().splitlines()
            assert re.fullmatch(rf"{SHOP}: open, \d+ of {len(oracle)} orders tie to the cent", first), first
            row = await database.fetch_one(
                "select u.*, r.orders, r.tied from stores.untied_orders u join stores.reconciliations r"
                " on r.id = u.reconciliation_id where r.id = (select max(id) from stores.reconciliations)"
            )
            assert row is not None and row["orders"] == row["tied"] + 1 == len(oracle)
            assert name == f"gid://shopify/Order/{row['order_id']}"
            assert len(named) == 1 and f"{row['name']}: Shopify {row['current_total_price']}" in named[0]
            assert f"difference {row['difference']}" in named[0] and row["difference"] != 0

        for command in ("reconcile", "sync"):  # the simulator is gone
            line = await here.refused("HG321", "stores", command, "acme")
            assert SHOP in line and "HG4" in line
        assert (await here.types("stores", "status", "acme")).code == 0, "what is here is still told"


@pytest.mark.timeout(300)
async def test_what_is_wrong_is_said_in_one_line(database: Database, tmp_path: Path) -> None:
    here = operator(database, tmp_path, HEADGATE_STORES_SIMULATOR_URL="http://127.0.0.1:9")
    for command in ("sync", "status", "reconcile"):
        assert "No shop is connected" in await here.refused("HG319", "stores", command)
    for shop in ("a b", "acme.myshopify.com.evil.example"):
        assert "myshopify.com" in await here.refused("HG120", "stores", "connect", shop)
    assert await database.fetch_value("select count(*) from stores.brands") == 0
    missing = str(uuid4())
    assert missing in await here.refused("HG120", "stores", "connect", "acme", "--brand", missing)
    await here.refused("HG120", "stores", "connect", "acme", "--brand", "Acme", "--owner", missing)
    assert await database.fetch_value("select count(*) from stores.brands") == 0
    bare = {"HEADGATE_STORES_CLIENT_ID": "", "HEADGATE_STORES_CLIENT_SECRET": ""}
    assert "CLIENT_ID" in await here.refused("HG118", "stores", "connect", "acme", **bare)


@pytest.mark.timeout(300)
async def test_a_shop_of_another_brand_and_work_without_workers(database: Database, tmp_path: Path) -> None:
    here = operator(database, tmp_path, HEADGATE_STORES_SIMULATOR_URL="http://127.0.0.1:9")
    brand = await stores_shop.brand(database, uuid4(), name="First")
    await stores_shop.brand(database, uuid4(), name="Second")
    await stores_shop.connection(database, brand, SHOP)
    assert "First, Second" in await here.refused("HG119", "stores", "connect", "other")
    assert "another brand" in await here.refused("HG121", "stores", "connect", "acme", "--brand", "Second")
    assert "nothere" in await here.refused("HG319", "stores", "status", "nothere")
    for command in ("sync", "reconcile"):
        await here.refused("HG320", "stores", command, "acme")
    queued = await database.fetch_all(
        "select kind from control.jobs where kind like 'stores.%%' order by kind"
    )
    assert [row["kind"] for row in queued] == ["stores.recent_sync", "stores.reconcile"]
    done = await here.types("stores", "sync", "acme", "--no-watch")
    assert (done.code, done.out) == (0, f"Queued: {SHOP}\n")
    told = json.loads((await here.types("stores", "status", "acme", "--json")).out)
    assert (told["overall_status"], told["milestones"]) == ("pending", [])
    assert (await here.types("stores", "status", "acme")).code == 0


@pytest.mark.timeout(300)
async def test_without_a_database_the_commands_say_so(tmp_path: Path) -> None:
    here = Operator({k: v for k, v in os.environ.items() if not k.startswith("HEADGATE_")}, tmp_path)
    await here.refused("HG103", "stores", "status", "--data-dir", str(tmp_path / "none"))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"postgresql://a:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/a"
        await here.refused("HG201", "stores", "status", "--database-url", url)
