"""The queues to compare with: BullMQ and Celery in a temporary folder, and a Redis without persistence for a while."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

BULLMQ = "bullmq@5"
CELERY = ("celery[redis]>=5.5,<6", "packaging")
FOLDER = Path(tempfile.gettempdir()) / "headgate-bench-peers"


def missing() -> list[str]:
    """The programs that the comparison needs and this machine has not."""
    return [name for name in ("redis-server", "node", "npm") if shutil.which(name) is None]


def bullmq() -> Path:
    """The folder whose `node_modules` has BullMQ; installed on first use."""
    folder = FOLDER / "bullmq"
    if not (folder / "node_modules" / "bullmq").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}')
        subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", BULLMQ], cwd=folder, check=True
        )
    return folder


def celery() -> Path:
    """The Python of an environment that has Celery; made on first use."""
    folder = FOLDER / "celery"
    python = folder / "bin" / "python"
    if not (folder / "bin" / "celery").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *CELERY], check=True)
    return python


@contextlib.contextmanager
def redis() -> Iterator[int]:
    """A Redis on a free loopback port, in memory only; stopped at the end. Gives the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="headgate-bench-redis-") as folder:
        server = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait(port)
            yield port
        finally:
            server.terminate()
            server.wait(10)


def command(port: int, *words: str) -> str:
    """One Redis command in its inline form, and the raw answer."""
    with socket.create_connection(("127.0.0.1", port), 5) as conn, conn.makefile("rb") as answer:
        conn.sendall(" ".join(words).encode() + b"\r\n")
        head = answer.readline()
        if head[:1] != b"*":
            return head[1:].decode().strip()
        items = [answer.read(int(answer.readline()[1:]) + 2).strip() for _ in range(int(head[1:]))]
        return b"\n".join(items).decode()


def _wait(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            if command(port, "ping") == "PONG":
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            sys.exit("bench: redis-server did not start within 10 s")
        time.sleep(0.05)
