"""Writes and calls: inserts, upserts, updates, deletes, functions, preferences, transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from headgate.testing.database import TestCluster
from tests.database.rest_fixture import rest_service
from tests.rest_client import Rest

REPRESENT = "return=representation"


@pytest.fixture
async def rest(cluster: TestCluster) -> AsyncIterator[Rest]:
    async with rest_service(cluster, db_tx_end="commit-allow-override") as client:
        yield client.as_user("service_role")


async def test_insert_returns_what_is_asked_for(rest: Rest) -> None:
    assert (await rest.post("/clients", {"id": 10, "name": "Ten"})).status == 201
    located = await rest.post("/clients", {"id": 11, "name": "x"}, Prefer="return=headers-only")
    assert (located.status, located.headers["location"]) == (201, "/clients?id=eq.11")
    embedded = await rest.post(
        "/projects?select=id,clients(name)", {"id": 9, "name": "p", "client_id": 10}, Prefer=REPRESENT
    )
    assert embedded.json() == [{"id": 9, "clients": {"name": "Ten"}}]


async def test_bulk_insert_columns_and_defaults(rest: Rest) -> None:
    rows = [{"label": "x"}, {"label": "y", "hits": 7}]
    assert (await rest.post("/counters", rows)).json()["message"] == "All object keys must match"
    chosen = await rest.post(
        "/counters?columns=label,hits&select=label,hits", rows, Prefer=f"missing=default, {REPRESENT}"
    )
    assert chosen.json() == [{"label": "x", "hits": 1}, {"label": "y", "hits": 7}]
    csv = await rest.send(
        "POST", "/clients?select=id,name", data=b"id,name\n20,a\n21,NULL2",
        headers={"Content-Type": "text/csv", "Prefer": REPRESENT},
    )  # fmt: skip
    assert csv.json() == [{"id": 20, "name": "a"}, {"id": 21, "name": "NULL2"}]
    assert (await rest.post("/clients", {"id": 1, "nope": 2})).json()["code"] == "PGRST204"


async def test_inserts_that_differ_in_their_body_alone_are_read_apart(rest: Rest) -> None:
    target = "/counters?select=label,hits"

    async def made(body: object) -> object:
        return (await rest.post(target, body, Prefer=REPRESENT)).json()

    for turn in "pqr":
        assert await made({"label": f"{turn}1", "hits": 1}) == [{"label": f"{turn}1", "hits": 1}]
        assert await made({"label": f"{turn}2"}) == [{"label": f"{turn}2", "hits": 1}]
        rows = [{"label": f"{turn}3", "hits": 3}, {"label": f"{turn}4", "hits": 4}]
        assert await made(rows) == rows
        assert await made(b" " * 100 + rows[0]["label"].join(['{"label": "x', '"}']).encode()) == [
            {"label": f"x{turn}3", "hits": 1}
        ]
        refused = await rest.post(target, {"label": f"{turn}5", "nope": 1}, Prefer=REPRESENT)
        assert refused.json()["code"] == "PGRST204"
        assert (await rest.post(target, b"{", Prefer=REPRESENT)).json()["code"] == "PGRST102"
        quiet = await rest.post(target, {"label": f"{turn}6", "hits": 1})
        assert (quiet.status, quiet.body) == (201, b"")


async def test_upsert_merges_or_ignores(rest: Rest) -> None:
    merge = f"resolution=merge-duplicates, {REPRESENT}"
    merged = await rest.post(
        "/counters?on_conflict=label&select=label,hits", [{"label": "a", "hits": 50}], Prefer=merge
    )
    assert (merged.status, merged.json()) == (200, [{"label": "a", "hits": 50}])
    ignored = await rest.post(
        "/counters?on_conflict=label",
        [{"label": "a", "hits": 1}],
        Prefer=f"resolution=ignore-duplicates, {REPRESENT}",
    )
    assert (ignored.status, ignored.json()) == (201, [])
    put = await rest.send(
        "PUT", "/clients?id=eq.1", data={"id": 1, "name": "MS"}, headers={"Prefer": REPRESENT}
    )
    assert (put.status, put.json()) == (200, [{"id": 1, "name": "MS"}])
    wrong = await rest.send("PUT", "/clients?id=eq.1", data={"id": 2, "name": "MS"})
    assert (wrong.status, wrong.json()["code"]) == (400, "PGRST115")
    assert (await rest.get("/clients?id=eq.2")).json()[0]["name"] == "Apple"


async def test_update_and_delete(rest: Rest) -> None:
    changed = await rest.patch(
        "/tasks?project_id=eq.1&select=id", {"done": True}, Prefer=f"{REPRESENT}, count=exact"
    )
    assert (changed.headers["content-range"], [r["id"] for r in changed.json()]) == ("0-1/2", [1, 2])
    assert (await rest.patch("/tasks?id=eq.99", {"done": True})).status == 204
    await rest.delete("/people_tasks?task_id=eq.3")
    gone = await rest.delete("/tasks?id=eq.3&select=name", Prefer=REPRESENT)
    assert gone.json() == [{"name": "Design"}]


async def test_a_result_of_the_wrong_size_changes_nothing(rest: Rest) -> None:
    one = "application/vnd.pgrst.object+json"
    refused = await rest.patch("/tasks?project_id=eq.1", {"name": "X"}, Accept=one, Prefer=REPRESENT)
    assert refused.json()["code"] == "PGRST116"
    limited = await rest.patch(
        "/tasks?project_id=eq.1", {"name": "X"}, Prefer="handling=strict, max-affected=1"
    )
    assert limited.json()["code"] == "PGRST124"
    assert (await rest.get("/tasks?name=eq.X")).json() == []


async def test_transactions_end_as_preferred(rest: Rest) -> None:
    undone = await rest.post("/clients", {"id": 30, "name": "y"}, Prefer=f"tx=rollback, {REPRESENT}")
    assert (undone.status, undone.json()) == (201, [{"id": 30, "name": "y"}])
    assert undone.headers["preference-applied"] == "return=representation, tx=rollback"
    assert (await rest.get("/clients?id=eq.30")).json() == []


async def test_constraint_errors_carry_the_sqlstate(rest: Rest) -> None:
    duplicate = await rest.post("/clients", {"id": 1, "name": "again"})
    assert (duplicate.status, duplicate.json()["code"]) == (409, "23505")
    missing = await rest.post("/projects", {"id": 50, "name": "x", "client_id": 77})
    assert (missing.status, missing.json()["code"]) == (409, "23503")
    assert (await rest.post("/clients", {"id": 60})).json()["code"] == "23502"


CALLS = [
    ("GET", "/rpc/add?a=1&b=2", None, 3), ("GET", "/rpc/add?a=1", None, 11), ("POST", "/rpc/add", {"a": 5, "b": 5}, 10),
    ("GET", "/rpc/greet?names=a&names=b", None, "hello a and b"), ("POST", "/rpc/greet", {"names": ["x"]}, "hello x"),
    ("GET", "/rpc/find_projects?lowest=150&select=id,clients(name)&order=id", None,
     [{"id": 2, "clients": {"name": "Microsoft"}}, {"id": 3, "clients": {"name": "Apple"}}]),
    ("POST", "/rpc/shout", {"x": 1}, {"got": {"x": 1}}),
    ("POST", "/rpc/new_client", {"new_id": 70, "new_name": "n"}, {"id": 70, "name": "n"}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "data", "expected"), CALLS)
async def test_call(rest: Rest, method: str, target: str, data: object, expected: object) -> None:
    reply = await rest.send(method, target, data=data)
    assert (reply.status, reply.json()) == (200, expected)


async def test_get_runs_read_only(rest: Rest) -> None:
    assert (await rest.get("/rpc/who")).json()["read_only"] == "on"
    refused = await rest.get("/rpc/new_client?new_id=80&new_name=n")
    assert (refused.status, refused.json()["code"]) == (405, "25006")


async def test_functions_say_their_own_errors(rest: Rest) -> None:
    assert (await rest.post("/rpc/fail", {"code": "PT402"})).status == 402
    reply = await rest.post("/rpc/fail", {"code": "P0001"})
    assert (reply.status, reply.json()["hint"]) == (400, "do not ask")
    teapot = await rest.post("/rpc/teapot", {})
    assert (teapot.status, teapot.headers["x-handle"], teapot.json()["code"]) == (418, "yes", "T1")


async def test_options_lists_the_verbs(rest: Rest) -> None:
    assert (await rest.send("OPTIONS", "/clients")).headers[
        "allow"
    ] == "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE"
    assert (await rest.send("OPTIONS", "/rpc/new_client")).status in (200, 404)
    preflight = await rest.send(
        "OPTIONS", "/clients", headers={"Origin": "http://x.test", "Access-Control-Request-Method": "POST"}
    )
    assert preflight.headers["access-control-allow-origin"] == "*"


async def test_a_long_body_is_refused_before_it_is_read(cluster: TestCluster) -> None:
    async with rest_service(cluster, max_body_bytes=100) as rest:
        reply = await rest.as_user("service_role").post("/clients", [{"id": 1, "name": "x" * 200}])
        assert reply.status == 413
