"""postgres_changes as a client sees them: events, filters, columns, cursors, over both versions of the protocol."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.db import Database
from tests.realtime_client import Server, token

A = "00000000-0000-0000-0000-00000000000a"
NOTES = """
create table notes (id int primary key, owner uuid, body text, n numeric, big int8, at timestamptz, plain timestamp,
  tags text[], grid int[], doc jsonb, yes bool, bytes bytea);
alter table notes enable row level security;
create policy own on notes for select to authenticated using (owner = (select auth.uid()));
grant select on notes to anon, authenticated, service_role;
create table open (id int primary key, kind text, v int, at timestamptz default now());
grant select on open to anon, authenticated, service_role;
alter publication supabase_realtime add table notes, open"""


async def watch(*names: str, event: str = "*", **more: Any) -> list[dict[str, Any]]:
    """Bindings for tables of public."""
    return [{"event": event, "schema": "public", "table": name, **more} for name in names]


@pytest.fixture
async def db(bare_database: Database) -> Database:
    async with bare_database.connection() as conn:
        await conn.execute(NOTES)
    return bare_database


@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
async def test_values_arrive_as_json_of_their_type(db: Database, vsn: str) -> None:
    async with Server(db) as server, server.client(vsn=vsn, key="sb_secret_test") as client:
        await client.join("x", changes=await watch("notes"))
        await db.execute(
            "insert into notes values (1, %s, E'a\"\\u00e9\\n', 'NaN', 9007199254740993, '2026-01-02 03:04:05.5+02',"
            " '2026-01-02 03:04:05', '{a,\"b,c\",NULL}', '{{1,2},{3,4}}', '{\"k\":[1,null]}', true, '\\xff00')",
            [A],
        )
        (event,) = (await client.wait_for("postgres_changes"))[:1]
        assert event["data"]["record"] == {
            "id": 1, "owner": A, "body": 'a"é\n', "n": "NaN", "big": 9007199254740993,
            "at": "2026-01-02T01:04:05.5+00:00", "plain": "2026-01-02T03:04:05", "tags": ["a", "b,c", None],
            "grid": [[1, 2], [3, 4]], "doc": {"k": [1, None]}, "yes": True, "bytes": "\\xff00",
        }  # fmt: skip
        kinds = {c["name"]: c["type"] for c in event["data"]["columns"]}
        assert (kinds["big"], kinds["tags"], kinds["grid"], kinds["at"]) == (
            "int8",
            "_text",
            "_int4",
            "timestamptz",
        )


async def test_each_event_once_and_in_commit_order_over_tables(db: Database) -> None:
    async with Server(db) as server, server.client() as client:
        await client.join("x", token=token(sub=A), changes=await watch("notes", "open"))
        for number in range(50):
            table = "notes (id, owner)" if number % 2 else "open (id, v)"
            await db.execute(f"insert into {table} values (%s, %s)", [number, A if number % 2 else number])
        await db.execute("update open set v = v + 1")
        await db.execute("delete from open where id = 0")
        await client.wait_for("postgres_changes", 76)
        await client.quiet()
        seen = [
            (d["type"], d["table"], d.get("record", d.get("old_record", {})).get("id"))
            for d in client.changes()
        ]
        assert [row[2] for row in seen[:50]] == list(range(50))
        assert [row[0] for row in seen[50:]] == ["UPDATE"] * 25 + ["DELETE"]
        assert len({d["cursor"] for d in client.changes()}) == 76


async def test_only_what_was_asked_for(db: Database) -> None:
    wanted = [
        {"event": "INSERT", "schema": "public", "table": "open", "filter": "v=gt.5"},
        {"event": "UPDATE", "schema": "public", "table": "open", "filter": 'kind=in.(a,"b,c")',
         "select": ["id", "kind"]},
        {"event": "DELETE", "schema": "public", "table": "open", "filter": "id=eq.3"},
    ]  # fmt: skip
    async with Server(db) as server, server.client() as client:
        reply = await client.join("x", changes=wanted)
        assert [
            {k: v for k, v in b.items() if k != "id"} for b in reply["response"]["postgres_changes"]
        ] == wanted
        await db.execute("insert into open (id, kind, v) values (1, 'a', 5), (2, 'b,c', 6), (3, 'd', 50)")
        await db.execute("update open set at = now()")
        await db.execute("delete from open")
        await db.execute("insert into open (id, kind, v) values (99, '', 99)")
        await client.until(lambda: any(d.get("record", {}).get("id") == 99 for d in client.changes()))
        got = [(d["type"], d.get("record") or d["old_record"]) for d in client.changes()][:-1]
        assert [(k, r["id"]) for k, r in got] == [
            ("INSERT", 2), ("INSERT", 3), ("UPDATE", 1), ("UPDATE", 2), ("DELETE", 3)
        ]  # fmt: skip
        assert [set(r) for k, r in got if k == "UPDATE"] == [{"id", "kind"}] * 2


@pytest.mark.parametrize(
    ("filter_", "ids"),
    [
        ("v=eq.2", [2]), ("v=neq.2", [1, 3]), ("v=lt.2", [1]), ("v=lte.2", [1, 2]), ("v=gte.2", [2, 3]),
        ("v=not.in.(1,2)", [3]), ("kind=like.a%", [1, 2]), ("kind=ilike.A_c", [2]), ("kind=is.null", [3]),
        ("kind=not.is.null", [1, 2]), ("kind=isdistinct.ab", [2, 3]), ("kind=eq.ab,v=eq.1", [1]), ("kind=neq.ab", [2]),
        ("at=gt.2026-01-01T12:00:00+02:00", [2, 3]), ("kind=match.^a.$", [1]), ("kind=not.imatch.C$", [1]),
        ('kind=eq."a,kind=eq.ab"', []), ('kind=in.("ab","x,y")', [1]),
    ],
)  # fmt: skip
async def test_filters_mean_what_sql_means(db: Database, filter_: str, ids: list[int]) -> None:
    async with Server(db) as server, server.client() as client:
        await client.join("x", changes=await watch("open", filter=filter_))
        await db.execute(
            "insert into open values (1, 'ab', 1, '2026-01-01 10:00:00+00'),"
            " (2, 'abc', 2, '2026-01-01 10:00:00.001+00'), (3, null, 3, '2026-01-02')"
        )
        await client.wait_for("postgres_changes", len(ids))
        await client.quiet()
        assert [d["record"]["id"] for d in client.changes()] == ids


@pytest.mark.parametrize(
    "binding",
    [
        {"event": "*", "schema": "public", "table": "nothing"},
        {"event": "*", "schema": "public", "table": "open", "filter": "v=eq.x"},
        {"event": "*", "schema": "public", "table": "open", "filter": "w=eq.1"},
        {"event": "*", "schema": "public", "table": "open", "filter": "v"},
        {"event": "*", "schema": "public", "table": "open", "filter": "v=eq.1'; drop table open; --"},
        {"event": "*", "schema": "public", "table": "open", "filter": "kind=match.(a"},
        {"event": "*", "schema": "public", "table": "open", "select": ["w"]},
        {"event": "TRUNCATE", "schema": "public", "table": "open"},
        {"event": "*", "schema": "public", "table": "open", "since": "nonsense"},
        {"event": 5, "schema": [], "table": {}},
        "x",
    ],
)  # fmt: skip
async def test_a_bad_binding_is_refused_with_the_reason(db: Database, binding: Any) -> None:
    async with Server(db) as server, server.client() as client:
        reply = await client.join("x", changes=[binding])
        assert reply["status"] == "error" and reply["response"]["reason"]
        assert (await client.join("y", changes=await watch("open")))["status"] == "ok"


async def test_a_cursor_brings_back_what_was_missed_and_nothing_twice(db: Database) -> None:
    async with Server(db) as server:
        async with server.client() as client:
            await client.join("x", changes=await watch("open"))
            await db.execute("insert into open (id) select generate_series(1, 10)")
            await client.wait_for("postgres_changes", 10)
            since = client.changes()[4]["cursor"]
        await db.execute("insert into open (id) select generate_series(11, 2000)")
        async with server.client() as client:
            await client.join("x", changes=await watch("open", since=since))
            await db.execute("insert into open (id) select generate_series(2001, 2100)")
            await client.wait_for("postgres_changes", 2095)
            await client.quiet()
            assert [d["record"]["id"] for d in client.changes()] == list(range(6, 2101))


async def test_a_cursor_outlives_the_server(db: Database) -> None:
    async with Server(db) as server, server.client() as client:
        await client.join("x", changes=await watch("open"))
        await db.execute("insert into open (id) values (1), (2)")
        await client.wait_for("postgres_changes", 2)
        since = client.changes()[0]["cursor"]
    await db.execute("insert into open (id) values (3)")
    async with Server(db) as server, server.client() as client:
        await client.join("x", changes=await watch("open", since=since))
        await db.execute("insert into open (id) values (4)")
        await client.wait_for("postgres_changes", 3)
        assert [d["record"]["id"] for d in client.changes()] == [2, 3, 4]


async def test_a_cursor_of_another_database_is_refused(db: Database) -> None:
    async with Server(db) as server, server.client() as client:
        await client.join("x", changes=await watch("open"))
        reply = await client.join("y", changes=await watch("open", since="00000000-1-1"))
        assert "CursorUnknown" in reply["response"]["reason"]


async def test_the_feed_comes_back_after_its_connection_broke(db: Database) -> None:
    async with Server(db) as server, server.client() as client:
        await client.join("x", changes=await watch("open"))
        for number in range(1, 301):
            await db.execute("insert into open (id) values (%s)", [number])
            if number % 100 == 0:
                await db.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'headgate-feed'"
                    " and datname = current_database()"
                )
        await client.wait_for("postgres_changes", 300)
        await client.quiet()
        assert [d["record"]["id"] for d in client.changes()] == list(range(1, 301))


async def test_without_replay_there_is_no_slot_that_stays(db: Database) -> None:
    async with Server(db, realtime_replay_s=0) as server, server.client() as client:
        await client.join("x", changes=await watch("open"))
        await db.execute("insert into open (id) values (1)")
        await client.wait_for("postgres_changes")
        slots = await db.fetch_all(
            "select slot_name, temporary from pg_replication_slots where database = current_database()"
        )
        assert [row["temporary"] for row in slots] == [True]


@pytest.mark.parametrize("switch", [{"realtime_replay_s": 0}, {"realtime": "off"}])
async def test_the_slot_that_stays_goes_at_the_next_start_without_replay(
    db: Database, switch: dict[str, Any]
) -> None:
    ours = "select slot_name::text from pg_replication_slots where database = current_database()"
    async with Server(db) as server, server.client() as client:
        await client.join("x", changes=await watch("open"))
    assert len(await db.fetch_all(ours)) == 1, "stopping leaves it, for a restart to go on"
    async with Server(db, **switch):
        assert await db.fetch_all(ours) == [], "before anybody subscribes"
