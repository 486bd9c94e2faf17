"""Where changes come from when no replication slot is allowed: triggers that note the keys of each statement's rows.

Rows are read when the note is, so a row that changed twice shows its newest content twice, and one that is gone by
then shows no INSERT or UPDATE. A DELETE shows the key. Notes are read in the order of (transaction, note), below the
oldest transaction that is still open, so that none is passed over.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from typing import Any

import orjson
import structlog

from headgate.base.errors import HeadgateError
from headgate.base.settings import Settings
from headgate.base.tasks import ended
from headgate.db import SQL, Composed, Connection, Database, Identifier, Literal, errors
from headgate.db.connect import connect
from headgate.surface.realtime import policies
from headgate.surface.realtime.feed import PUBLICATION, FeedError
from headgate.surface.realtime.pgoutput import Change, Position, Relation, Texts, Transaction

_KINDS = {"I": "INSERT", "U": "UPDATE", "D": "DELETE"}
_PLACES = ("numbers", "uuids", "keys")  # columns of the outbox, one of which has a note's keys
_VERBS = {"i": "insert", "u": "update", "d": "delete"}
_LOOK_S = 0.5
_CARE_S = 5.0
_ROW_BITS = 24  # a statement's rows are numbered below its note
_SLICE = 1000  # rows of one note read at a time
_FORM = "set datestyle = 'ISO, YMD'; set timezone = 'UTC'; set intervalstyle = 'postgres'; set bytea_output = 'hex'"
log = structlog.get_logger(__name__)

_MISSING = """
select t.schemaname::text as schema, t.tablename::text as table, k.kinds,
  case when k.kinds = '{20}' or k.kinds = '{21}' or k.kinds = '{23}' then 'numbers'
    when k.kinds = '{2950}' then 'uuids' when k.kinds is not null then 'keys' end as place, k.names
from pg_publication_tables t join pg_namespace n on n.nspname = t.schemaname
join pg_class c on c.relnamespace = n.oid and c.relname = t.tablename
cross join lateral (select array_agg(a.atttypid::int8 order by p.n) as kinds,
    array_agg(a.attname::text order by p.n) as names
  from pg_index i, unnest(i.indkey) with ordinality as p (attnum, n), pg_attribute a
  where i.indrelid = c.oid and i.indisprimary and a.attrelid = c.oid and a.attnum = p.attnum) k
where t.pubname = %s and not exists (select from pg_trigger g where g.tgrelid = c.oid and g.tgname = 'headgate_note_d'
  and g.tgfoid = 'realtime.note_keys()'::regprocedure)"""

_EXTRA = """
select n.nspname::text as schema, c.relname::text as table from pg_trigger g
join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
where g.tgname = 'headgate_note_d' and (%(all)s or not exists (select from pg_publication_tables t
  where t.pubname = %(publication)s and t.schemaname = n.nspname and t.tablename = c.relname))"""

_TABLE = """
select n.nspname::text as schema, c.relname::text as table,
  array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    order by a.attnum) as columns,
  array(select a.atttypid::bigint from pg_attribute a where a.attrelid = c.oid and a.attnum > 0
    and not a.attisdropped order by a.attnum) as oids,
  array(select a.attname::text from pg_index i, unnest(i.indkey) with ordinality as k (attnum, n), pg_attribute a
   where i.indrelid = c.oid and i.indisprimary and a.attrelid = c.oid and a.attnum = k.attnum order by k.n) as keys,
  array(select format_type(a.atttypid, a.atttypmod) from pg_index i, unnest(i.indkey) with ordinality as k (attnum, n),
   pg_attribute a where i.indrelid = c.oid and i.indisprimary and a.attrelid = c.oid and a.attnum = k.attnum
   order by k.n) as kinds
from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = %s"""


async def drop_triggers(db: Database, *, all_tables: bool) -> None:
    """Take the triggers off tables that are not published any more, or off all."""
    for row in await db.fetch_all(_EXTRA, {"all": all_tables, "publication": PUBLICATION}):
        for letter in _VERBS:
            statement = SQL("drop trigger if exists {} on {}").format(
                Identifier(f"headgate_note_{letter}"), Identifier(row["schema"], row["table"])
            )
            await db.execute(statement)


async def make_triggers(db: Database) -> None:
    """Put triggers on published tables that have none. A table without primary key, or not ours, is passed over."""
    for row in await db.fetch_all(_MISSING, [PUBLICATION]):
        name = f"{row['schema']}.{row['table']}"
        if not row["place"]:
            log.warning("realtime_table_without_key", table=name)
            continue
        try:
            async with db.transaction() as conn:
                keys = _aggregate(row["place"], row["names"]).as_string(conn)
                for letter, verb in _VERBS.items():
                    image = "old" if letter == "d" else "new"
                    await conn.execute(
                        SQL(
                            f"create or replace trigger headgate_note_{letter} after {verb} on {{}} referencing {image}"
                            " table as changed for each statement execute function realtime.note_keys({}, {})"
                        ).format(Identifier(row["schema"], row["table"]), row["place"], keys)
                    )
        except errors.Error as error:
            log.warning("realtime_table_not_watched", table=name, reason=str(error))


def _aggregate(place: str, names: list[str]) -> Composed:
    """What puts the keys of a statement's rows together for a column of the outbox."""
    if place == "keys":
        lists = [SQL("pg_catalog.json_agg({})").format(Identifier(name)) for name in names]
        return SQL("pg_catalog.json_build_array({})").format(SQL(", ").join(lists))
    cast = SQL("::pg_catalog.int8" if place == "numbers" else "")
    return SQL("pg_catalog.array_agg({}{})").format(Identifier(names[0]), cast)


