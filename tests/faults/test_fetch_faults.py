"""Upstreams that misbehave on the wire: each ends in a named error, in bounded time and memory, and is counted."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable

import pytest

from headgate.db import Database
from headgate.engine import limits
from headgate.engine.fetch import (
    BrokenReply,
    Caps,
    Fetcher,
    FetchError,
    Reply,
    TimedOut,
    TooLarge,
)
from tests.upstream import Asked, Handler, answering, reply, upstream

SHORT = Caps(connect_s=1, headers_s=0.5, read_s=0.5, stall_s=0.5, stall_bytes=1000)


async def _get(db: Database, handler: Handler, **options: object) -> Reply:
    """One GET of what `handler` serves, with short time limits and no rate limit."""
    async with upstream(handler) as server:
        async with db.connection() as conn:
            await limits.set_host(conn, server.key, 10_000, 1000, parallel=1000)
        async with Fetcher(db, user_agent="t/1", allow_private={server.key}, caps=SHORT) as fetch:
            return await fetch.get(server.url(), robots=False, **options)  # type: ignore[arg-type]


async def _fails(
    db: Database, handler: Handler, kind: type[FetchError], *, bad: int = 1, **options: object
) -> FetchError:
    """The error that it ends in, after checking its kind, that it ended soon, and what it counted."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(kind) as caught:
        await _get(db, handler, **options)
    assert loop.time() - started < 5
    assert type(caught.value) is kind
    state = (await limits.hosts(db))[0]
    assert (state.requests, state.bad) == (1, bad)
    return caught.value


def _sending(*parts: bytes, pause: float = 0.0, then: float = 0.0) -> Handler:
    """A handler that sends `parts` with a pause between them, and then waits `then` seconds before closing."""

    async def handle(_: Asked, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            if pause:
                await asyncio.sleep(pause)
        await asyncio.sleep(then)

    return handle


def _endless(head: bytes, part: bytes) -> Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]:
    async def handle(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(part)
            await writer.drain()

    return handle


HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


async def test_fetch_silence_instead_of_headers_times_out(database: Database) -> None:
    error = await _fails(database, _sending(then=30), TimedOut)
    assert error.retryable and error.code == "HG417"


async def test_fetch_headers_in_drips_time_out(database: Database) -> None:
    """Each drip comes in time, the whole never does."""
    drips = [HEAD] + [f"X-{n}: 1\r\n".encode() for n in range(100)]
    await _fails(database, _sending(*drips, pause=0.1), TimedOut)


async def test_fetch_body_that_stops_times_out(database: Database) -> None:
    await _fails(database, _sending(HEAD + b"Content-Length: 100\r\n\r\nabc", then=30), TimedOut)


async def test_fetch_body_in_drips_is_a_stall(database: Database) -> None:
    drips = [HEAD + b"Content-Length: 100\r\n\r\n"] + [b"x"] * 100
    error = await _fails(database, _sending(*drips, pause=0.1), TimedOut)
    assert "stalled" in error.message


async def test_fetch_whole_time_is_bounded(database: Database) -> None:
    """A body that flows for ever, fast enough for every other limit."""
    drips = [HEAD + b"\r\n"] + [b"x" * 4000] * 1000
    await _fails(database, _sending(*drips, pause=0.05), TimedOut, timeout_s=1)


async def test_fetch_body_shorter_than_its_content_length_is_broken(database: Database) -> None:
    error = await _fails(database, _sending(HEAD + b"Content-Length: 100\r\n\r\n[1,2"), BrokenReply)
    assert error.retryable and error.code == "HG418"


async def test_fetch_chunked_body_without_its_end_is_broken(database: Database) -> None:
    await _fails(database, _sending(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"), BrokenReply)


async def test_fetch_connection_reset_in_the_body(database: Database) -> None:
    async def handle(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 100000\r\n\r\nabc")
        await writer.drain()
        writer.transport.abort()

    await _fails(database, handle, BrokenReply)


async def test_fetch_connection_closed_before_a_word(database: Database) -> None:
    await _fails(database, _sending(b""), BrokenReply)


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"\x00\xff" * 100,
        b"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(5000)) + b"\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    ],
    ids=[
        "no http",
        "no status",
        "binary",
        "no colon",
        "long header",
        "negative length",
        "many headers",
        "bad chunk",
    ],
)
async def test_fetch_malformed_reply_is_broken(database: Database, raw: bytes) -> None:
    await _fails(database, answering(raw), BrokenReply)


async def test_fetch_nobody_listens(database: Database) -> None:
    async with upstream(answering(b"")) as server:
        key = server.key
    async with Fetcher(database, user_agent="t/1", allow_private={key}, caps=SHORT) as fetch:
        with pytest.raises(FetchError) as caught:
            await fetch.get(f"http://{key}/", robots=False)
    assert type(caught.value) is FetchError and caught.value.retryable
    assert (await limits.hosts(database))[0].bad == 1


async def test_fetch_gzip_bomb_is_stopped_by_its_ratio(database: Database) -> None:
    bomb = gzip.compress(b"\0" * 200_000_000)
    error = await _fails(database, answering(reply(200, bomb, {"Content-Encoding": "gzip"})), TooLarge, bad=0)
    assert error.details["plain_bytes"] < 3_000_000
    assert error.code == "HG416" and not error.retryable


async def test_fetch_body_is_capped_after_decompression(database: Database) -> None:
    """A modest ratio, so that only the cap stops it; memory stays near the cap."""
    packer = zlib.compressobj(9)
    block = b"".join(n.to_bytes(4, "big") * 8 for n in range(30_000))
    packed = b"".join(packer.compress(block) for _ in range(20)) + packer.flush()
    tracemalloc.start()
    raw = reply(200, packed, {"Content-Encoding": "deflate"})
    before = tracemalloc.get_traced_memory()[0]
    error = await _fails(database, answering(raw), TooLarge, bad=0, max_bytes=2_000_000)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert error.details["plain_bytes"] < 2_200_000
    assert peak < 12_000_000


async def test_fetch_endless_body_is_capped(database: Database) -> None:
    error = await _fails(
        database, _endless(HEAD + b"\r\n", b"x" * 60_000), TooLarge, bad=0, max_bytes=1_000_000
    )
    assert error.details["raw_bytes"] < 1_400_000


async def test_fetch_endless_empty_gzip_members_are_stopped(database: Database) -> None:
    member = gzip.compress(b"") * 50
    head = HEAD + b"Content-Encoding: gzip\r\n\r\n"
    await _fails(database, _endless(head, member), BrokenReply)


@pytest.mark.parametrize("cut", [1, 5, 20, -5, -9])
async def test_fetch_compressed_body_cut_short_is_broken(database: Database, cut: int) -> None:
    packed = gzip.compress(b"[" + b"1," * 1000 + b"1]")[:cut]
    await _fails(database, answering(reply(200, packed, {"Content-Encoding": "gzip"})), BrokenReply)


async def test_fetch_plain_body_called_gzip_is_broken(database: Database) -> None:
    raw = reply(200, b'{"plain": true}', {"Content-Encoding": "gzip"})
    await _fails(database, answering(raw), BrokenReply)
