"""The one function of libpq that psycopg does not offer: a Sync that is not written to the socket at once.

Found in the library that psycopg has loaded already; where it is not (libpq before 17, another build), psycopg's own
function does the same with one write for each Sync.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import pq

Sync = Callable[[Any], None]


def find_sync() -> Sync:
    """A function that adds a Sync to what a connection in pipeline mode will send with its next flush."""
    function = _function()
    if function is None:
        return lambda conn: conn.pipeline_sync()

    def sync(conn: Any) -> None:
        if not function(conn.pgconn_ptr):
            raise psycopg.OperationalError((conn.error_message or b"").decode("utf-8", "replace"))

    return sync


def _function() -> Callable[[int | None], int] | None:
    if pq.__impl__ != "binary" or pq.version() < 170000:
        return None
    package = Path(sys.modules["psycopg_binary"].__file__ or "").parent
    folders = (package.with_name("psycopg_binary.libs"), package / ".dylibs")
    for file in (f for folder in folders for f in sorted(folder.glob("libpq*"))):
        try:
            # Without releasing the GIL: it only appends five bytes to a buffer.
            found = ctypes.PyDLL(str(file)).PQsendPipelineSync
        except (OSError, AttributeError):
            continue
        found.argtypes = [ctypes.c_void_p]
        found.restype = ctypes.c_int
        return found
    return None
