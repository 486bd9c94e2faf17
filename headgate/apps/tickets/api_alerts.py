"""Alert rules of the signed-in user and what they fired. Row-level security decides whose rows these are."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request

from headgate.apps.tickets.api_answer import need_user, written
from headgate.apps.tickets.api_desk import Desk, Limit, Offset, caller_of
from headgate.apps.tickets.api_errors import invalid, not_found
from headgate.apps.tickets.api_models import Alert, AlertChange, AlertFire, Envelope, NewAlert, Session
from headgate.db import SQL
from headgate.db.keys import create_visitor

AlertId = Annotated[int, Path(ge=1, lt=2**63, description="The rule's number.")]
_UNITS = {
    "price_below": "a price",
    "price_drop_pct": "a percentage below 100",
    "inventory_below": "a number of tickets",
}
_LIST = SQL("select * from public.list_alerts() order by id desc limit %(limit)s offset %(offset)s")
_ONE = SQL("select * from public.list_alerts() where id = %(id)s")
_FIRES = SQL("select * from public.list_alert_fires() order by id desc limit %(limit)s offset %(offset)s")
_CREATE = SQL(
    "select public.create_alert(%(event_id)s, %(kind)s, %(threshold)s::numeric, %(zone)s, "
    "%(group_size)s::integer, %(note)s) as id"
)
_CHANGE = SQL("select public.change_alert(%(id)s, %(threshold)s::numeric, %(active)s, %(note)s) as found")
_DELETE = SQL("delete from public.alert_rules where id = %(id)s")


def add(desk: Desk) -> None:
    """Add the endpoints."""
    _add_session(desk)
    _add_reading(desk)
    _add_writing(desk)


def _add_session(desk: Desk) -> None:
    @desk.router.post("/session", response_model=Envelope[Session], status_code=201, tags=["alerts"])
    async def session(request: Request) -> Any:
        """A visitor's token for whoever has no account: send it as a Bearer token to own alert rules."""
        visitor, token = await create_visitor(desk.db)
        return written(request, {"user_id": visitor, "access_token": token}, status=201)


def _add_reading(desk: Desk) -> None:
    async def rows(request: Request, query: SQL, params: dict[str, Any]) -> list[dict[str, Any]]:
        caller = caller_of(request)
        need_user(caller)
        async with desk.db.as_role(caller.claims) as conn:
            return await (await conn.execute(query, params)).fetchall()

    @desk.router.get("/alerts", response_model=Envelope[list[Alert]], tags=["alerts"])
    async def alerts(request: Request, limit: Limit = 100, offset: Offset = 0) -> Any:
        """Your rules, newest first."""
        return written(request, await rows(request, _LIST, {"limit": limit, "offset": offset}))

    @desk.router.get("/alerts/fires", response_model=Envelope[list[AlertFire]], tags=["alerts"])
    async def fires(request: Request, limit: Limit = 50, offset: Offset = 0) -> Any:
        """What your rules fired, newest first."""
        return written(request, await rows(request, _FIRES, {"limit": limit, "offset": offset}))

    @desk.router.get("/alerts/{alert_id}", response_model=Envelope[Alert], tags=["alerts"])
    async def alert(request: Request, alert_id: AlertId) -> Any:
        """One of your rules."""
        found = await rows(request, _ONE, {"id": alert_id})
        if not found:
            raise not_found("You have no such alert.", alert_id=alert_id)
        return written(request, found[0])


def _add_writing(desk: Desk) -> None:
    @desk.router.post("/alerts", response_model=Envelope[Alert], status_code=201, tags=["alerts"])
    async def create(request: Request, rule: NewAlert) -> Any:
        """Create a rule. It fires once when its condition is met and arms again when it no longer is."""
        caller = caller_of(request)
        need_user(caller)
        _check(rule)
        async with desk.db.as_role(caller.claims) as conn:
            made = await (await conn.execute(_CREATE, rule.model_dump())).fetchone()
            if made is None or made["id"] is None:
                raise not_found("There is no such event.", event_id=rule.event_id)
            row = await (await conn.execute(_ONE, {"id": made["id"]})).fetchone()
        return written(request, row, status=201)

    @desk.router.patch("/alerts/{alert_id}", response_model=Envelope[Alert], tags=["alerts"])
    async def change(request: Request, alert_id: AlertId, changed: AlertChange) -> Any:
        """Change a rule's threshold or note, or switch it off and on. A change arms it again."""
        caller = caller_of(request)
        need_user(caller)
        async with desk.db.as_role(caller.claims) as conn:
            await conn.execute(_CHANGE, {"id": alert_id, **changed.model_dump()})
            row = await (await conn.execute(_ONE, {"id": alert_id})).fetchone()
        if row is None:
            raise not_found("You have no such alert.", alert_id=alert_id)
        return written(request, row)

    @desk.router.delete("/alerts/{alert_id}", tags=["alerts"])
    async def delete(request: Request, alert_id: AlertId) -> Any:
        """Delete a rule and its firings."""
        caller = caller_of(request)
        need_user(caller)
        async with desk.db.as_role(caller.claims) as conn:
            gone = (await conn.execute(_DELETE, {"id": alert_id})).rowcount
        if not gone:
            raise not_found("You have no such alert.", alert_id=alert_id)
        return written(request, {"id": alert_id, "deleted": True})


def _check(rule: NewAlert) -> None:
    unit = _UNITS.get(rule.kind)
    if (unit is None) != (rule.threshold is None):
        wanted = f"needs a threshold: {unit}" if unit else "takes no threshold"
        raise invalid(f"{rule.kind} {wanted}.", parameter="threshold")
    if rule.kind == "price_drop_pct" and rule.threshold is not None and rule.threshold >= 100:
        raise invalid("A price cannot drop by 100 percent or more.", parameter="threshold")
