"""A bulk result over HTTP: streamed, with ranges, cut off on order."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from headgate.apps.stores.simulator.wire import Answer, send_answer

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
CHUNK = 256 * 1024


async def send_file(path: Path, wanted: str | None, send: Send, *, cut: dict[str, Any] | None = None) -> None:
    """The file, or the range of it that is wanted. `cut`: reset the connection after a share of what was asked for."""
    size = path.stat().st_size  # noqa: ASYNC240 - a local file of our own
    start, end, status = 0, size - 1, 200
    if wanted is not None:
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted.strip())
        if found is None or int(found[1]) >= size:
            await send_answer(Answer(416, b"", headers={"content-range": f"bytes */{size}"}), send)
            return
        start, status = int(found[1]), 206
        end = min(int(found[2]), size - 1) if found[2] else size - 1
    headers = {
        "content-type": "application/jsonl", "content-length": str(end - start + 1), "accept-ranges": "bytes",
        "etag": f'"{path.stem}"',
    }  # fmt: skip
    if status == 206:
        headers["content-range"] = f"bytes {start}-{end}/{size}"
    raw = [(k.encode(), v.encode()) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    stop = end + 1 if cut is None else start + int((end + 1 - start) * float(cut.get("share", 0.5)))
    with path.open("rb") as file:
        file.seek(start)
        left = stop - start
        while left > 0:
            chunk = file.read(min(CHUNK, left))
            if not chunk:
                break
            left -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await asyncio.sleep(0)
    if cut is not None:
        raise ConnectionResetError("cut by order")
    await send({"type": "http.response.body", "body": b""})
