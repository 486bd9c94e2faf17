"""What is known about processes and servers from the file system: start times, references, postmaster.pid.

A process is named by its pid *and* its start time, because pids are used again. Only the standard library.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_REAP_EVERY_S = 2.0
_REAP_AFTER = 3  # looks without any user, one after another
_REAPER = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("headgate_reaper", sys.argv[1])
module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.reap(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), int(sys.argv[4]))
"""


def start_mark(pid: int) -> str | None:
    """A mark that differs between two processes that had the same pid; None if `pid` is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _start_mark_by_ps(pid)
    return None if fields[0] in "ZXx" else f"{_boot_id()}:{fields[19]}"


def _start_mark_by_ps(pid: int) -> str | None:
    told = subprocess.run(  # noqa: S603 - a number
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(int(pid))], capture_output=True, text=True, check=False
    ).stdout.strip()
    return None if not told or told.startswith("Z") else told.partition(" ")[2].strip()


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return "boot"


def started_at(pid: int) -> float | None:
    """Seconds since 1970 when `pid` started, to about a second, where /proc tells it."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        age = float(Path("/proc/uptime").read_text().split()[0]) - int(fields[19]) / _TICKS
        return time.time() - age
    return None


def working_folder(pid: int) -> Path | None:
    """The folder that `pid` works in, if we may know it. PostgreSQL's processes work in their data
    directory.
    """
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd"))  # noqa: PTH115 - a deleted folder has no resolvable path
    except OSError:
        return None


def working_in(folder: Path) -> list[int]:
    """The processes named `postgres` whose working folder is `folder`, by pid."""
    found = []
    real = folder.resolve()
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        if working_folder(pid) == real and start_mark(pid) is not None:
            with contextlib.suppress(OSError):
                if (entry / "comm").read_text().strip() == "postgres":
                    found.append(pid)
    return found


def work_done(folder: Path) -> int:
    """A number that grows while the server processes in `folder` make progress: CPU ticks, and bytes
    moved.
    """
    total = 0
    for pid in working_in(folder):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{pid}/io").read_text().splitlines():
                if line.startswith(("rchar", "wchar")):
                    total += int(line.split()[1])
    return total


@dataclass(frozen=True)
class Postmaster:
    """The content of `postmaster.pid`: who serves the data directory, since when, where, and how far it
    is.
    """

    pid: int
    started: int
    port: int
    socket_dir: str
    host: str
    status: str

    @property
    def ready(self) -> bool:
        """True once the server takes connections."""
        return self.status == "ready"


def read_postmaster(data: Path) -> Postmaster | None:
    """`data/postmaster.pid`, or None if it is absent or only half written."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        if len(lines) < 5:
            return None
        lines += [""] * (8 - len(lines))
        return Postmaster(
            int(lines[0]), int(lines[2]), int(lines[3] or 0), lines[4], lines[5], lines[7].strip()
        )
    except (OSError, ValueError, IndexError):
        return None


def is_postmaster(found: Postmaster, data: Path) -> bool:
    """True if the process of `found` really is the server of `data`, not another one with a reused pid."""
    if start_mark(found.pid) is None:
        return False
    folder = working_folder(found.pid)
    if folder is not None:
        return folder == data.resolve() and found.pid in working_in(data)
    began = started_at(found.pid)
    return began is None or abs(began - found.started) < 5


def end(pid: int, sign: int) -> None:
    """Send `sign` to `pid` unless it is gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.Signals(sign))


def give_to_owner(path: Path) -> None:
    """When we are root: let the owner of the folder own `path` too, so that both can use what is in there."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def try_lock(path: Path) -> int | None:
    """An exclusive lock on the file `path` as a descriptor, or None if somebody else holds it. Ends with the
    process.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    give_to_owner(path)
    return descriptor


def is_locked(path: Path) -> bool:
    """True if some process, seen from here or not, holds the lock on `path`."""
    descriptor = try_lock(path)
    if descriptor is not None:
        unlock(descriptor)
    return descriptor is None


def unlock(descriptor: int) -> None:
    """Give the lock back."""
    os.close(descriptor)


class References:
    """Who uses a server: a file of pids with start marks. Change it only under the lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def live(self) -> list[tuple[int, str]]:
        """The references whose process still runs; one process may have several."""
        return [(pid, mark) for pid, mark in self._read() if start_mark(pid) == mark]

    def add(self) -> None:
        """Enter this process."""
        self._write([*self.live(), self._me()])

    def remove(self) -> None:
        """Strike one reference of this process, and all dead ones."""
        rest = self.live()
        with contextlib.suppress(ValueError):
            rest.remove(self._me())
        self._write(rest)

    @staticmethod
    def _me() -> tuple[int, str]:
        return os.getpid(), start_mark(os.getpid()) or ""

    def _read(self) -> Iterator[tuple[int, str]]:
        with contextlib.suppress(OSError, ValueError, TypeError):
            for pid, mark in json.loads(self._path.read_text()):
                yield int(pid), str(mark)

    def _write(self, entries: list[tuple[int, str]]) -> None:
        half = self._path.with_suffix(".new")
        half.write_text(json.dumps(entries))
        give_to_owner(half)
        half.replace(self._path)


def reap(home: Path, data: Path, pid: int) -> None:
    """Stop the server `pid` of `data` once no user is left: they may all have been killed. Blocks until it is gone.

    Runs as a small process of its own beside the server, see `start_reaper`.
    """
    users, empty = References(home / "users.json"), 0
    while start_mark(pid) is not None:
        time.sleep(_REAP_EVERY_S)
        empty = 0 if users.live() else empty + 1
        if empty < _REAP_AFTER or (descriptor := try_lock(home / "lock")) is None:
            continue
        found = read_postmaster(data)
        if found is not None and found.pid == pid and not users.live() and is_postmaster(found, data):
            end(pid, signal.SIGINT)
            while start_mark(pid) is not None:
                time.sleep(0.1)
        unlock(descriptor)


def start_reaper(home: Path, data: Path, pid: int) -> subprocess.Popen[bytes]:
    """`reap` in a process that outlives us. It loads this file only, and so stays small."""
    return subprocess.Popen(  # noqa: S603 - our own text and paths
        [sys.executable, "-I", "-S", "-c", _REAPER, __file__, str(home), str(data), str(pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
