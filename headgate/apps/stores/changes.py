"""What webhooks mean that are not read again from the shop: bulk operations that are over; and how objects go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headgate.apps.stores.bulk_jobs import take_up
from headgate.apps.stores.means import Q
from headgate.apps.stores.topics import MERGED, number
from headgate.db import Connection
from headgate.engine.jobs import JobContext
from headgate.engine.manifest import Services

if TYPE_CHECKING:
    from headgate.apps.stores.webhook_jobs import Change, Outcome


async def apply(ctx: JobContext, services: Services, change: Change) -> Outcome:
    """Apply one webhook to one connection; in any order, any number of times."""
    from headgate.apps.stores.webhook_jobs import Outcome

    payload = change.payload
    async with ctx.db.transaction() as conn:
        if change.about == "bulk":
            return Outcome(note=await _finished(conn, change.connection_id, payload))
        if change.topic == "customers/merge":
            await delete(conn, change.connection_id, "customer", number(payload.get(MERGED)))
    return Outcome(state="ignored", note="it names no object")


async def delete(conn: Connection, connection: int, kind: str, which: int | None) -> bool:
    """Delete an object for good; whether it was there."""
    if which is None:
        return False
    params = {"connection": connection, "kind": kind, "id": which}
    row = await (await conn.execute(Q.apply_delete, params)).fetchone()
    return bool(row and row["gone"])


async def _finished(conn: Connection, connection: int, payload: Mapping[str, Any]) -> str:
    """A bulk operation is over: look at it now rather than at the next poll. It may not be recorded here yet."""
    params = {"connection": connection, "gid": payload.get("admin_graphql_api_id")}
    row = await (await conn.execute(Q.operation_of_gid, params)).fetchone()
    if row is None:
        return "the operation is not recorded here (yet); its poll will find out"
    woken = await (await conn.execute(Q.wake_poll, {"unique": str(row["id"])})).fetchone()
    if woken is None:
        await take_up(conn, connection)
    return "looked at at once"
