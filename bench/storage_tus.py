"""One file of 1 GB by a resumable upload, with cut connections and kill −9 of the server, whose memory stays flat.

`python -m bench storage_tus`
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import random
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from bench import report
from bench._database import fresh_database
from headgate.db import Database

PIECE = 1024 * 1024
CUTS, KILLS = 12, 4
_SERVER = "import sys; from tests.faults.storage_child import serve; serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))"


class _Server:
    """The service in a process of its own."""

    def __init__(self, url: str, folder: str) -> None:
        self._place = (url, folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}/storage/v1/"
        self.process: Any = None
        self.memory: list[float] = []  # MB, sampled

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _SERVER, *self._place, str(self.port), cwd=report.ROOT,
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with httpx.AsyncClient() as http:
            for _ in range(600):
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get(self.base + "status")).status_code == 200:
                        return
                await asyncio.sleep(0.1)
        raise SystemExit("the server did not start")

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    def sample(self) -> None:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                self.memory.append(int(line.split()[1]) / 1000)


def _piece(number: int) -> bytes:
    return random.Random(number).randbytes(PIECE)


async def _pieces(server: _Server, at: int, stop: int, *, breaks: bool) -> AsyncIterator[bytes]:
    """The file's bytes from `at`; breaks off at `stop` if asked."""
    while at < stop:
        body = _piece(at // PIECE)[at % PIECE :]
        server.sample()
        yield body
        at += len(body)
    if breaks:
        raise httpx.WriteError("cut")


async def _upload(server: _Server, size: int, headers: dict[str, str]) -> tuple[int, int]:
    about = {"bucketName": "files", "objectName": "big", "contentType": "video/mp4"}
    coded = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in about.items())
    events = sorted(random.Random(1).sample(range(1, size // PIECE), min(CUTS + KILLS, size // PIECE - 1)))
    resent = breaks = 0
    async with httpx.AsyncClient(base_url=server.base, headers=headers, timeout=120) as http:
        made = await http.post(
            "upload/resumable", headers={"upload-length": str(size), "upload-metadata": coded}
        )
        made.raise_for_status()
        place = made.headers["location"].removeprefix("/storage/v1/")
        for number, stop in enumerate([*(event * PIECE for event in events), size]):
            at = int((await http.head(place)).raise_for_status().headers["upload-offset"])
            sent = {"upload-offset": str(at), "content-type": "application/offset+octet-stream"}
            breaking = stop < size
            with contextlib.suppress(httpx.TransportError):
                body = _pieces(server, at, stop, breaks=breaking)
                (await http.patch(place, content=body, headers=sent)).raise_for_status()
            if breaking:
                breaks += 1
                if number % 4 == 3:
                    await server.kill()
                    await server.start()
                await asyncio.sleep(0.2)  # the server notices the cut and lets go of the upload
                reached = int((await http.head(place)).raise_for_status().headers["upload-offset"])
                resent += max(0, stop - reached)
    return breaks, resent


async def measure() -> list[report.Figure]:
    """Upload, download, compare."""
    from tests.database.storage_fixture import token

    size = report.sized(1024, 40) * PIECE
    headers = {"authorization": f"Bearer {token('service_role')}", "tus-resumable": "1.0.0"}
    with tempfile.TemporaryDirectory() as folder:
        async with fresh_database() as url:
            server = _Server(url, folder)
            await server.start()
            async with httpx.AsyncClient(base_url=server.base, headers=headers) as http:
                (await http.post("bucket", json={"name": "files"})).raise_for_status()
            server.sample()
            idle, began = server.memory[0], time.monotonic()
            breaks, resent = await _upload(server, size, headers)
            took = time.monotonic() - began
            wanted, got = hashlib.sha256(), hashlib.sha256()
            for number in range(size // PIECE):
                wanted.update(_piece(number))
            async with (
                httpx.AsyncClient(base_url=server.base, headers=headers, timeout=120) as http,
                http.stream("GET", "object/files/big") as reply,
            ):
                async for body in reply.aiter_raw():
                    got.update(body)
                    server.sample()
            await server.kill()
            async with await Database.open(url, max_size=2) as db:
                left = await db.fetch_value("select count(*) from storage_internal.writes")
    if wanted.digest() != got.digest() or left:
        raise SystemExit("the file came out differently")
    return [
        report.Figure(name="file, bytes equal after download", value=size / 1e6, unit="MB"),
        report.Figure(name="interruptions, a quarter of them kill −9", value=breaks),
        report.Figure(name="sent again after interruptions", value=resent / 1e6, unit="MB"),
        report.Figure(name="upload", value=took, unit="s"),
        report.Figure(name="server's memory, idle", value=idle, unit="MB"),
        report.at_most("server's memory, most, beyond idle", max(server.memory) - idle, 40, "MB"),
    ]


def main() -> None:
    """Measure and write the result."""
    report.write(
        "storage_tus",
        "A file of 1 GB by resumable upload",
        asyncio.run(measure()),
        command="python -m bench storage_tus",
        about=f"{CUTS + KILLS} interruptions at seeded places; the service alone in one process, bytes in a folder.",
    )


if __name__ == "__main__":
    main()
