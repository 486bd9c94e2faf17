"""Where downloaded bulk files of a connection lie on this machine, and how they are erased. Reads none of them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headgate.base.settings import Settings


def folder(settings: Mapping[str, Any], connection_id: int) -> Path:
    """The folder of a connection's downloaded files; it may not exist. `settings` as a job's Services has them."""
    data_dir = settings.get("data_dir") or Settings().data_dir
    return Path(data_dir) / "stores" / str(connection_id)


def erase(settings: Mapping[str, Any], connection_id: int) -> int:
    """Remove every downloaded file of a connection; how many there were."""
    place = folder(settings, connection_id)
    if not place.is_dir():
        return 0
    count = sum(1 for one in place.rglob("*") if one.is_file())
    shutil.rmtree(place, ignore_errors=True)
    return count
