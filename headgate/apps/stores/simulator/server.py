"""The simulated Shopify over HTTP: shops by Host header or by path (`/{shop}.myshopify.com/admin/...`), on loopback.

`/_control/...` is for whoever tests: faults, changes, the clock, and the oracle. A plain ASGI application.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
import uvicorn

from headgate.apps.stores.simulator.admin import Admin, Call, throttled
from headgate.apps.stores.simulator.clock import SimClock
from headgate.apps.stores.simulator.control import Control
from headgate.apps.stores.simulator.faults import Faults
from headgate.apps.stores.simulator.files import send_file
from headgate.apps.stores.simulator.options import ShopOptions
from headgate.apps.stores.simulator.outlet import Outlet
from headgate.apps.stores.simulator.schema import VERSIONS
from headgate.apps.stores.simulator.wire import Answer, Cut, document, read_body, send_answer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CLIENT_ID, CLIENT_SECRET = "sim-client", "sim-client-secret"
BAD_TOKEN = "[API] Invalid API key or access token (unrecognized login or wrong password)"  # noqa: S105
HTML = b"<!DOCTYPE html><html><head><title>Something went wrong</title></head><body>Try again.</body></html>"


class Simulator:
    """The ASGI application: one or more shops, one client app, faults on order.

    `apps`: client secrets by client id. `clock`: by default simulated time runs with the machine's.
    """

    def __init__(
        self,
        shops: Sequence[ShopOptions] = (),
        *,
        clock: SimClock | None = None,
        apps: dict[str, str] | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="headgate-shopify-"))
        self.clock = clock or SimClock()
        self.faults = Faults()
        self.apps = apps if apps is not None else {CLIENT_ID: CLIENT_SECRET}
        self.versions = list(VERSIONS)
        self.auto_approve = True
        self.outlets: dict[str, Outlet] = {}
        for options in shops or (ShopOptions(),):
            self.add_shop(options)
        self.admin = Admin()
        self.control = Control(self)
        self.requests: dict[str, int] = {}

    def add_shop(self, options: ShopOptions) -> Outlet:
        """Another shop, by its domain."""
        made = Outlet(options, self.clock, self.faults, apps=self.apps, folder=self.folder)
        self.outlets[options.domain] = made
        return made

    @property
    def outlet(self) -> Outlet:
        """The first shop."""
        return next(iter(self.outlets.values()))

    def start(self) -> None:
        """Begin to deliver webhooks; needs a running event loop."""
        for outlet in self.outlets.values():
            outlet.webhooks.start()

    async def close(self) -> None:
        """Stop everything and remove the files."""
        for outlet in self.outlets.values():
            await outlet.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        self.start()
        try:
            await self._route(scope, receive, send)
        except Cut:  # the answer is lost on its way: headers promise more than comes
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4096")]}
            )
            await send({"type": "http.response.body", "body": b'{"da', "more_body": True})
            raise ConnectionResetError("cut by order") from None

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        path = str(scope["path"])
        if path.startswith("/_bulk/"):
            await self._file(path, headers, send)
            return
        body = await read_body(receive) if scope["method"] in ("POST", "PUT", "DELETE") else b""
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        if path.startswith("/_control/"):
            await send_answer(await self.control.answer(scope["method"], path, query, body), send)
            return
        outlet, rest = self._shop(path, headers.get("host", ""))
        if outlet is None:
            await send_answer(Answer(404, b'{"errors":"Not Found"}'), send)
            return
        base = f"http://{headers.get('host', '127.0.0.1')}"
        await send_answer(
            self._admin(
                outlet, rest, method=scope["method"], query=query, headers=headers, body=body, base=base
            ),
            send,
        )

    def _shop(self, path: str, host: str) -> tuple[Outlet | None, str]:
        first, _, rest = path.lstrip("/").partition("/")
        if first.endswith(".myshopify.com"):
            return self.outlets.get(first), f"/{rest}"
        name = host.partition(":")[0]
        if name.endswith(".myshopify.com"):
            return self.outlets.get(name), path
        return self.outlet, path

    def _admin(
        self,
        outlet: Outlet,
        path: str,
        *,
        method: str,
        query: dict[str, str],
        headers: dict[str, str],
        body: bytes,
        base: str,
    ) -> Answer:
        parts = path.strip("/").split("/")
        match [method, *parts]:
            case ["GET", "admin", "oauth", "authorize"]:
                return self._authorize(outlet, query)
            case ["POST", "admin", "oauth", "grant"]:
                return self._redirect(outlet, dict(parse_qsl(body.decode(), keep_blank_values=True)))
            case ["POST", "admin", "oauth", "access_token"]:
                return self._token(outlet, headers, body)
            case ["POST", "admin", "api", version, "graphql.json"]:
                return self._graphql(outlet, version, headers, body, base)
        return Answer(404, b'{"errors":"Not Found"}')

    # --- oauth ------------------------------------------------------------
    def _authorize(self, outlet: Outlet, query: dict[str, str]) -> Answer:
        if self.auto_approve:
            return self._redirect(outlet, query)
        return Answer(200, outlet.oauth.page(query).encode(), "text/html; charset=utf-8")

    def _redirect(self, outlet: Outlet, query: dict[str, str]) -> Answer:
        if self.faults.take("scope_read_all_orders") is not None:
            outlet.oauth.withheld |= {"read_all_orders"}
        try:
            target = outlet.oauth.approve(query)
        except ValueError as error:
            return Answer(400, str(error).encode(), "text/plain")
        return Answer(302, b"", headers={"location": target})

    def _token(self, outlet: Outlet, headers: dict[str, str], body: bytes) -> Answer:
        if "json" in headers.get("content-type", ""):
            given = document(body)
        else:
            given = dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
        try:
            found = outlet.oauth.exchange(given or {})
        except ValueError as error:
            return Answer(400, orjson.dumps({"error": str(error), "error_description": "See the error."}))
        outlet.webhooks.installed.add(str((given or {}).get("client_id")))
        refreshed = (given or {}).get("grant_type") == "refresh_token"
        if refreshed and self.faults.take("refresh_response_lost") is not None:
            raise Cut
        return Answer(200, orjson.dumps(found))

    # --- graphql ------------------------------------------------------------
    def _graphql(
        self, outlet: Outlet, version: str, headers: dict[str, str], body: bytes, base: str
    ) -> Answer:
        served = self._served(version)
        if served is None:
            return Answer(404, b'{"errors":"Not Found"}')
        if self.faults.take("token_expired") is not None:
            outlet.oauth.expire()
        grant = outlet.oauth.grant(headers.get("x-shopify-access-token"))
        if grant is None:
            return Answer(401, orjson.dumps({"errors": BAD_TOKEN}))
        refused = self._refused(outlet)
        if refused is not None:
            return refused
        given = document(body)
        if given is None:
            return Answer(400, b'{"errors":{"query":"Required parameter missing or invalid"}}')
        call = Call(outlet.shop, served, grant.scopes, outlet.actions, base_url=base, app=grant.app)
        call.deny_all = (
            "bulkOperation" not in str(given.get("query")) and self.faults.take("access_denied") is not None
        )
        found, _ = self.admin.answer(call, given, outlet.bucket)
        if call.cut:
            raise Cut
        self.requests[served] = self.requests.get(served, 0) + 1
        return Answer(200, orjson.dumps(found), headers={"x-shopify-api-version": served})

    def _served(self, version: str) -> str | None:
        retired = self.faults.take("version_retired", version=version) is not None
        if retired and version in self.versions and len(self.versions) > 1:
            self.versions.remove(version)
        if version in self.versions:
            return version
        if version == "unstable":
            return self.versions[-1]
        if len(version) != 7 or version > self.versions[-1] or not version[:4].isdigit():
            return None
        return next(v for v in self.versions if v > version)

    def _refused(self, outlet: Outlet) -> Answer | None:
        if self.faults.take("throttled_200") is not None:
            return Answer(200, orjson.dumps(throttled(10, outlet.bucket)))
        if self.faults.take("throttled_429") is not None:
            return Answer(429, orjson.dumps(throttled(10, outlet.bucket)), headers={"retry-after": "1.0"})
        if (found := self.faults.take("server_error")) is not None:
            return Answer(int(found.get("status", 502)), b"Bad Gateway", "text/plain")
        if self.faults.take("html_body") is not None:
            return Answer(200, HTML, "text/html")
        return None

    async def _file(self, path: str, headers: dict[str, str], send: Send) -> None:
        token = path.removeprefix("/_bulk/").removesuffix(".jsonl")
        for outlet in self.outlets.values():
            operation = outlet.bulk.by_token(token)
            if operation is None or operation.path is None:
                continue
            if outlet.bulk.expired(operation):
                body = b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code></Error>"
                await send_answer(Answer(400, body, "application/xml"), send)
                return
            cut = self.faults.take("download_cut", operation=operation.id)
            await send_file(operation.path, headers.get("range"), send, cut=cut)
            return
        await send_answer(Answer(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml"), send)


def config(simulator: Simulator, **given: Any) -> uvicorn.Config:
    """How the simulator is served: quietly."""
    return uvicorn.Config(simulator, log_level="critical", access_log=False, date_header=False, **given)


async def serve(simulator: Simulator, *, host: str = "127.0.0.1", port: int = 8791) -> None:
    """Serve until cancelled or told to stop by a signal."""
    await uvicorn.Server(config(simulator, host=host, port=port)).serve()


@contextlib.asynccontextmanager
async def running(simulator: Simulator) -> AsyncIterator[str]:
    """Serve in this process on a free port of loopback; gives the base address (`http://127.0.0.1:port`)."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(config(simulator))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has a flag, no event
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()
