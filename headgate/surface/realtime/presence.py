"""Who is on a channel: the metas of every process by key, and what changed. Knows no socket and sends nothing."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

Meta = dict[str, Any]
Address = tuple[bool, str]  # private, name


@dataclass
class Diff:
    """Metas that came and went, by key, in Phoenix's form when dumped."""

    joins: dict[str, list[Meta]] = field(default_factory=dict)
    leaves: dict[str, list[Meta]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.joins or self.leaves)

    def payload(self) -> dict[str, Any]:
        """As the clients read it."""
        return {"joins": dump(self.joins), "leaves": dump(self.leaves)}


def dump(metas: dict[str, list[Meta]]) -> dict[str, Any]:
    """`{key: {"metas": [...]}}`."""
    return {key: {"metas": found} for key, found in metas.items()}


class Presences:
    """All metas of all channels, each remembered with the process that it came from."""

    def __init__(self, node: str) -> None:
        self.node = node
        self._numbers = itertools.count(1)
        # address → reference → (node, key, meta); references are unique over all processes
        self._found: dict[Address, dict[str, tuple[str, str, Meta]]] = {}

    def track(self, address: Address, key: str, payload: Meta, previous: str | None) -> tuple[str, Diff]:
        """A meta of this process, in the place of `previous`; its reference and what changed."""
        reference = f"{self.node}.{next(self._numbers):x}"
        diff = Diff()
        meta = {**payload, "phx_ref": reference}
        if previous is not None and (left := self._drop(address, previous)):
            diff.leaves[left[0]] = [left[1]]
            meta["phx_ref_prev"] = previous
        self._found.setdefault(address, {})[reference] = (self.node, key, meta)
        diff.joins[key] = [meta]
        return reference, diff

    def untrack(self, address: Address, references: list[str]) -> Diff:
        """What leaves with these references."""
        diff = Diff()
        for reference in references:
            if left := self._drop(address, reference):
                diff.leaves.setdefault(left[0], []).append(left[1])
        return diff

    def _drop(self, address: Address, reference: str) -> tuple[str, Meta] | None:
        metas = self._found.get(address, {})
        found = metas.pop(reference, None)
        if not metas:
            self._found.pop(address, None)
        return (found[1], found[2]) if found else None

    def state(self, address: Address) -> dict[str, Any]:
        """Everybody on the channel, in Phoenix's form."""
        metas: dict[str, list[Meta]] = {}
        for _, key, meta in self._found.get(address, {}).values():
            metas.setdefault(key, []).append(meta)
        return dump(metas)

    def own(self) -> list[tuple[Address, dict[str, Any]]]:
        """What this process tells another one that asks: every channel with its own metas."""
        told = []
        for address, metas in self._found.items():
            mine: dict[str, list[Meta]] = {}
            for node, key, meta in metas.values():
                if node == self.node:
                    mine.setdefault(key, []).append(meta)
            if mine:
                told.append((address, dump(mine)))
        return told

    def merge(self, node: str, address: Address, diff: dict[str, Any]) -> Diff:
        """Take over a diff of another process; what of it was new here."""
        seen = Diff()
        metas = self._found.get(address, {})
        for key, value in diff.get("leaves", {}).items():
            for meta in value["metas"]:
                if meta["phx_ref"] in metas and self._drop(address, meta["phx_ref"]):
                    seen.leaves.setdefault(key, []).append(meta)
        for key, value in diff.get("joins", {}).items():
            for meta in value["metas"]:
                metas = self._found.setdefault(address, {})
                if meta["phx_ref"] not in metas:
                    metas[meta["phx_ref"]] = (node, key, meta)
                    seen.joins.setdefault(key, []).append(meta)
        return seen

    def replace(self, node: str, states: dict[Address, dict[str, Any]]) -> dict[Address, Diff]:
        """Another process told all that it has; what changed, by channel."""
        diffs = {}
        for address in {*states, *self.addresses(node)}:
            told = states.get(address, {})
            kept = {meta["phx_ref"] for value in told.values() for meta in value["metas"]}
            gone = [
                r for r, found in self._found.get(address, {}).items() if found[0] == node and r not in kept
            ]
            diff = self.untrack(address, gone)
            diff.joins = self.merge(node, address, {"joins": told}).joins
            if diff:
                diffs[address] = diff
        return diffs

    def addresses(self, node: str) -> list[Address]:
        """The channels on which a process has metas."""
        return [a for a, metas in self._found.items() if any(f[0] == node for f in metas.values())]

    def nodes(self) -> set[str]:
        """The other processes that have metas anywhere."""
        return {f[0] for metas in self._found.values() for f in metas.values()} - {self.node}
