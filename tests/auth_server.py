"""The whole server on a loopback port in this process, for tests of the auth service over real HTTP."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from headgate.base.settings import Settings
from headgate.db import Database
from headgate.db.keys import ensure_keys
from headgate.server import create_app
from tests.serving import on_loopback

SECRET = "a secret of these tests that is long enough"
PASSWORD = "correct horse 1"
#: Quick hashes, no waiting between mails, and limits that a test only meets when it asks for them.
QUICK: dict[str, Any] = {
    "auth_bcrypt_cost": 4, "auth_mail_interval_s": 0, "auth_limit_sign_in": 0, "auth_limit_account": 0,
    "auth_limit_refresh": 0, "auth_mails_per_hour": 0, "apps": "tickets", "pool_size": 4,
}  # fmt: skip


@dataclass
class Auth:
    """The auth service of a running server: `post`, `get` … below `/auth/v1`, with the key of anon."""

    url: str
    anon: str
    service: str
    database: Database
    http: httpx.AsyncClient
    settings: Settings
    headers: dict[str, str] = field(default_factory=dict)

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **more: Any
    ) -> httpx.Response:
        """One request; `token` is a user's or a key."""
        headers = {"apikey": self.anon, "authorization": f"Bearer {token or self.anon}", **self.headers}
        headers |= more.pop("headers", {})
        if body is not None:
            more["content"] = json.dumps(body)
            headers.setdefault("content-type", "application/json")
        return await self.http.request(method, f"{self.url}/auth/v1{path}", headers=headers, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """POST."""
        return await self.call("POST", path, body if body is not None else {}, **more)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        """GET."""
        return await self.call("GET", path, **more)

    async def put(self, path: str, body: Any, **more: Any) -> httpx.Response:
        """PUT."""
        return await self.call("PUT", path, body, **more)

    async def sign_up(self, email: str = "a@example.com", password: str = PASSWORD, **more: Any) -> Any:
        """A session of a new user (the server must confirm by itself)."""
        answer = await self.post("/signup", {"email": email, "password": password, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def letters(self, recipient: str | None = None) -> list[dict[str, Any]]:
        """The inbox, newest first."""
        rows = await self.database.fetch_all("select * from control.mail order by id desc")
        return [row for row in rows if recipient is None or row["recipient"] == recipient]

    async def code(self, recipient: str) -> str:
        """The code of the newest letter to this address."""
        found = re.search(r"Code: (\d+)", (await self.letters(recipient))[0]["text"])
        assert found is not None
        return found.group(1)

    async def link(self, recipient: str) -> str:
        """The link of the newest letter to this address."""
        found = re.search(r"http\S+", (await self.letters(recipient))[0]["text"])
        assert found is not None
        return found.group(0)


@contextlib.asynccontextmanager
async def running(database: Database, folder: Path, **settings: Any) -> AsyncIterator[Auth]:
    """Serve on a free port until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    chosen = Settings(
        _env_file=None,
        data_dir=folder,
        port=port,
        **{**QUICK, **settings},  # type: ignore[call-arg]
    )
    keys = await ensure_keys(database, folder / "keys.json")
    async with (
        on_loopback(create_app(chosen, database), port=port) as url,
        httpx.AsyncClient(timeout=30, follow_redirects=False) as http,
    ):
        yield Auth(url, keys["anon"], keys["service_role"], database, http, chosen)


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token, unchecked."""
    header, claims = (
        json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in token.split(".")[:2]
    )
    return header, claims
