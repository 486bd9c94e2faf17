"""CPU time of processes and their children, from Linux's /proc: says where the time of a measurement went."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds so far of each named process with all its children, also those that have ended; 0 where it has."""
    return {name: sum(map(_own, _family(pid))) for name, pid in pids.items()}


def parent(pid: int) -> int:
    """The parent's process id."""
    return int(_stat(pid)[1])


def _stat(pid: int) -> list[str]:
    """The fields of /proc/…/stat from the state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _own(pid: int) -> float:
    try:
        return _TICK_S * sum(int(ticks) for ticks in _stat(pid)[11:15])
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def _family(pid: int) -> list[int]:
    found = [pid]
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended while it was looked at
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                found += _family(int(child))
    return found
