"""kill −9 of the server process in the middle of uploads, replacements, moves, deletes and resumable uploads.

After every kill: each object's bytes are there and are the ones that its row describes, even before any sweep; what was
acknowledged is so; after a sweep no bytes are left without a row. `STORAGE_KILLS` sets how many,
`STORAGE_KILLS_SEED` the first seed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import multiprocessing
import os
import random
import socket
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from headgate.db import Database
from headgate.surface.storage.sweep import Sweeper
from tests.database.storage_fixture import depot_over, kept_files, storage, token
from tests.faults import storage_child

KILLS = int(os.environ.get("STORAGE_KILLS", "12"))
FIRST_SEED = int(os.environ.get("STORAGE_KILLS_SEED", "0"))
WORKERS = 6
GONE = "gone"


@dataclass
class History:
    """What may be under each name: the hashes of bodies, or GONE; one entry unless the answer is not known."""

    may: dict[str, set[str]] = field(default_factory=dict)
    acknowledged: int = 0
    unknown: int = 0

    def begin(self, name: str, after: str) -> None:
        self.may[name] = self.may.get(name, {GONE}) | {after}

    def end(self, name: str, after: str) -> None:
        self.may[name] = {after}
        self.acknowledged += 1


class Worker:
    """A client with names of its own, so that the order of what it did is known."""

    def __init__(self, number: int, base: str, history: History, dice: random.Random) -> None:
        self.names = [f"w{number}/{place}" for place in "abcd"]
        self.base = base
        self.history = history
        self.dice = dice
        self.headers = {"authorization": f"Bearer {token('service_role')}"}

    async def run(self) -> None:
        """Work until the server is gone."""
        async with httpx.AsyncClient(base_url=self.base, headers=self.headers, timeout=20) as http:
            try:
                while True:
                    await self.step(http)
            except httpx.TransportError:
                self.history.unknown += 1

    async def step(self, http: httpx.AsyncClient) -> None:
        name = self.dice.choice(self.names)
        deed = self.dice.choice(("put", "put", "put", "remove", "move", "tus"))
        body = self.dice.randbytes(self.dice.choice((1, 900, 70_000, 1_500_000)))
        mark = hashlib.sha256(body).hexdigest()
        if deed == "put":
            self.history.begin(name, mark)
            headers = {"x-upsert": "true", "content-type": "a/b"}
            reply = await http.post(f"object/files/{name}", content=body, headers=headers)
            assert reply.status_code == 200, reply.text
            self.history.end(name, mark)
        elif deed == "remove":
            self.history.begin(name, GONE)
            reply = await http.request("DELETE", "object/files", json={"prefixes": [name]})
            assert reply.status_code == 200, reply.text
            self.history.end(name, GONE)
        elif deed == "tus":
            await self.resumable(http, name, body, mark)
        else:
            await self.move(http, name)

    async def move(self, http: httpx.AsyncClient, name: str) -> None:
        target = self.dice.choice([other for other in self.names if other != name])
        before = self.history.may.get(name, {GONE})
        if self.history.may.get(target, {GONE}) != {GONE} or GONE in before or len(before) > 1:
            return
        (mark,) = before
        self.history.begin(name, GONE)
        self.history.begin(target, mark)
        body = {"bucketId": "files", "sourceKey": name, "destinationKey": target}
        reply = await http.post("object/move", json=body)
        assert reply.status_code == 200, reply.text
        self.history.end(name, GONE)
        self.history.end(target, mark)

    async def resumable(self, http: httpx.AsyncClient, name: str, body: bytes, mark: str) -> None:
        about = {"bucketName": "files", "objectName": name, "contentType": "a/b"}
        coded = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in about.items())
        headers = {"tus-resumable": "1.0.0", "x-upsert": "true"}
        made = await http.post(
            "upload/resumable", headers={**headers, "upload-length": str(len(body)), "upload-metadata": coded}
        )
        assert made.status_code == 201, made.text
        place, half = made.headers["location"].removeprefix("/storage/v1/"), len(body) // 2
        kind = {"content-type": "application/offset+octet-stream"}
        if half:
            await http.patch(place, content=body[:half], headers={**headers, **kind, "upload-offset": "0"})
        self.history.begin(name, mark)
        done = await http.patch(
            place, content=body[half:], headers={**headers, **kind, "upload-offset": str(half)}
        )
        assert done.status_code == 204, done.text
        self.history.end(name, mark)


async def check(database: Database, folder: Path, history: History) -> None:
    """Rows, bytes and acknowledgements agree."""
    rows = {row["name"]: row for row in await database.fetch_all("select * from storage.objects")}
    for name, may in history.may.items():
        row = rows.pop(name, None)
        found = row["metadata"]["eTag"].strip('"') if row else GONE
        assert found in may, f"{name}: {found} is none of {may}"
        history.may[name] = {found}
        if row:
            file = folder / "storage" / "objects" / row["version"][:2] / row["version"]
            assert hashlib.sha256(file.read_bytes()).hexdigest() == found, name
    assert rows == {}, "objects that nobody put"


async def swept(database: Database, folder: Path) -> None:
    """After a sweep by a process that is not killed, bytes and rows are the same set."""
    sweeper = Sweeper(depot_over(database, folder))
    for _ in range(
        200
    ):  # PostgreSQL takes a moment to notice that a killed client is gone, and frees its lock then
        if (report := await sweeper.sweep(0)) is not None:
            break
        await asyncio.sleep(0.05)
    assert report is not None, "the killed process still holds the lock"
    assert (report.missing, report.damaged) == ([], [])
    versions = {row["version"] for row in await database.fetch_all("select version from storage.objects")}
    assert kept_files(folder) == versions
    for table in ("writes", "removals"):
        assert await database.fetch_value(f"select count(*) from storage_internal.{table}") == 0
    assert list((folder / "storage").glob("incoming/*")) == []


async def progress(history: History, wanted: int) -> None:
    """Until so many operations were acknowledged, a minute at most."""
    for _ in range(6000):
        if history.acknowledged >= wanted:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the server does not work")


async def answering(base: str) -> None:
    """Until the server takes requests."""
    async with httpx.AsyncClient(base_url=base) as http:
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if (await http.get("status")).status_code == 200:
                    return
            await asyncio.sleep(0.02)
    raise AssertionError("the server did not start")


@pytest.mark.timeout(3600)
async def test_kills_part_no_object_from_its_bytes(bare_database: Database, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([storage_child.__name__])
    async with storage(bare_database, tmp_path) as client:
        await client.bucket("files")
    history = History()
    for seed in range(FIRST_SEED, FIRST_SEED + KILLS):
        dice = random.Random(seed)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        base = f"http://127.0.0.1:{port}/storage/v1/"
        child = context.Process(
            target=storage_child.serve, args=(bare_database.url, str(tmp_path), port), daemon=True
        )
        child.start()
        try:
            await answering(base)
            workers = [
                Worker(number, base, history, random.Random(seed * 100 + number)) for number in range(WORKERS)
            ]
            tasks = [asyncio.create_task(worker.run()) for worker in workers]
            await progress(history, history.acknowledged + dice.randint(0, 12))
            await asyncio.sleep(dice.uniform(0, 0.1))
        finally:
            child.kill()
        await asyncio.gather(*tasks)
        await asyncio.to_thread(child.join)
        await check(bare_database, tmp_path, history)
        await swept(bare_database, tmp_path)
        await check(bare_database, tmp_path, history)
    print(
        f"{KILLS} kills: {history.acknowledged} operations acknowledged, {history.unknown} cut off; none lost or torn"
    )
    assert history.acknowledged > KILLS and history.unknown >= KILLS


async def test_the_checker_notices_lost_and_foreign_bytes(bare_database: Database, tmp_path: Path) -> None:
    async with storage(bare_database, tmp_path) as client:
        await client.bucket("files")
        await client.put("files/w0/a", b"right")
        right = hashlib.sha256(b"right").hexdigest()
        await check(bare_database, tmp_path, History({"w0/a": {right}}))
        lost = History({"w0/a": {right}, "x": {right}})
        for wrong in (History({"w0/a": {GONE}}), History({"w0/a": {"other"}}), History({}), lost):
            with pytest.raises(AssertionError):
                await check(bare_database, tmp_path, wrong)
        (file,) = [f for f in (tmp_path / "storage" / "objects").rglob("*") if f.is_file()]
        file.write_bytes(b"wrong")
        with pytest.raises(AssertionError):
            await check(bare_database, tmp_path, History({"w0/a": {right}}))
        file.unlink()
        with pytest.raises(FileNotFoundError):
            await check(bare_database, tmp_path, History({"w0/a": {right}}))
