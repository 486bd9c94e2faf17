"""Who hears of which rows: role × table × event × {own, other, null}; the old rows of updates, and private channels."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import Any

import pytest

from headgate.db import Database
from tests.realtime_client import Client, Server, token

A = "00000000-0000-0000-0000-00000000000a"
B = "00000000-0000-0000-0000-00000000000b"
WHOSE = {1: "own", 2: "other", 3: "null"}
OWNERS = {1: A, 2: B, 3: None}
#: owned: the plainest policy. full: the same, and DELETE tells the whole row. teams: a policy that reads another table.
#: keyed: the owner is part of the key, so that a DELETE can be decided. closed: no policy. bare: no grant.
TABLES = ("owned", "full_rows", "teams", "keyed", "closed", "bare")
SCHEMA = f"""
create table members (team int, person uuid);
insert into members values (1, '{A}'), (2, '{B}');
grant select on members to anon, authenticated;
create table owned (id int primary key, owner uuid, team int, secret text);
create table full_rows (like owned including all); alter table full_rows replica identity full;
create table teams (like owned including all); alter table teams replica identity full;
create table keyed (id int, owner uuid not null default '{B}', team int, secret text, primary key (id, owner));
create table closed (like owned including all); alter table closed replica identity full;
create table bare (like owned including all);
create table done (id int primary key);
alter table owned enable row level security; alter table full_rows enable row level security;
alter table teams enable row level security; alter table keyed enable row level security;
alter table closed enable row level security;
create policy mine on owned for select to authenticated using (owner = (select auth.uid()));
create policy mine on full_rows for select to authenticated using (owner = (select auth.uid()));
create policy mine on keyed for select to authenticated using (owner = (select auth.uid()));
create policy mine on teams for select to authenticated
  using (exists (select from members m where m.team = teams.team and m.person = (select auth.uid())));
