"""A call over a real socket whose client leaves is stopped in PostgreSQL; one whose client stays goes on."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from headgate.db import Database
from tests import ticket_market as market

_RUNNING = """
select count(*) from pg_stat_activity where datname = current_database() and state = 'active'
  and pid <> pg_backend_pid() and wait_event = 'PgSleep'"""
WAIT_S = 30.0


async def calling(base: str) -> asyncio.StreamWriter:
    """A client that has sent its call and waits for the answer."""
    place = urlsplit(base)
    _, writer = await asyncio.open_connection(place.hostname, place.port)
    body = b"{}"
    writer.write(
        b"POST /rest/v1/rpc/takes_long HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )
    await writer.drain()
    return writer


async def until(db: Database, count: int) -> None:
    """Until so many calls run in PostgreSQL."""
    async with asyncio.timeout(WAIT_S):
        while await db.fetch_value(_RUNNING) != count:  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.02)


async def test_call_is_stopped_in_postgresql_when_its_client_leaves(database: Database) -> None:
    async with database.connection() as conn:
        await conn.execute(
            "create function public.takes_long() returns int language plpgsql set statement_timeout = '300s' as"
            " $$ begin perform pg_sleep(250); return 1; end $$"
        )
        await conn.execute("grant execute on function public.takes_long to anon")
    async with market.serving(database) as base:
        leaving, staying = await calling(base), await calling(base)
        await until(database, 2)
        leaving.transport.abort()  # no goodbye, as of a browser's tab that is closed
        await until(database, 1)
        await asyncio.sleep(1)
        assert await database.fetch_value(_RUNNING) == 1  # the other's goes on
        staying.close()  # and a client that closes politely
        await until(database, 0)
