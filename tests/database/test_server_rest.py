"""The whole server serves the REST surface beside its own paths, with the installation's keys and secret."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr

from headgate.base.settings import Settings
from headgate.db import Database
from headgate.db.keys import create_key, ensure_jwt_secret
from headgate.server import Surfaced, create_app
from tests.rest_client import SECRET, Rest


class _Whole:
    """The server in the place of a surface, for the test client."""

    prefix = "/rest/v1"

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


@pytest.fixture
async def server(database: Database, tmp_path: Path) -> AsyncIterator[Rest]:
    await database.execute("create table public.notes (id int primary key, who text)")
    await database.execute("insert into public.notes values (1, 'a'), (2, 'b'), (3, 'c')")
    await database.execute("grant select on public.notes to service_role, authenticated")
    settings = Settings(data_dir=tmp_path, jwt_secret=SecretStr(SECRET), rest_max_rows=2, apps="tickets")
    app = create_app(settings, database)
    assert isinstance(app, Surfaced)
    await app.rest.start()
    yield Rest(cast(Any, _Whole(app)))
    await app.rest.close()


async def test_server_serves_tables_to_keys_of_the_database_by_their_role(
    server: Rest, database: Database
) -> None:
    secret = await create_key(database, name="test", role="service_role")
    public = await create_key(database, name="test", role="anon")
    rows = await server.get("/notes?select=id", apikey=secret, authorization=f"Bearer {secret}")
    assert rows.status == 200 and rows.json() == [{"id": 1}, {"id": 2}]  # rest_max_rows
    refused = await server.get("/notes", apikey=public)
    assert refused.status == 401 and refused.json()["code"] == "42501"
    unknown = await server.get("/notes", apikey="sb_secret_x", authorization="Bearer sb_secret_x")
    assert unknown.status == 401 and unknown.json()["code"] == "PGRST301"


async def test_server_takes_users_tokens_over_the_key(server: Rest, database: Database) -> None:
    public = await create_key(database, name="test", role="anon")
    answer = await server.as_user("authenticated", sub="1").get("/notes?id=eq.1", apikey=public)
    assert answer.json() == [{"id": 1, "who": "a"}]


async def test_server_answers_503_while_keys_cannot_be_looked_up(server: Rest, database: Database) -> None:
    await database.close()
    answer = await server.get("/notes", apikey="sb_secret_unread")
    assert answer.status == 503 and answer.json()["code"] == "PGRST001"


async def test_server_keeps_its_own_paths(server: Rest) -> None:
    app = cast(Any, server.surface)
    app.prefix = ""
    assert (await server.get("/health")).json()["status"] == "up"
    assert (await server.get("/rest/v1x")).status == 404


def test_jwt_secret_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "home" / "jwt_secret"
    first = ensure_jwt_secret(file)
    assert len(first) >= 32 and first == ensure_jwt_secret(file)
    assert file.stat().st_mode & 0o777 == 0o600
