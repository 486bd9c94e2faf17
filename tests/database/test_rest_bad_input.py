"""Whatever bytes come, the answer is a client error with PostgREST's body, never a 5xx, SQL or a traceback."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.surface.gateway import Surface
from headgate.testing.database import TestCluster
from tests.database.rest_fixture import rest_service
from tests.rest_client import token

WORDS = st.sampled_from(
    ["select", "id", "name", "clients", "tasks", "data", "*", "(", ")", ",", ".", "->", "->>", "::", ":", "!", "inner",
     "...", "eq", "gt", "in", "is", "like", "fts", "cs", "null", "or", "and", "not", "limit", "offset", "order", "desc",
     "=", "&", "1", "-1", "99999999999999999999", "'", '"', "\\", "%", "{}", "\x00", "é", "count()", "sum()", "int",
     "on_conflict", "columns"]
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=12).map("".join) | st.text(max_size=20)
BODIES = st.one_of(
    st.binary(max_size=40),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode()),
)
PATHS = st.sampled_from(
    ["/projects", "/notes", "/rpc/add", "/rpc/find_projects", "/", "/clients"]
) | TEXTS.map("/{}".format)
HEADERS = st.dictionaries(
    st.sampled_from(["prefer", "range", "accept", "content-type", "accept-profile", "content-profile", "cookie",
                     "apikey",
                     "authorization", "x-request-id", "content-length"]),
    TEXTS | st.sampled_from(["return=representation", "count=exact", "text/csv", "resolution=merge-duplicates", "0-5"]),
    max_size=4,
)  # fmt: skip


async def answer(surface: Surface, request: dict[str, Any]) -> tuple[int, bytes]:
    """Status and body of a request given as raw parts."""
    sent = [(k.encode(), v.encode("utf-8", "replace")) for k, v in request["headers"].items()]
    if not any(k == b"authorization" for k, _ in sent):
        sent.append((b"authorization", b"Bearer " + token("service_role").encode()))
    query = request["query"].encode("utf-8", "replace")
    scope = {
        "type": "http", "method": request["method"], "path": "/x", "query_string": query,
        "raw_path": b"/rest/v1" + request["path"].encode("utf-8", "replace"), "headers": sent,
    }  # fmt: skip
    messages: list[Any] = []
    reads = [0]

    async def receive() -> dict[str, Any]:
        reads[0] += 1
        if reads[0] > 1:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": request["body"], "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    await asyncio.wait_for(surface(scope, receive, send), 20)
    return messages[0]["status"], messages[1]["body"]


async def test_random_requests_get_no_server_error(cluster: TestCluster) -> None:
    async with rest_service(cluster, db_aggregates_enabled=True, db_tx_end="rollback") as rest:
        loop = asyncio.get_running_loop()

        @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            request=st.fixed_dictionaries(
                {
                    "method": st.sampled_from(
                        ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "FOO"]
                    ),
                    "path": PATHS,
                    "query": TEXTS,
                    "headers": HEADERS,
                    "body": BODIES,
                }
            )
        )
        def check(request: dict[str, Any]) -> None:
            future = asyncio.run_coroutine_threadsafe(answer(rest.surface, request), loop)
            status, body = future.result(30)
            assert status < 500, (status, body)
            if status >= 400 and body:
                assert set(json.loads(body)) == {"code", "details", "hint", "message"}
            assert b"Traceback" not in body
            assert b"pgrst_source" not in body

        await asyncio.to_thread(check)


@pytest.mark.parametrize(
    ("query", "most_s"),
    [
        ("id=in.(" + ",".join(["1"] * 15_000) + ")", 5),
        ("or=(" + ",".join(["id.eq.1"] * 1500) + ")", 5),
        ("select=" + "clients(projects(" * 20 + "id" + "))" * 20, 10),
        ("or=" + "(and" * 50 + "(id.eq.1,id.eq.2)" + ")" * 100, 5),
        ("select=" + ",".join(["id"] * 3000), 5),
        ("&".join(f"c{i}=eq.1" for i in range(1999)), 5),
    ],
)
async def test_huge_requests_are_answered_in_bounded_time(
    cluster: TestCluster, query: str, most_s: float
) -> None:
    async with rest_service(cluster, statement_timeout_ms=3000) as rest:
        request = {"method": "GET", "path": "/projects", "query": query, "headers": {}, "body": b""}
        async with asyncio.timeout(most_s + 5):
            status, _ = await answer(rest.surface, request)
        assert status < 500
        ok = {"method": "GET", "path": "/projects", "query": "id=eq.1", "headers": {}, "body": b""}
        assert (await answer(rest.surface, ok))[0] == 200
