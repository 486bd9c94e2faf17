"""Fetching from a real loopback server: conditional requests, redirects, robots.txt, headers, recording."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headgate.base import metrics
from headgate.db import Database
from headgate.engine import limits, robots
from headgate.engine.fetch import (
    BadRedirect,
    Blocked,
    BrokenReply,
    Disallowed,
    Fetcher,
    FetchError,
    HttpStatus,
    NotRecorded,
    RateLimited,
)
from headgate.engine.record import (
    BodyRecorder,
    RecordedTransport,
    Recording,
    read_recordings,
    recorded,
    safe_url,
    write_recordings,
)
from tests.upstream import Asked, Upstream, answering, reply, upstream

AGENT = "headgate-test/1 (+https://example.com)"


def fetcher(db: Database, *servers: Upstream, **options: object) -> Fetcher:
    """A Fetcher that may reach exactly `servers`."""
    return Fetcher(db, user_agent=AGENT, allow_private={one.key for one in servers}, **options)  # type: ignore[arg-type]


async def quick(db: Database, *servers: Upstream) -> None:
    """Lift the rate limit of `servers`, for tests of something else."""
    async with db.connection() as conn:
        for one in servers:
            await limits.set_host(conn, one.key, 10_000, 1000, parallel=1000)


async def test_fetch_get_brings_status_headers_body_and_times(database: Database) -> None:
    raw = reply(
        200, b'{"a":1}', {"Content-Type": "application/json", "ETag": '"v1"', "X-Two": "1\r\nX-Two: 2"}
    )
    async with upstream(answering(raw)) as server, fetcher(database, server) as fetch:
        got = await fetch.get(server.url("/a?b=c"), want="json")
    assert (got.status, got.body, got.etag, got.not_modified) == (200, b'{"a":1}', '"v1"', False)
    assert got.url == server.url("/a?b=c") and got.headers["x-two"] == "1, 2"
    assert 0 < got.elapsed_s < 5 and got.fetched_at.tzinfo is not None
    assert [one.path for one in server.asked] == ["/robots.txt", "/a?b=c"]
    sent = server.asked[1].headers
    assert sent["user-agent"] == AGENT.lower() and sent["accept-encoding"] == "gzip, deflate"
    assert sent["accept"] == "application/json" and "cookie" not in sent and "referer" not in sent


async def test_fetch_conditional_request_gives_not_modified(database: Database) -> None:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        same = asked.headers.get("if-none-match") == '"v1"' and "if-modified-since" in asked.headers
        writer.write(reply(304, b"", {"ETag": '"v1"'}) if same else reply(200, b"new", {"ETag": '"v1"'}))

    async with upstream(handle) as server, fetcher(database, server) as fetch:
        await quick(database, server)
        first = await fetch.get(server.url())
        again = await fetch.get(server.url(), etag=first.etag, last_modified="Sat, 21 Nov 2026 12:00:00 GMT")
    assert (again.status, again.not_modified, again.body) == (304, True, b"")


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "raw deflate", "identity", "members"])
async def test_fetch_decodes_what_it_asks_for(database: Database, encoding: str) -> None:
    plain = b"0123456789abcdef" * 20_000
    raw = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(plain),
        "x-gzip": gzip.compress(plain),
        "deflate": zlib.compress(plain),
        "raw deflate": raw.compress(plain) + raw.flush(),
        "identity": plain,
        "members": gzip.compress(plain[:7]) + gzip.compress(b"") + gzip.compress(plain[7:]),
    }[encoding]
    name = {"raw deflate": "deflate", "members": "gzip"}.get(encoding, encoding)
    raw_reply = reply(200, packed, {"Content-Encoding": name})
    async with upstream(answering(raw_reply)) as server, fetcher(database, server) as fetch:
        assert (await fetch.get(server.url())).body == plain


async def test_fetch_chunked_body(database: Database) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    async with upstream(answering(raw)) as server, fetcher(database, server) as fetch:
        assert (await fetch.get(server.url())).body == b"abcde"


async def test_fetch_encoding_nobody_asked_for_is_broken(database: Database) -> None:
    raw = reply(200, b"x", {"Content-Encoding": "br"})
    async with upstream(answering(raw)) as server, fetcher(database, server) as fetch:
        with pytest.raises(BrokenReply):
            await fetch.get(server.url())


async def test_fetch_follows_redirects_and_names_the_last_address(database: Database) -> None:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        step = int(asked.path.rsplit("/", 1)[1])
        writer.write(reply(302, b"", {"Location": f"/s/{step - 1}#x"}) if step else reply(200, b"here"))

    async with upstream(handle) as server, fetcher(database, server) as fetch:
        await quick(database, server)
        got = await fetch.get(server.url("/s/5"))
        assert (got.url, got.body) == (server.url("/s/0"), b"here")
        with pytest.raises(BadRedirect) as caught:
            await fetch.get(server.url("/s/6"))
    assert caught.value.retryable is False
    assert server.paths == [f"/s/{n}" for n in (5, 4, 3, 2, 1, 0, 6, 5, 4, 3, 2, 1)]


async def test_fetch_redirect_waits_for_a_slot_of_its_own(database: Database) -> None:
    """The second hop counts against the limit, and waits for it rather than throwing the first one away."""

    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200, b"x") if asked.path == "/b" else reply(302, b"", {"Location": "/b"}))

    async with upstream(handle) as server, fetcher(database, server) as fetch:
        async with database.connection() as conn:
            await limits.set_host(conn, server.key, 4, 1)
        assert (await fetch.get(server.url("/a"))).body == b"x"
    assert server.asked[-1].at - server.asked[-2].at > 0.15


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_fetch_redirect_to_another_origin_loses_every_secret(database: Database, status: int) -> None:
    async with upstream(answering(reply(200, b"other"))) as other:
        raw = reply(status, b"", {"Location": other.url("/there")})
        async with upstream(answering(raw)) as server, fetcher(database, server, other) as fetch:
            await quick(database, server, other)
            secrets = {"Authorization": "Bearer s", "Cookie": "a=b", "X-Api-Key": "k", "X-Auth-Token": "t"}
            got = await fetch.get(server.url(), headers={**secrets, "X-Harmless": "1"}, etag='"e"')
    assert got.body == b"other"
    first, second = server.asked[-1].headers, other.asked[-1].headers
    assert {"authorization", "cookie", "x-api-key", "x-auth-token", "if-none-match"} <= first.keys()
    assert not {"authorization", "cookie", "x-api-key", "x-auth-token", "if-none-match"} & second.keys()
    assert second["x-harmless"] == "1"


@pytest.mark.parametrize("location", ["", "http://[broken/"])
async def test_fetch_redirect_to_nowhere_is_refused(database: Database, location: str) -> None:
    raw = reply(302, b"", {"Location": location} if location else {})
    async with upstream(answering(raw)) as server, fetcher(database, server) as fetch:
        with pytest.raises(FetchError) as caught:
            await fetch.get(server.url())
    assert caught.value.retryable is False


async def test_fetch_obeys_robots_and_its_crawl_delay(database: Database) -> None:
    rules = b"User-agent: headgate-test\nDisallow: /private\nCrawl-delay: 30\n"
    async with (
        upstream(answering(reply(200, b"x")), robots=rules) as server,
        fetcher(database, server) as fetch,
    ):
        await quick(database, server)
        with pytest.raises(Disallowed) as caught:
            await fetch.get(server.url("/private/1"))
        assert (
            caught.value.code == "HG414" and not caught.value.retryable and isinstance(caught.value, Blocked)
        )
        await fetch.get(server.url("/open"))
        with pytest.raises(RateLimited) as limited:
            await fetch.get(server.url("/open"))
        assert limited.value.retry_after_s > 25
        await quick(database, server)
        await database.execute("update control.hosts set crawl_delay_s = 0, tat = now()")
        assert (await fetch.get(server.url("/private/1"), robots=False)).body == b"x"
    assert server.paths == ["/open", "/private/1"]


async def test_fetch_reads_robots_once_for_all_workers(database: Database) -> None:
    async with upstream(answering(reply(200, b"x")), robots=b"User-agent: *\nDisallow: /no") as server:
        await quick(database, server)
        async with fetcher(database, server) as one, fetcher(database, server) as two:
            await asyncio.gather(*(one.get(server.url(f"/{n}")) for n in range(5)))
            await two.get(server.url("/6"))
            with pytest.raises(Disallowed):
                await two.get(server.url("/no"))
    assert [asked.path for asked in server.asked].count("/robots.txt") == 1


async def test_fetch_robots_that_cannot_be_read_forbids_for_a_while(database: Database) -> None:
    async def handle(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200, b"x"))

    async with upstream(handle, robots=b"") as server, fetcher(database, server) as fetch:
        await quick(database, server)
        port, origin = server.port, f"http://{server.key}"
        await fetch.get(server.url("/a"))
    row = await database.fetch_one("select verdict, origin from control.robots")
    assert row == {"verdict": "rules", "origin": origin}
    await database.execute("delete from control.robots")
    async with Fetcher(database, user_agent=AGENT, allow_private={f"127.0.0.1:{port}"}) as fetch:
        with pytest.raises(Disallowed):  # nobody listens there any more
            await fetch.get(f"{origin}/a")
    row = await database.fetch_one(
        "select verdict, status, extract(epoch from expires_at - now())::int as s from control.robots"
    )
    assert row is not None and (row["verdict"], row["status"]) == ("disallow", None) and row["s"] <= 600


async def test_fetch_robots_read_earlier_stays_in_force_through_an_outage(database: Database) -> None:
    async with upstream(answering(reply(200, b"x")), robots=b"User-agent: *\nDisallow: /no\n") as server:
        await quick(database, server)
        async with fetcher(database, server) as fetch:
            await fetch.get(server.url("/yes"))
        await database.execute("update control.robots set expires_at = now()")
        key = server.key
    async with Fetcher(database, user_agent=AGENT, allow_private={key}) as fetch:
        with pytest.raises(Disallowed):
            await fetch.get(f"http://{key}/no")
        with pytest.raises(FetchError) as caught:  # allowed, but nobody is there
            await fetch.get(f"http://{key}/yes")
    assert not isinstance(caught.value, Disallowed)


async def test_fetch_status_of_400_and_above_raises_with_the_reply(database: Database) -> None:
    codes = iter([404, 403, 500, 429])

    async def handle(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(next(codes), b"why", {"Retry-After": "1"}))

    async with upstream(handle) as server, fetcher(database, server) as fetch:
        await quick(database, server)
        seen = []
        for _ in range(4):
            await database.execute("update control.hosts set not_before = '-infinity'")
            with pytest.raises(HttpStatus) as caught:
                await fetch.get(server.url())
            seen.append((caught.value.status, caught.value.retryable, caught.value.retry_after_s))
            assert caught.value.reply.body == b"why" and caught.value.code == "HG420"
    assert seen == [(404, False, 1.0), (403, False, 1.0), (500, True, 1.0), (429, True, 1.0)]


async def test_fetch_counts_per_host_and_in_metrics(database: Database) -> None:
    async with upstream(answering(reply(200, b"12345"))) as server, fetcher(database, server) as fetch:
        await quick(database, server)
        await fetch.get(server.url())
        await fetch.get(server.url())
    state = (await limits.hosts(database))[0]
    # robots.txt counts too: three requests, and a 404 says nothing against a host
    assert (state.host, state.requests, state.ok, state.bad, state.bytes) == (server.key, 3, 3, 0, 10)
    assert state.last_status == 200 and state.last_ok_at is not None and state.last_bad_at is None
    assert metrics.FETCHES.labels(server.key, "ok")._value.get() == 2
    assert f'headgate_fetch_seconds_count{{host="{server.key}"}} 3.0'.encode() in metrics.render()


async def test_fetch_cancelled_says_nothing_against_the_host(database: Database) -> None:
    arrived = asyncio.Event()

    async def handle(_: Asked, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.sleep(30)

    async with upstream(handle) as server, fetcher(database, server) as fetch:
        await quick(database, server)
        task = asyncio.create_task(fetch.get(server.url(), robots=False))
        await asyncio.wait_for(arrived.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    state = (await limits.hosts(database))[0]
    assert (state.requests, state.ok, state.bad) == (1, 0, 0)


@pytest.fixture
async def recorded_server(database: Database) -> AsyncIterator[Upstream]:
    """A server whose replies were recorded: twice the same body, once another."""

    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        headers = {"Set-Cookie": "sid=1", "ETag": '"e"', "Content-Encoding": "gzip"}
        writer.write(reply(200, gzip.compress(b"same" if "n=3" not in asked.path else b"else"), headers))

    async with (
        upstream(handle) as server,
        fetcher(database, server, recorder=BodyRecorder(database)) as fetch,
    ):
        await quick(database, server)
        for n in (1, 2, 3):
            await fetch.get(server.url(f"/l?n={n}&apikey=SECRET&client_id=SECRET"))
        yield server


async def test_record_keeps_each_body_once_and_no_secret(
    database: Database, recorded_server: Upstream
) -> None:
    rows = await recorded(database, recorded_server.key)
    assert [(one.body, one.status) for one in rows] == [
        (b"", 404),
        (b"same", 200),
        (b"same", 200),
        (b"else", 200),
    ]
    assert rows[1].url == recorded_server.url("/l?n=1&apikey=***&client_id=***")
    assert rows[1].headers["etag"] == '"e"' and "set-cookie" not in rows[1].headers
    assert await database.fetch_value("select count(*) from control.bodies") == 3
    assert (
        await database.fetch_value("select count(*) from control.replies r where r::text like '%%SECRET%%'")
        == 0
    )


async def test_record_sweeps_after_seven_days(database: Database, recorded_server: Upstream) -> None:
    recorder = BodyRecorder(database)
    assert await recorder.sweep() == 0
    days = await database.fetch_value("select min(expires_at - now()) from control.bodies")
    assert 6.9 < days.total_seconds() / 86400 <= 7
    await database.execute("update control.replies set expires_at = now() - interval '1 s'")
    await database.execute("update control.bodies set expires_at = now() - interval '1 s' where size > 0")
    assert await recorder.sweep(limit=3) == 3 + 2
    assert await recorder.sweep(limit=3) == 1
    assert await database.fetch_value("select count(*) from control.bodies") == 1


async def test_record_replays_without_any_network(
    database: Database, recorded_server: Upstream, tmp_path: Path
) -> None:
    rows = await recorded(database, recorded_server.key)
    write_recordings(tmp_path / "r.jsonl", rows)
    transport = RecordedTransport(read_recordings(tmp_path / "r.jsonl"))
    before = len(recorded_server.asked)
    async with fetcher(database, recorded_server, transport=transport) as fetch:
        await database.execute("delete from control.robots")
        for _ in range(2):
            got = await fetch.get(recorded_server.url("/l?n=3&apikey=other&client_id=x"))
            assert got.body == b"else"
        with pytest.raises(NotRecorded):
            await fetch.get(recorded_server.url("/l?n=4"))
    assert len(recorded_server.asked) == before
    assert transport.asked[0].endswith("/robots.txt")


async def test_record_replay_gives_replies_in_order_and_needs_no_name_to_resolve(database: Database) -> None:
    url = "https://api.example.com/x"
    transport = RecordedTransport(
        [Recording(url, 200, b"1"), Recording(url, 503, b"2"), Recording(url, 200, b"3")]
    )
    async with (
        Fetcher(database, user_agent=AGENT, transport=transport) as fetch,
        database.connection() as conn,
    ):
        await limits.set_host(conn, "api.example.com", 10_000, 100, parallel=1000)
        assert (await fetch.get(url)).body == b"1"
        with pytest.raises(HttpStatus):
            await fetch.get(url)
        assert [(await fetch.get(url)).body for _ in range(3)] == [b"3"] * 3


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://u:p@h.example/a?x=1#f", "https://h.example/a?x=1"),
        (
            "https://h.example/?apikey=S&q=a&access_token=S",
            "https://h.example/?apikey=***&q=a&access_token=***",
        ),
        ("https://h.example/?X-Amz-Signature=S&sig=S", "https://h.example/?X-Amz-Signature=***&sig=***"),
        ("http://[broken", "(malformed URL)"),
    ],
)
def test_record_safe_url_has_no_secret(url: str, safe: str) -> None:
    assert safe_url(url) == safe


async def test_fetch_keeps_its_connection_for_the_next_request(database: Database) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    key = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with database.connection() as conn:
        await limits.set_host(conn, key, 10_000, 100, parallel=1000)
    async with Fetcher(database, user_agent=AGENT, allow_private={key}) as fetch:
        for _ in range(5):
            assert (await fetch.get(f"http://{key}/", robots=False)).body == b"ok"
    server.close()
    await server.wait_closed()
    assert connections == 1


async def test_robots_memory_is_bounded_by_text(database: Database) -> None:
    """Many large files: the oldest go, and are read from the table again."""
    known = robots.Robots(database, AGENT)
    asked: list[str] = []

    async def rules(origin: str) -> robots.Rules:
        async def ask() -> robots.Found:
            asked.append(origin)
            return robots.Found(200, b"User-agent: *\nDisallow: /no\n#" + b"x" * 500_000)

        async def tell(_: float) -> None:
            return

        return await known.rules(origin, ask, tell)

    origins = [f"https://h{n}.example:443" for n in range(20)]
    for origin in [*origins, origins[0]]:
        assert not (await rules(origin)).allows("/no")
    assert asked == origins
    assert sum(entry[2] for entry in known._memory.values()) == known._characters <= 8_000_000
