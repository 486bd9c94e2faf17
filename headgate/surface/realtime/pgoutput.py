"""What PostgreSQL's plugin pgoutput writes (protocol 1), read only as far as somebody wants to know.

https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
Position = tuple[int, int]  # the commit's place in the log, the change's number in its transaction
Texts = dict[str, str | None]
_KINDS = {"I": "INSERT", "U": "UPDATE", "D": "DELETE"}


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """A table as it was when its rows changed. `keys` is the replica identity; `types` are type names."""

    oid: int
    schema: str
    table: str
    columns: tuple[str, ...]
    type_oids: tuple[int, ...]
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class Transaction:
    """One committed transaction."""

    commit: int
    at: str  # ISO 8601, UTC, milliseconds


class Change:
    """One changed row. `new` and `old` are texts by column, read when first asked for."""

    __slots__ = ("_body", "_new", "_old", "kind", "number", "relation", "transaction")

    def __init__(
        self, relation: Relation, kind: str, transaction: Transaction, number: int, body: bytes
    ) -> None:
        self.relation, self.kind, self.transaction, self.number = relation, kind, transaction, number
        self._body: bytes | None = body
        self._new: Texts | None = None
        self._old: Texts | None = None

    @classmethod
    def made(
        cls,
        relation: Relation,
        kind: str,
        place: tuple[Transaction, int],
        images: tuple[Texts | None, Texts | None],
    ) -> Change:
        """A change from another source than pgoutput; `images` are new and old."""
        change = cls(relation, kind, *place, b"")
        change._body, change._new, change._old = None, *images
        return change

    @property
    def position(self) -> Position:
        """Where it stands in the order of all changes."""
        return (self.transaction.commit, self.number)

    @property
    def new(self) -> Texts | None:
        """The row after the change; without values that are stored elsewhere and did not change."""
        self._read()
        return self._new

    @property
    def old(self) -> Texts | None:
        """The row before it, as far as the replica identity tells; None if it does not."""
        self._read()
        return self._old

    @property
    def image(self) -> Texts:
        """The row that decides who may see the change."""
        return (self.old if self.kind == "DELETE" else self.new) or {}

    def _read(self) -> None:
        if self._body is None:
            return
        body, at = self._body, 5
        self._body = None
        while at < len(body):
            part = body[at : at + 1]
            texts, at = _tuple(body, at + 1, self.relation, keys_only=part == b"K")
            if part == b"N":
                self._new = texts
            else:
                self._old = texts
        if self._new is not None and self._old is not None:
            for name in self.relation.columns:
                if name not in self._new and name in self._old:
                    self._new[name] = self._old[name]


def _tuple(body: bytes, at: int, relation: Relation, *, keys_only: bool) -> tuple[Texts, int]:
    count = int.from_bytes(body[at : at + 2], "big")
    at += 2
    texts: Texts = {}
    for name in relation.columns[:count]:
        mark = body[at]
        at += 1
        if mark == 0x74:  # t: text
            length = int.from_bytes(body[at : at + 4], "big")
            at += 4
            texts[name] = body[at : at + length].decode("utf-8", "replace")
            at += length
        elif mark == 0x6E and not (keys_only and name not in relation.keys):  # n: null
            texts[name] = None
        # u: unchanged and stored elsewhere, so not sent
    return texts, at


class Decoder:
    """Turns messages into changes; remembers the tables that the stream described."""

    def __init__(self) -> None:
        self._relations: dict[int, Relation] = {}
        self._transaction = Transaction(0, "")
        self._count = 0
        self.committed = 0  # the end of the last transaction read whole
        self.position: Position = (0, 0)

    def changes(self, messages: Iterable[bytes]) -> list[Change]:
        """The changes of these messages, in order."""
        found = []
        for body in messages:
            mark = chr(body[0])
            if mark in _KINDS:
                self._count += 1
                relation = self._relations[int.from_bytes(body[1:5], "big")]
                found.append(Change(relation, _KINDS[mark], self._transaction, self._count, body))
                self.position = (self._transaction.commit, self._count)
            elif mark == "B":
                self._transaction = Transaction(
                    int.from_bytes(body[1:9], "big"),
                    timestamp(int.from_bytes(body[9:17], "big", signed=True)),
                )
                self._count = 0
            elif mark == "C":
                self.committed = int.from_bytes(body[10:18], "big")
            elif mark == "R":
                relation = _relation(body)
                self._relations[relation.oid] = relation
            elif mark == "T":
                self._count += 1
        return found


def timestamp(microseconds: int) -> str:
    """PostgreSQL's microseconds since 2000 as clients read times."""
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _relation(body: bytes) -> Relation:
    oid = int.from_bytes(body[1:5], "big")
    schema_end = body.index(0, 5)
    table_end = body.index(0, schema_end + 1)
    schema = body[5:schema_end].decode() or "pg_catalog"
    table = body[schema_end + 1 : table_end].decode()
    at = table_end + 2
    count = int.from_bytes(body[at : at + 2], "big")
    at += 2
    columns, types, keys = [], [], []
    for _ in range(count):
        flags = body[at]
        end = body.index(0, at + 1)
        name = body[at + 1 : end].decode()
        columns.append(name)
        types.append(int.from_bytes(body[end + 1 : end + 5], "big"))
        if flags & 1:
            keys.append(name)
        at = end + 9
    return Relation(oid, schema, table, tuple(columns), tuple(types), frozenset(keys))
