"""Every public method of supabase-py's realtime against a running server; a table of methods at the end."""

from __future__ import annotations

import asyncio
import functools
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from realtime import AsyncRealtimeChannel, AsyncRealtimeClient
from supabase import AsyncClient, acreate_client

URL, ANON, SERVICE = sys.argv[1:4]
#: Inner ones: callbacks of the transport, and what `send_broadcast`, `track` and `subscribe` use themselves.
UNUSED = {"on_close", "on_error", "listen", "send"}
methods: dict[str, list[int]] = {}  # name → calls, passed, failed
inside: set[str] = set()
failures: list[str] = []


def watch(kind: type, prefix: str, names: set[str] | None = None) -> None:
    """Count the calls of a class's public methods."""
    for name, found in list(vars(kind).items()):
        if name.startswith("_") or name in UNUSED or not callable(found) or (names and name not in names):
            continue
        label = f"{prefix}.{name}"
        methods[label] = [0, 0, 0]

        def counted(found: Any = found, label: str = label) -> Any:
            @functools.wraps(found)
            def call(*args: Any, **kwargs: Any) -> Any:
                inside.add(label)
                methods[label][0] += 1
                return found(*args, **kwargs)

            return call

        setattr(kind, name, counted())


async def check(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run one check and book it on the methods that it used."""
    inside.clear()
    passed = True
    try:
        await run()
    except Exception:
        passed = False
        failures.append(name)
        print(f"not ok {name}: {traceback.format_exc()}")
    for used in inside:
        methods[used][1 if passed else 2] += 1
    if passed:
        print(f"ok {name}")


async def until(holds: Callable[[], Any], what: str) -> None:
    """Wait for it, 15 s at most."""
    end = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < end, f"waited in vain for {what}"
        await asyncio.sleep(0.01)


async def subscribed(channel: AsyncRealtimeChannel) -> list[Any]:
    """Subscribe; what was told. Raises what the server said against it."""
    told: list[Any] = []
    await channel.subscribe(lambda status, error: told.append((str(status), error)))
    status, error = told[0]
    if error is not None:
        raise error
    assert "SUBSCRIBED" in status, told
    return told


async def main() -> int:
    watch(AsyncRealtimeClient, "client")
    watch(AsyncRealtimeChannel, "channel")
    watch(AsyncClient, "supabase", {"channel", "get_channels", "remove_channel", "remove_all_channels"})
    admin = await acreate_client(URL, SERVICE)
    one, two = await acreate_client(URL, ANON), await acreate_client(URL, ANON)

    async def connection() -> None:
        client = await acreate_client(URL, ANON)
        await client.realtime.connect()
        assert client.realtime.is_connected
        assert "/realtime/v1/websocket" in client.realtime.endpoint_url()
        await client.realtime.close()
        assert not client.realtime.is_connected

    async def changes() -> None:
        await admin.table("rooms").delete().gte("id", 0).execute()
        got: list[Any] = []
        big: list[Any] = []
        system: list[Any] = []
        channel = one.channel("py-rooms")
        channel.on_postgres_changes("*", got.append, table="rooms", schema="public")
        channel.on_postgres_changes("INSERT", big.append, table="rooms", filter="seats=gt.5", select=["id"])
        channel.on_system(system.append)
        await subscribed(channel)
        await until(lambda: any("Subscribed" in p.message for p in system), "the system message")
        row = {"id": 1, "name": "é", "seats": 5, "tags": ["x", "y z"], "about": {"k": [1]}, "opened_at": None}
        await admin.table("rooms").insert(row).execute()
        await admin.table("rooms").insert({"id": 2, "seats": 6}).execute()
        await admin.table("rooms").update({"seats": 7}).eq("id", 1).execute()
        await admin.table("rooms").delete().eq("id", 1).execute()
        await until(lambda: len(got) == 4 and big, "four events")
        assert [p["data"]["type"] for p in got] == ["INSERT", "INSERT", "UPDATE", "DELETE"]
        assert got[0]["data"]["record"] == row and got[3]["data"]["old_record"] == {"id": 1}
        assert [p["data"]["record"] for p in big] == [{"id": 2}]
        await one.remove_channel(channel)

    async def broadcast() -> None:
        got: list[Any] = []
        a = one.channel("py-talk", {"config": {"broadcast": {"ack": True, "self": True}}})
        b = two.channel("py-talk").on_broadcast("hi", got.append)
        await subscribed(a)
        await subscribed(b)
        assert a.is_joined and not (a.is_closed or a.is_errored or a.is_joining or a.is_leaving)
        await a.send_broadcast("hi", {"n": 1})
        await a.push("broadcast", {"type": "broadcast", "event": "hi", "payload": {"n": 2}})
        await a.http_send("hi", {"n": 3})
        await until(lambda: len(got) == 3, "three messages")
        assert [p["payload"]["n"] for p in got] == [1, 2, 3]
        assert len(one.get_channels()) == len(one.realtime.get_channels()) == 1
        await a.unsubscribe()
        await two.remove_all_channels()
        await one.realtime.remove_all_channels()

    async def private() -> None:
        refused = one.channel("py-closed", {"config": {"private": True}})
        try:
            await subscribed(refused)
        except Exception as error:
            assert "Unauthorized" in str(error)
        else:
            raise AssertionError("a closed channel let in")
        await one.realtime.remove_channel(refused)
        got: list[Any] = []
        since = int(time.time() * 1000) - 60_000
        await admin.rpc("tell_room", {"topic": "private-py", "body": {"n": 1}}).execute()
        config: Any = {"config": {"private": True, "broadcast": {"replay": {"since": since, "limit": 5}}}}
        channel = two.channel("private-py", config).on_broadcast("*", got.append)
        await channel.join()
        await until(lambda: got, "the replay")
        assert (got[0]["payload"], got[0]["meta"]["replayed"]) == ({"n": 1}, True)
        await channel.http_send("live", {"n": 2})
        await until(lambda: len(got) == 2, "a live one")
        await two.remove_all_channels()

    async def presence() -> None:
        seen: list[tuple[Any, ...]] = []
        a = one.channel("py-people", {"config": {"presence": {"key": "ann", "enabled": True}}})
        a.on_presence_sync(lambda: seen.append(("sync",)))
        a.on_presence_join(lambda key, *_: seen.append(("join", key)))
        a.on_presence_leave(lambda key, *_: seen.append(("leave", key)))
        b = two.channel("py-people", {"config": {"presence": {"key": "bob", "enabled": True}}})
        await subscribed(a)
        await subscribed(b)
        await a.track({"mood": "good"})
        await b.track({"mood": "fair"})
        await until(lambda: {"ann", "bob"} <= set(a.presence_state()), "both")
        await b.send_presence("track", {"mood": "better"})
        await until(lambda: a.presence_state()["bob"][0].get("mood") == "better", "the change")
        await b.untrack()
        await until(lambda: "bob" not in a.presence_state(), "bob's leave")
        assert ("sync",) in seen and ("join", "bob") in seen and ("leave", "bob") in seen
        await one.remove_all_channels()
        await two.remove_all_channels()

    async def tokens() -> None:
        got: list[Any] = []
        told: list[Any] = []
        channel = one.channel("py-auth").on_broadcast("e", got.append)
        await channel.subscribe(lambda status, _: told.append(str(status)))
        await one.realtime.set_auth(SERVICE)
        await channel.http_send("e", {})
        await until(lambda: got, "a message after the new token")
        await one.realtime.set_auth("x.y.z")
        await until(
            lambda: any("ERROR" in s or "CLOSED" in s for s in told), "the end of a forged token's channel"
        )
        await one.realtime.set_auth(ANON)
        await one.remove_all_channels()

    for name, run in (
        ("connection", connection), ("postgres_changes", changes), ("broadcast", broadcast), ("private", private),
        ("presence", presence), ("tokens", tokens),
    ):  # fmt: skip
        await check(name, run)
    for client in (one, two, admin):
        await client.realtime.close()
    return report()


def report() -> int:
    """Print the table; the exit code."""
    bad = len(failures)
    width = max(map(len, methods))
    for name, (calls, passed, wrong) in sorted(methods.items()):
        verdict = "FAIL" if wrong else "pass" if passed else "NEVER CALLED"
        bad += not passed
        print(f"{name:{width}}  {calls:4} calls  {verdict}")
    good = sum(1 for _, passed, wrong in methods.values() if passed and not wrong)
    print(f"{good} of {len(methods)} methods pass")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
