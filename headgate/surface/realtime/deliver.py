"""From changes to messages: who asked, who may see, in what form; each form is made once, whoever gets it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from headgate.base.clock import monotonic
from headgate.db import Database
from headgate.surface.realtime import images
from headgate.surface.realtime.authorize import Authorizer
from headgate.surface.realtime.pgoutput import Change, Position, Relation
from headgate.surface.realtime.policies import Rules
from headgate.surface.realtime.subscriptions import Audience, Binding, Group, Index, Plan, Sent

_QUEUED_MAX = 64_000_000  # bytes on all sockets; beyond, the feed waits for readers that are merely busy
_DRAIN_S = 5.0

Wanted = dict[Audience, list[tuple[Change, tuple[Binding, ...]]]]
Seen = dict[tuple[Group, Relation], tuple[Rules, set[Change], set[Change]]]


class Delivery:
    """Delivers batches in order."""

    def __init__(self, db: Database, authorizer: Authorizer, cursor: Callable[[Position], str]) -> None:
        self._db, self._authorizer, self._cursor = db, authorizer, cursor
        self._names: dict[int, str] = {}
        self._types: dict[Relation, dict[str, str]] = {}

    async def deliver(self, changes: list[Change], index: Index) -> None:
        """Send subscribers what they asked for and may see. Raises UndecidedError with nothing sent."""
        wanted = await self._confirmed(await self._wanted(changes, index))
        if not wanted:
            return
        seen = await self._seen(wanted)
        made: dict[tuple[Change, frozenset[str], bool], bytes] = {}
        for number, (audience, found) in enumerate(wanted.items()):
            payloads = self._payloads(audience, found, seen, made)
            if not payloads:
                continue
            for member in list(audience.members):
                member.send(payloads, self._cursor)
            if number % 50 == 49:
                await asyncio.sleep(0)
        await self._drain(index)

    async def _wanted(self, changes: list[Change], index: Index) -> Wanted:
        """Who asked for which, audiences in any order, changes of each in commit order."""
        plans: dict[Relation, Plan | None] = {}
        wanted: Wanted = {}
        for change in changes:
            relation = change.relation
            if relation not in plans:
                plans[relation] = await self._plan(relation, index)
            plan = plans[relation]
            if plan is not None:
                for audience, hit in plan.matches(change):
                    wanted.setdefault(audience, []).append((change, hit))
        return wanted

    async def _confirmed(self, wanted: Wanted) -> Wanted:
        """Without those whose regular expressions do not hold; PostgreSQL says so, once for each text."""
        asked = {
            (condition.operator, condition.values[0], change.image.get(condition.column) or "")
            for found in wanted.values()
            for change, hit in found
            for binding in hit
            for condition in binding.patterns
        }
        if not asked:
            return wanted
        holds = await self._authorizer.patterns(asked)

        def right(change: Change, binding: Binding) -> bool:
            return all(
                ((c.operator, c.values[0], change.image.get(c.column) or "") in holds) is not c.negated
                for c in binding.patterns
            )

        kept: Wanted = {}
        for audience, found in wanted.items():
            pairs = [(change, tuple(b for b in hit if right(change, b))) for change, hit in found]
            kept[audience] = [(change, hit) for change, hit in pairs if hit]
        return kept

    async def _plan(self, relation: Relation, index: Index) -> Plan | None:
        groups = index.groups(relation)
        if not groups:
            return None
        types = await self.types(relation)
        owners: dict[str, str] = {}
        users: dict[Group, str | None] = {}
        for group in groups:
            rules = await self._authorizer.rules(group, relation)
            if rules.owner is not None and types.get(rules.owner) == "uuid":
                owners[group.role] = rules.owner
                users[group] = await self._authorizer.user(group)

        def owner(group: Group) -> tuple[str, str] | None:
            return (owners[group.role], users.get(group) or "-") if group.role in owners else None

        return index.plan(relation, types, rule=owners, owners=owner)

    async def types(self, relation: Relation) -> dict[str, str]:
        """The names of the columns' types, as pg_type has them."""
        found = self._types.get(relation)
        if found is None:
            missing = [oid for oid in relation.type_oids if oid not in self._names]
            if missing:
                rows = await self._db.fetch_all(
                    "select oid::bigint as oid, typname::text as name from pg_type where oid = any (%s::oid[])",
                    [missing],
                )
                self._names.update({row["oid"]: row["name"] for row in rows})
            pairs = zip(relation.columns, relation.type_oids, strict=True)
            found = {name: self._names.get(oid, "unknown") for name, oid in pairs}
            if len(self._types) > 1000:
                self._types.clear()
            self._types[relation] = found
        return found

    async def _seen(self, wanted: Wanted) -> Seen:
        """For each group and table: its rules, the changes it may see, and those with their old row."""
        asked: dict[tuple[Group, Relation], dict[Change, None]] = {}
        for audience, found in wanted.items():
            for change, _ in found:
                asked.setdefault((audience.group, change.relation), {})[change] = None

        async def decide(key: tuple[Group, Relation], changes: list[Change]) -> None:
            rules = await self._authorizer.rules(*key)
            types = await self.types(key[1])
            seen[key] = (rules, *await self._authorizer.seen(key[0], rules, types, changes))

        seen: Seen = {}
        await asyncio.gather(*(decide(key, list(changes)) for key, changes in asked.items()))
        return seen

    def _payloads(
        self,
        audience: Audience,
        found: list[tuple[Change, tuple[Binding, ...]]],
        seen: Seen,
        made: dict[tuple[Change, frozenset[str], bool], bytes],
    ) -> list[Sent]:
        payloads: list[Sent] = []
        for change, hit in found:
            rules, allowed, shown = seen[audience.group, change.relation]
            if change not in allowed:
                continue
            for numbers, columns in _forms(hit, rules.columns):
                key = (change, columns, change in shown)
                data = made.get(key)
                if data is None:
                    types = self._types[change.relation]
                    more = {"cursor": self._cursor(change.position), "old": change in shown}
                    data = made[key] = images.data(change, columns, types, more)
                payloads.append((change.position, b'{"ids":' + numbers + b',"data":' + data + b"}"))
        return payloads

    async def _drain(self, index: Index) -> None:
        """Give sockets time to write when much is waiting; one that does not read is closed by its own limit."""
        await asyncio.sleep(0)
        until = monotonic() + _DRAIN_S
        while monotonic() < until:
            sockets = {member.channel.socket for member in index.members()}
            if sum(socket.queued_bytes for socket in sockets) < _QUEUED_MAX:
                return
            await asyncio.sleep(0.01)


def _forms(hit: tuple[Binding, ...], columns: frozenset[str]) -> list[tuple[bytes, frozenset[str]]]:
    """Bindings that show the same columns share a message."""
    if len(hit) == 1 or all(b.select == hit[0].select for b in hit):
        shown = columns if hit[0].select is None else columns & hit[0].select
        return [(b"[" + b",".join(b"%d" % b.number for b in hit) + b"]", shown)]
    return [form for binding in hit for form in _forms((binding,), columns)]
