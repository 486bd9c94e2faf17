"""The console's schema over REST: what administrators may do, and that nobody else may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from headgate.db import Database
from tests import ticket_market as market
from tests.console_site import Desk, make_user, token

FUNCTIONS = {
    "overview": {},
    "catalog": {},
    "table_info": {"schema_name": "public", "table_name": "events"},
    "table_rows": {"schema_name": "public", "table_name": "events"},
    "change_row": {"schema_name": "public", "table_name": "events", "action": "insert"},
    "run_sql": {"statement": "select 1"},
    "act_on_job": {"job": 1, "action": "retry"},
    "act_on_hold": {"hold": 1, "action": "release"},
    "switch_schedule": {"name": "x", "enabled": False},
    "users": {},
    "create_user": {"email": "b@example.com"},
    "change_user": {"user_id": "7a0c2c9e-0000-4000-8000-000000000001", "action": "ban"},
    "sign_ins": {},
}
VIEWS = (
    "runs",
    "run_steps",
    "rejects",
    "findings",
    "holds",
    "held_rows",
    "jobs",
    "workers",
    "schedules",
    "hosts",
    "drift",
    "audit",
)


@pytest.fixture
async def base(database: Database) -> AsyncIterator[str]:
    async with market.serving(database) as address:
        yield address


@pytest.fixture
async def admin(database: Database, base: str) -> Desk:
    return Desk(base, token(admin=True, user=await make_user(database, "admin@example.com", admin=True)))


async def test_only_administrators_may_call_its_functions(base: str, admin: Desk) -> None:
    for name, arguments in FUNCTIONS.items():
        for bearer in (None, token(), token(admin=True), token(admin=True, role="anon")):
            reply = await Desk(base, bearer).call(name, **arguments)
            assert reply.status_code in (401, 403), (name, reply.text)
    assert (await admin.call("overview")).status_code == 200


async def test_rights_end_with_the_account_the_role_the_session_and_without_the_second_factor(
    database: Database, base: str
) -> None:
    me = await make_user(database, "admin@example.com", admin=True)

    async def status(**claims: Any) -> int:
        return (await Desk(base, token(admin=True, user=me, **claims)).call("overview")).status_code

    assert await status() == 200
    assert await status(session_id=str(uuid4())) == 403
    await database.execute(
        "insert into auth.mfa_factors (id, user_id, factor_type, status, created_at, updated_at)"
        " values (gen_random_uuid(), %s, 'totp', 'verified', now(), now())",
        [me],
    )
    assert await status() == 403
    assert await status(aal="aal2") == 200
    await database.execute(
        "update auth.users set banned_until = now() + interval '1 hour' where id = %s", [me]
    )
    assert await status(aal="aal2") == 403
    await database.execute(
        "update auth.users set banned_until = null, raw_app_meta_data = '{}' where id = %s", [me]
    )
    assert await status(aal="aal2") == 403


async def test_accounts_are_made_found_and_changed(database: Database, admin: Desk) -> None:
    made = await admin.answer("create_user", email=" New@Example.com ")
    assert (await admin.call("create_user", email="new@example.com")).json()["code"] == "23505"
    for wrong in ("x", "a b@example.com", "<img src=x>@example.com", ""):
        assert (await admin.call("create_user", email=wrong)).status_code == 400, wrong
    found = await admin.answer("users", search="new@")
    assert found["total"] == 1 and found["rows"][0]["id"] == made and not found["rows"][0]["has_password"]
    assert (await admin.answer("users", search="%"))["total"] == 0
    assert "encrypted_password" not in (await admin.call("users")).text
    for action, column in (("ban", "banned_until"), ("make_admin", "admin")):
        assert (await admin.call("change_user", user_id=made, action=action)).status_code == 204
        assert (await admin.answer("users", search=made))["rows"][0][column]
    for action in ("unban", "drop_admin", "sign_out", "confirm", "drop_factors", "delete"):
        assert (await admin.call("change_user", user_id=made, action=action)).status_code == 204, action
    assert (await admin.answer("users", search=made))["total"] == 0
    me = (await admin.answer("whoami"))["user"]
    for action in ("ban", "delete", "drop_admin"):
        assert (await admin.call("change_user", user_id=me, action=action)).status_code == 400
    assert (await admin.call("change_user", user_id=made, action="x")).status_code >= 400


async def test_views_show_users_nothing_of_others_and_anonymous_nothing(
    database: Database, base: str, admin: Desk
) -> None:
    mine = uuid4()
    await database.execute("select control.enqueue_job('test.kind', '{}', 'default', null, null, 0, now())")
    await database.execute(
        "insert into control.runs (app, source, fence, owner, state) values ('t', 't.mine', 1, %s, 'succeeded'),"
        " ('t', 't.other', 1, %s, 'running')",
        [mine, uuid4()],
    )
    for view in VIEWS:
        assert (await Desk(base).read(view)).status_code == 401, view
        seen = await Desk(base, token()).read(view)
        assert seen.status_code == 200 and seen.json() == [], view
        assert (await admin.read(view)).status_code == 200, view
    assert [row["source"] for row in (await Desk(base, token(user=mine)).read("runs")).json()] == ["t.mine"]
    assert len((await admin.read("runs")).json()) == 2
    assert len((await admin.read("jobs", "kind=eq.test.kind")).json()) == 1


async def test_overview_counts_what_there_is(database: Database, admin: Desk) -> None:
    await database.execute(
        "insert into control.runs (app, source, fence, state, seen, expected, rate)"
        " values ('t', 't.rows', 1, 'running', 50, 150, 10)"
    )
    found = await admin.answer("overview")
    assert found["running"][0]["eta_s"] == 10
    assert len(found["hours"]) == 24
    assert found["database"]["bytes"] > 0


async def test_rows_are_read_filtered_sorted_and_paged(database: Database, admin: Desk) -> None:
    for number in range(1, 8):
        await market.add_event(database, number, name=f"Game {number}'; drop table events --")
    named = {"schema_name": "public", "table_name": "events"}
    found = await admin.answer(
        "table_rows", **named, order_by="id", descending=True, row_limit=3, row_offset=1
    )
    info = await admin.answer("table_info", **named)
    at = [column["name"] for column in info["columns"]].index("id")
    assert [row[at] for row in found["rows"]] == ["6", "5", "4"]
    assert found["total"] == 7
    one = await admin.answer("table_rows", **named, filters=[{"column": "id", "op": "gte", "value": "6"}])
    assert one["total"] == 2
    like = await admin.answer(
        "table_rows", **named, filters=[{"column": "name", "op": "like", "value": "3'; drop"}]
    )
    assert like["total"] == 1
    bad = await admin.call(
        "table_rows", **named, filters=[{"column": "id); drop table x", "op": "eq", "value": "1"}]
    )
    assert bad.status_code == 400 and bad.json()["code"] == "42703"
    odd = await admin.call("table_rows", **named, filters=[{"column": "id", "op": "or 1=1", "value": "1"}])
    assert odd.status_code == 400
    for schema, table in (("pg_catalog", "pg_authid"), ("console_private", "audit"), ("public", "nope")):
        reply = await admin.call("table_rows", schema_name=schema, table_name=table)
        assert reply.json()["code"] == "42P01"


async def test_one_row_is_changed_by_its_key_and_audited(database: Database, admin: Desk) -> None:
    await database.execute("create table public.notes (id bigint primary key, text text, day date)")
    await database.execute("alter table public.notes enable row level security")
    named = {"schema_name": "public", "table_name": "notes"}
    assert (
        await admin.answer(
            "change_row", **named, action="insert", values={"id": "9007199254740993", "text": "a'b"}
        )
        == 1
    )
    key = {"id": "9007199254740993"}
    await admin.answer(
        "change_row", **named, action="update", key=key, values={"text": None, "day": "2026-01-02"}
    )
    assert (await admin.answer("table_rows", **named))["rows"] == [["9007199254740993", None, "2026-01-02"]]
    for wrong in ({}, {"text": "x"}, {"id": "1", "text": "x"}):
        assert (await admin.call("change_row", **named, action="delete", key=wrong)).status_code == 400
    assert (
        await admin.call("change_row", **named, action="update", key={"id": "1"}, values={"text": "x"})
    ).status_code >= 400
    await admin.answer("change_row", **named, action="delete", key=key)
    assert (await admin.answer("table_rows", **named))["total"] == 0
    actions = [row["action"] for row in (await admin.read("audit", "order=id")).json()]
    assert actions == ["insert row", "update row", "delete row"]
    assert "a'b" not in (await admin.read("audit")).text


async def test_sql_runs_as_the_chosen_role_and_reading_leaves_nothing(
    database: Database, admin: Desk
) -> None:
    await database.execute("create table public.notes (id bigint primary key)")
    for role, name in (
        ("anon", "anon"),
        ("authenticated", "authenticated"),
        ("service_role", "service_role"),
    ):
        found = await admin.answer("run_sql", statement="select current_user, auth.role()", as_role=role)
        assert found["rows"] == [[name, name]], found
    me = str(uuid4())
    found = await admin.answer("run_sql", statement="select auth.uid() as a, 1 as a", as_user=me)
    assert found["columns"] == ["a", "a"] and found["rows"] == [[me, "1"]]
    refused = await admin.answer("run_sql", statement="insert into notes values (1)", as_role="owner")
    assert refused["error"]["code"] == "25006"
    done = await admin.answer(
        "run_sql", statement="insert into notes values (1), (2)", as_role="owner", read_only=False
    )
    assert done["count"] == 2
    assert (await admin.answer("run_sql", statement="table notes", as_role="anon"))["error"][
        "code"
    ] == "42501"
    capped = await admin.answer("run_sql", statement="select * from generate_series(1, 9)", max_rows=4)
    assert len(capped["rows"]) == 4 and capped["more"]
    bad = await admin.answer("run_sql", statement="selec 1")
    assert bad["error"]["code"] == "42601"
    assert (await admin.call("run_sql", statement="select 1", as_role="postgres")).status_code == 400
    kept = (await admin.read("audit", "action=eq.run%20SQL&order=id.desc&limit=1")).json()[0]
    assert kept["subject"] == "selec 1" and kept["detail"]["error"]


async def test_long_statement_is_stopped_and_still_audited(database: Database, admin: Desk) -> None:
    await database.execute("alter function console.run_sql set statement_timeout = '300ms'")
    await database.execute("notify pgrst, 'reload schema'")
    found = await admin.answer("run_sql", statement="select pg_sleep(20)")
    assert found["error"]["code"] == "57014"
    assert (await admin.read("audit")).json()[0]["subject"] == "select pg_sleep(20)"


async def test_jobs_and_schedules_are_acted_on(database: Database, admin: Desk) -> None:
    job = await database.fetch_value(
        "select control.enqueue_job('t.kind', '{}', 'default', null, null, 0, now())"
    )
    assert await admin.answer("act_on_job", job=job, action="cancel") == "cancelled"
    assert await admin.answer("act_on_job", job=job, action="retry") == "ready"
    assert (await admin.call("act_on_job", job=10**9, action="retry")).status_code == 404
    assert (await admin.call("switch_schedule", name="none such", enabled=True)).status_code == 404
    await database.execute(
        "insert into control.schedules (name, kind, every_s, next_at) values ('t.tick', 't.kind', 60, now())"
    )
    assert await admin.answer("switch_schedule", name="t.tick", enabled=False) is False
    assert await database.fetch_value("select enabled from control.schedules where name = 't.tick'") is False
