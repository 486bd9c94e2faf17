"""A server with its storage service over real HTTP-shaped ASGI, tokens for users, and small files."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import OctKey

from headgate.base.settings import Settings
from headgate.db import Database
from headgate.surface.auth.signing import SigningKeys
from headgate.surface.auth.tokens import Verifier, read_keys
from headgate.surface.callers import Callers
from headgate.surface.services import Door, Shared
from headgate.surface.storage.backends import open_backend
from headgate.surface.storage.depot import Depot
from headgate.surface.storage.service import StorageService
from headgate.surface.storage.sweep import Report

SECRET = "a secret of these tests that is long enough"
A = "00000000-0000-4000-8000-00000000000a"
B = "00000000-0000-4000-8000-00000000000b"
POLICIES = """
create policy own_read on storage.objects for select to authenticated using (owner_id = (select auth.uid()::text));
create policy own_put on storage.objects for insert to authenticated
  with check (owner_id = (select auth.uid()::text) and bucket_id <> 'closed');
create policy own_change on storage.objects for update to authenticated
  using (owner_id = (select auth.uid()::text))
  with check (owner_id = (select auth.uid()::text) and bucket_id <> 'closed');
create policy own_remove on storage.objects for delete to authenticated using (owner_id = (select auth.uid()::text));
"""


def token(role: str = "authenticated", secret: str = SECRET, **claims: Any) -> str:
    """A token that the service under test accepts, unless the claims or the secret say otherwise."""
    payload = {"role": role, "exp": int(time.time()) + 86_400, **claims}
    return jwt.encode({"alg": "HS256"}, payload, OctKey.import_key(secret))


class Client:
    """Requests below /storage/v1 as one caller."""

    def __init__(self, http: httpx.AsyncClient, service: StorageService, bearer: str | None) -> None:
        self.http = http
        self.service = service
        self.bearer = bearer

    def as_user(self, user: str = A, role: str = "authenticated", **claims: Any) -> Client:
        """The same service for somebody else."""
        return Client(self.http, self.service, token(role, sub=user, **claims))

    def with_bearer(self, bearer: str | None) -> Client:
        """The same service with another bearer, or none."""
        return Client(self.http, self.service, bearer)

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request."""
        headers = {"authorization": f"Bearer {self.bearer}"} if self.bearer else {}
        headers |= options.pop("headers", None) or {}
        return await self.http.request(method, f"/storage/v1/{path}", headers=headers, **options)

    async def put(self, path: str, body: bytes = b"hello", **headers: str) -> httpx.Response:
        """Upload raw bytes; header names with underscores for dashes."""
        named = {"content-type": "text/plain", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return await self.send("POST", f"object/{path}", content=body, headers=named)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Download."""
        return await self.send(
            "GET", f"object/{path}", headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    async def bucket(self, name: str, **options: Any) -> None:
        """Make a bucket as the administrator."""
        reply = await self.with_bearer(token("service_role")).send(
            "POST", "bucket", json={"id": name, "name": name, **options}
        )
        assert reply.status_code == 200, reply.text

    async def swept(self, grace_s: float = 0) -> Report:
        """A whole sweep, after any that is on its way."""
        assert self.service.sweeper is not None
        for _ in range(1200):
            if (report := await self.service.sweeper.sweep(grace_s)) is not None:
                return report
            await asyncio.sleep(0.05)
        raise AssertionError("another sweep never ended")

    async def cut_off(
        self, method: str, path: str, headers: dict[str, str], pieces: list[bytes]
    ) -> int | None:
        """Send the beginning of a body, then break the connection; the status of an answer, if there was one."""
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages.append({"type": "http.disconnect"})
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0) if len(messages) > 1 else messages[0]

        async def send(message: Any) -> None:
            sent.append(message)

        named = {"authorization": f"Bearer {self.bearer}", **headers}
        scope = {
            "type": "http",
            "method": method,
            "path": f"/storage/v1/{path}",
            "query_string": b"",
            "headers": [(k.encode(), v.encode()) for k, v in named.items()],
        }
        await self.service(scope, receive, send)
        return sent[0]["status"] if sent else None

    async def settled(self) -> None:
        """Return when all bytes to be removed are gone, whoever removes them."""
        assert self.service.sweeper is not None and self.service.depot is not None
        for _ in range(1200):
            await self.service.sweeper.remove_all()
            if not await self.service.depot.db.fetch_value("select count(*) from storage_internal.removals"):
                return
            await asyncio.sleep(0.02)
        raise AssertionError("some bytes are never removed")


def settings_for(folder: Path, **changes: Any) -> Settings:
    """Settings with everything below `folder`."""
    return Settings(_env_file=None, data_dir=folder, **changes)  # type: ignore[call-arg]


def service_over(database: Database, folder: Path, **changes: Any) -> StorageService:
    """The service, not yet started."""
    keys = read_keys(SECRET, is_base64=False)
    verifier = Verifier(keys, anon_role="anon", audience=None, role_path="$.role", cache_max=100)

    async def role_of(key: str) -> str | None:
        return {"sb_publishable_test": "anon", "sb_secret_test": "service_role"}.get(key)

    shared = Shared(
        settings=settings_for(folder, **changes),
        db=database,
        callers=Callers(verifier, role_of),
        secret=SECRET,
        keys=SigningKeys(database, SECRET, own_secret=False),
        functions={},
    )
    return StorageService(shared)


def depot_over(database: Database, folder: Path) -> Depot:
    """What the endpoints share, without a server."""
    service = service_over(database, folder)
    shared = service._shared
    backend = open_backend(shared.settings)
    return Depot(shared.settings, database, shared.callers, secret=SECRET, backend=backend)


@contextlib.asynccontextmanager
async def storage(database: Database, folder: Path, **changes: Any) -> AsyncIterator[Client]:
    """The service behind its door, as the administrator."""
    service = service_over(database, folder, **changes)
    door = Door({"/storage/v1": service}, origins=("*",))
    await door.start()
    try:
        transport = httpx.ASGITransport(app=door)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=30) as http:
            yield Client(http, service, token("service_role"))
    finally:
        await door.close()


def kept_files(folder: Path) -> set[str]:
    """The versions whose bytes are in the folder backend."""
    return {file.name for file in (folder / "storage" / "objects").rglob("*") if file.is_file()}


async def named_versions(database: Database) -> set[str]:
    """The versions that objects name."""
    return {row["version"] for row in await database.fetch_all("select version from storage.objects")}
