"""Is a bulk file whole? What was counted of it, before anything of it is promoted, against Shopify's word."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from headgate.apps.stores import counting
from headgate.apps.stores.counting import Count, count
from headgate.base import log

#: Files of so many bytes are counted by other processes; starting one costs less than a tenth of a second.
LARGE = 32 << 20
#: So many of them count one file, at most.
PROCESSES = 4
_log = log.get(__name__)


async def count_apart(path: Path) -> Count:
    """Count a file without keeping the interpreter from others: a large one is counted by processes of their own.

    Where they cannot be had or do not end well, it is counted here, in a thread. Raises OSError.
    """
    if (await asyncio.to_thread(path.stat)).st_size >= LARGE:
        try:
            return await _elsewhere(path)
        except OSError as error:  # no process to be had, or one was killed
            _log.warning("stores.counted_here", file=path.name, reason=str(error))
    return await asyncio.to_thread(count, path)


async def _elsewhere(path: Path) -> Count:
    processes = min(PROCESSES, os.cpu_count() or 1)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", counting.__file__, str(path), str(processes),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ChildProcessError(f"The process that counted ended with status {process.returncode}.")
    return Count(**orjson.loads(told))


def judge(operation: Mapping[str, Any], counted: Count, *, after: int | None) -> list[dict[str, Any]]:
    """What of a file does not agree with what Shopify said of it: [{what, why}]; nothing when it is complete.

    `operation`: a row of stores.bulk_operations. `after`: Shopify's own count of the roots now; None: it does not say.
    """
    missing: list[dict[str, Any]] = []

    def note(what: str, why: str) -> None:
        missing.append({"what": what, "why": why})

    objects, roots = operation["object_count"] or 0, operation["root_object_count"] or 0
    if operation["is_partial"]:
        note("partial", "Shopify delivered part of the result only")
    if operation["file_size"] is not None and counted.size != operation["file_size"]:
        note("bytes", f"{counted.size} of {operation['file_size']} arrived")
    if not counted.whole:
        note("end", "the file ends within a line")
    once = counted.lines - counted.copies
    if not once <= objects <= once + counted.unnumbered:
        note("objects", f"{once} of {objects} lines are here")
    elif counted.roots - counted.root_copies != roots:
        note("roots", f"{counted.roots - counted.root_copies} of {roots} {operation['entity']} are here")
    if after is None:
        note("count", f"Shopify does not tell any more how many {operation['entity']} there are")
        return missing
    before = operation["expected_roots"] if operation["expected_roots"] is not None else after
    low, high = min(before, after), max(before, after)
    if not low <= roots <= high:
        note("count", f"the file has {roots} {operation['entity']}, Shopify counts {low} to {high}")
    return missing


def unfinished(operation: Mapping[str, Any], counted: Count, *, orphans: int) -> list[dict[str, Any]]:
    """What only promoting could tell: lines that could not be read, and lines whose parent never came."""
    missing: list[dict[str, Any]] = []
    unread = counted.lines - operation["lines"] + operation["rejected"]
    if unread:
        missing.append({"what": "unreadable", "why": f"{unread} lines could not be read; see dead letters"})
    if orphans:
        missing.append({"what": "orphans", "why": f"{orphans} lines wait for a parent that did not come"})
    return missing
