"""Brands, users, signed webhooks and a running server for tests of the stores application."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx
import orjson
from joserfc import jwt
from joserfc.jwk import OctKey

from headgate.apps.stores.app import app
from headgate.apps.stores.sealing import Sealer
from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.signing import sign_body
from headgate.apps.stores.tokens import Grant, Tokens
from headgate.base.settings import Settings
from headgate.db import Database
from headgate.db.keys import create_key
from headgate.server import create_app
from tests.serving import on_loopback

JWT_SECRET = "a secret that only tests know, of 32 bytes"
CLIENT_ID = "test-client"
CLIENT_SECRET = "test-client-secret"
TOKEN_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
SHOP = "acme.myshopify.com"
_numbers = itertools.count(1)


def settings(**given: Any) -> StoresSettings:
    """Settings of a Shopify app that tests made up."""
    values = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "token_key": TOKEN_KEY,
        "public_url": "",
        "simulator_url": "",
        **given,
    }
    return StoresSettings(_env_file=None, **values)  # type: ignore[call-arg]


def extras(**given: Any) -> dict[str, Any]:
    """The settings as the server and jobs are handed them."""
    made = settings(**given)
    return {name: getattr(made, name) for name in StoresSettings.model_fields}


def token(user: UUID | str, *, role: str = "authenticated", secret: str = JWT_SECRET, **claims: Any) -> str:
    """A user's access token, good for an hour."""
    body = {"sub": str(user), "role": role, "aud": "authenticated", "exp": int(time.time()) + 3600, **claims}
    return jwt.encode({"alg": "HS256"}, body, OctKey.import_key(secret))


def bearer(user: UUID) -> dict[str, str]:
    """The header of a signed-in user."""
    return {"Authorization": f"Bearer {token(user)}"}


async def brand(db: Database, owner: UUID, *, role: str = "owner", name: str = "Acme") -> UUID:
    """A brand with one member."""
    made: UUID = await db.fetch_value("insert into stores.brands (name) values (%s) returning id", (name,))
    await db.execute("insert into stores.brand_members values (%s, %s, %s)", (made, owner, role))
    return made


async def connection(
    db: Database,
    of: UUID,
    shop: str = SHOP,
    *,
    state: str = "connected",
    access: str | None = None,
    **columns: Any,
) -> int:
    """A connection as `connect` leaves it; with `access`, a token that never expires."""
    values = {
        "brand_id": of,
        "shop_domain": shop,
        "state": state,
        "api_version": "2026-07",
        "scopes": ["read_orders", "read_all_orders", "read_products", "read_customers", "read_inventory"],
        "currency": "USD",
        **columns,
    }
    slots = ", ".join(f"%({name})s" for name in values)
    made: int = await db.fetch_value(
        f"insert into stores.connections ({', '.join(values)}) values ({slots}) returning id", values
    )
    if access is not None:
        grant = Grant(access=access, refresh=None, scopes=(), expires_s=None, refresh_expires_s=None)
        async with db.transaction() as conn:
            await Tokens(db, settings()).keep(conn, shop, grant)
    return made


async def stored_token(db: Database, shop: str = SHOP) -> dict[str, Any] | None:
    """What is sealed for a shop, in clear."""
    row = await db.fetch_one("select * from stores.tokens where shop_domain = %s", (shop,))
    return Sealer.of(settings()).open(row["sealed"], shop, row["key_id"]) if row else None


@dataclass
class Delivery:
    """One webhook as Shopify would send it; every part may be spoilt."""

    topic: str
    payload: Mapping[str, Any]
    shop: str = SHOP
    secret: str = CLIENT_SECRET
    event: str = field(default_factory=lambda: f"event-{next(_numbers)}")
    webhook: str = field(default_factory=lambda: f"webhook-{next(_numbers)}")
    triggered_at: str = "2026-07-01T10:00:00.123456789Z"

    @property
    def body(self) -> bytes:
        """The raw body, with escaped slashes, as Shopify writes it."""
        return json.dumps(self.payload).replace("/", "\\/").encode()

    def headers(self, body: bytes | None = None) -> dict[str, str]:
        """The headers that go with a body."""
        return {
            "Content-Type": "application/json",
            "X-Shopify-Topic": self.topic,
            "X-Shopify-Shop-Domain": self.shop,
            "X-Shopify-Hmac-Sha256": sign_body(self.body if body is None else body, self.secret),
            "X-Shopify-Event-Id": self.event,
            "X-Shopify-Webhook-Id": self.webhook,
            "X-Shopify-Triggered-At": self.triggered_at,
            "X-Shopify-Api-Version": "2026-07",
        }

    async def send(self, client: httpx.AsyncClient) -> httpx.Response:
        """Deliver it."""
        return await client.post("/api/stores/webhooks", content=self.body, headers=self.headers())


def signed(query: Mapping[str, str], secret: str = CLIENT_SECRET) -> str:
    """A query with Shopify's hmac."""
    message = "&".join(f"{name}={query[name]}" for name in sorted(query))
    digest = hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()
    return urlencode({**query, "hmac": digest})


@contextlib.asynccontextmanager
async def serving(
    db: Database, process: Mapping[str, Any] | None = None, *, key: str | None = None, **given: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """The whole server with the stores application on a free loopback port, and a client of it.

    `process`: settings of the server; `key`: its publishable key, by default a new one; the rest are the application's.
    """
    server_app = create_app(
        Settings(_env_file=None, **{"jwt_secret": JWT_SECRET, **(process or {})}),  # type: ignore[call-arg]
        db,
        apps=[app],
        extras=extras(**given),
        publishable_key=key or await create_key(db, name="test", role="anon"),
    )
    async with on_loopback(server_app) as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
        yield client


def decoded(answer: httpx.Response) -> Any:
    """The JSON of an answer."""
    return orjson.loads(answer.content)


def someone() -> UUID:
    """A new user's id."""
    return uuid4()