class OutboxReader:
    """Changes from one place on."""

    def __init__(self, conn: Connection, start: Position) -> None:
        self._conn = conn
        self.position = start
        self._notes: deque[dict[str, Any]] = deque()
        self._tables: dict[tuple[int, str], tuple[Relation, tuple[str, ...], Composed]] = {}

    async def read(self, most: int = 500) -> list[Change]:
        """The next changes; an empty list if there are none for a moment."""
        if not self._notes:
            await self._look(most)
            if not self._notes:
                async for _ in self._conn.notifies(timeout=_LOOK_S, stop_after=1):
                    pass
                await self._look(most)
        if not self._notes:
            return []
        note = self._notes.popleft()
        if len(note["keys"]) > _SLICE:
            rest = {**note, "keys": note["keys"][_SLICE:], "first": note["first"] + _SLICE}
            note = {**note, "keys": note["keys"][:_SLICE]}
            self._notes.appendleft(rest)
        changes = await self._changes(note)
        self.position = max(
            self.position, (note["xid"], (note["id"] << _ROW_BITS) + note["first"] + len(note["keys"]))
        )
        return changes

    async def _look(self, most: int) -> None:
        xid, number = self.position
        rows = await (
            await self._conn.execute(
                "select xid::text::bigint as xid, id, relation::bigint as relation, kind::text as kind, keys, numbers,"
                " uuids::text[] as uuids, (extract(epoch from noted_at) * 1000)::bigint as at"
                " from realtime.outbox where kind <> 'p' and (xid, id) >= (%s::text::xid8, %s)"
                " and xid < pg_snapshot_xmin(pg_current_snapshot()) order by xid, id limit %s",
                [str(xid), number >> _ROW_BITS, most],
            )
        ).fetchall()
        for row in rows:
            place = next(place for place in _PLACES if row[place] is not None)
            keys = row[place]
            if place == "keys":
                keys = list(zip(*keys, strict=True))  # from a list for each column to one for each row
            if (row["xid"], (row["id"] << _ROW_BITS) + len(keys)) > self.position:
                self._notes.append({**row, "keys": keys, "place": place, "first": 0})

    async def _changes(self, note: dict[str, Any]) -> list[Change]:
        table = await self._table(note["relation"], note["place"])
        if table is None:
            return []
        relation, names, query = table
        transaction = Transaction(note["xid"], _iso(note["at"]))
        keys = orjson.dumps(note["keys"]).decode() if note["place"] == "keys" else note["keys"]
        result = (await self._conn.execute(query, [keys])).pgresult
        assert result is not None  # noqa: S101 - the query has just been executed
        get, first = result.get_value, (note["id"] << _ROW_BITS) + note["first"]
        deleted = note["kind"] == "D"
        columns, start = (names, 2) if deleted else (relation.columns, 2 + len(names))
        found: list[Change] = []
        for row in range(result.ntuples):
            if not deleted and get(row, 1) != b"t":
                continue
            # as PostgreSQL sent them: what the types' output functions write
            values = [get(row, n) for n in range(start, start + len(columns))]
            texts: Texts = dict(zip(columns, [v if v is None else v.decode() for v in values], strict=True))
            images = (None, texts) if deleted else (texts, None)
            place = (transaction, first + int(get(row, 0) or 0))
            found.append(Change.made(relation, _KINDS[note["kind"]], place, images))
        return found

    async def _table(self, oid: int, place: str) -> tuple[Relation, tuple[str, ...], Composed] | None:
        row = await (await self._conn.execute(_TABLE, [oid])).fetchone()
        if row is None or not row["keys"]:
            return None
        known = self._tables.get((oid, place))
        shape = (tuple(row["columns"]), tuple(row["oids"]))
        if known is not None and (known[0].columns, known[0].type_oids, known[1]) == (
            *shape,
            tuple(row["keys"]),
        ):
            return known
        relation = Relation(oid, row["schema"], row["table"], *shape, frozenset(row["keys"]))
        found = self._tables[oid, place] = (relation, tuple(row["keys"]), _rows_by_key(row, place))
        return found

    def close(self) -> None:
        """Let go of the connection."""
        self._conn.pgconn.finish()


