"""Who wants which changes: bindings, and the subscribers that share them, found quickly for each change."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from headgate.surface.realtime.config import Asked
from headgate.surface.realtime.filters import PATTERNS, Condition, Test, compile_condition
from headgate.surface.realtime.pgoutput import Change, Position, Relation

if TYPE_CHECKING:
    from headgate.surface.realtime.channels import Channel

_VOLATILE = frozenset({"exp", "iat", "nbf", "jti"})
#: Types whose equal values have one text, so that a subscriber can be looked up by it.
_EXACT = frozenset({"int2", "int4", "int8", "oid", "uuid", "text", "varchar", "bool", "date"})


@dataclass(frozen=True, slots=True)
class Group:
    """Callers that policies cannot tell apart: same role, same claims but for those that change with each token."""

    role: str
    text: bytes

    @classmethod
    def of(cls, claims: Mapping[str, Any], role: str) -> Group:
        """The group of these claims."""
        kept = {k: v for k, v in claims.items() if k not in _VOLATILE}
        return cls(role, orjson.dumps({**kept, "role": role}, option=orjson.OPT_SORT_KEYS))

    @property
    def claims(self) -> dict[str, Any]:
        """The claims, as policies see them."""
        found: dict[str, Any] = orjson.loads(self.text)
        return found


@dataclass(frozen=True, slots=True)
class Binding:
    """One postgres_changes binding with canonical conditions; equal ones have equal numbers."""

    number: int
    event: str
    schema: str | None
    table: str | None
    conditions: tuple[Condition, ...]
    select: frozenset[str] | None

    @classmethod
    def of(cls, asked: Asked, conditions: tuple[Condition, ...]) -> Binding:
        """The binding for what was asked, with values made canonical."""
        shape = [
            asked.event,
            asked.schema,
            asked.table,
            [repr(c) for c in conditions],
            sorted(asked.select or ()),
        ]
        number = zlib.crc32(orjson.dumps(shape)) or 1
        return cls(number, asked.event, asked.schema, asked.table, conditions, asked.select)

    @property
    def patterns(self) -> tuple[Condition, ...]:
        """Its regular expressions."""
        return tuple(c for c in self.conditions if c.operator in PATTERNS)

    def concerns(self, relation: Relation) -> bool:
        """Whether it is about this table."""
        return self.schema in (None, relation.schema) and self.table in (None, relation.table)


Sent = tuple[Position, bytes]


@dataclass(eq=False, slots=True)
class Subscription:
    """One channel's bindings. It has been sent everything up to `position`."""

    channel: Channel
    bindings: tuple[Binding, ...]
    group: Group
    position: Position = (0, 0)
    since: Position | None = None
    cursors: bool = False
    ended: bool = False
    held: list[Sent] | None = field(default_factory=list)  # until the join has been answered

    def send(self, payloads: list[Sent], cursor: Callable[[Position], str]) -> None:
        """Push these, but for what was sent before; hold them back while the join is being answered."""
        if self.ended or not payloads:
            return
        if payloads[0][0] <= self.position:
            payloads = [one for one in payloads if one[0] > self.position]
            if not payloads:
                return
        if self.held is not None:
            self.held += payloads
            return
        self.position = payloads[-1][0]
        if not self.cursors:
            self.channel.push_many("postgres_changes", [payload for _, payload in payloads])
            return
        for position, payload in payloads:  # told first, so that a client that saw the change knows its place
            self.channel.system("ok", "cursor", extension="postgres_changes", cursor=cursor(position))
            self.channel.push("postgres_changes", payload)

    def described(self) -> list[dict[str, Any]]:
        """What the join's reply says of the bindings: as asked, with their numbers."""
        return [
            {"id": binding.number, **{k: v for k, v in asked.asked.items() if k not in ("since", "cursors")}}
            for binding, asked in zip(self.bindings, self.channel.config.changes, strict=True)
        ]


@dataclass(eq=False)
class Audience:
    """Subscribers that get the same changes in the same form: one group, one set of bindings."""

    group: Group
    bindings: tuple[Binding, ...]
    members: set[Subscription] = field(default_factory=set)


