"""The whole server with a signed-in administrator and user, for tests of the console: real tokens, real requests."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID, uuid4

import bcrypt
import httpx
from joserfc import jwt
from joserfc.jwk import OctKey

from headgate.db import Database
from headgate.surface.auth import users

SECRET = "a secret that only tests know, of 32 bytes"


def token(
    role: str = "authenticated", *, admin: bool = False, user: UUID | None = None, **claims: Any
) -> str:
    """A token of the test server, as its auth service would sign it."""
    meta = {"provider": "email", "providers": ["email"], **({"headgate_role": "admin"} if admin else {})}
    payload = {
        "role": role,
        "aud": "authenticated",
        "sub": str(user or uuid4()),
        "app_metadata": meta,
        "aal": "aal1",
        "exp": int(time.time()) + 3600,
        **claims,
    }
    return jwt.encode({"alg": "HS256"}, payload, OctKey.import_key(SECRET))


async def make_user(db: Database, email: str, *, admin: bool = False, password: str = "") -> UUID:
    """A confirmed account of the auth service's; with a password (bcrypt, cheap) it can sign in."""
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, prefix=b"2a")).decode() if password else ""
    async with db.transaction() as conn:
        row = await users.create(
            conn,
            email=email,
            password_hash=hashed,
            email_confirmed=True,
            app_metadata={"headgate_role": "admin"} if admin else {},
        )
    return UUID(str(row["id"]))


class Desk:
    """Calls the console's functions and views over REST, as supabase-js does."""

    def __init__(self, base: str, bearer: str | None = None) -> None:
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        self._http = httpx.AsyncClient(base_url=base + "/rest/v1", headers=headers, timeout=30)

    async def call(self, name: str, /, **arguments: Any) -> httpx.Response:
        """One function of the schema `console`."""
        return await self._http.post(f"/rpc/{name}", json=arguments, headers={"content-profile": "console"})

    async def answer(self, name: str, /, **arguments: Any) -> Any:
        """Its result; fails the test on an error."""
        reply = await self.call(name, **arguments)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def read(self, view: str, query: str = "") -> httpx.Response:
        """Rows of a view of the schema `console`."""
        return await self._http.get(f"/{view}?{query}", headers={"accept-profile": "console"})
