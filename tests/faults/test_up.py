"""`headgate up`: everything live from one command, stopped by Ctrl-C, and nothing left behind when it is killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("HEADGATE_") and name != "DATABASE_URL"
}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = _free_port()
        with contextlib.suppress(OSError), contextlib.ExitStack() as probes:
            for port in range(first, first + count):
                probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


def _get(url: str, **headers: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as reply:
        return json.load(reply)


def _post(url: str, body: dict[str, Any], **headers: str) -> Any:
    sent = {"content-type": "application/json", **headers}
    asked = urllib.request.Request(url, json.dumps(body).encode(), sent)
    with urllib.request.urlopen(asked, timeout=10) as reply:
        return json.load(reply)


def _until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            if condition():
                return
        time.sleep(0.2)
    pytest.fail(f"not within {seconds:.0f} s: {what}")


class Stack:
    """A running `headgate up --demo` (or with other options) with a data directory and ports of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port, simulator = _free_port(), _free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = (folder / "output.txt").open("wb")
        command = [sys.executable, "-m", "headgate", "up", "--data-dir", str(folder / "data")]
        command += options or ["--demo"]
        ports = ["--port", str(self.port), "--simulator-port", str(simulator)]
        self.process = subprocess.Popen(
            [*command, *ports], env=_ENVIRONMENT, cwd=folder, stdout=self.output, stderr=subprocess.STDOUT
        )

    def wait(self) -> None:
        _until(self._up, 90, f"up; it printed:\n{self.printed()[-3000:]}")

    def _up(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"headgate up ended with {self.process.returncode}:\n{self.printed()[-3000:]}")
        return (
            bool(_get(f"{self.url}/health")["status"] == "up") and (self.folder / "data" / "up.json").exists()
        )

    def printed(self) -> str:
        return (self.folder / "output.txt").read_text(errors="replace")

    def pids(self) -> list[int]:
        state = json.loads((self.folder / "data" / "up.json").read_text())
        return [part["pid"] for part in state["parts"]]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack(tmp_path)
    try:
        running.wait()
        yield running
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(40)
        running.process.kill()
        running.process.wait()
        running.output.close()


@pytest.mark.timeout(400)
def test_up_shows_live_data_and_ctrl_c_stops_all_of_it_and_nothing_else(stack: Stack) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"]) as bystander:
        try:
            _until(lambda: bool(_get(f"{stack.url}/api/events?limit=5")["data"]), 60, "events in the API")
            _until(
                lambda: bool(_get(f"{stack.url}/api/realtime/latest-prices")["data"]), 60, "prices in the API"
            )
            _stores_are_live(stack)
            pids = stack.pids()
            assert len(pids) >= 4
            stack.process.send_signal(signal.SIGINT)
            assert stack.process.wait(40) == 0
            assert not [pid for pid in pids if _alive(pid)]
            assert not (stack.folder / "data" / "data" / "postmaster.pid").exists()
            assert bystander.poll() is None
        finally:
            bystander.kill()


def _stores_are_live(stack: Stack) -> None:
    """The account of the demo sees a shop that is synced to the cent, and then orders that webhooks told of."""
    keys = json.loads((stack.folder / "data" / "keys.json").read_text())
    account = re.compile(r"(\S+@example\.com), password (\S+)")
    _until(
        lambda: account.search(stack.printed()) is not None,
        60,
        f"the account; it printed:\n{stack.printed()}",
    )
    [(email, password)] = account.findall(stack.printed())
    signed = _post(
        f"{stack.url}/auth/v1/token?grant_type=password",
        {"email": email, "password": password},
        apikey=keys["anon"],
    )
    mine = {"apikey": keys["anon"], "authorization": f"Bearer {signed['access_token']}"}

    def rows(path: str) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = _get(f"{stack.url}/rest/v1/{path}", **mine)
        return answer

    def tied() -> bool:
        return any(
            row["orders"] == row["tied"] > 300 for row in rows("shop_reconciliations?select=orders,tied")
        )

    _until(lambda: bool(rows("shop_brands?select=id")), 60, "the account's brand")
    (brand,) = rows("shop_brands?select=id")
    _until(tied, 100, "the simulated shop synced and reconciled")
    told = _get(f"{stack.url}/api/sync/{brand['id']}/status", **mine)["shopify"]
    assert {one["label"]: one["status"] for one in told["milestones"]}["orders"] == "completed"
    _until(
        lambda: bool(rows("shop_webhooks?state=eq.applied&topic=like.orders*&limit=1")), 60, "live webhooks"
    )


@pytest.mark.timeout(240)
def test_second_up_on_the_same_folder_is_refused_and_the_first_goes_on(stack: Stack) -> None:
    command = [sys.executable, "-m", "headgate", "up", "--data-dir", str(stack.folder / "data")]
    second = subprocess.run(
        [*command, "--port", str(_free_port())],
        env=_ENVIRONMENT,
        cwd=stack.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert "HG104" in second.stderr
    assert all(_alive(pid) for pid in stack.pids())
    assert _get(f"{stack.url}/health")["status"] == "up"


@pytest.mark.timeout(240)
def test_up_killed_leaves_no_part_behind_and_starts_again(stack: Stack, tmp_path: Path) -> None:
    pids = stack.pids()
    stack.process.kill()
    stack.process.wait()
    _until(lambda: not any(_alive(pid) for pid in pids), 40, "the parts of a killed `up` end")
    again = Stack(tmp_path)
    try:
        again.wait()
    finally:
        again.process.send_signal(signal.SIGINT)
        assert again.process.wait(40) == 0


@pytest.mark.timeout(240)
def test_several_servers_share_the_port_and_the_death_of_one_is_not_seen(tmp_path: Path) -> None:
    stack = Stack(tmp_path, "--servers", "3", "--workers", "0")
    try:
        stack.wait()
        servers = stack.pids()
        assert len(servers) == 3
        # The stack is up when one of them answers; the others may still be starting.
        _until(lambda: set(_listeners(stack.port)) == set(servers), 60, "all three servers listen")
        os.kill(servers[0], signal.SIGKILL)
        _until(lambda: servers[0] not in _listeners(stack.port), 20, "the killed server's socket is gone")
        for _ in range(30):
            assert _get(f"{stack.url}/health")["status"] == "up"
        _until(lambda: len(_listeners(stack.port)) == 3, 40, "the third server is back")
        assert servers[0] not in stack.pids()
    finally:
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.wait(40) == 0
        stack.output.close()
    assert not _listeners(stack.port)


def _listeners(port: int) -> list[int]:
    """The processes that listen on the port."""
    listing = Path("/proc/net/tcp").read_text().splitlines()[1:]
    inodes = {f[9] for f in map(str.split, listing) if f[3] == "0A" and int(f[1].split(":")[1], 16) == port}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            links = [str(fd.readlink()) for fd in (process / "fd").iterdir()]
            found += [int(process.name)] * any(f"socket:[{inode}]" in links for inode in inodes)
    return found


def test_up_with_a_taken_port_says_so_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "headgate",
                "up",
                "--port",
                str(port),
                "--data-dir",
                str(tmp_path / "data"),
            ],
            env=_ENVIRONMENT,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"Port {port} is in use by" in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert "--port" in done.stderr
