"""Bulk operations: asked for by a mutation, done beside everything else, delivered as a file of JSON lines.

Rows are read as they are at the moment they are reached, in slices, so that changes during an operation show as they
do at Shopify. Nothing but one slice is in memory.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, BinaryIO

from headgate.apps.stores.simulator.clock import iso, stamp
from headgate.apps.stores.simulator.faults import Faults
from headgate.apps.stores.simulator.nodes import Node
from headgate.apps.stores.simulator.options import DAY, gid
from headgate.apps.stores.simulator.projection import Compiler, Line, NotBulk, Projection, dump
from headgate.apps.stores.simulator.roots import check_root, root_nodes
from headgate.apps.stores.simulator.schema import schema_for
from headgate.apps.stores.simulator.selection import BadSearch
from headgate.apps.stores.simulator.shop import Shop

SLICE = 200
#: So many roots are written before other requests have their turn: about 6 ms.
AT_ONCE = 20
URL_DAYS = 7
OVER = ("COMPLETED", "FAILED", "CANCELED", "EXPIRED")


@dataclass
class Operation:
    """One bulk operation."""

    number: int
    query: str
    created_at: float
    grouped: bool
    scopes: frozenset[str]
    projection: Projection
    base_url: str
    app: str
    status: str = "CREATED"
    error: str | None = None
    completed_at: float | None = None
    objects: int = 0
    roots: int = 0
    size: int | None = None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    path: Path | None = None
    partial: bool = False
    hidden_polls: int = 0
    no_url: bool = False
    url_expired: bool = False
    cancel: bool = False

    @property
    def id(self) -> str:
        """Its global id."""
        return gid("BulkOperation", self.number)

    @property
    def url(self) -> str:
        """Where its file is."""
        return f"{self.base_url}/_bulk/{self.token}.jsonl"

    def as_dict(self) -> dict[str, Any]:
        """Its GraphQL fields. Each reading counts, for a partialDataUrl that appears late."""
        found = self.path is not None and self.objects > 0 and not self.no_url
        partial = self.partial and self.hidden_polls <= 0
        if self.partial and self.status in OVER and self.hidden_polls > 0:
            self.hidden_polls -= 1
        done = self.status in OVER
        return {
            "id": self.id, "status": self.status, "errorCode": self.error, "createdAt": stamp(self.created_at),
            "completedAt": iso(self.completed_at), "objectCount": str(self.objects), "rootObjectCount": str(self.roots),
            "fileSize": str(self.size) if done and found and self.size is not None else None,
            "url": self.url if self.status == "COMPLETED" and found else None,
            "partialDataUrl": self.url if done and found and partial else None,
            "query": self.query, "type": "QUERY",
        }  # fmt: skip


@dataclass
class Bulk:
    """The bulk operations of one shop. `seconds`: how long an operation runs at the least, of real time."""

    shop: Shop
    faults: Faults
    folder: Path
    seconds: float = 0.0
    operations: list[Operation] = field(default_factory=list)
    meddle: Any = None
    _taken_until: float = 0.0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def running(self) -> list[Operation]:
        """Operations that hold a slot."""
        return [o for o in self.operations if o.status not in OVER]

    def run(
        self, query: str, *, version: str, scopes: frozenset[str], grouped: bool, base_url: str, app: str
    ) -> tuple[Operation | None, list[dict[str, Any]]]:
        """Begin an operation; or the user errors for which it may not begin."""
        taken = self.faults.take("slot_taken")
        now = asyncio.get_running_loop().time()
        if taken is not None:
            self._taken_until = now + float(taken.get("seconds", 1.0))
        limit = 1 if version < "2026-01" else 5
        if len(self.running()) >= limit or now < self._taken_until:
            code = "OPERATION_IN_PROGRESS" if limit == 1 else "LIMIT_REACHED"
            message = f"A bulk query operation for this app and shop is already in progress (limit {limit})."
            return None, [{"code": code, "field": None, "message": message}]
        try:
            projection = Compiler(schema_for(version), query).compile()
            check_root(projection)
        except (NotBulk, BadSearch) as error:
            return None, [{"code": "INVALID", "field": ["query"], "message": str(error)}]
        number = self.shop.numbers.make(len(self.operations) + 1)
        operation = Operation(
            number, query, self.shop.clock.now(), grouped, scopes, projection, base_url, app
        )
        self.operations.append(operation)
        early = self.faults.take("finish_early", operation=operation.id)
        if early is not None:
            self._finished(operation, status="completed")
        task = asyncio.get_running_loop().create_task(self._work(operation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return operation, []

    def find(self, id_: str) -> Operation | None:
        """The operation with this global id."""
        return next((o for o in self.operations if o.id == id_), None)

    def by_token(self, token: str) -> Operation | None:
        """The operation whose file this is."""
        return next((o for o in self.operations if o.token == token), None)

    def expired(self, operation: Operation) -> bool:
        """Whether the file's url has expired: after seven days, or by order."""
        ended = operation.completed_at
        if operation.url_expired or self.faults.take("url_expired", operation=operation.id) is not None:
            operation.url_expired = True
        return operation.url_expired or (ended is not None and self.shop.clock.now() > ended + URL_DAYS * DAY)

    async def close(self) -> None:
        """Stop what runs."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- work ------------------------------------------------------------
    async def _work(self, operation: Operation) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(0)
        operation.status = "RUNNING"
        lost = next((n for f, n in operation.projection.scopes if not operation.scopes & set(n)), None)
        if lost or self.faults.take("access_denied", operation=operation.id) is not None:
            return self._end(operation, "FAILED", error="ACCESS_DENIED")
        path = self.folder / f"{operation.token}.jsonl"
        with path.open("wb") as file:
            whole = await self._write(operation, file)
        operation.path = path
        while loop.time() < begun + self.seconds and not operation.cancel:  # noqa: ASYNC110 - a mutation sets it
            await asyncio.sleep(min(0.02, self.seconds))
        if operation.cancel:
            return self._end(operation, "CANCELED")
        if operation.status == "RUNNING":
            self._complete(operation, whole)
        return None

    def _complete(self, operation: Operation, whole: bool) -> None:
        if self.faults.take("operation_expired", operation=operation.id) is not None:
            return self._end(operation, "EXPIRED")
        if not whole:
            operation.partial = True
            return self._end(operation, "FAILED", error="INTERNAL_SERVER_ERROR")
        if self.faults.take("completed_null_url", operation=operation.id) is not None:
            operation.no_url = True
            operation.objects = operation.roots = 0
        return self._end(operation, "COMPLETED")

    async def _write(self, operation: Operation, file: BinaryIO) -> bool:
        """Write all lines; False where the operation fails part-way by order."""
        failing = self.faults.take("failed_with_partial", operation=operation.id)
        stop = None
        if failing is not None:
            operation.hidden_polls = int(failing.get("late", 0))
            total = sum(1 for _ in root_nodes(self.shop, operation.projection, operation.scopes))
            stop = max(1, int(total * float(failing.get("share", 0.5))))
        spoil = Spoiler(self.faults, operation)
        nodes = root_nodes(self.shop, operation.projection, operation.scopes)
        for part in slices(nodes, SLICE):
            if self.meddle is not None:
                self.meddle(operation, part)
            for line in arrange(operation, await read(operation, part), spoil):
                file.write(line)
            operation.size = file.tell()
            if operation.cancel or (stop is not None and operation.roots >= stop):
                break
            await asyncio.sleep(0)
        for line in spoil.rest():
            file.write(line)
        file.flush()
        operation.size = file.tell()  # what Shopify says, also where the file is cut short
        spoil.cut(file)
        return stop is None

    def _end(self, operation: Operation, status: str, *, error: str | None = None) -> None:
        operation.status, operation.error = status, error
        operation.completed_at = self.shop.clock.now()
        self._finished(operation, status=status.lower())

    def _finished(self, operation: Operation, *, status: str) -> None:
        over = operation.completed_at is not None
        if over and self.faults.take("finish_lost", operation=operation.id) is not None:
            return
        self.shop.tell(
            "bulk_operations/finish",
            {
                "admin_graphql_api_id": operation.id,
                "completed_at": iso(operation.completed_at or self.shop.clock.now()),
                "created_at": iso(operation.created_at),
                "error_code": operation.error.lower() if operation.error else None,
                "status": status,
                "type": "query",
            },
        )


def slices(nodes: Iterator[Node], size: int) -> Iterator[list[Node]]:
    """The nodes in lists of `size`, read only when asked for."""
    part: list[Node] = []
    for node in nodes:
        part.append(node)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


async def read(operation: Operation, part: list[Node]) -> list[Line]:
    """The lines of one slice, each parent with its children."""
    found: list[Line] = []
    for start in range(0, len(part), AT_ONCE):
        found += [line for node in part[start : start + AT_ONCE] for line in operation.projection.lines(node)]
        await asyncio.sleep(0)
    operation.roots += len(part)
    return found


def arrange(operation: Operation, found: list[Line], spoil: Spoiler) -> list[bytes]:
    """The bytes of one slice: each parent with its children, or (not grouped) level by level over the slice."""
    operation.objects += len(found)
    if not operation.grouped:
        found.sort(key=lambda line: line.depth)
    return spoil.lines(found)


class Spoiler:
    """Turns lines into bytes, with what has been ordered to go wrong in this file."""

    def __init__(self, faults: Faults, operation: Operation) -> None:
        names = (
            "truncated_jsonl", "malformed_line", "duplicate_line", "child_before_parent", "orphan", "child_without_id",
        )  # fmt: skip
        found = {n: faults.take(n, operation=operation.id) for n in names}
        self.ordered = {n: o for n, o in found.items() if o is not None}
        self.dice = Random(f"spoil {operation.number}")
        self.kept: list[bytes] = []

    def lines(self, found: list[Line]) -> list[bytes]:
        """The bytes of a slice's lines."""
        if not self.ordered:
            return [dump(line.values) for line in found]
        if "orphan" in self.ordered:
            at = next((i for i, x in enumerate(found) if x.depth == 1), None)
            if at is not None and any(x.depth > 1 for x in found):
                self.ordered.pop("orphan")
                found.pop(at)
        if "child_without_id" in self.ordered:
            for line in found:
                if line.depth == 3:
                    line.values.pop("id", None)
        made = [dump(line.values) for line in found]
        if made and "malformed_line" in self.ordered:
            self.ordered.pop("malformed_line")
            at = self.dice.randrange(len(made))
            made[at] = made[at][: len(made[at]) // 2] + b"\n"
        if made and "duplicate_line" in self.ordered:
            self.ordered.pop("duplicate_line")
            made.append(made[self.dice.randrange(len(made))])
        if "child_before_parent" in self.ordered:
            made += self.kept
            self.dice.shuffle(made)
            self.kept = made[: len(made) // 4]  # some wait for a later slice
            made = made[len(made) // 4 :]
        return made

    def rest(self) -> list[bytes]:
        """Lines that were held back."""
        kept, self.kept = self.kept, []
        return kept

    def cut(self, file: BinaryIO) -> None:
        """End the file early, where that was ordered."""
        options = self.ordered.get("truncated_jsonl")
        if options is None:
            return
        size = file.tell()
        keep = int(size * float(options.get("share", 0.7)))
        if options.get("at_newline"):
            with Path(file.name).open("rb") as again:
                again.seek(0)
                keep = again.read(keep).rfind(b"\n") + 1
        file.truncate(keep)
