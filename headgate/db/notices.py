"""A connection that only listens, through libpq and the event loop; it comes back by itself when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from psycopg import pq
from psycopg.conninfo import make_conninfo

from headgate.base.tasks import ended

log = structlog.get_logger(__name__)
RETRY_S = (0.5, 1.0, 2.0, 5.0)


class Notices:
    """Calls `heard(payload)` for each NOTIFY on `channel`, and `heard(None)` after each (re)connection.

    What was sent while the connection was down is lost, which is why the listener hears of reconnections.
    """

    def __init__(self, url: str, channel: str, heard: Callable[[str | None], None]) -> None:
        self._conninfo = make_conninfo(
            url, application_name="headgate-listen", client_encoding="UTF8", connect_timeout=10,
            keepalives_idle=30, keepalives_interval=10, keepalives_count=3,
        )  # fmt: skip
        self._channel = channel
        self._heard = heard
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen in the background."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop listening."""
        await ended(self._task)

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                await self._listen()
                failures = 0
            except OSError as error:
                log.info("listen_lost", channel=self._channel, reason=str(error))
            await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
            failures += 1

    async def _listen(self) -> None:
        """Listen until the connection breaks. Raises OSError where it cannot be made."""
        conn = await self._connected()
        loop = asyncio.get_running_loop()
        broken = asyncio.Event()
        watched = -1
        try:
            if conn.status != pq.ConnStatus.OK:
                raise OSError(conn.error_message.decode("utf-8", "replace").strip())
            self._heard(None)
            watched = conn.socket
            loop.add_reader(watched, self._readable, conn, broken)
            await broken.wait()
        finally:
            if watched >= 0:
                loop.remove_reader(watched)
            conn.finish()

    async def _connected(self) -> pq.abc.PGconn:
        """A connection that listens, made in a thread. Who stops waiting leaves it to the thread, which still uses
        it: freeing it here would hang the thread or worse.
        """
        made = asyncio.ensure_future(asyncio.to_thread(self._connect))
        try:
            return await asyncio.shield(made)
        except asyncio.CancelledError:
            made.add_done_callback(_finish)
            raise

    def _connect(self) -> pq.abc.PGconn:
        conn = pq.PGconn.connect(self._conninfo.encode())
        if conn.status == pq.ConnStatus.OK:
            quoted = self._channel.replace('"', '""')
            conn.exec_(f'LISTEN "{quoted}"'.encode())
        return conn

    def _readable(self, conn: pq.abc.PGconn, broken: asyncio.Event) -> None:
        try:
            conn.consume_input()
            while (note := conn.notifies()) is not None:
                self._heard(note.extra.decode("utf-8", "replace"))
        except Exception as error:
            log.info("listen_broken", channel=self._channel, reason=str(error))
            broken.set()


def _finish(made: asyncio.Future[pq.abc.PGconn]) -> None:
    """Close a connection that nobody waits for any more."""
    if not made.cancelled() and made.exception() is None:
        made.result().finish()
