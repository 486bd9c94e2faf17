"""The REST surface against pgbench's four round trips and @supabase/lite 0.10.0, on one PostgreSQL, in one run.

Five requests: a filtered read of 25 rows under a policy, an embed of three tables, a one-row insert, a bulk insert of
1,000 rows, an RPC. Also the server's memory, before and after.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey

from bench import report
from bench._database import fresh_database
from bench._rest_load import load
from headgate.db import Database
from headgate.db.binaries import find
from headgate.db.pipeline import Step
from headgate.surface.rest.parse import Incoming
from headgate.surface.rest.service import RestService
from headgate.surface.rest.settings import RestSettings

HERE = Path(__file__).parent
SECRET = "bench-secret-that-is-long-enough-for-hs256"
OWNERS = 1000
BULK = 1000
ROUNDS = 5


def owner(number: int) -> str:
    """The owner of every thousandth row."""
    return str(uuid.UUID(hashlib.md5(str(number % OWNERS).encode()).hexdigest()))


def token(number: int) -> str:
    """A user's token."""
    claims = {"role": "authenticated", "owner": owner(number), "exp": int(time.time()) + 86_400}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))


TOKENS = [token(n) for n in range(20)]


@dataclass(frozen=True)
class Task:
    """One kind of request; pgbench sends what the server sends for it."""

    name: str
    distinct: int
    make: Callable[[int], bytes]
    among: int = 1  # pgbench asks for one of so many


def http(method: str, target: str, number: int, body: bytes = b"") -> bytes:
    """A request as bytes."""
    head = (
        f"{method} /rest/v1{target} HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n"
        f"Authorization: Bearer {TOKENS[number % len(TOKENS)]}\r\n"
    )
    if method == "POST":
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


ROW = {"kind": "view", "amount": 3, "note": "a note of some length"}
ONE, MANY = json.dumps(ROW).encode(), json.dumps([ROW] * BULK).encode()


def tasks() -> list[Task]:
    """The five kinds."""
    return [
        Task(
            "filtered read", 2000,
            lambda n: http("GET", f"/items?select=id,name,price&category=eq.{n % 20}&order=id&limit=25", n),
        ),  # pgbench as owner 1, who has rows of category 1 only
        Task(
            "embed of three tables", 20_000,
            lambda n: http("GET", f"/orders?select=id,total,customers(name),lines(qty,label)&id=eq.{n % 20000 + 1}", n),
            20_000,
        ),
        Task("one-row insert", 20, lambda n: http("POST", "/events", n, ONE)),
        Task("bulk insert of 1,000 rows", 20, lambda n: http("POST", "/events", n, MANY)),
        Task("RPC", 1000, lambda n: http("GET", f"/rpc/spent?customer={n % 1000 + 1}", n), 1000),
    ]  # fmt: skip


async def statements(url: str, task: Task) -> list[list[Step]]:
    """The settings and the statement that the server sends for two of the task's requests."""
    settings = RestSettings(db_uri=url, jwt_secret=SECRET)
    service = RestService(settings)
    await service.reload()
    found = []
    try:
        for number in (1, 2):
            head, _, body = task.make(number).partition(b"\r\n\r\n")
            first, *lines = head.split(b"\r\n")
            method, target, _ = first.decode().split(" ")
            path, _, query = target.removeprefix("/rest/v1").partition("?")
            pairs = [line.split(b": ", 1) for line in lines]
            incoming = Incoming(method, path, query.encode(), [(k.lower(), v) for k, v in pairs], body)
            found.append(await service.steps(incoming))
    finally:
        await service.close()
    return found


def script(task: Task, one: list[Step], other: list[Step]) -> tuple[str, dict[str, str]]:
    """The same for pgbench as four round trips, and its variables; what differs between two requests is `:n`."""
    lines, variables = [f"\\set n random(1, {task.among})", "begin;"], {}
    for place, (step, twin) in enumerate(zip(one, other, strict=True)):
        names = []
        for number, (value, second) in enumerate(zip(step.parameters, twin.parameters, strict=True)):
            if task.among > 1 and place and value != second:
                names.append("n")
                continue
            names.append(f"s{place}_{number}")
            variables[names[-1]] = (value or b"").decode()
        text = re.sub(r"\$(\d+)", lambda m, names=names: f":{names[int(m[1]) - 1]}", step.sql.decode())
        lines.append(f"{text};")
    return "\n".join([*lines, "commit;", ""]), variables