grant select on owned, full_rows, teams, keyed, closed, done to anon, authenticated, service_role;
alter publication supabase_realtime add table {", ".join(TABLES)}, done"""
#: What `authenticated` A is to hear of its own rows, by table; of others' rows nothing, and anon of nothing at all.
HEARD = {
    "owned": {"INSERT", "UPDATE"},
    "full_rows": {"INSERT", "UPDATE", "DELETE"},
    "teams": {"INSERT", "UPDATE", "DELETE"},
    "keyed": {"INSERT", "UPDATE", "DELETE"},
    "closed": set(),
    "bare": set(),
}


@pytest.fixture
async def db(bare_database: Database) -> Database:
    async with bare_database.connection() as conn:
        await conn.execute(SCHEMA)
    return bare_database


async def write(db: Database, table: str) -> None:
    """Every verb on every row."""
    for number, owner in OWNERS.items():
        owner_ = B if owner is None and table == "keyed" else owner
        await db.execute(f"insert into {table} values (%s, %s, %s, 's')", [number, owner_, number])
        await db.execute(f"update {table} set secret = 'new' where id = %s", [number])
        await db.execute(f"delete from {table} where id = %s", [number])


def ident(data: Any) -> int:
    return int((data.get("record") or data["old_record"])["id"])


async def heard(db: Database, server: Server) -> dict[str, list[Any]]:
    """What each caller hears of a whole round of writes."""
    callers = {
        "authenticated": ("sb_publishable_test", token(sub=A)),
        "anon": ("sb_publishable_test", None),
        "service_role": ("sb_secret_test", None),
    }
    async with AsyncExitStack() as stack:
        clients: dict[str, Client] = {}
        for name, (key, user) in callers.items():
            client = clients[name] = await stack.enter_async_context(server.client(key=key))
            reply = await client.join("x", token=user, changes=[{"event": "*", "schema": "public"}])
            assert reply["status"] == "ok"
        for table in TABLES:
            await write(db, table)
        await db.execute("insert into done values (1)")
        for client in clients.values():
            await client.until(lambda c=client: any(d["table"] == "done" for d in c.changes()))
        return {name: [d for d in c.changes() if d["table"] != "done"] for name, c in clients.items()}


async def leaks(db: Database) -> list[str]:
    """Every cell of the matrix that says too much, or too little."""
    found = []
    async with Server(db) as server:
        got = await heard(db, server)
    for table in TABLES:
        for number, whose in WHOSE.items():
            for verb in ("INSERT", "UPDATE", "DELETE"):
                for name in ("authenticated", "anon"):
                    seen = [
                        d for d in got[name] if (d["table"], d["type"], ident(d)) == (table, verb, number)
                    ]
                    right = name == "authenticated" and whose == "own" and verb in HEARD[table]
                    if len(seen) != right:
                        found.append(f"{name} {table} {verb} {whose}: {len(seen)}")
    return found


async def test_no_cell_of_the_matrix_leaks(db: Database) -> None:
    assert await leaks(db) == []


async def test_who_bypasses_row_level_security_hears_everything(db: Database) -> None:
    async with Server(db) as server:
        got = await heard(db, server)
    assert len(got["service_role"]) == 9 * (len(TABLES) - 1), "but for the table without a grant"


@pytest.mark.parametrize(
    ("change", "cell"),
    [
        ("alter policy mine on owned using (true)", "authenticated owned DELETE other"),
        ("alter policy mine on teams using (team > 0)", "authenticated teams UPDATE other"),
        ("create policy oops on full_rows for select to anon using (true)", "anon full_rows DELETE null"),
        ("alter table closed disable row level security", "anon closed INSERT own"),
        ("alter policy mine on keyed using (owner is not null)", "authenticated keyed DELETE other"),
    ],
)
async def test_a_weakened_policy_is_caught(db: Database, change: str, cell: str) -> None:
    await db.execute(change.encode())
    assert any(found.startswith(cell) for found in await leaks(db))


async def test_a_row_that_changes_hands_shows_neither_side_the_others_content(db: Database) -> None:
    async with Server(db) as server, server.client() as a, server.client() as b:
        for client, person in ((a, A), (b, B)):
            await client.join("x", token=token(sub=person), changes=[{"event": "*", "schema": "public"}])
        await db.execute("insert into full_rows values (1, %s, 1, 'of A')", [A])
        await db.execute("update full_rows set owner = %s, secret = 'of B'", [B])
        await db.execute("insert into done values (1)")
        for client in (a, b):
            await client.until(lambda c=client: any(d["table"] == "done" for d in c.changes()))
        assert "of B" not in str(a.heard) and "of A" not in str(b.heard)
        assert b.changes()[0]["type"] == "UPDATE" and b.changes()[0]["old_record"] == {}


async def test_a_row_is_judged_by_what_it_was_not_by_what_it_became(db: Database) -> None:
    async with Server(db) as server, server.client() as a:
        await a.join("x", token=token(sub=A), changes=[{"event": "*", "schema": "public"}])
        async with db.transaction() as conn:
            await conn.execute("insert into owned values (7, %s, 1, 'of B')", [B])
            await conn.execute("update owned set owner = %s, secret = 'of A' where id = 7", [A])
        await db.execute("insert into done values (1)")
        await a.until(lambda: any(d["table"] == "done" for d in a.changes()))
        assert "of B" not in str(a.heard)
        assert [d["type"] for d in a.changes()] == ["UPDATE", "INSERT"]


async def test_columns_that_may_not_be_read_are_not_sent(db: Database) -> None:
    await db.execute("revoke select on owned from authenticated")
    await db.execute("grant select (id, owner) on owned to authenticated")
    async with Server(db) as server, server.client() as a:
        await a.join("x", token=token(sub=A), changes=[{"event": "*", "schema": "public", "table": "owned"}])
        await db.execute("insert into owned values (1, %s, 1, 'hidden')", [A])
        (event,) = await a.wait_for("postgres_changes")
        assert (
            set(event["data"]["record"]) == {"id", "owner"} == {c["name"] for c in event["data"]["columns"]}
        )
        refused = await a.join("y", token=token(sub=A), changes=[
            {"event": "*", "schema": "public", "table": "owned", "filter": "secret=eq.x"}])  # fmt: skip
        assert refused["status"] == "error"


async def test_many_owners_on_one_table_hear_of_their_own_rows_only(db: Database) -> None:
    people = [f"00000000-0000-0000-0000-{n:012x}" for n in range(1, 41)]
    async with Server(db) as server, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(server.client()) for _ in people]
        for person, client in zip(people, clients, strict=True):
            binding = {"event": "*", "schema": "public"}
            await client.join("x", token=token(sub=person), changes=[binding])
        await db.execute(
            "insert into owned select n, p::uuid, 0, p from unnest(%s::text[]) with ordinality as t (p, n),"
            " generate_series(1, 1)", [people]
        )  # fmt: skip
        await db.execute("insert into done values (1)")
        for person, client in zip(people, clients, strict=True):
            await client.until(lambda c=client: any(d["table"] == "done" for d in c.changes()))
            assert [d["record"]["owner"] for d in client.changes() if d["table"] == "owned"] == [person]


# --- private channels

POLICIES = f"""
create policy hear on realtime.messages for select to authenticated
  using (realtime.topic() like 'open-%' or (realtime.topic() = 'of-a' and (select auth.uid()) = '{A}'));
