"""Where changes come from: logical decoding, replayable for a bounded time.

A persistent slot, the anchor, is never read. It keeps the log of the last minutes; every reader copies it into a
temporary slot and starts where it wants. So all processes, restarts included, see one order with one set of places.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque

import structlog

from headgate.base.clock import monotonic
from headgate.base.errors import HeadgateError
from headgate.base.settings import Settings
from headgate.base.tasks import ended
from headgate.db import Database, errors
from headgate.db.replication import ReplicationError, ReplicationStream, lsn_number, lsn_text
from headgate.surface.realtime.pgoutput import Change, Decoder, Position

PUBLICATION = "supabase_realtime"
_KEEP_EVERY_S = 10.0
_OPEN_S = 30.0
_TRIES = 5
log = structlog.get_logger(__name__)


class FeedError(Exception):
    """Changes cannot be read; the text is for the client."""


class Reader:
    """Changes in commit order from one place on."""

    def __init__(self, stream: ReplicationStream) -> None:
        self._stream = stream
        self._decoder = Decoder()

    async def read(self, most: int = 500) -> list[Change]:
        """The next changes; an empty list if there were none for a second. Raises ReplicationError."""
        found = self._decoder.changes(await self._stream.read(most))
        self._stream.confirm(self._decoder.committed)
        return found

    @property
    def position(self) -> Position:
        """Every change up to here has been returned."""
        return max(self._decoder.position, (self._stream.reached, 0))

    def close(self) -> None:
        """Let go of the slot."""
        self._stream.close()


class LogicalFeed:
    """Changes by logical decoding. `replays` says whether a past place can be read."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._keep_s = settings.realtime_replay_s
        self._keep_bytes = settings.realtime_replay_mb * 1024 * 1024
        self.replays = self._keep_s > 0
        self.anchor = ""
        self._mark = ""
        self._samples: deque[tuple[float, int]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make the anchor, or drop it where nothing is to be kept. Raises FeedError."""
        row = await self._db.fetch_one(
            "select (select oid from pg_database where datname = current_database())::bigint as oid,"
            " (select system_identifier from pg_control_system())::text as cluster"
        )
        assert row is not None  # noqa: S101 - a select without from has one row
        self.anchor = anchor_name(int(row["oid"]))
        whole = f"{row['cluster']}/{row['oid']}"
        self._mark = f"{zlib.crc32(whole.encode()):08x}"
        if not self.replays:
            await drop_anchor(self._db, self.anchor)
            return
        await self._ensure_anchor()
        if self._task is None:
            self._task = asyncio.create_task(self._keep())

    async def _ensure_anchor(self) -> None:
        state = await self._anchor_state()
        if state is not None and state["lost"]:
            log.warning("realtime_log_lost", slot=self.anchor)
            await drop_anchor(self._db, self.anchor)
            state = None
        if state is None:
            try:
                async with asyncio.timeout(_OPEN_S), self._db.connection() as conn:
                    await conn.execute(
                        "select pg_create_logical_replication_slot(%s, 'pgoutput')", [self.anchor]
                    )
            except errors.DuplicateObject:
                pass  # another process was quicker
            except TimeoutError:
                raise FeedError(
                    "The change feed waits for a transaction that has been open for long"
                ) from None

    async def _anchor_state(self) -> dict[str, object] | None:
        return await self._db.fetch_one(
            "select confirmed_flush_lsn::text as kept, coalesce(wal_status = 'lost', false) as lost"
            " from pg_replication_slots where slot_name = %s and confirmed_flush_lsn is not null",
            [self.anchor],
        )

    async def close(self) -> None:
        """Stop caring for the anchor; it stays, so that a restart can go on."""
        await ended(self._task)
        self._task = None

    async def now(self) -> Position:
        """The place of the next commit."""
        text = await self._db.fetch_value("select pg_current_wal_insert_lsn()::text")
        return (lsn_number(text), 0)

    async def open(self, start: Position | None) -> Reader:
        """Read from a place on; None: from now on. Raises ReplicationError, FeedError."""
        if start is None:
            start = await self.now()
        source = self.anchor if self.replays else None
        for attempt in range(_TRIES):
            try:
                stream = await ReplicationStream.open(
                    self._db.url, publication=PUBLICATION, source=source, start=start[0]
                )
                return Reader(stream)
            except ReplicationError as error:
                if error.sqlstate == "42704" and source:  # undefined_object: somebody dropped the anchor
                    await self._ensure_anchor()
                elif attempt == _TRIES - 1 or error.sqlstate not in ("55000", "55006", "XX000"):
                    raise  # else the anchor moved while it was copied
            await asyncio.sleep(0.05 * (attempt + 1))
        raise FeedError("The change feed could not be opened")

    # --- cursors

    def cursor(self, position: Position) -> str:
        """A place as clients keep it."""
        return f"{self._mark}-{position[0]:x}-{position[1]:x}"

    async def parse(self, cursor: str) -> Position:
        """The place of a client's cursor. Raises FeedError if it is none, or lies before what is kept."""
        mark, _, rest = cursor.partition("-")
        try:
            commit, _, number = rest.partition("-")
            position = (int(commit, 16), int(number, 16))
        except ValueError:
            raise FeedError("CursorUnknown: since is no cursor of this server") from None
        if mark != self._mark:
            raise FeedError("CursorUnknown: since is a cursor of another database")
        state = await self._anchor_state() if self.replays else None
        if state is None or state["lost"] or position[0] < lsn_number(str(state["kept"])):
            raise FeedError("CursorExpired: since is older than what is kept; read the table and start anew")
        if position > await self.now():
            raise FeedError("CursorUnknown: since lies in the future")
        return position

    # --- the anchor

    async def _keep(self) -> None:
        """Move the anchor on, so that the log of `keep_s` seconds and at most `keep_bytes` is kept."""
        while True:
            try:
                await self._move()
            except (errors.Error, HeadgateError, OSError) as error:
                log.info("realtime_anchor_not_moved", reason=str(error))
            await asyncio.sleep(min(_KEEP_EVERY_S, max(1.0, self._keep_s / 4)))

    async def _move(self) -> None:
        lsn, moment = (await self.now())[0], monotonic()
        self._samples.append((moment, lsn))
        target = 0
        while self._samples and (
            moment - self._samples[0][0] > self._keep_s or lsn - self._samples[0][1] > self._keep_bytes
        ):
            target = self._samples.popleft()[1]
        if target:
            await self._db.execute(
                "select pg_replication_slot_advance(slot_name, %s::pg_lsn) from pg_replication_slots"
                " where slot_name = %s and not active and confirmed_flush_lsn < %s::pg_lsn",
                [lsn_text(target), self.anchor, lsn_text(target)],
            )


def anchor_name(database: int) -> str:
    """The anchor of the database with this oid."""
    return f"headgate_realtime_{database}"


async def drop_anchor(db: Database, name: str) -> None:
    """Drop the slot if it is there and nobody is just copying it."""
    await db.execute(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s and not active",
        [name],
    )


async def drop_own_anchor(db: Database) -> None:
    """Drop the anchor of this database, where there is one; where the user may not, leave it and say so."""
    number = await db.fetch_value("select oid::bigint from pg_database where datname = current_database()")
    try:
        await drop_anchor(db, anchor_name(int(number)))
    except errors.Error as error:
        log.warning("realtime_anchor_not_dropped", reason=str(error))


async def slots_allowed(db: Database) -> str | None:
    """Why this database gives no replication slot to us, or None if it does."""
    row = await db.fetch_one(
        "select current_setting('wal_level') as level, current_setting('max_replication_slots')::int as slots,"
        " (select rolreplication or rolsuper from pg_roles where rolname = current_user) as allowed"
    )
    assert row is not None  # noqa: S101 - a select without from has one row
    if row["level"] != "logical":
        return f"wal_level is {row['level']}"
    if not row["allowed"]:
        return "the user has no REPLICATION"
    return None if row["slots"] > 0 else "max_replication_slots is 0"