async def pgbench(url: str, task: Task, seconds: int) -> float:
    """Transactions per second of BEGIN, the server's settings and statement, and COMMIT, each a round trip."""
    program = find().folder / "pgbench"
    text, variables = script(task, *await statements(url, task))
    given = [part for name, value in variables.items() for part in ("-D", f"{name}={value}")]
    file = Path(os.environ.get("TMPDIR", "/tmp")) / f"headgate-bench-{os.getpid()}.sql"
    file.write_text(text)
    try:
        process = await asyncio.create_subprocess_exec(
            str(program), "-n", "-M", "prepared", "-c", "16", "-j", "2", "-T", str(seconds), *given,
            "-f", str(file), url,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
    finally:
        file.unlink()
    found = [line for line in out.decode().splitlines() if line.startswith("tps = ")]
    if not found:
        raise SystemExit(f"pgbench failed: {err.decode()[-500:]}")
    return float(found[0].split()[2])


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def server(
    *command: str, port: int, cwd: Path | None = None, quiet: bool = False, **environment: str
) -> AsyncIterator[int]:
    """A server process until the end of the block; its process id."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environment},
        cwd=cwd,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL if quiet else None,
    )
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.1)
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def memory_mb(pid: int) -> float:
    """Resident memory of a process, in MB."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def socket_file(url: str) -> str:
    """The file of a URL's UNIX socket, or `-` for TCP."""
    parts = urlsplit(url)
    folder = parse_qs(parts.query).get("host", [""])[0]
    port = parse_qs(parts.query).get("port", [str(parts.port or 5432)])[0]
    return f"{folder}/.s.PGSQL.{port}" if folder.startswith("/") else "-"


@contextlib.asynccontextmanager
async def ours(url: str) -> AsyncIterator[tuple[str, int]]:
    """Our server: its address and process id."""
    port = free_port()
    command = (sys.executable, "-m", "headgate.surface.rest.serve")
    environment = {"PGRST_DB_URI": url, "PGRST_JWT_SECRET": SECRET, "PGRST_SERVER_PORT": str(port)}
    async with server(*command, port=port, HEADGATE_REST_PREFIX="/rest/v1", **environment) as pid:
        yield f"http://127.0.0.1:{port}", pid


def lite_home() -> str | None:
    """The folder with the peer's package."""
    home = os.environ.get("LITE_HOME")
    return home if home and Path(home, "node_modules/@supabase/lite").is_dir() else None


@contextlib.asynccontextmanager
async def lite(url: str) -> AsyncIterator[str | None]:
    """@supabase/lite's address; None where Node or the package is not there (LITE_HOME says where)."""
    home, node = lite_home(), shutil.which("node")
    if node is None or home is None:
        print(
            "@supabase/lite is not installed: npm install @supabase/lite@0.10.0 postgres @hono/node-server in LITE_HOME"
        )
        yield None
        return
    program = Path(home, "headgate-bench.mjs")
    shutil.copy(HERE / "_rest_lite.mjs", program)
    port = free_port()
    parts = urlsplit(url)
    user = parts.username or parse_qs(parts.query).get("user", ["postgres"])[0]
    plain = f"postgresql://{user}@localhost{parts.path}" if socket_file(url) != "-" else url
    arguments = (node, str(program), str(port), plain, SECRET, socket_file(url))
    async with server(*arguments, port=port, cwd=Path(home), quiet=True, DO_NOT_TRACK="1"):
        yield f"http://127.0.0.1:{port}"


async def rounds(url: str, task: Task, *, base: str, peer: str | None) -> dict[str, list[float]]:
    """Ours, pgbench and the peer in turns, `ROUNDS` times."""
    seconds = report.sized(3, 1)
    await load(base, task.make, seconds=1, distinct=task.distinct)
    if peer is not None:
        try:
            await load(peer, task.make, seconds=5, distinct=task.distinct)
        except AssertionError as error:
            print(f"@supabase/lite, {task.name}: {str(error)[-80:]!r}")
            peer = None
    found: dict[str, list[float]] = {"ours": [], "p50": [], "p99": [], "pgbench": [], "lite": []}
    for _ in range(ROUNDS):
        got = await load(base, task.make, seconds=seconds, distinct=task.distinct)
        found["ours"].append(got.per_second)
        found["p50"].append(got.p50_ms)
        found["p99"].append(got.p99_ms)
        found["pgbench"].append(await pgbench(url, task, seconds))
        if peer is not None:
            other = await load(peer, task.make, seconds=seconds, distinct=task.distinct)
            found["lite"].append(other.per_second)
    return found


async def measure() -> None:
    """Run everything and write the result."""
    found: dict[str, dict[str, list[float]]] = {}
    memory = []
    async with fresh_database() as url:
        async with await Database.open(url, max_size=1) as db, db.connection() as conn:
            await conn.execute((HERE / "rest.sql").read_text())
            await conn.execute("vacuum analyze")
        async with ours(url) as (base, pid), lite(url) as peer:
            for task in tasks():
                found[task.name] = await rounds(url, task, base=base, peer=peer)
                memory.append(memory_mb(pid))
    figures = []
    for name, got in found.items():
        ratios = [a / b for a, b in zip(got["ours"], got["pgbench"], strict=True)]
        figures += [
            report.Figure(name=name, value=report.middle(got["ours"]), unit="requests/s"),
            report.Figure(name=f"{name}, p50", value=report.middle(got["p50"]), unit="ms"),
            report.Figure(name=f"{name}, p99", value=report.middle(got["p99"]), unit="ms"),
            report.at_least(f"{name}, to pgbench's four round trips", report.middle(ratios), 0.6),
        ]
        if got["lite"]:
            ratios = [a / b for a, b in zip(got["ours"], got["lite"], strict=True)]
            figures.append(report.at_least(f"{name}, to @supabase/lite 0.10.0", report.middle(ratios), 8))
    figures.append(report.at_most("memory of the server process, at the end", memory[-1], 120, "MB"))
    report.write(
        "rest", "The REST surface", figures, command="python -m bench rest",
        about=f"16 connections, one server process, wrk and pgbench on the same machine; medians of {ROUNDS} rounds, "
        "in each of which ours, pgbench and the peer ran in turn. pgbench runs BEGIN, the set_config statement and the "
        "query that the server sends for that request (taken from the server), and COMMIT, prepared.",
        samples={"memory_mb": memory, **found},
    )  # fmt: skip


def main() -> None:
    """Measure."""
    import uvloop

    uvloop.run(measure())


if __name__ == "__main__":
    main()
