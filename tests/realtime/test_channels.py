"""Broadcast, presence, replay, several processes, and what bad clients get."""

from __future__ import annotations

import asyncio
import struct
import time
import urllib.error
import urllib.request
from typing import Any

import orjson
import pytest

from headgate.db import Database
from headgate.surface.realtime.hub import Broadcast
from headgate.surface.realtime.limits import Limits
from tests.realtime_client import Client, Server, token

A = "00000000-0000-0000-0000-00000000000a"
OPEN = """create policy hear on realtime.messages for select to authenticated using (true);
create policy say on realtime.messages for insert to authenticated with check (true)"""


def said(event: str, payload: Any) -> dict[str, Any]:
    return {"type": "broadcast", "event": event, "payload": payload}


def kind3(topic: str, event: str, body: bytes, *, encoding: int, meta: bytes = b"", ref: str = "77") -> bytes:
    parts = [b"1", ref.encode(), topic.encode(), event.encode(), meta]
    return struct.pack("7B", 3, *map(len, parts), encoding) + b"".join(parts) + body


async def post(
    url: str, body: bytes, kind: str = "application/json", key: str = "sb_publishable_test"
) -> tuple[int, Any]:
    """A POST's status and answer."""

    def call() -> tuple[int, Any]:
        request = urllib.request.Request(url, body, {"content-type": kind, "apikey": key}, method="POST")
        if key.count(".") == 2:
            request.add_header("authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, orjson.loads(error.read())

    return await asyncio.to_thread(call)


async def test_broadcasts_reach_both_versions_and_the_sender_only_if_asked(bare_database: Database) -> None:
    async with Server(bare_database) as server, server.client() as a, server.client(vsn="1.0.0") as b:
        await a.join("r", broadcast={"self": False, "ack": True})
        await b.join("r", broadcast={"self": True, "ack": False})
        reply = await a.ask("realtime:r", "broadcast", said("one", {"é": [1, None]}))
        assert reply == {"status": "ok", "response": {}}
        await b.send("realtime:r", "broadcast", said("two", {"n": 2}))
        assert [p["event"] for p in await b.wait_for("broadcast", 2)] == ["one", "two"]
        assert [p["event"] for p in await a.wait_for("broadcast", 1)] == ["two"]
        assert b.events("broadcast")[0]["payload"] == {"é": [1, None]}


async def test_binary_frames(bare_database: Database) -> None:
    async with (
        Server(bare_database) as server,
        server.client() as a,
        server.client() as b,
        server.client(vsn="1.0.0") as c,
    ):
        await a.join("r", broadcast={"ack": True})
        await b.join("r")
        await c.join("r")
        await a.connection.send(kind3("realtime:r", "bytes", b"\x00\xff", encoding=0))
        await a.until(lambda: "77" in a.replies)
        await a.connection.send(kind3("realtime:r", "jsön", b'{"n":1}', encoding=1))
        found = await b.wait_for("broadcast", 2)
        assert [(p["event"], p["payload"]) for p in found] == [("bytes", b"\x00\xff"), ("jsön", {"n": 1})]
        assert [p["event"] for p in await c.wait_for("broadcast", 1)] == ["jsön"], (
            "1.0.0 has no binary frames"
        )


async def test_rest_broadcasts_in_both_forms(bare_database: Database) -> None:
    async with Server(bare_database) as server, server.client() as a:
        await a.join("r/1")
        body = {"messages": [{"topic": "r/1", "event": "e", "payload": {"n": n}} for n in range(3)]}
        assert (await post(f"{server.http}/api/broadcast?apikey=x&vsn=2.0.0", orjson.dumps(body)))[0] == 202
        url = f"{server.http}/api/broadcast/r%2F1/events/x%20y"
        assert (await post(url, b'{"n":3}'))[0] == 202
        assert (await post(url, b"\x01\x02", "application/octet-stream"))[0] == 202
        found = await a.wait_for("broadcast", 5)
        assert [p["payload"] for p in found] == [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}, b"\x01\x02"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/broadcast", b"{", 422), ("/api/broadcast", b"[]", 422), ("/api/broadcast", b'{"messages":[1]}', 422),
        ("/api/broadcast", b'{"messages":[{"topic":"t","event":"e","payload":1,"private":true}]}', 403),
        ("/api/broadcast/t/events/e?private=true", b"{}", 403), ("/api/broadcast/t/events/e?persist=true", b"{}", 422),
        ("/api/other", b"{}", 404), ("/websocket", b"{}", 426), ("/api/broadcast/t/events/e", b"x" * 3_000_001, 413),
    ],
)  # fmt: skip
async def test_rest_refuses_with_the_reason(
    bare_database: Database, path: str, body: bytes, status: int
) -> None:
    async with Server(bare_database) as server:
        got, answer = await post(server.http + path, body)
        assert (got, bool(answer["error"]), bool(answer["message"])) == (status, True, True)


