"""What a webhook means for the rows: deletions at once, the rest is read again from the shop, once per object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headgate.apps.stores.bulk_jobs import lane, poll_later
from headgate.apps.stores.means import Q
from headgate.db import Connection
from headgate.engine.jobs import JobContext, enqueue
from headgate.engine.manifest import Services

if TYPE_CHECKING:
    from headgate.apps.stores.webhook_jobs import Change, Outcome

_DELETES = {"orders/delete": "order", "customers/delete": "customer", "products/delete": "product"}
_ENTITY = {"order": "orders", "customer": "customers", "product": "products", "inventory": "inventory"}


async def apply(ctx: JobContext, services: Services, change: Change) -> Outcome:
    """Apply one webhook to one connection; in any order, any number of times."""
    from headgate.apps.stores.webhook_jobs import Outcome

    payload = change.payload
    async with ctx.db.transaction() as conn:
        if change.about == "bulk":
            return Outcome(note=await _finished(conn, change.connection_id, payload))
        if change.topic in _DELETES:
            gone = await _delete(conn, change.connection_id, _DELETES[change.topic], _id(payload.get("id")))
            return Outcome(note="deleted" if gone else "was not here; never will be")
        if change.topic == "customers/merge":
            lost = _id(payload.get("admin_graphql_api_customer_deleted_id"))
            await _delete(conn, change.connection_id, "customer", lost)
        number = _subject(change)
        if number is None:
            return Outcome(state="ignored", note="it names no object")
        await read_soon(conn, change.connection_id, _ENTITY[change.about], number)
    return Outcome(note="being read again from the shop")


def _subject(change: Change) -> int | None:
    """The number of the object that changed."""
    payload = change.payload
    if change.topic == "customers/merge":
        return _id(payload.get("admin_graphql_api_customer_kept_id"))
    if change.about == "inventory":
        return _id(payload.get("inventory_item_id"))
    if change.topic in ("refunds/create", "order_transactions/create"):
        return _id(payload.get("order_id"))
    if change.topic == "orders/edited":
        return _id((payload.get("order_edit") or {}).get("order_id"))
    return _id(payload.get("id"))


def _id(value: Any) -> int | None:
    text = str(value).rsplit("/", 1)[-1] if value is not None else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


async def _delete(conn: Connection, connection: int, kind: str, number: int | None) -> bool:
    if number is None:
        return False
    params = {"connection": connection, "kind": kind, "id": number}
    row = await (await conn.execute(Q.apply_delete, params)).fetchone()
    return bool(row and row["gone"])


async def read_soon(conn: Connection, connection: int, entity: str, number: int) -> None:
    """Have an object read again; however many ask, it is read once."""
    params = {"connection": connection, "entity": entity, "id": number}
    await conn.execute(Q.asking, params)
    await conn.execute(Q.ask_again, params)
    await enqueue(
        conn,
        "stores.refetch",
        {"connection_id": connection},
        unique=str(connection),
        priority=15,
        max_attempts=20,
    )


async def _finished(conn: Connection, connection: int, payload: Mapping[str, Any]) -> str:
    """A bulk operation is over: look at it now rather than at the next poll. It may not be recorded here yet."""
    params = {"connection": connection, "gid": payload.get("admin_graphql_api_id")}
    row = await (await conn.execute(Q.operation_of_gid, params)).fetchone()
    if row is None:
        return "the operation is not recorded here (yet); its poll will find out"
    woken = await (await conn.execute(Q.wake_poll, {"unique": str(row["id"])})).fetchone()
    if woken is None and row["state"] == "running_remote":
        await poll_later(conn, row, shop=row["shop_domain"])
    return "looked at at once"


__all__ = ["apply", "lane", "read_soon"]