create policy say on realtime.messages for insert to authenticated
  with check (realtime.topic() = 'of-a' and (select auth.uid()) = '{A}' and extension = 'broadcast')"""


async def test_private_channels_follow_the_policies_on_messages(db: Database) -> None:
    await db.execute(POLICIES.encode())
    async with Server(db) as server, server.client() as a, server.client() as b, server.client() as anon:
        assert (await a.join("of-a", token=token(sub=A), private=True))["status"] == "ok"
        for client, user in ((b, token(sub=B)), (anon, None)):
            reply = await client.join("of-a", token=user, private=True)
            assert reply["status"] == "error" and "Unauthorized" in reply["response"]["reason"]
        assert (await b.join("of-a", token=token(sub=B)))["status"] == "ok", "the public channel of that name"
        await db.execute("select realtime.send('{\"n\": 1}', 'told', 'of-a', true)")
        assert (await a.wait_for("broadcast"))[0]["payload"] == {"n": 1}
        await b.join("open-x", token=token(sub=B), private=True, broadcast={"ack": True})
        reply = await b.ask(
            "realtime:open-x", "broadcast", {"type": "broadcast", "event": "e", "payload": {}}
        )
        assert reply["status"] == "error", "B may hear there, but not say"
        reply = await a.ask(
            "realtime:of-a", "presence", {"type": "presence", "event": "track", "payload": {}}
        )
        assert reply["status"] == "error", "A may send there, but not be seen"
        await b.quiet()
        assert b.events("broadcast") == [] and anon.events("broadcast") == []


@pytest.mark.parametrize(
    "change",
    [
        "alter policy hear on realtime.messages using (true)",
        "alter table realtime.messages disable row level security",
    ],
)
async def test_a_weakened_policy_on_messages_is_caught(db: Database, change: str) -> None:
    await db.execute(POLICIES.encode())
    async with Server(db) as server, server.client() as b:
        assert (await b.join("of-a", token=token(sub=B), private=True))["status"] == "error"
        await db.execute(change.encode())
        assert (await b.join("of-a", token=token(sub=B), private=True))["status"] == "ok"


# --- tokens


@pytest.mark.parametrize(
    "bad",
    ["x.y.z", "sb_publishable_wrong", "eyJhbGciOiJub25lIn0.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.", "\x00", "", 5],
)
async def test_a_forged_token_joins_nothing(db: Database, bad: Any) -> None:
    async with Server(db) as server, server.client() as client:
        reply = await client.ask("realtime:x", "phx_join", {"config": {}, "access_token": bad})
        assert reply["status"] == "error"


async def test_an_expired_token_ends_the_channel(db: Database) -> None:
    async with Server(db) as server, server.client() as client:
        await client.join("x", token=token(sub=A, exp=int(time.time()) + 2))
        await client.wait_for("phx_close")
        assert client.events("system")[0]["status"] == "error"
        reply = await client.join("x", token=token(sub=A, exp=int(time.time()) - 60))
        assert reply["status"] == "error"


async def test_a_new_token_changes_what_is_heard(db: Database) -> None:
    async with Server(db) as server, server.client() as client:
        await client.join("x", token=token(sub=A), changes=[{"event": "*", "schema": "public"}])
        await db.execute("insert into owned values (1, %s)", [A])
        await client.wait_for("postgres_changes", 1)
        await client.send("realtime:x", "access_token", {"access_token": token(sub=B)})
        await client.quiet()
        await db.execute("insert into owned values (2, %s), (3, %s)", [A, B])
        await client.wait_for("postgres_changes", 2)
        assert [d["record"]["id"] for d in client.changes()] == [1, 3]
        await client.send("realtime:x", "access_token", {"access_token": "x.y.z"})
        await client.wait_for("phx_close")
