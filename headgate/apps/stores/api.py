"""The HTTP API of stores: brands, connecting, webhooks, status, the widget. Holds no SQL and no rule of its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote
from uuid import UUID

from fastapi import APIRouter, FastAPI, Path, Request, Response
from pydantic import BaseModel, Field

from headgate.apps.stores import api_status
from headgate.apps.stores.answers import EnvelopeRoute, Gate, Refusal, answer, not_found, refused
from headgate.apps.stores.connect import Begun, Connecting
from headgate.apps.stores.connect import Q as CONNECT
from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.signing import is_shop, query_is_signed, read_query, shop_of
from headgate.apps.stores.tokens import Tokens
from headgate.apps.stores.webhooks import Inbox
from headgate.apps.stores.wire import Wire
from headgate.base import log
from headgate.base.errors import HeadgateError
from headgate.engine.jobs import enqueue
from headgate.engine.manifest import Services

_log = log.get(__name__)
_COOKIE = "headgate_connect_"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
Number = Annotated[int, Path(ge=1, lt=2**63)]


class NewBrand(BaseModel):
    """A brand to make."""

    name: str = Field(min_length=1, max_length=200)


class NewConnection(BaseModel):
    """A shop to connect to a brand."""

    brand_id: UUID
    shop: str = Field(max_length=200)
    return_to: str = Field(default="", max_length=2000)


class Desk:
    """What the endpoints work with."""

    def __init__(self, services: Services) -> None:
        self.db = services.db
        self.settings = StoresSettings.of(services.settings)
        self.gate = Gate(services)
        self.wire = Wire(self.settings)
        tokens = Tokens(self.db, self.settings, wire=self.wire, data_dir=services.settings.get("data_dir"))
        self.connecting = Connecting(self.db, self.settings, tokens, self.wire)
        self.inbox = Inbox(self.db, self.settings)
        old = self.settings.old_client_secret.get_secret_value()
        self.secrets = [s for s in (self.settings.client_secret.get_secret_value(), old) if s]

    def base_url(self, request: Request) -> str:
        """Our own address as browsers reach it. A Host header is believed on this machine only."""
        if self.settings.public_url:
            return self.settings.public_url.rstrip("/")
        host = request.headers.get("host", "")
        if host.rsplit(":", 1)[0] not in _LOOPBACK:
            raise Refusal(
                503,
                "NOT_CONFIGURED",
                "Set HEADGATE_STORES_PUBLIC_URL to the address that Shopify and browsers reach.",
            )
        return f"http://{host}"


def router(services: Services) -> APIRouter:
    """All endpoints over `services.db`."""
    desk = Desk(services)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await desk.inbox.close()
            await desk.wire.close()

    made = APIRouter(prefix="/api", route_class=EnvelopeRoute, lifespan=lifespan, tags=["stores"])
    _add_webhooks(made, desk)
    _add_brands(made, desk)
    _add_connecting(made, desk)
    api_status.add(made, desk.db, desk.gate)
    return made


def _add_webhooks(made: APIRouter, desk: Desk) -> None:
    @made.post("/stores/webhooks", summary="A webhook of Shopify")
    async def take(request: Request) -> Response:
        """Kept once and acknowledged; 401 unless Shopify signed exactly this body."""
        body = await request.body()
        return answer({"result": await desk.inbox.take(request.headers, body)})


def _add_brands(made: APIRouter, desk: Desk) -> None:
    @made.post("/stores/brands", status_code=201, summary="Make a brand")
    async def make(request: Request, brand: NewBrand) -> Response:
        """The caller becomes its owner."""
        claims = await desk.gate.claims(request)
        params = {"name": brand.name, "user": claims.get("sub")}
        found = await desk.db.fetch_value(CONNECT.make_brand, params)
        return answer({"success": True, "data": {"id": str(found), "name": brand.name}}, 201)

    @made.post("/stores/connections/{number}/disconnect", summary="Let go of a shop")
    async def disconnect(request: Request, number: Number) -> Response:
        """Uninstalls the app there and erases its token; the data stays until Shopify asks for its erasure."""
        await _own(desk, request, number)
        await desk.connecting.disconnect(number)
        return answer({"success": True, "data": {"id": number, "state": "disconnected"}})

    @made.post("/stores/connections/{number}/sync", status_code=202, summary="Sync a shop now")
    async def sync(request: Request, number: Number) -> Response:
        """Adds a full sync to the queue; one that waits or runs already is enough."""
        shop = await _own(desk, request, number)
        async with desk.db.transaction() as conn:
            args = {"connection_id": number}
            await enqueue(
                conn, "stores.recent_sync", args, key=f"stores:{shop}", unique=str(number), priority=20
            )
        return answer({"success": True, "data": {"id": number, "state": "queued"}}, 202)

    @made.post("/stores/connections/{number}/webhooks", status_code=202, summary="Repair subscriptions now")
    async def repair(request: Request, number: Number) -> Response:
        """Adds a look at the shop's webhook subscriptions to the queue."""
        await _own(desk, request, number)
        async with desk.db.transaction() as conn:
            await enqueue(conn, "stores.webhooks_repair", {"connection_id": number}, unique=str(number))
        return answer({"success": True, "data": {"id": number, "state": "queued"}}, 202)

    @made.post("/stores/connections/{number}/reconcile", status_code=202, summary="Compare with Shopify now")
    async def reconcile(request: Request, number: Number) -> Response:
        """Adds a comparison to the queue; one that waits or runs already is enough."""
        await _own(desk, request, number)
        async with desk.db.transaction() as conn:
            args = {"connection_id": number}
            await enqueue(conn, "stores.reconcile", args, unique=str(number), priority=20)
        return answer({"success": True, "data": {"id": number, "state": "queued"}}, 202)