async def test_presence_of_a_join_a_change_and_a_leave(bare_database: Database) -> None:
    async with Server(bare_database) as server, server.client() as a, server.client() as b:
        await a.join("r", presence={"enabled": True, "key": "ann"})
        assert (await a.wait_for("presence_state"))[0] == {}
        await a.ask("realtime:r", "presence", {"type": "presence", "event": "track", "payload": {"mood": 1}})
        await b.join("r", presence={"enabled": True, "key": "bob"})
        state = (await b.wait_for("presence_state"))[0]
        first = state["ann"]["metas"][0]
        assert first["mood"] == 1
        await a.ask("realtime:r", "presence", {"type": "presence", "event": "track", "payload": {"mood": 2}})
        diff = (await b.wait_for("presence_diff"))[0]
        assert diff["leaves"] == {"ann": {"metas": [first]}}
        assert diff["joins"]["ann"]["metas"][0]["phx_ref_prev"] == first["phx_ref"]
        await a.ask("realtime:r", "presence", {"type": "presence", "event": "untrack"})
        assert (await b.wait_for("presence_diff", 2))[1]["leaves"]["ann"]["metas"][0]["mood"] == 2
        await a.ask("realtime:r", "presence", {"type": "presence", "event": "track", "payload": {"mood": 3}})
        await a.connection.close()
        assert (await b.wait_for("presence_diff", 4))[3]["leaves"]["ann"]["metas"][0]["mood"] == 3


async def test_two_processes_share_broadcasts_presence_and_changes(bare_database: Database) -> None:
    db = bare_database
    await db.execute("create table t (id int primary key)")
    await db.execute("grant select on t to anon")
    await db.execute("alter publication supabase_realtime add table t")
    async with Server(db) as one, one.client() as a, one.client() as watcher:
        await watcher.join(
            "r", presence={"enabled": True}, changes=[{"event": "*", "schema": "public", "table": "t"}]
        )
        await a.join("r", presence={"enabled": True, "key": "ann"})
        await a.ask("realtime:r", "presence", {"type": "presence", "event": "track", "payload": {}})
        async with Server(db) as two, two.client() as b:
            changes = [{"event": "*", "schema": "public", "table": "t"}]
            await b.join("r", presence={"enabled": True, "key": "bob"}, changes=changes)
            await b.until(lambda: "ann" in str(b.events("presence_state")) + str(b.events("presence_diff")))
            await b.ask("realtime:r", "presence", {"type": "presence", "event": "track", "payload": {}})
            await a.until(lambda: "bob" in str([d["joins"] for d in a.events("presence_diff")]))
            await b.send("realtime:r", "broadcast", said("short", {"n": 1}))
            await b.send("realtime:r", "broadcast", said("long", {"text": "é" * 20_000}))
            got = await a.wait_for("broadcast", 2)
            assert [p["event"] for p in got] == ["short", "long"] and len(got[1]["payload"]["text"]) == 20_000
            await db.execute(
                "select realtime.send(jsonb_build_object('t', repeat('x', 20000)), 'db', 'r', false)"
            )
            for client in (a, b):
                await client.until(lambda c=client: any(p["event"] == "db" for p in c.events("broadcast")))
            await db.execute("insert into t values (1)")
            cursors = {(await c.wait_for("postgres_changes"))[0]["data"]["cursor"] for c in (watcher, b)}
            assert len(cursors) == 1, "the same place in the order of changes, whichever process one asks"
        await a.until(lambda: "bob" in str([d["leaves"] for d in a.events("presence_diff")]))