def _rows_by_key(table: dict[str, Any], place: str) -> Composed:
    """The query: keys as the note has them → number, whether the row is there, the keys, the row."""
    names = [Identifier(f"k{n}") for n in range(len(table["keys"]))]
    if place == "keys":
        source = SQL("jsonb_array_elements(%s::jsonb)")
        values = [SQL("(e ->> {})").format(Literal(n)) for n in range(len(names))]
    else:
        source = SQL("unnest(%s::bigint[])" if place == "numbers" else "unnest(%s::uuid[])")
        values = [SQL("e").format()]
    parts = [
        SQL("{}::{} as {}").format(value, SQL(kind), name)
        for value, kind, name in zip(values, table["kinds"], names, strict=True)
    ]
    joined = SQL(" and ").join(
        SQL("t.{} = k.{}").format(policies.identifier(key), name)
        for key, name in zip(table["keys"], names, strict=True)
    )
    return SQL(
        "select k.n, t.{key} is not null as present, {names}, {columns}"
        " from (select n, {parts} from {source} with ordinality as x (e, n)) k"
        " left join {table} t on {joined} order by k.n"
    ).format(
        key=policies.identifier(table["keys"][0]),
        names=SQL(", ").join(SQL("k.{}").format(name) for name in names),
        columns=SQL(", ").join(SQL("t.{}").format(policies.identifier(c)) for c in table["columns"]),
        parts=SQL(", ").join(parts),
        source=source,
        table=policies.identifier(table["schema"], table["table"]),
        joined=joined,
    )


def _iso(milliseconds: int) -> str:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


class OutboxFeed:
    """The same interface as the logical feed has."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._keep_s = max(60, settings.realtime_replay_s)
        self.replays = True
        self._mark = ""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Put the triggers in their places."""
        oid = await self._db.fetch_value(
            "select system_identifier::text || '/' || (select oid from pg_database where datname = current_database())"
            " from pg_control_system()"
        )
        self._mark = f"t{zlib.crc32(str(oid).encode()):08x}"
        await make_triggers(self._db)
        if self._task is None:
            self._task = asyncio.create_task(self._care())

    async def close(self) -> None:
        """The triggers stay, so that a restart can go on."""
        await ended(self._task)
        self._task = None

    async def now(self) -> Position:
        """The place below which every transaction has ended."""
        found = await self._db.fetch_value("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return (int(found), 0)

    async def open(self, start: Position | None) -> OutboxReader:
        """Read from a place on; None: from now on."""
        place = start or await self.now()
        conn = await connect(self._db.url, application_name="headgate-feed")
        try:
            await conn.execute(_FORM.encode())
            await conn.execute("listen headgate_outbox")
        except BaseException:
            await conn.close()
            raise
        return OutboxReader(conn, place)

    def cursor(self, position: Position) -> str:
        """A place as clients keep it."""
        return f"{self._mark}-{position[0]:x}-{position[1]:x}"

    async def parse(self, cursor: str) -> Position:
        """The place of a client's cursor. Raises FeedError."""
        mark, _, rest = cursor.partition("-")
        try:
            xid, _, number = rest.partition("-")
            position = (int(xid, 16), int(number, 16))
        except ValueError:
            raise FeedError("CursorUnknown: since is no cursor of this server") from None
        if mark != self._mark:
            raise FeedError("CursorUnknown: since is a cursor of another database or feed")
        pruned = await self._db.fetch_value(
            "select coalesce(max(xid::text::bigint), 0) from realtime.outbox where kind = 'p'"
        )
        if position[0] <= int(pruned):
            raise FeedError("CursorExpired: since is older than what is kept; read the table and start anew")
        return position

    async def _care(self) -> None:
        while True:
            await asyncio.sleep(_CARE_S)
            try:
                await make_triggers(self._db)
                await drop_triggers(self._db, all_tables=False)
                await self._prune()
            except (errors.Error, HeadgateError, OSError) as error:
                log.warning("realtime_outbox_care_failed", reason=str(error))

    async def _prune(self) -> None:
        """Forget old notes; a note of kind `p` keeps up to which transaction they are gone."""
        await self._db.execute(
            "with gone as (delete from realtime.outbox where kind <> 'p'"
            "   and noted_at < now() - make_interval(secs => %s) returning xid),"
            " top as (select max(xid) as xid from gone),"
            " older as (delete from realtime.outbox o using top where o.kind = 'p' and o.xid < top.xid)"
            " insert into realtime.outbox (xid, relation, kind) select xid, 0, 'p' from top"
            " where xid is not null",
            [self._keep_s],
        )
