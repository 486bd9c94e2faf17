"""Broadcasts that are kept: written under the sender's policies, read back under the receiver's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.db import Database, Jsonb, errors
from headgate.surface.realtime.hub import Broadcast

_DAY_S = 86_400
TTL_MAX_S = 3 * _DAY_S  # as long as realtime.messages is kept at all


class KeepError(Exception):
    """A message is not stored; the text is for the client."""


@dataclass(frozen=True)
class Persist:
    """Keep a message, for `ttl_s` seconds."""

    ttl_s: int = TTL_MAX_S


def read_persist(value: Any) -> Persist | None:
    """`true` or `{"ttl": seconds}`. Raises KeepError."""
    if value is None or value is False:
        return None
    if value is True:
        return Persist()
    ttl = value.get("ttl") if isinstance(value, dict) else None
    if isinstance(ttl, bool) or not isinstance(ttl, int) or not 1 <= ttl <= TTL_MAX_S:
        raise KeepError(f"persist is true or {{ttl: seconds}}, of 1 to {TTL_MAX_S} seconds")
    return Persist(ttl)


class Keeper:
    """Writes and reads realtime.messages as a caller."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def keep(self, claims: Mapping[str, Any], topic: str, message: Broadcast, persist: Persist) -> str:
        """Store a message of a private channel; its id. Raises KeepError where policies forbid it."""
        values = {
            "topic": topic, "event": message.event, "binary": message.binary, "ttl": persist.ttl_s,
            "payload": None if message.binary is not None else Jsonb(message.payload),
        }  # fmt: skip
        settings = {"realtime.topic": topic, "headgate.told": "on", "search_path": ""}
        try:
            async with self._db.as_role(claims, settings=settings) as conn:
                # No `returning`: that would also ask for the right to read.
                made = await (await conn.execute("select pg_catalog.gen_random_uuid() as id")).fetchone()
                values["id"] = made["id"] if made else None
                await conn.execute(
                    "insert into realtime.messages (id, topic, event, payload, binary_payload, extension, private,"
                    " expires_at) values (%(id)s, %(topic)s, %(event)s, %(payload)s, %(binary)s, 'broadcast', true,"
                    " pg_catalog.now() + pg_catalog.make_interval(secs => %(ttl)s))",
                    values,
                )
        except errors.InsufficientPrivilege:
            raise KeepError(
                "Unauthorized: You do not have permissions to store on this Channel topic"
            ) from None
        except errors.DataError as error:
            raise KeepError(f"the message cannot be stored: {error.diag.message_primary}") from None
        return str(values["id"])

    async def since(
        self, claims: Mapping[str, Any], topic: str, since_ms: int, limit: int
    ) -> list[Broadcast]:
        """The last `limit` messages of a private channel from a time on, oldest first, as far as policies let see."""
        settings = {"realtime.topic": topic, "search_path": ""}
        async with self._db.as_role(claims, settings=settings) as conn:
            found = await (
                await conn.execute(
                    "select id, event, payload, binary_payload from realtime.messages where topic = %s and private"
                    " and extension = 'broadcast' and event is not null"
                    " and inserted_at >= pg_catalog.timezone('utc', pg_catalog.to_timestamp(%s))"
                    " and (expires_at is null or expires_at > pg_catalog.now())"
                    " order by inserted_at desc, id desc limit %s",
                    [topic, since_ms / 1000, limit],
                )
            ).fetchall()
        return [
            Broadcast(
                row["event"], row["payload"], binary=row["binary_payload"],
                meta={"replayed": True, "id": str(row["id"])},
            )
            for row in reversed(found)
        ]  # fmt: skip

    async def message(self, number: str) -> dict[str, Any] | None:
        """A message by id as its trigger would have told it, had it been short enough."""
        row = await self._db.fetch_one(
            "select id, topic, event, payload, binary_payload, private from realtime.messages where id = %s",
            [number],
        )
        return None if row is None else {**row, "id": str(row["id"]), "raw": row["binary_payload"]}

    async def forget(self) -> None:
        """Delete what is past its time, in pieces that hold no lock for long."""
        for _ in range(1000):
            gone = await self._db.execute(
                "delete from realtime.messages where id in (select id from realtime.messages"
                " where inserted_at < timezone('utc', now()) - make_interval(secs => %s) or expires_at < now()"
                " limit 5000)",
                [TTL_MAX_S],
            )
            if gone < 5000:
                break
        await self._db.execute("delete from realtime.relay where told_at < now() - interval '2 minutes'")
