"""A simulated Shopify in the test's own process, an installed app, and a receiver of its webhooks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import orjson

from headgate.apps.stores.simulator import CLIENT_ID, CLIENT_SECRET, ShopOptions, SimClock, Simulator, running
from headgate.apps.stores.simulator.outlet import Outlet
from tests.serving import on_loopback

SCOPES = "read_orders,read_all_orders,read_products,read_customers,read_inventory"
OPENED = 1_790_000_000


@dataclass
class Desk:
    """A client of one simulated shop."""

    simulator: Simulator
    url: str
    http: httpx.AsyncClient
    token: str = ""
    refresh: str = ""
    version: str = "2026-07"

    @property
    def outlet(self) -> Outlet:
        """The shop."""
        return self.simulator.outlet

    @property
    def shop_url(self) -> str:
        """Where its API is."""
        return f"{self.url}/{self.outlet.shop.domain}"

    async def install(self, *, scopes: str = SCOPES, expiring: bool = True) -> dict[str, Any]:
        """Approve, come back with the code, change it for tokens."""
        asked = {
            "client_id": CLIENT_ID,
            "scope": scopes,
            "redirect_uri": "http://127.0.0.1/back",
            "state": "s1",
        }
        reply = await self.http.get(f"{self.shop_url}/admin/oauth/authorize", params=asked)
        code = dict(parse_qsl(urlsplit(reply.headers["location"]).query))["code"]
        return await self.exchange(code=code, **({"expiring": "1"} if expiring else {}))

    async def exchange(self, **given: str) -> dict[str, Any]:
        """The token endpoint."""
        body = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **given}
        reply = await self.http.post(f"{self.shop_url}/admin/oauth/access_token", json=body)
        found: dict[str, Any] = reply.json()
        if reply.status_code == 200:
            self.token, self.refresh = found["access_token"], found.get("refresh_token", "")
        return found

    async def raw(self, query: str, **variables: Any) -> httpx.Response:
        """One GraphQL request as it comes."""
        return await self.http.post(
            f"{self.shop_url}/admin/api/{self.version}/graphql.json",
            json={"query": query, "variables": variables},
            headers={"x-shopify-access-token": self.token},
        )

    async def ask(self, query: str, **variables: Any) -> Any:
        """The data of a query that must succeed."""
        found = (await self.raw(query, **variables)).json()
        assert "errors" not in found, found["errors"]
        return found["data"]

    async def begin(self, query: str, *, group: bool = False) -> dict[str, Any]:
        """The payload of bulkOperationRunQuery."""
        text = (
            "mutation($q: String!, $g: Boolean!) { bulkOperationRunQuery(query: $q, groupObjects: $g)"
            " { bulkOperation { id status } userErrors { code message } } }"
        )
        found: dict[str, Any] = (await self.ask(text, q=query, g=group))["bulkOperationRunQuery"]
        return found

    async def look(self, id_: str) -> dict[str, Any]:
        """One bulk operation."""
        text = (
            "query($id: ID!) { node(id: $id) { ... on BulkOperation { id status errorCode objectCount rootObjectCount"
            " fileSize url partialDataUrl } } }"
        )
        found: dict[str, Any] = (await self.ask(text, id=id_))["node"]
        return found

    async def bulk(self, query: str, *, group: bool = False) -> dict[str, Any]:
        """Run a bulk operation to its end."""
        payload = await self.begin(query, group=group)
        assert payload["userErrors"] == [], payload
        return await self.wait(payload["bulkOperation"]["id"])

    async def wait(self, id_: str) -> dict[str, Any]:
        """Poll until an operation is over."""
        for _ in range(2000):
            found = await self.look(id_)
            if found["status"] not in ("CREATED", "RUNNING", "CANCELING"):
                return found
            await asyncio.sleep(0.005)
        raise AssertionError("the operation does not end")

    async def lines(self, url: str) -> list[dict[str, Any]]:
        """A result's lines."""
        body = (await self.http.get(url)).content
        return [orjson.loads(line) for line in body.splitlines()]

    def order(self, fault: int | str, **given: Any) -> None:
        """Order a fault, as the control endpoint does."""
        self.simulator.control.order_fault({"fault": fault, **given})


@contextlib.asynccontextmanager
async def shopify(*shops: ShopOptions, clock: SimClock | None = None) -> AsyncIterator[Desk]:
    """A simulator whose clock stands still unless given another, with the app installed on its first shop."""
    made = shops or (ShopOptions(seed=5, orders=120, opened_at=OPENED),)
    simulator = Simulator(made, clock=clock or SimClock(start=float(made[0].opened_at), scale=0.0))
    async with running(simulator) as url, httpx.AsyncClient(timeout=30, verify=False) as http:
        desk = Desk(simulator, url, http)
        await desk.install()
        yield desk


@dataclass
class Receiver:
    """Takes webhooks; answers `status`."""

    status: int = 200
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.seen.append(({k.decode(): v.decode() for k, v in scope["headers"]}, body))
        await send(
            {"type": "http.response.start", "status": self.status, "headers": [(b"content-length", b"0")]}
        )
        await send({"type": "http.response.body", "body": b""})

    def topics(self) -> list[str]:
        """The topics in the order of their coming."""
        return [headers["x-shopify-topic"] for headers, _ in self.seen]

    def bodies(self, topic: str) -> list[dict[str, Any]]:
        """The bodies of one topic."""
        return [orjson.loads(b) for h, b in self.seen if h["x-shopify-topic"] == topic]


@contextlib.asynccontextmanager
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    """A receiver on a free port, and its address."""
    found = Receiver()
    async with on_loopback(found, lifespan="off") as url:
        yield found, f"{url}/hooks"