async def _own(desk: Desk, request: Request, number: int) -> str:
    """The shop of a live connection that the caller may manage. Raises Refusal 404 or 403."""
    claims = await desk.gate.claims(request)
    async with desk.db.as_role(claims) as conn:
        row = await (await conn.execute(CONNECT.connection, {"connection": number})).fetchone()
    if row is None:
        raise not_found("connection")
    await desk.connecting.require(claims, row["brand_id"])
    if row["state"] not in ("connected", "error"):
        raise not_found("live connection")
    return str(row["shop_domain"])


def _add_connecting(made: APIRouter, desk: Desk) -> None:
    @made.post("/stores/connect", summary="Begin to connect a shop")
    async def begin(request: Request, wish: NewConnection) -> Response:
        """Where the merchant approves, and a cookie that this browser must bring back. Owners and admins only."""
        begun = await _begin(desk, request, wish, await desk.gate.claims(request))
        made_answer = answer({"success": True, "data": {"url": begun.url}})
        _give_cookie(desk, request, made_answer, begun)
        return made_answer

    @made.post("/stores/begin", include_in_schema=False)
    async def begin_by_form(request: Request) -> Response:
        """The same for a site of another origin: a form sent by the browser itself, so that the cookie is ours."""
        given = dict(parse_qsl((await request.body())[:20_000].decode("ascii", "replace")))
        try:
            wish = NewConnection(
                brand_id=UUID(given.get("brand_id", "")),
                shop=given.get("shop", ""),
                return_to=given.get("return_to", ""),
            )
        except ValueError:
            raise Refusal(400, "VALIDATION_ERROR", "brand_id, shop and access_token are needed.") from None
        begun = await _begin(desk, request, wish, await desk.gate.of(given.get("access_token", "")))
        gone = Response(status_code=303, headers={"Location": begun.url, "Cache-Control": "no-store"})
        _give_cookie(desk, request, gone, begun)
        return gone

    @made.get("/stores/install", summary="A merchant comes from Shopify")
    async def install(request: Request) -> Response:
        """Shopify's signed link to the app: on to the page that connects, with the shop filled in."""
        query = _signed(desk, request)
        return _go(f"/console/#/stores/connect?shop={quote(query['shop'], safe='')}")

    @made.get("/stores/callback", summary="The merchant approved")
    async def callback(request: Request) -> Response:
        """Checks host, hmac and state, exchanges the code, begins the sync, and goes back where it began."""
        try:
            query = _signed(desk, request)
            name = _cookie_name(query.get("state", ""))
            back = await desk.connecting.finish(query, request.cookies.get(name, ""))
        except Refusal as error:
            return _failed(request, error)
        except HeadgateError as error:
            _log.warning("connecting failed", code=error.code, message=error.message)
            return _failed(request, Refusal(502, error.code, error.message))
        gone = _go(back)
        gone.delete_cookie(name, path="/api/stores")
        return gone


async def _begin(desk: Desk, request: Request, wish: NewConnection, claims: Any) -> Begun:
    await desk.connecting.require(claims, wish.brand_id)
    shop = shop_of(wish.shop)
    if shop is None:
        raise Refusal(400, "VALIDATION_ERROR", "shop is not of the form name.myshopify.com.")
    return await desk.connecting.begin(
        brand=wish.brand_id,
        shop=shop,
        user=claims.get("sub"),
        base_url=desk.base_url(request),
        return_to=wish.return_to,
    )


def _signed(desk: Desk, request: Request) -> dict[str, str]:
    """The query of a link that Shopify signed. Raises Refusal 400 for a foreign host, 401 for a bad hmac."""
    query = read_query(request.scope["query_string"])
    if query is None or not is_shop(query.get("shop", "")):
        raise Refusal(400, "VALIDATION_ERROR", "shop is missing or is not a myshopify.com host.")
    if not desk.secrets or not query_is_signed(query, desk.secrets):
        raise Refusal(401, "UNAUTHORIZED", "This link was not signed by Shopify for this app.")
    return query


def _go(place: str) -> Response:
    return Response(
        status_code=303,
        headers={"Location": place, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
    )


def _failed(request: Request, error: Refusal) -> Response:
    """For a browser, the page that connects, which says why; for a program, the envelope."""
    if "text/html" in request.headers.get("accept", ""):
        return _go(f"/console/#/stores/connect?error={quote(error.code, safe='')}")
    return refused(error)


def _cookie_name(state: str) -> str:
    return _COOKIE + "".join(c for c in state[:10] if c.isascii() and c.isalnum())


def _give_cookie(desk: Desk, request: Request, response: Response, begun: Begun) -> None:
    response.set_cookie(
        _cookie_name(begun.state),
        begun.nonce,
        max_age=desk.settings.state_minutes * 60,
        path="/api/stores",
        secure=desk.base_url(request).startswith("https:"),
        httponly=True,
        samesite="lax",
    )
