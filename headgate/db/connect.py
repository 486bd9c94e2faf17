"""Connections: one pool per process, transactions, a caller's role for one transaction, LISTEN. Never logs a
password.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import select
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import orjson
import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from headgate.base import log
from headgate.base.errors import DatabaseError
from headgate.db import address
from headgate.db.address import Address

Connection = AsyncConnection[dict[str, Any]]
Query = str | bytes | sql.SQL | sql.Composed
Params = Sequence[Any] | Mapping[str, Any] | None

OLDEST_SERVER = 150000
CLIENT_ROLES = frozenset({"anon", "authenticated", "service_role"})
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_HEALTH_S = 30.0
_log = log.get(__name__)


@dataclass(frozen=True)
class Note:
    """One notification. `gap` is True on the note that follows a lost connection: some may have been
    missed.
    """

    channel: str
    payload: str
    pid: int = 0
    gap: bool = False


class Database:
    """A pool of connections to one PostgreSQL database.

    Rows are dicts, connections are in autocommit mode, and a connection that died while idle is replaced
    before anybody gets it.
    """

    def __init__(self, url: str, where: Address, pool: AsyncConnectionPool[Connection]) -> None:
        self.url = url
        self.place = where.place
        self._address = where
        self._pool = pool

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        min_size: int = 1,
        max_size: int = 10,
        application_name: str = "headgate",
        prepare: bool | None = None,
        timeout_s: float = 30.0,
    ) -> Self:
        """Connect, check the server's version, and fill the pool.

        `prepare=None` decides by the URL whether the server may prepare statements (see `address.read`).
        `timeout_s` bounds both connecting and waiting for a free connection. Raises DatabaseError
        HG201–HG206.
        """
        where = address.read(url, prepare=prepare)
        async with await connect(where, application_name=application_name, timeout_s=timeout_s):
            pass
        pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            where.conninfo,
            min_size=min(min_size, max_size),
            max_size=max_size,
            timeout=timeout_s,
            kwargs=_options(where, application_name),
            check=_check_idle,
            open=False,
            name=application_name,
        )
        try:
            await pool.open(wait=True, timeout=timeout_s)
        except PoolTimeout:
            await pool.close()
            raise DatabaseError(
                f"Could not open {min_size} connections to {where.place} within {timeout_s:g} s.",
                code="HG204",
                hint="The server may be out of connections: lower HEADGATE_POOL_SIZE or raise"
                " max_connections.",
            ) from None
        return cls(url, where, pool)

    async def close(self) -> None:
        """Give every connection back to the server."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def waiting(self) -> int:
        """How many callers wait for a connection at this moment."""
        return int(self._pool.get_stats().get("requests_waiting", 0))

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A pooled connection in autocommit mode. Raises DatabaseError HG206 if none gets free in time."""
        try:
            conn = await self._pool.getconn()
        except (PoolTimeout, TooManyRequests):
            raise DatabaseError(
                f"No connection to {self.place} was free within {self._pool.timeout:g} s.",
                code="HG206",
                details=self._pool.get_stats(),
                hint="Raise HEADGATE_POOL_SIZE, or look for transactions that stay open; is the server up?",
            ) from None
        try:
            yield conn
        finally:
            await self._pool.putconn(conn)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A pooled connection inside one transaction: commits on leaving, rolls back on any exception."""
        async with self.connection() as conn, conn.transaction():
            yield conn

    @contextlib.asynccontextmanager
    async def as_role(
        self,
        claims: Mapping[str, Any],
        *,
        allowed: frozenset[str] = CLIENT_ROLES,
        settings: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Connection]:
        """A transaction in which the caller is `claims["role"]` and `request.jwt.claims` holds `claims` as
        JSON.

        `settings` are further settings for this transaction only. Role and settings end with the transaction
        however it ends. Raises DatabaseError HG210 if the role is missing, not in `allowed`, or not granted.
        """
        role = claims.get("role")
        if not isinstance(role, str) or role not in allowed:
            raise DatabaseError(
                f"The role {role!r} may not be used for requests.",
                code="HG210",
                details={"role": role, "allowed": sorted(allowed)},
                hint="Sign the token with one of the allowed roles.",
            )
        local = {"request.jwt.claims": orjson.dumps(dict(claims)).decode(), **(settings or {}), "role": role}
        query = "select " + ", ".join(["set_config(%s, %s, true)"] * len(local))
        async with self.transaction() as conn:
            try:
                await conn.execute(query, [text for pair in local.items() for text in pair])
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue) as error:
                raise DatabaseError(
                    f'The role "{role}" cannot be taken on {self.place}.',
                    code="HG210",
                    hint=f"Run `headgate migrate up`, or as the owner: grant {role} to the connecting user.",
                ) from error
            yield conn

    async def listen(self, *channels: str, ready: asyncio.Event | None = None) -> AsyncIterator[Note]:
        """Notifications of `channels`, for ever, on a connection of its own that is replaced when it breaks.

        `ready` is set once LISTEN is in force. After a break one Note per channel with `gap=True` says that
        notifications may have been missed. Needs a direct connection or a session pooler: a pooler in
        transaction mode does not deliver notifications.
        """
        attempt = 0
        gap = False
        while True:
            try:
                async with await connect(self._address, application_name="headgate listen") as conn:
                    for channel in channels:
                        await conn.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                    attempt = 0
                    if ready is not None:
                        ready.set()
                    for channel in channels if gap else ():
                        yield Note(channel, "", gap=True)
                    while True:
                        async for note in conn.notifies(timeout=_HEALTH_S):
                            yield Note(note.channel, note.payload, note.pid)
                        await conn.execute("select 1")
            except (psycopg.OperationalError, DatabaseError) as error:
                gap = True
                attempt += 1
                delay = min(10.0, 0.1 * 2**attempt) * random.uniform(0.5, 1.0)
                _log.warning("listen.lost", place=self.place, error=str(error), retry_in_s=round(delay, 2))
                await asyncio.sleep(delay)

    async def fetch_all(self, query: Query, params: Params = None) -> list[dict[str, Any]]:
        """All rows of `query`."""
        async with self.connection() as conn:
            return await (await conn.execute(_text(query), params)).fetchall()

    async def fetch_one(self, query: Query, params: Params = None) -> dict[str, Any] | None:
        """The first row of `query`, or None."""
        async with self.connection() as conn:
            return await (await conn.execute(_text(query), params)).fetchone()

    async def fetch_value(self, query: Query, params: Params = None) -> Any:
        """The first column of the first row of `query`, or None."""
        row = await self.fetch_one(query, params)
        return next(iter(row.values())) if row else None

    async def execute(self, query: Query, params: Params = None) -> int:
        """Run `query`; the number of rows it touched (-1 if it is of a kind that counts none)."""
        async with self.connection() as conn:
            return (await conn.execute(_text(query), params)).rowcount