class Plan:
    """How the audiences of one table are found for a change: by the value of a column where they ask for one value."""

    def __init__(
        self,
        relation: Relation,
        types: Mapping[str, str],
        audiences: Iterable[Audience],
        owners: Callable[[Group], tuple[str, str] | None],
    ) -> None:
        self._tests: dict[Audience, list[tuple[Binding, list[Test]]]] = {}
        self._by_value: dict[str, dict[str, list[Audience]]] = {}
        self._others: list[Audience] = []
        for audience in audiences:
            bound = [b for b in audience.bindings if b.concerns(relation)]
            if not bound:
                continue
            self._tests[audience] = [
                (b, [compile_condition(c, types.get(c.column, "text")) for c in b.conditions]) for b in bound
            ]
            key = _value(bound, types) or owners(audience.group)
            if key is None:
                self._others.append(audience)
            else:
                self._by_value.setdefault(key[0], {}).setdefault(key[1], []).append(audience)

    @property
    def audiences(self) -> Iterable[Audience]:
        """Everybody who asked for this table."""
        return self._tests

    def matches(self, change: Change) -> Iterable[tuple[Audience, tuple[Binding, ...]]]:
        """Who asked for this change, by which bindings. Says nothing of who may see it."""
        image = change.image
        candidates = self._others
        for column, values in self._by_value.items():
            found = values.get(image.get(column) or "")
            if found:
                candidates = candidates + found
        for audience in candidates:
            hit = tuple(
                binding
                for binding, tests in self._tests[audience]
                if binding.event in ("*", change.kind) and all(test(image) for test in tests)
            )
            if hit:
                yield audience, hit


def _value(bindings: list[Binding], types: Mapping[str, str]) -> tuple[str, str] | None:
    """The column and text that every change must have to concern the only binding, if there is such a pair."""
    if len(bindings) != 1:
        return None
    for condition in bindings[0].conditions:
        if condition.operator == "eq" and not condition.negated and types.get(condition.column) in _EXACT:
            return condition.column, condition.values[0]
    return None


class Index:
    """The subscribers that are up to date, by audience."""

    def __init__(self) -> None:
        self._audiences: dict[tuple[Group, tuple[Binding, ...]], Audience] = {}
        self._plans: dict[Relation, tuple[object, Plan]] = {}
        self._groups: dict[Relation, list[Group]] = {}

    def __bool__(self) -> bool:
        return bool(self._audiences)

    def add(self, subscription: Subscription) -> None:
        """It gets changes from now on."""
        key = (subscription.group, subscription.bindings)
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = Audience(*key)
            self._plans.clear()
            self._groups.clear()
        audience.members.add(subscription)

    def remove(self, subscription: Subscription) -> None:
        """It gets none any more."""
        key = (subscription.group, subscription.bindings)
        audience = self._audiences.get(key)
        if audience is not None:
            audience.members.discard(subscription)
            if not audience.members:
                del self._audiences[key]
                self._plans.clear()
                self._groups.clear()

    def holds(self, subscription: Subscription) -> bool:
        """Whether it is among them."""
        audience = self._audiences.get((subscription.group, subscription.bindings))
        return audience is not None and subscription in audience.members

    def members(self) -> list[Subscription]:
        """All of them."""
        return [member for audience in self._audiences.values() for member in audience.members]

    def groups(self, relation: Relation) -> list[Group]:
        """Whose subscribers asked for this table."""
        found = self._groups.get(relation)
        if found is None:
            asked = {
                a.group for a in self._audiences.values() if any(b.concerns(relation) for b in a.bindings)
            }
            found = self._groups[relation] = list(asked)
        return found

    def plan(
        self,
        relation: Relation,
        types: Mapping[str, str],
        *,
        rule: object,
        owners: Callable[[Group], tuple[str, str] | None],
    ) -> Plan:
        """The plan for a table; kept until the subscribers, the table or `rule` change."""
        found = self._plans.get(relation)
        if found is None or found[0] != rule:
            if len(self._plans) > 500:
                self._plans.clear()
            found = self._plans[relation] = (rule, Plan(relation, types, self._audiences.values(), owners))
        return found[1]
