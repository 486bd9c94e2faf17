"""What a list query selects and in which order: search text, sort keys, cursors. Never changes anything."""

from __future__ import annotations

import base64
import binascii
import operator
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from headgate.apps.stores.simulator.options import split_gid
from headgate.apps.stores.simulator.shop import Shop, Table, Times

_TERM = re.compile(r"""(\w+):\s*(<=|>=|<|>|=)?\s*(?:'([^']*)'|"([^"]*)"|([^\s()]+))""")
_OPS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
}  # fmt: skip
_COLUMN = {"created_at": 0, "updated_at": 1, "processed_at": 2}
SORTS = {"ID": None, "CREATED_AT": 0, "UPDATED_AT": 1, "PROCESSED_AT": 2}


class BadSearch(Exception):
    """The simulator does not read this search or sort."""


@dataclass(frozen=True)
class Search:
    """A search read: every condition must hold. `ignored`: keys that Shopify would warn about and ignore."""

    conditions: tuple[tuple[str, str, int], ...] = ()
    flags: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()

    def admits(self, index: int, times: Times, number: int) -> bool:
        """Whether the times and the id of an object satisfy the conditions."""
        for key, op, value in self.conditions:
            mine = number if key == "id" else times[_COLUMN[key]]
            if not _OPS[op](mine, value):
                return False
        return True


def read_search(text: str | None, *, zone: Any = UTC) -> Search:
    """Read a search; raises BadSearch for what the simulator cannot decide truly."""
    text = (text or "").strip()
    if not text:
        return Search()
    if re.search(r"\bOR\b|\bNOT\b|[()]|(^|\s)-\w+:", text):
        raise BadSearch(f"the simulator reads conditions joined by AND only, not: {text}")
    conditions, flags, ignored = [], [], []
    for key, op, single, double, bare in _TERM.findall(text):
        value = single or double or bare
        if key in _COLUMN:
            conditions.append((key, op or "=", read_moment(value, zone)))
        elif key == "id":
            number = split_gid(value)[1] if value.startswith("gid:") else int(value)
            conditions.append(("id", op or "=", number))
        elif key in ("test", "status", "financial_status", "name", "email"):
            flags.append((key, value.lower()))
        else:
            ignored.append(key)
    rest = re.sub(r"\bAND\b", "", _TERM.sub("", text)).strip()
    if rest:
        raise BadSearch(f"the simulator does not search for words: {rest}")
    return Search(tuple(conditions), tuple(flags), tuple(ignored))


def read_moment(text: str, zone: Any = UTC) -> int:
    """A date or a moment; without an offset it is meant in `zone`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadSearch(f"not a date or time: {text}") from None
    return int((found if found.tzinfo else found.replace(tzinfo=zone)).timestamp())


@dataclass
class Selector:
    """Answers list queries on one table; remembers its last few answers until the table changes."""

    shop: Shop
    table: Table[Any]
    keep: Callable[[Any, str, str], bool] = field(default=lambda _o, _k, _v: True)
    _cache: dict[Any, list[tuple[int, int]]] = field(default_factory=dict)
    _version: int = -1

    def walk(self, search: Search, *, since: int | None = None, start: int = 0) -> Iterator[int]:
        """Numbers of the objects selected, rising; nothing is kept. `since`: created then or later."""
        plain = not search.conditions and not search.flags and since is None
        base = self.shop.numbers.base
        for index in self.table.indices(start):
            if plain:
                yield index
                continue
            times = self.table.times(index)
            if since is not None and times[0] < since:
                continue
            if search.admits(index, times, base + index) and self._flagged(index, search):
                yield index

    def _flagged(self, index: int, search: Search) -> bool:
        if not search.flags:
            return True
        found = self.table.get(index)
        return found is not None and all(self.keep(found, key, value) for key, value in search.flags)

    def sorted(self, search: Search, sort: str, *, since: int | None = None) -> list[tuple[int, int]]:
        """(sort value, number) of all that are selected, rising."""
        if sort not in SORTS:
            raise BadSearch(f"the simulator sorts by {', '.join(SORTS)} only")
        if self._version != self.table.version:
            self._cache.clear()
            self._version = self.table.version
        key = (search, sort, since)
        if key not in self._cache:
            column = SORTS[sort]
            found = [
                (0 if column is None else self.table.times(n)[column], n)
                for n in self.walk(search, since=since)
            ]
            if column is not None:
                found.sort()
            if len(self._cache) > 8:
                self._cache.pop(next(iter(self._cache)))
            self._cache[key] = found
        return self._cache[key]


@dataclass(frozen=True)
class Slice:
    """One page of a list."""

    items: list[tuple[int, int]]
    has_next: bool
    has_previous: bool


def page(found: list[tuple[int, int]], args: dict[str, Any]) -> Slice:
    """The page that `first`/`after`, `last`/`before` and `reverse` ask for."""
    first, last = args.get("first"), args.get("last")
    if (first is None) == (last is None):
        raise BadSearch("you must provide one of first or last")
    size = int(first if first is not None else args["last"])
    if not 1 <= size <= 250:
        raise BadSearch(f"the page size must be between 1 and 250, not {size}")
    forward = first is not None
    cursor = args.get("after") if forward else args.get("before")
    ahead = forward != bool(args.get("reverse"))  # whether numbers rise while paging
    at = decode_cursor(cursor) if cursor else None
    if ahead:
        low = bisect_right(found, at) if at else 0
        high = min(low + size, len(found))
    else:
        high = bisect_left(found, at) if at else len(found)
        low = max(high - size, 0)
    items = found[low:high]
    if args.get("reverse"):
        items = items[::-1]
    more_up, more_down = high < len(found), low > 0
    if args.get("reverse"):
        more_up, more_down = more_down, more_up
    return Slice(items, more_up, more_down)


def encode_cursor(item: tuple[int, int]) -> str:
    """An opaque cursor for a (sort value, number)."""
    return base64.urlsafe_b64encode(f"{item[0]}:{item[1]}".encode()).decode()


def decode_cursor(text: str) -> tuple[int, int]:
    """Back from a cursor; raises BadSearch."""
    try:
        value, _, number = base64.urlsafe_b64decode(text).decode().partition(":")
        return int(value), int(number)
    except (ValueError, binascii.Error, UnicodeDecodeError):
        raise BadSearch(f"Invalid cursor for current pagination sort: {text}") from None
