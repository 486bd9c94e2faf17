"""Where no replication slot is allowed, triggers serve: the same events, isolation and cursors, within their limits."""

from __future__ import annotations

import asyncio
from pathlib import Path

from headgate.db import Database
from headgate.db.embedded import EmbeddedServer, Options
from headgate.db.platform import apply_platform
from tests.realtime_client import Server, token

A = "00000000-0000-0000-0000-00000000000a"


async def test_triggers_serve_where_the_log_does_not(tmp_path: Path) -> None:
    await asyncio.to_thread(tmp_path.chmod, 0o755)
    options = Options(durable=False, settings={"wal_level": "replica"})
    async with await EmbeddedServer.open(tmp_path / "pg", options, watch=False) as embedded:
        await apply_platform(embedded.admin_url())
        async with await Database.open(embedded.url()) as db:
            await serve(db)
            await serve_every_key(db)


async def serve(db: Database) -> None:
    async with db.connection() as conn:
        await conn.execute("""
          create table notes (id int, owner uuid, yes bool, at timestamptz, primary key (owner, id));
          alter table notes enable row level security;
          create policy own on notes for select to authenticated using (owner = (select auth.uid()));
          grant select on notes to authenticated; alter publication supabase_realtime add table notes""")
    binding = {"event": "*", "schema": "public", "table": "notes", "filter": "yes=is.true"}
    every = {"event": "*", "schema": "public", "table": "notes"}
    other = A.replace("a", "b")
    async with Server(db) as server, server.client() as one, server.client() as two:
        await one.join("x", token=token(sub=A), changes=[every])
        await two.join("x", token=token(sub=A), changes=[binding])
        async with db.transaction() as conn:
            await conn.execute(
                "insert into notes select n, %s, n = 2, now() from generate_series(1, 3) n", [A]
            )
            await conn.execute("insert into notes values (9, %s, true, now())", [other])
        await one.wait_for("postgres_changes", 3)  # a row is read when its note is
        await db.execute("update notes set yes = true where id = 1")
        await two.wait_for("postgres_changes", 2)
        await db.execute("delete from notes where id < 4 or id = 9")
        await one.wait_for("postgres_changes", 7)
        kinds = [(d["type"], (d.get("record") or d["old_record"])["id"]) for d in one.changes()]
        assert ("INSERT", 9) not in kinds and ("DELETE", 9) not in kinds
        assert sorted(kinds[-3:]) == [("DELETE", 1), ("DELETE", 2), ("DELETE", 3)]
        assert sorted(kinds[:3]) == [("INSERT", 1), ("INSERT", 2), ("INSERT", 3)] and kinds[3] == (
            "UPDATE",
            1,
        )
        since, last = one.changes()[-2]["cursor"], kinds[-1]
    async with Server(db) as server, server.client() as again:
        await again.join("x", token=token(sub=A), changes=[{**every, "since": since}])
        await db.execute("insert into notes values (20, %s)", [A])
        await again.wait_for("postgres_changes", 2)
        kinds = [(d["type"], (d.get("record") or d["old_record"])["id"]) for d in again.changes()]
        assert kinds == [last, ("INSERT", 20)]


async def serve_every_key(db: Database) -> None:
    """Keys of each kind that notes keep in a column of their own, and hostile names and values."""
    kinds = {
        "smallint": "7", "integer": "-2000000000", "bigint": "9000000000000000000", "text": "'a\"'',%s\\ü'",
        "uuid": "'00000000-0000-0000-0000-00000000000a'", "timestamptz": "'2026-03-29 01:30:00.000001+00'",
    }  # fmt: skip
    async with db.connection() as conn:
        for number, kind in enumerate(kinds):
            name = f'"%s ""{number}"'
            await conn.execute(
                f'create table {name} ("k ""%%s" {kind} primary key, yes bool, raw bytea)'.encode()
            )
            await conn.execute(f"alter publication supabase_realtime add table {name}".encode())
            await conn.execute(f"grant select on {name} to authenticated".encode())
            await conn.execute(f"alter table {name} enable row level security".encode())
            rule = '"k ""%%s" is not null and (select auth.uid()) is null'
            await conn.execute(f"create policy mine on {name} for select using ({rule})".encode())
        async with Server(db) as server, server.client() as client:
            binding = {"event": "*", "schema": "public"}
            await client.join("keys", token=token(), changes=[binding])
            for number, value in enumerate(kinds.values()):
                name = f'"%s ""{number}"'
                for times, statement in enumerate(
                    (
                        f"insert into {name} values ({value}, true, '\\x00ff')",
                        f"update {name} set yes = null",
                        f"delete from {name}",
                    )
                ):
                    await conn.execute(statement.encode())
                    await client.wait_for("postgres_changes", 3 * number + times + 1)
    changes = client.changes()
    shown = {
        "smallint": 7, "integer": -2000000000, "bigint": 9000000000000000000, "text": 'a"\',%s\\ü',
        "uuid": "00000000-0000-0000-0000-00000000000a", "timestamptz": "2026-03-29T01:30:00.000001+00:00",
    }  # fmt: skip
    key = 'k "%%s'
    for number, value in enumerate(shown.values()):
        inserted, updated, deleted = changes[3 * number : 3 * number + 3]
        assert inserted["record"] == {key: value, "yes": True, "raw": "\\x00ff"}, inserted
        assert updated["record"] == {key: value, "yes": None, "raw": "\\x00ff"}, updated
        assert [deleted["type"], deleted["old_record"]] == ["DELETE", {key: value}]
