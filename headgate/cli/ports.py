"""Is a TCP port free, and if not, who holds it. Reads /proc where there is one; never touches the holder."""

from __future__ import annotations

import contextlib
import errno
import socket
from pathlib import Path

from headgate.base.errors import SettingsError

_LISTEN = "0A"


def ensure_free(host: str, port: int, *, option: str) -> None:
    """Raise `SettingsError` HG101 with one line if `host:port` cannot be listened on.

    The line names the port, its holder when that can be known, and `option`, which changes the port.
    Port 0 (any free port) always passes.
    """
    if port == 0:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise _refusal(error, host, port, option) from None


def _refusal(error: OSError, host: str, port: int, option: str) -> SettingsError:
    if error.errno == errno.EADDRINUSE:
        who = holder(port)
        return SettingsError(
            f"Port {port} is in use{f' by {who}' if who else ''}.",
            code="HG101",
            details={"port": port, "holder": who},
            hint=f"Choose another with {option}.",
        )
    if error.errno == errno.EACCES:
        return SettingsError(
            f"Port {port} needs more rights than this user has.",
            code="HG101",
            hint=f"Choose one above 1023 with {option}.",
        )
    return SettingsError(
        f"Cannot listen on {host}:{port}: {error.strerror}.",
        code="HG101",
        hint=f"Change it with {option} or --host.",
    )


def holder(port: int) -> str | None:
    """`name (pid N)` of the process that listens on `port`, or None where that cannot be known."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or it is another user's
            for descriptor in (process / "fd").iterdir():
                target = str(descriptor.readlink())
                if target.startswith("socket:[") and target[8:-1] in inodes:
                    name = (process / "comm").read_text().strip()
                    return f"{name} (pid {process.name})"
    return None


def _listening_inodes(port: int) -> set[str]:
    found: set[str] = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    found.add(fields[9])
    return found