async def test_a_process_that_is_cut_off_leaves_and_comes_back(bare_database: Database) -> None:
    db = bare_database
    async with Server(db) as one, Server(db) as two, one.client() as a, two.client() as b:
        await a.join("r", presence={"enabled": True, "key": "ann"})
        await b.join("r", presence={"enabled": True, "key": "bob"})
        await b.ask("realtime:r", "presence", {"type": "presence", "event": "track", "payload": {}})
        await a.until(lambda: "bob" in str([d["joins"] for d in a.events("presence_diff")]))
        name = f"headgate-realtime-{two.service.bus.node}"
        await db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s", [name]
        )
        await two.service.bus.listening.wait()
        await b.send("realtime:r", "broadcast", said("again", {}))
        await a.until(lambda: any(p["event"] == "again" for p in a.events("broadcast")))
        async with asyncio.timeout(20):
            while "bob" not in one.service.presences.state((False, "r")):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)


async def test_replay_gives_what_was_sent_from_the_database_and_kept(bare_database: Database) -> None:
    db = bare_database
    async with db.connection() as conn:
        await conn.execute(OPEN)
    since = int(time.time() * 1000) - 60_000
    async with Server(db) as server, server.client() as a, server.client() as b:
        for number in range(4):
            await db.execute(
                "select realtime.send(jsonb_build_object('n', %s::int), 'e', 'r', true)", [number]
            )
        user = token(sub=A)
        url = f"{server.http}/api/broadcast/r/events/kept?private=true&persist[ttl]=60"
        assert (await post(url, b'{"n":4}', key=user))[0] == 202
        await a.join("r", token=user, private=True, broadcast={"replay": {"since": since, "limit": 3}})
        got = await a.wait_for("broadcast", 3)
        assert [(p["payload"]["n"], p["meta"]["replayed"]) for p in got] == [(2, True), (3, True), (4, True)]
        late = Broadcast("e", {"n": 2}, meta={"id": got[0]["meta"]["id"]})
        server.service.hub.deliver((True, "r"), late)  # its live copy, told by a slow bus: not told again
        await b.join("r", token=user, private=True, broadcast={"self": True, "ack": True})
        await b.connection.send(kind3("realtime:r", "e", b'{"n":5}', encoding=1, meta=b'{"persist":true}'))
        assert (await b.wait_for("broadcast"))[0]["meta"]["id"]
        assert [p["payload"]["n"] for p in await a.wait_for("broadcast", 4)] == [2, 3, 4, 5]
        assert await db.fetch_value("select count(*) from realtime.messages") == 6
        reply = await b.join("public", broadcast={"replay": {"since": since}})
        assert "replay needs a private channel" in reply["response"]["reason"]


async def test_broadcast_changes_from_a_trigger(bare_database: Database) -> None:
    db = bare_database
    async with db.connection() as conn:
        await conn.execute(OPEN)
        await conn.execute("""create table t (id int primary key, v text);
          create function tell() returns trigger language plpgsql security definer as $$ begin
            perform realtime.broadcast_changes('t:' || coalesce(new.id, old.id), tg_op, tg_op, tg_table_name,
              tg_table_schema, new, old); return null; end $$;
          create trigger tell after insert or update or delete on t for each row execute function tell()""")
    async with Server(db) as server, server.client() as a:
        await a.join("t:1", token=token(sub=A), private=True)
        await db.execute("insert into t values (1, 'a'), (2, 'b')")
        await db.execute("delete from t")
        got = await a.wait_for("broadcast", 2)
        assert got[0]["payload"] == {
            "operation": "INSERT", "schema": "public", "table": "t", "record": {"id": 1, "v": "a"}, "old_record": None
        }  # fmt: skip
        assert (got[1]["event"], got[1]["payload"]["old_record"]) == ("DELETE", {"id": 1, "v": "a"})