async def connect(
    url: str | Address,
    *,
    application_name: str = "headgate",
    timeout_s: float = 30.0,
    dbname: str | None = None,
) -> Connection:
    """One connection outside any pool, autocommit, dict rows. Raises DatabaseError HG201–HG205."""
    where = address.read(url, dbname=dbname) if isinstance(url, str) else url
    try:
        conn = await AsyncConnection.connect(
            where.conninfo, connect_timeout=max(2, int(timeout_s)), **_options(where, application_name)
        )
    except psycopg.OperationalError as error:
        raise _refused(where, error) from None
    if conn.info.server_version < OLDEST_SERVER:
        version = conn.info.server_version // 10000
        await conn.close()
        raise DatabaseError(
            f"{where.place} is PostgreSQL {version}; Headgate needs 15 or newer.",
            code="HG205",
            hint="Upgrade the server, or leave HEADGATE_DATABASE_URL empty to use the embedded one.",
        )
    return conn


def _options(where: Address, application_name: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "autocommit": True,
        "row_factory": dict_row,
        "application_name": application_name,
    }
    return {**options, **_KEEPALIVE, "prepare_threshold": 5 if where.prepare else None}


async def _check_idle(conn: Connection) -> None:
    """Refuse a connection whose server went away. Costs no round trip unless something arrived while it was
    idle.
    """
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    if poll.poll(0):
        await conn.execute("select 1")


def _text(query: Query) -> Any:
    return query


_REFUSALS = (
    ("password authentication failed", "HG203", "Check user and password in HEADGATE_DATABASE_URL."),
    ("no password supplied", "HG203", "Put the password into HEADGATE_DATABASE_URL."),
    ("does not exist", "HG203", "Create it first, or correct HEADGATE_DATABASE_URL."),
    ("too many clients", "HG204", "Lower HEADGATE_POOL_SIZE, or raise max_connections on the server."),
    (
        "remaining connection slots",
        "HG204",
        "Lower HEADGATE_POOL_SIZE, or raise max_connections on the server.",
    ),
)


def _refused(where: Address, error: psycopg.OperationalError) -> DatabaseError:
    """The driver's refusal with our code: HG203 credentials or name, HG204 no slot, else HG201."""
    reason = log.redact(" ".join(str(error).split()))
    for mark, code, hint in _REFUSALS:
        if mark in reason:
            return DatabaseError(f"Cannot connect to {where.place}: {reason}.", code=code, hint=hint)
    return DatabaseError(
        f"Cannot connect to {where.place}: {reason}.",
        code="HG201",
        hint="Is the server running, and do host and port in HEADGATE_DATABASE_URL name it?",
    )
