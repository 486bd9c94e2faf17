"""schemathesis reads the surface's own OpenAPI document and may not find a request that gets a 5xx."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from headgate.testing.database import TestCluster
from tests.database.rest_fixture import rest_service
from tests.rest_client import Rest, token


def as_text(value: Any) -> str:
    """A generated parameter as a header or query string carries it."""
    return value if isinstance(value, str) else str(value)


async def call(rest: Rest, case: Any) -> int:
    """Send what schemathesis made, straight into the surface."""
    path = case.path
    for name, value in (case.path_parameters or {}).items():
        path = path.replace(f"{{{name}}}", as_text(value))
    query = urlencode({k: as_text(v) for k, v in (case.query or {}).items()})
    headers = {k: as_text(v).replace("\n", " ").replace("\r", " ") for k, v in (case.headers or {}).items()}
    body = case.body if isinstance(case.body, (dict, list, str, int, float)) else None
    target = f"{path}?{query}" if query else path
    reply = await Rest(rest.surface, token("service_role")).send(
        case.method, target, headers=headers, data=body
    )
    assert reply.status < 500, (case.method, target, body, reply.status, reply.body)
    return reply.status


async def test_no_documented_request_gets_a_server_error(cluster: TestCluster) -> None:
    async with rest_service(cluster, db_tx_end="rollback") as rest:
        document = (await rest.as_user("service_role").get("/")).json()
        # Functions of the test schema that fail or wait by design are left out.
        paths = {
            p: v for p, v in document["paths"].items() if p not in ("/rpc/fail", "/rpc/nap", "/rpc/teapot")
        }
        schema = schemathesis.openapi.from_dict({**document, "paths": paths})
        loop = asyncio.get_running_loop()
        operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
        assert len(operations) > 20
        for operation in operations:
            cases: st.SearchStrategy[Any] = operation.as_strategy()

            @settings(
                max_examples=12, deadline=None, database=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=cases)
            def check(case: Any) -> None:
                asyncio.run_coroutine_threadsafe(call(rest, case), loop).result(30)

            await asyncio.to_thread(check)
