"""Where downloaded bulk files of a connection lie on this machine, and how they are erased. Reads none of them."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from headgate.base.settings import Settings


def folder(settings: Mapping[str, Any], connection_id: int) -> Path:
    """The folder of a connection's downloaded files; it may not exist. `settings` as a job's Services has them."""
    data_dir = settings.get("data_dir") or Settings().data_dir
    return Path(data_dir) / "stores" / str(connection_id)


def name(operation_id: int, attempt: int) -> str:
    """The name of the file that an operation's attempt has delivered."""
    return f"{operation_id}-{attempt}.jsonl"


def files(settings: Mapping[str, Any]) -> list[Path]:
    """Every downloaded file on this machine."""
    place = folder(settings, 0).parent
    return list(place.glob("*/*.jsonl")) if place.is_dir() else []


def remove(listed: Iterable[Path], wanted: Collection[str]) -> None:
    """Remove files that nobody is at work on; `wanted` names the others.

    List the files before asking who is at work, or a file that begins in between is taken for one that was left.
    """
    for one in listed:
        if one.name not in wanted:
            one.unlink(missing_ok=True)


def erase(settings: Mapping[str, Any], connection_id: int) -> int:
    """Remove every downloaded file of a connection; how many there were."""
    place = folder(settings, connection_id)
    if not place.is_dir():
        return 0
    count = sum(1 for one in place.rglob("*") if one.is_file())
    shutil.rmtree(place, ignore_errors=True)
    return count
