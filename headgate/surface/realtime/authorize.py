"""Which of the changes each group of callers may see; asked of PostgreSQL in batches, one transaction a group."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from headgate.base.clock import monotonic
from headgate.base.errors import HeadgateError
from headgate.db import Database, errors
from headgate.surface.realtime import policies
from headgate.surface.realtime.images import document
from headgate.surface.realtime.pgoutput import Change, Relation, Texts
from headgate.surface.realtime.policies import Rules
from headgate.surface.realtime.subscriptions import Group

RULES_S = 1.0  # a changed policy or grant holds for changes that are sent this much later
_AT_ONCE = 4
log = structlog.get_logger(__name__)


class UndecidedError(Exception):
    """PostgreSQL could not say who may see something; nobody has been sent it."""


class Authorizer:
    """Decides for groups; remembers rules for a second and users' ids."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._rules: dict[tuple[str, str, str], tuple[float, Rules]] = {}
        self._users: dict[Group, str | None] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def rules(self, group: Group, relation: Relation) -> Rules:
        """What applies to the group's role on the table, as of the last second."""
        key = (group.role, relation.schema, relation.table)
        known = self._rules.get(key)
        if known is not None and known[0] > monotonic():
            return known[1]
        try:
            async with self._db.as_role(group.claims, settings=policies.SETTINGS) as conn:
                found = await policies.rules(conn, relation.schema, relation.table)
        except (errors.Error, HeadgateError, OSError) as error:
            raise UndecidedError(str(error)) from error
        if len(self._rules) > 10_000:
            self._rules.clear()
        self._rules[key] = (monotonic() + RULES_S, found)
        return found

    async def seen(
        self, group: Group, rules: Rules, types: dict[str, str], changes: Sequence[Change]
    ) -> tuple[set[Change], set[Change]]:
        """Of these changes of one table: those that the group may see, and those whose old row it may see as well."""
        if rules.never:
            return set(), set()
        news = [change.image for change in changes]
        olds = [(c, c.old) for c in changes if c.kind == "UPDATE" and c.old is not None]
        if rules.test is None:
            return set(changes), {c for c, _ in olds} | {c for c in changes if c.kind == "DELETE"}
        images = [*news, *(old for _, old in olds if old is not None)]
        verdicts = await self._verdicts(group, rules, types, (changes[0].relation, images))
        allowed = {c for c, yes in zip(changes, verdicts, strict=False) if yes}
        shown = {c for (c, _), yes in zip(olds, verdicts[len(news) :], strict=True) if yes}
        return allowed, (shown & allowed) | {c for c in allowed if c.kind == "DELETE"}

    async def _verdicts(
        self, group: Group, rules: Rules, types: dict[str, str], rows: tuple[Relation, list[Texts]]
    ) -> list[bool]:
        relation, images = rows
        try:
            if rules.owner is not None and types.get(rules.owner) == "uuid":
                user = await self.user(group)
                return [user is not None and image.get(rules.owner) == user for image in images]
            documents = [document(image, types) for image in images]
            async with self._gate, self._db.as_role(group.claims, settings=policies.SETTINGS) as conn:
                return await policies.evaluate(conn, rules, relation.schema, relation.table, documents)
        except (errors.OperationalError, HeadgateError, OSError) as error:
            raise UndecidedError(str(error)) from error
        except (
            errors.Error
        ) as error:  # a policy that fails lets nobody see anything, in realtime as in a query
            log.warning(
                "realtime_policy_failed", table=f"{relation.schema}.{relation.table}", reason=str(error)
            )
            return [False] * len(images)

    async def patterns(self, asked: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
        """Which of (operator, expression, text) hold. One that takes too long holds for nothing."""
        listed = list(asked)
        query = (
            "select n from unnest(%s::text[], %s::text[], %s::text[]) with ordinality"
            " as t (operator, pattern, value, n)"
            " where case operator when 'match' then value ~ pattern else value ~* pattern end"
        )
        try:
            async with self._gate, self._db.transaction() as conn:
                await conn.execute("set local statement_timeout = '2s'")
                rows = await (
                    await conn.execute(query, [list(column) for column in zip(*listed, strict=True)])
                ).fetchall()
        except errors.Error as error:
            log.warning("realtime_pattern_failed", reason=str(error))
            return set()
        return {listed[row["n"] - 1] for row in rows}

    async def user(self, group: Group) -> str | None:
        """What auth.uid() is for the group, asked once: its claims never change."""
        if group not in self._users:
            if len(self._users) > 50_000:
                self._users.clear()
            async with self._gate, self._db.as_role(group.claims) as conn:
                row = await (await conn.execute("select auth.uid()::text as id")).fetchone()
            self._users[group] = row["id"] if row else None
        return self._users[group]
