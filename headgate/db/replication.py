"""Logical replication over libpq: slots, and a stream of what they decode. The output plugin is pgoutput.

psycopg has no high-level interface for replication; a connection with `replication=database` and COPY BOTH does.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Self

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from headgate.db import address

_STATUS_S = 5.0
_EPOCH_S = 946_684_800  # 2000-01-01, PostgreSQL's own epoch
_HEAD = 25  # bytes before the payload of a data message
#: Texts in one form on every server, whatever its settings are.
_SESSION = (
    "-c datestyle=ISO,YMD -c timezone=UTC -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex"
    " -c statement_timeout=0 -c idle_session_timeout=0"
)


class ReplicationError(OSError):
    """The stream cannot be opened or has ended. `sqlstate` is PostgreSQL's, where it said one."""

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


def lsn_text(lsn: int) -> str:
    """A place in the log as PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_number(text: str) -> int:
    """The same as a number, by which places are ordered."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


class ReplicationStream:
    """What a temporary slot decodes. The slot goes when the stream is closed or its process dies."""

    def __init__(self, conn: pq.abc.PGconn) -> None:
        self._conn = conn
        self._told = time.monotonic()
        self._confirmed = 0
        self.reached = 0  # everything that was committed before this place has been read

    @classmethod
    async def open(cls, url: str, *, publication: str, source: str | None, start: int | None) -> Self:
        """Stream `publication` from `start` on, or from now.

        `source` names a persistent slot to copy, which is quick and lets `start` lie in the past; without it a new
        slot waits for the transactions that are open. Raises ReplicationError.
        """
        conninfo = _conninfo(url)
        conn = await asyncio.to_thread(pq.PGconn.connect, conninfo.encode())
        stream = cls(conn)
        if conn.status != pq.ConnStatus.OK:
            reason = conn.error_message.decode("utf-8", "replace").strip()
            conn.finish()
            raise ReplicationError(reason)
        begun = asyncio.ensure_future(asyncio.to_thread(stream._begin, publication, source, start))
        try:
            await asyncio.shield(begun)
        except asyncio.CancelledError:
            # The thread still uses the connection: have PostgreSQL stop what it waits for, and close it then.
            begun.add_done_callback(stream._abandoned)
            for _ in range(20):  # PostgreSQL forgets a request that comes between two statements
                if begun.done():
                    break
                await asyncio.to_thread(conn.get_cancel().cancel)
                await asyncio.wait([begun], timeout=0.1)
            raise
        except BaseException:
            conn.finish()
            raise
        return stream

    def _abandoned(self, begun: asyncio.Future[None]) -> None:
        if not begun.cancelled():
            begun.exception()  # that it was stopped is no news
        self._conn.finish()

    def _begin(self, publication: str, source: str | None, start: int | None) -> None:
        name = f"headgate_{secrets.token_hex(8)}"
        if source is None:
            self._exec(f"select pg_create_logical_replication_slot('{name}', 'pgoutput', true)")
        else:
            self._exec(f"select pg_copy_logical_replication_slot('{source}', '{name}', true)")
        quoted = publication.replace('"', '""').replace("'", "''")
        command = f"START_REPLICATION SLOT {name} LOGICAL {lsn_text(start or 0)}"
        self._exec(f"{command} (proto_version '1', publication_names '\"{quoted}\"')")
        self._conn.nonblocking = 1
        self._confirmed = self.reached = start or 0

    def _exec(self, command: str) -> None:
        result = self._conn.exec_(command.encode())
        if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COPY_BOTH):
            raise _failed(result)

    async def read(self, most: int = 500, wait_s: float = 1.0) -> list[bytes]:
        """Up to `most` messages of pgoutput; as many as are here, else the first within `wait_s`, else none.

        Raises ReplicationError when the stream has ended.
        """
        found: list[bytes] = []
        pulled = waited = False
        while len(found) < most:
            size, data = self._conn.get_copy_data(1)
            if size > 0:
                self._take(data, found)
                pulled = False
            elif size < 0:
                result = self._conn.get_result()
                raise _failed(result) if result is not None else ReplicationError("the stream has ended")
            elif not pulled:
                self._pull()
                pulled = True
            elif found or waited:
                break
            else:
                await self._readable(wait_s)
                waited, pulled = True, False
        if time.monotonic() - self._told > _STATUS_S:
            self._status()
        return found

    def _pull(self) -> None:
        try:
            self._conn.consume_input()
        except Exception as error:
            raise ReplicationError(str(error).strip()) from None

    def _take(self, data: memoryview, found: list[bytes]) -> None:
        if data[0] == ord("w"):
            found.append(bytes(data[_HEAD:]))
        elif data[0] == ord("k"):
            self.reached = max(self.reached, int.from_bytes(data[1:9], "big"))
            if data[17]:
                self._status()

    async def _readable(self, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        descriptor = self._conn.socket
        loop.add_reader(descriptor, _wake, ready)
        try:
            await asyncio.wait({ready}, timeout=wait_s)
        finally:
            loop.remove_reader(descriptor)
            ready.cancel()

    def confirm(self, lsn: int) -> None:
        """What lies before `lsn` is not needed again; the server hears of it every few seconds."""
        self._confirmed = max(self._confirmed, lsn)

    def _status(self) -> None:
        self._told = time.monotonic()
        clock = int((time.time() - _EPOCH_S) * 1_000_000)
        place = self._confirmed.to_bytes(8, "big")
        try:
            self._conn.put_copy_data(b"r" + place * 3 + clock.to_bytes(8, "big", signed=True) + b"\0")
            self._conn.flush()
        except Exception as error:
            raise ReplicationError(str(error).strip()) from None

    def close(self) -> None:
        """End it; the slot is dropped."""
        self._conn.finish()


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _conninfo(url: str) -> str:
    parts = conninfo_to_dict(address.read(url).conninfo)
    replaced = {"application_name", "replication", "client_encoding", "connect_timeout", "options"}
    replaced |= {"keepalives_idle", "keepalives_interval", "keepalives_count"}
    given = f"{parts['options']} " if parts.get("options") else ""
    return make_conninfo(
        "", **{k: str(v) for k, v in parts.items() if v is not None and k not in replaced},
        replication="database", application_name="headgate-feed", client_encoding="UTF8", connect_timeout=10,
        options=given + _SESSION, keepalives_idle=30, keepalives_interval=10, keepalives_count=3,
    )  # fmt: skip


def _failed(result: pq.abc.PGresult) -> ReplicationError:
    sqlstate = result.error_field(pq.DiagnosticField.SQLSTATE)
    return ReplicationError(
        (result.error_message or b"the stream has ended").decode("utf-8", "replace").strip(),
        sqlstate.decode() if sqlstate else None,
    )
