"""Lists of objects: by folder with offsets, by prefix with a cursor. The caller's policies decide what is in them."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from headgate.db import Connection
from headgate.surface.storage.depot import Depot, Q, Row, shown
from headgate.surface.storage.errors import invalid
from headgate.surface.storage.exchange import Reply, Request, json_reply

_COLUMNS = ("name", "created_at", "updated_at", "last_accessed_at")
_MOST = 10_000
_MOST_V2 = 1000
_LAST = "\U0010ffff"  # sorts after every character that a name may have
_FIRST = "\x01"  # sorts before every one
_BATCH = 500


async def list_objects(depot: Depot, request: Request, bucket: str) -> Reply:
    """POST /object/list/{bucket}: folders, then objects, right below a folder."""
    caller = await depot.caller(request)
    given = await request.json()
    prefix = _text(given, "prefix")
    prefix = prefix + "/" if prefix and not prefix.endswith("/") else prefix
    column, order = _sort(given, _COLUMNS)
    values = {
        "bucket": bucket,
        "prefix": prefix.lstrip("/"),
        "levels": prefix.lstrip("/").count("/") + 1,
        "search": _text(given, "search"),
        "limit": _whole(given, "limit", 100, _MOST),
        "offset": _whole(given, "offset", 0, 10**9),
        "column": column,
        "order": order,
    }
    await depot.bucket(bucket)
    async with depot.acting(caller, "object.list") as conn:
        rows = await (await conn.execute(Q.search, values)).fetchall()
    return json_reply([shown(row) for row in rows])


async def list_v2(depot: Depot, request: Request, bucket: str) -> Reply:
    """POST /object/list-v2/{bucket}: by literal prefix, page after page from a cursor; a page costs what it shows."""
    caller = await depot.caller(request)
    given = await request.json()
    limit = _whole(given, "limit", _MOST_V2, _MOST_V2)
    if limit == 0:
        raise invalid("limit must be greater than 0")
    column, order = _sort(given, ("name", "created_at", "updated_at"))
    walk = _Walk(
        bucket=bucket,
        prefix=_text(given, "prefix"),
        folders=given.get("with_delimiter") is True,
        column=column,
        descending=order == "desc",
        cursor=_read_cursor(_text(given, "cursor")),
    )
    await depot.bucket(bucket)
    async with depot.acting(caller, "object.list_v2") as conn:
        entries, more = await walk.page(conn, limit)
    answer: Row = {"hasNext": more, "folders": [], "objects": []}
    for entry in entries:
        answer["objects" if entry.get("id") else "folders"].append(walk.shown(entry))
    if more:
        answer["nextCursor"] = walk.cursor_after(entries[-1])
    return json_reply(answer)


class _Walk:
    """One page of a list: in the order of names it leaps over each folder; in another order it counts them all."""

    def __init__(
        self,
        *,
        bucket: str,
        prefix: str,
        folders: bool,
        column: str,
        descending: bool,
        cursor: list[Any] | None,
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.folders = folders
        self.column = column
        self.descending = descending
        self._cursor = cursor
        if cursor is not None and (len(cursor) != (1 if column == "name" else 2)):
            raise invalid("The cursor does not belong to this list")

    async def page(self, conn: Connection, limit: int) -> tuple[list[Row], bool]:
        """Up to `limit` entries, and whether there are more."""
        found = await (self._by_name(conn, limit) if self.column == "name" else self._by_time(conn, limit))
        return found[:limit], len(found) > limit

    def shown(self, entry: Row) -> Row:
        """An entry as JSON values."""
        return {**shown(entry), "key": entry["name"].rstrip("/").rpartition("/")[2]}

    def cursor_after(self, entry: Row) -> str:
        """The cursor of the page that begins after `entry`."""
        place = [entry["name"]] if self.column == "name" else [entry["at"], entry["name"]]
        return base64.urlsafe_b64encode(orjson.dumps(place)).decode()

    async def _by_name(self, conn: Connection, limit: int) -> list[Row]:
        place = str(self._cursor[0]) if self._cursor else None
        query = Q.names_down if self.descending else Q.names_up
        found: list[Row] = []
        while (want := min(limit + 1 - len(found), _BATCH)) > 0:
            low, high = self._bounds(place)
            values = {"bucket": self.bucket, "low": low, "high": high, "limit": want}
            rows = await (await conn.execute(query, values)).fetchall()
            for row in rows:
                folder = self._folder(row["name"])
                if folder is None:
                    found.append(row)
                    place = row["name"]
                elif folder != place:
                    found.append({"name": folder})
                    place = folder
            if len(rows) < want:
                break
        return found

    def _bounds(self, place: str | None) -> tuple[str, str]:
        """Where the names after the entry `place` lie: from … to before …; after a folder, beyond all of it."""
        low, high = self.prefix, self.prefix + _LAST
        if place is None:
            return low, high
        if self.descending:
            return low, min(high, place)
        beyond = place + (_LAST if self.folders and place.endswith("/") else _FIRST)
        return max(low, beyond), high

    def _folder(self, name: str) -> str | None:
        """The folder in whose place an object is shown, or None."""
        slash = name.find("/", len(self.prefix))
        return name[: slash + 1] if self.folders and slash >= 0 else None

    async def _by_time(self, conn: Connection, limit: int) -> list[Row]:
        at, name = self._cursor or (None, None)
        values = {
            "bucket": self.bucket, "low": self.prefix, "high": self.prefix + _LAST, "start": len(self.prefix) + 1,
            "folders": self.folders, "column": self.column, "descending": self.descending,
            "at": at, "name": name, "limit": limit + 1,
        }  # fmt: skip
        return await (await conn.execute(Q.by_time, values)).fetchall()


def _read_cursor(text: str) -> list[Any] | None:
    if not text:
        return None
    try:
        found = orjson.loads(base64.urlsafe_b64decode(text.encode()))
    except (binascii.Error, ValueError):
        raise invalid("The cursor is not one of ours") from None
    good = isinstance(found, list) and all(isinstance(one, str) and "\x00" not in one for one in found)
    if not good:
        raise invalid("The cursor is not one of ours")
    return list(found)


def _sort(given: Row, columns: tuple[str, ...]) -> tuple[str, str]:
    asked = given.get("sortBy") or {}
    if not isinstance(asked, dict):
        raise invalid("sortBy must be an object")
    column, order = asked.get("column") or "name", str(asked.get("order") or "asc").lower()
    if column not in columns or order not in ("asc", "desc"):
        raise invalid(f"sortBy takes a column of {', '.join(columns)} and an order of asc or desc")
    return str(column), order


def _text(given: Row, name: str) -> str:
    found = given.get(name)
    if found is None:
        return ""
    if not isinstance(found, str) or "\x00" in found or len(found) > 4096:
        raise invalid(f"{name} must be a text")
    return found


def _whole(given: Row, name: str, otherwise: int, most: int) -> int:
    found = given.get(name)
    if found is None:
        return otherwise
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise invalid(f"{name} must be a whole number")
    return min(found, most)
