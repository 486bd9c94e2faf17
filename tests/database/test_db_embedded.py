"""The embedded server: shared by count, found again, and in order after every kind of sudden death."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import OperationalError

from headgate.base.errors import DatabaseError
from headgate.db import Database, binaries, embedded, processes
from headgate.db.connect import connect
from headgate.db.embedded import EmbeddedServer, Options

QUICK = Options(settings={"shared_buffers": "32MB"})
USER = """
import asyncio, pathlib, sys
from headgate.db.embedded import EmbeddedServer
async def main():
    async with await EmbeddedServer.open(pathlib.Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder for a server that the server's system user can reach."""
    for folder in (tmp_path, *tmp_path.parents[:2]) if os.geteuid() == 0 else ():
        folder.chmod(0o755)
    yield tmp_path / "pg"
    found = processes.read_postmaster((tmp_path / "pg" / "data").resolve())
    if found and processes.is_postmaster(found, (tmp_path / "pg" / "data").resolve()):
        processes.end(found.pid, signal.SIGINT)


@contextlib.contextmanager
def another_process(home: Path, **options: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A user of the server in a process of its own, and the pid of the server it got."""
    user = subprocess.Popen(
        [options.pop("python", sys.executable), "-c", USER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    try:
        yield user, int(user.stdout.readline() or 0)
    finally:
        user.stdin.close()
        user.wait(30)
        user.stdout.close()


async def gone(pid: int, within_s: float = 20) -> bool:
    deadline = time.monotonic() + within_s
    while processes.start_mark(pid) is not None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def test_last_user_leaving_stops_the_server(home: Path) -> None:
    server = await EmbeddedServer.open(home, QUICK)
    with another_process(home) as (user, pid):
        assert pid == server.pid
        await server.close()
        assert processes.start_mark(pid) is not None, "another user is still there"
        user.stdin.close()
        user.wait(30)
        assert processes.start_mark(pid) is None


async def test_users_that_come_at_once_share_one_new_cluster(home: Path) -> None:
    servers = await asyncio.gather(*(EmbeddedServer.open(home, QUICK) for _ in range(4)))
    assert len({server.pid for server in servers}) == 1
    await asyncio.gather(*(server.close() for server in servers))
    assert await gone(servers[0].pid, 1)


async def test_killed_owner_is_not_counted_and_the_next_user_attaches_again(home: Path) -> None:
    with another_process(home) as (user, pid):
        user.kill()
        user.wait(30)
        server = await EmbeddedServer.open(home, QUICK)
        assert server.pid == pid, "the server went on"
        await server.close()
        assert await gone(pid, 2), "the killed user kept the server alive"


async def test_killed_owner_without_successor_leaves_no_server(home: Path) -> None:
    with another_process(home) as (user, pid):
        user.kill()
        user.wait(30)
        assert await gone(pid), "the reaper stops a server without users"


async def test_killed_postmaster_comes_back_with_everything_committed(home: Path) -> None:
    async with await EmbeddedServer.open(home, QUICK) as server, await Database.open(server.url()) as db:
        await db.execute("create table kept as select generate_series(1, 1000) as n")
        first = server.pid
        os.kill(first, signal.SIGKILL)
        assert await gone(first)
        for _ in range(100):
            with contextlib.suppress(Exception):
                if await db.fetch_value("select count(*) from kept") == 1000:
                    break
            await asyncio.sleep(0.1)
        assert await db.fetch_value("select count(*) from kept") == 1000
        assert server.pid != first


async def test_busy_orphan_of_a_killed_postmaster_is_ended_before_the_new_start(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_ORPHANS_S", 0.5)
    server = await EmbeddedServer.open(home, QUICK, watch=False)
    conn = await connect(server.url())
    query = asyncio.create_task(conn.execute("select count(*) from generate_series(1, 100000000000) n"))
    await asyncio.sleep(0.3)
    orphan = conn.info.backend_pid
    os.kill(server.pid, signal.SIGKILL)
    assert await gone(server.pid)
    async with await EmbeddedServer.open(home, QUICK) as again:
        assert processes.start_mark(orphan) is None, "two generations of processes on one cluster"
        assert again.pid != server.pid
    await asyncio.gather(query, return_exceptions=True)
    await conn.close()
    await server.close()


@pytest.mark.parametrize("seed", [1, 2])
async def test_any_order_of_coming_leaving_and_dying(home: Path, seed: int) -> None:
    """While somebody holds the server, it answers and keeps every commit; when nobody does, it ends."""
    chance = random.Random(seed)
    others: list[subprocess.Popen[str]] = []
    commits = 0
    async with await EmbeddedServer.open(home, QUICK) as server, await Database.open(server.url()) as db:
        await db.execute("create table commits (n int)")
        for _ in range(10):
            step = chance.choice(["come", "leave", "kill user", "kill server", "commit", "commit"])
            if step == "come":
                others.append(await asyncio.to_thread(_user, home))
            elif step == "kill server":
                os.kill(server.pid, signal.SIGKILL)
            elif step == "commit":
                await _patiently(lambda: db.execute("insert into commits values (1)"))
                commits += 1
            elif others:
                other = others.pop(chance.randrange(len(others)))
                other.kill() if step == "kill user" else other.stdin.close()  # type: ignore[union-attr]
                await asyncio.to_thread(other.wait, 30)
            assert await _patiently(lambda: db.fetch_value("select count(*) from commits")) >= commits
    for other in others:
        other.kill()
        other.wait()
    found = processes.read_postmaster(home / "data")
    assert found is None or await gone(found.pid)


def _user(home: Path) -> subprocess.Popen[str]:
    user = subprocess.Popen(
        [sys.executable, "-c", USER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert user.stdout is not None and user.stdout.readline()
    user.stdout.close()
    return user


async def _patiently(action: Callable[[], Awaitable[Any]]) -> Any:
    """The result of `action`, tried again while the server comes back."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return await action()
        except (OperationalError, DatabaseError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def test_stale_pid_file_with_a_reused_pid_neither_fools_nor_harms(home: Path) -> None:
    server = await EmbeddedServer.open(home, QUICK, watch=False)
    data = home / "data"
    old = (data / "postmaster.pid").read_text().splitlines()
    os.kill(server.pid, signal.SIGKILL)
    assert await gone(server.pid)
    with subprocess.Popen(["sleep", "60"]) as innocent:  # noqa: ASYNC220 - its start takes no time
        (data / "postmaster.pid").write_text("\n".join([str(innocent.pid), *old[1:]]) + "\n")
        (Path(old[4]) / f".s.PGSQL.{old[3]}.lock").write_text(f"{innocent.pid}\n")
        async with await EmbeddedServer.open(home, QUICK) as again:
            assert again.pid != innocent.pid
            async with await connect(again.url()) as conn:
                assert await (await conn.execute("select 1 as one")).fetchone() == {"one": 1}
        assert innocent.poll() is None, "a process that is not ours was ended"
        innocent.kill()
    await server.close()


async def test_server_that_cannot_be_seen_is_not_doubled(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await EmbeddedServer.open(home, QUICK) as server:
        monkeypatch.setattr(processes, "is_postmaster", lambda *_: False)
        monkeypatch.setattr(processes, "working_in", lambda *_: [])
        monkeypatch.setattr(embedded, "_ORPHANS_S", 0.3)
        with pytest.raises(DatabaseError) as caught:
            await EmbeddedServer.open(home, QUICK)
        assert caught.value.code == "HG233"
        monkeypatch.undo()
        assert processes.start_mark(server.pid) is not None


async def test_reference_of_a_reused_pid_does_not_count(home: Path) -> None:
    server = await EmbeddedServer.open(home, QUICK)
    users = home / "users.json"
    users.write_text(users.read_text().replace("]]", f'], [{os.getppid()}, "another:start"]]'))
    pid = server.pid
    await server.close()
    assert await gone(pid, 2)


async def test_recovery_longer_than_ten_seconds_is_waited_for(home: Path) -> None:
    async with await EmbeddedServer.open(home, QUICK, watch=False) as server:
        async with await connect(server.url()) as conn:
            await conn.execute(
                "create table big as select n, repeat('x', 900) from generate_series(1, 60000) n"
            )
        os.kill(server.pid, signal.SIGKILL)
        assert await gone(server.pid)
        opening = asyncio.create_task(EmbeddedServer.open(home, QUICK))
        while not (startup := _process_titled("startup", home / "data")):
            assert not opening.done(), "recovery was over before it could be held up"
            await asyncio.sleep(0.001)
        os.kill(startup, signal.SIGSTOP)
        await asyncio.sleep(11)
        assert not opening.done()
        os.kill(startup, signal.SIGCONT)
        again = await opening
        async with await connect(again.url()) as conn:
            assert await (await conn.execute("select count(*) as n from big")).fetchone() == {"n": 60000}
        await again.close()


def _process_titled(word: str, data: Path) -> int | None:
    for pid in processes.working_in(data):
        with contextlib.suppress(OSError):
            if word in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
    return None


async def test_start_without_progress_is_an_error_in_the_end(home: Path) -> None:
    async with await EmbeddedServer.open(home, QUICK):
        pass
    slow = _programs_with(home.parent, "postgres", "--version) exec {real} --version;; *) exec sleep 30;;")
    server = EmbeddedServer(home, Options(bin=slow, stall_s=1))
    with pytest.raises(DatabaseError) as caught:
        await server._join()
    assert caught.value.code == "HG236"
    assert server._child is not None
    server._child.kill()
    server._child.wait()


def _programs_with(folder: Path, name: str, cases: str) -> Path:
    """A folder of PostgreSQL programs in which one is replaced by a script of `case` branches on its first word."""
    real = binaries.find().folder
    fake = folder / "bin"
    fake.mkdir()
    for program in ("postgres", "initdb"):
        (fake / program).write_text(f'#!/bin/sh\nexec {real / program} "$@"\n')
        (fake / program).chmod(0o755)
    (fake / name).write_text(f'#!/bin/sh\ncase "$1" in {cases.format(real=real / name)} esac\n')
    return fake


async def test_half_made_cluster_is_made_again(home: Path) -> None:
    (home / "data.new").mkdir(parents=True)
    (home / "data.new" / "PG_VERSION").write_text("18\n")
    async with await EmbeddedServer.open(home, QUICK) as server:
        assert server.pid


async def test_failing_initdb_leaves_nothing_and_says_why(home: Path) -> None:
    broken = _programs_with(home.parent, "initdb", '*) echo "no space" >&2; exit 1;;')
    with pytest.raises(DatabaseError, match="no space") as caught:
        await EmbeddedServer.open(home, Options(bin=broken))
    assert caught.value.code == "HG237"
    assert not (home / "data").exists()


async def test_wrong_major_version_is_named(home: Path) -> None:
    async with await EmbeddedServer.open(home, QUICK):
        pass
    (home / "data" / "PG_VERSION").write_text("14\n")
    with pytest.raises(DatabaseError) as caught:
        await EmbeddedServer.open(home, QUICK)
    assert caught.value.code == "HG238"


async def test_missing_programs_are_named(home: Path) -> None:
    with pytest.raises(DatabaseError) as caught:
        await EmbeddedServer.open(home, Options(bin=home.parent))
    assert caught.value.code == "HG230"


async def test_there_is_no_tcp_unless_asked_for(home: Path) -> None:
    async with await EmbeddedServer.open(home, QUICK) as server:
        async with await connect(server.admin_url()) as conn:
            row = await (await conn.execute("show listen_addresses")).fetchone()
            assert row == {"listen_addresses": ""}
        with pytest.raises(DatabaseError) as caught:
            server.tcp_url()
        assert caught.value.code == "HG234"


async def test_tcp_takes_the_generated_password_and_no_other(home: Path) -> None:
    async with await EmbeddedServer.open(home, Options(tcp_port=0)) as server:
        url = server.tcp_url()
        async with await connect(url) as conn:
            row = await (await conn.execute("select inet_server_port() as port")).fetchone()
            assert row and row["port"] == int(url.rpartition(":")[2].partition("/")[0])
        secret = (home / "password").read_text()
        assert (home / "password").stat().st_mode & 0o077 == 0
        with pytest.raises(DatabaseError) as caught:
            await connect(url.replace(secret, "wrong"))
        assert caught.value.code == "HG203"
        assert "wrong" not in str(caught.value)


async def test_port_in_use_is_said_plainly(home: Path) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    try:
        with pytest.raises(DatabaseError, match="port is in use") as caught:
            await EmbeddedServer.open(home, Options(tcp_port=port))
        assert caught.value.code == "HG235"
    finally:
        taken.close()


async def test_long_paths_get_a_short_socket(home: Path) -> None:
    deep = home / ("a" * 60) / ("b" * 60)
    async with await EmbeddedServer.open(deep, QUICK) as server, await connect(server.url()) as conn:
        assert conn.info.host and len(conn.info.host) < 100
        assert os.stat(conn.info.host).st_mode & 0o077 == 0  # noqa: PTH116 - the socket's folder as the driver names it


async def test_lost_socket_means_a_new_start(home: Path) -> None:
    server = await EmbeddedServer.open(home, QUICK, watch=False)
    for file in (home / "run").iterdir():
        file.unlink()
    async with await EmbeddedServer.open(home, QUICK) as again, await connect(again.url()) as conn:
        assert conn.info.server_version >= 150000
    await server.close()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as several system users")


@pytest.fixture
def nobody() -> dict[str, object]:
    """How to run a user of the server as the system user `nobody`, with a Python that it may read."""
    options: dict[str, object] = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}
    options["env"] = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}"):
        with contextlib.suppress(OSError):
            probe = [python, "-c", "import headgate.db.embedded"]
            if subprocess.run(probe, check=False, capture_output=True, **options).returncode == 0:  # type: ignore[call-overload]
                return {**options, "python": python}
    pytest.skip("Python or this checkout lies where other system users cannot read it")


@needs_root
async def test_data_of_another_system_user_is_refused(home: Path, nobody: dict[str, object]) -> None:
    async with await EmbeddedServer.open(home, QUICK):
        pass
    python = nobody.pop("python")
    told = await asyncio.to_thread(
        lambda: (
            subprocess.run(
                [python, "-c", USER, str(home)],  # type: ignore[list-item]
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                **nobody,  # type: ignore[call-overload]
            ).stderr
        )
    )
    assert "HG232" in told


@needs_root
async def test_two_system_users_have_a_server_each(home: Path, nobody: dict[str, object]) -> None:
    theirs = home.parent / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    async with await EmbeddedServer.open(home, QUICK) as server:
        with another_process(theirs / "pg", **nobody) as (_, pid):
            assert pid not in (0, server.pid)
            assert os.stat(f"/proc/{pid}").st_uid == 65534  # noqa: PTH116 - a number of the system's, no path of ours
        assert processes.start_mark(server.pid) is not None


@needs_root
async def test_root_puts_the_data_where_the_system_user_can_go(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "ROOT_HOME", tmp_path / "lib")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    install = binaries.find().folder.parent
    binaries._copy_install(install, closed)
    programs = closed / install.parent.name / install.name / "bin"
    async with await EmbeddedServer.open(closed / "pg", Options(bin=programs)) as server:
        async with await connect(server.admin_url()) as conn:
            row = await (await conn.execute("show data_directory")).fetchone()
        assert row and Path(row["data_directory"]).parent == tmp_path / "lib"
        assert (closed / "pg" / "data").is_symlink()
        assert closed.stat().st_mode & 0o777 == 0o700, "nobody's permissions were widened"
    async with await EmbeddedServer.open(closed / "pg", Options(bin=programs)) as server:
        assert server.pid