# --- bad clients


@pytest.mark.parametrize(
    "message",
    ["", "{", "[]", "[1,2,3]", '["1","2",3,"e",{}]', '["1","2","t","e",[]]', "null", b"", b"\x03", b"\x09abcdefg",
     b"\x03\xff\xff\xff\xff\xff\x01", b"\x03\x01\x01\x01\x01\x00\x01\xff\xfe\xfd\xfc{}",
     b"\x03\x01\x02\x0a\x01\x00\x0112realtime:re{", '["1","2","t","e",' + "[" * 100_000],
)  # fmt: skip
async def test_a_malformed_frame_is_a_clear_close(bare_database: Database, message: str | bytes) -> None:
    async with Server(bare_database) as server, server.client() as a, server.client() as b:
        await b.join("r")
        await a.connection.send(message)
        with pytest.raises(AssertionError, match=r"\(1007, 'Bad message: "):
            await a.until(lambda: False)
        await b.quiet()


@pytest.mark.parametrize(
    ("topic", "payload"),
    [("", {}), ("realtime:", {}), ("other:x", {}), ("realtime:" + "x" * 300, {}), ("realtime:a\0b", {}),
     ("realtime:x", {"config": []}), ("realtime:x", {"config": {"broadcast": 1}}),
     ("realtime:x", {"config": {"presence": {"key": 5}}}), ("realtime:x", {"config": {"postgres_changes": {"a": 1}}}),
     ("realtime:x", {"config": {"private": True, "broadcast": {"replay": {"since": "x"}}}})],
)  # fmt: skip
async def test_a_bad_join_is_refused_and_the_socket_lives(
    bare_database: Database, topic: str, payload: Any
) -> None:
    async with Server(bare_database) as server, server.client() as a:
        reply = await a.ask(topic, "phx_join", payload)
        assert reply["status"] == "error" and reply["response"]["reason"]
        assert (await a.ask("realtime:nowhere", "broadcast", {}))["response"]["reason"] == "unmatched topic"
        await a.quiet()


async def closed(client: Client) -> tuple[int, str]:
    """How the server closed the socket."""
    async with asyncio.timeout(20):
        while client.closed is None:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
    return client.closed


async def test_limits_end_in_clear_words(bare_database: Database) -> None:
    limits = Limits(channels=2, message_bytes=1000, messages_per_s=50, heartbeat_s=0.6)
    async with Server(bare_database, limits=limits) as server:
        async with server.client() as a:
            for name in "ab":
                assert (await a.join(name))["status"] == "ok"
            assert "ChannelRateLimitReached" in (await a.join("c"))["response"]["reason"]
            await a.connection.send("x" * 1001)
            assert (await closed(a))[0] == 1009
        async with server.client() as b:
            for _ in range(80):
                await b.send("phoenix", "heartbeat", {})
            assert (await closed(b)) == (1008, "More than 50 messages a second")
        async with server.client() as c:
            assert (await closed(c)) == (1008, "Nothing was heard for 0.6 s")


async def test_a_subscriber_that_does_not_read_is_closed_and_others_are_served(
    bare_database: Database,
) -> None:
    limits = Limits(queue_messages=100, messages_per_s=100_000)
    async with Server(bare_database, limits=limits) as server, server.client() as a, server.client() as b:
        for client in (a, b):
            await client.join("r", broadcast={"ack": True})
        b.connection.transport.pause_reading()
        for _ in range(600):
            await a.ask("realtime:r", "broadcast", said("e", {"text": "x" * 20_000}))
        b.connection.transport.resume_reading()
        assert (await closed(b)) == (1013, "You read too slowly: the queue of this socket is full")
        await a.quiet()


async def test_realtime_stays_off_where_it_is_told_to(bare_database: Database) -> None:
    async with Server(bare_database, realtime="off") as server:
        status, answer = await post(f"{server.http}/api/broadcast", b"{}")
        assert status == 503 and "HEADGATE_REALTIME" in answer["message"]
