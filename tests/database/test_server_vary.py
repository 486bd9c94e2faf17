"""What answers say that they depend on, over plain HTTP: a cache in between must not give one person's to another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from headgate.db import Database
from tests.auth_server import Auth, running

PAGE = "https://app.example.com"


def varies(reply: httpx.Response) -> set[str]:
    """The names in all Vary headers."""
    lines = [value for name, value in reply.headers.multi_items() if name.lower() == "vary"]
    return {name.strip().lower() for line in lines for name in line.split(",")}


@dataclass
class Served:
    auth: Auth
    origins: str


@pytest.fixture(params=["*", PAGE])
async def served(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> AsyncIterator[Served]:
    """A server that lets pages of any origin, or of one, read its answers; with two objects and a table."""
    async with database.connection() as conn:
        await conn.execute("create table public.things (id int primary key)")
        await conn.execute("grant select on public.things to service_role")
        await conn.execute(
            "insert into storage.buckets (id, name, public) values ('open', 'open', true), ('shut', 'shut', false)"
        )
    async with running(database, tmp_path, cors_origins=request.param) as auth:
        for bucket in ("open", "shut"):
            kept = await auth.http.post(
                f"{auth.url}/storage/v1/object/{bucket}/a.txt",
                content=b"hello",
                headers={"authorization": f"Bearer {auth.service}", "content-type": "text/plain"},
            )
            assert kept.status_code == 200, kept.text
        yield Served(auth, request.param)


async def test_answers_vary_by_what_decides_them(served: Served) -> None:
    auth = served.auth
    key = {"apikey": auth.service, "authorization": f"Bearer {auth.service}"}
    asked = {
        "/auth/v1/settings": (key, {"origin"}),
        "/storage/v1/object/public/open/a.txt": ({}, {"origin"}),
        "/storage/v1/object/authenticated/shut/a.txt": (key, {"origin", "authorization", "apikey"}),
        "/storage/v1/object/shut/a.txt": (key, {"origin", "authorization", "apikey"}),
        # where every origin may read, the answer is the same for each but for the permission itself, as PostgREST's is
        "/rest/v1/things": (
            key,
            {"accept", "prefer", "range"} | ({"origin"} if served.origins != "*" else set()),
        ),
    }
    for path, (headers, least) in asked.items():
        for origin in (None, PAGE, "https://other.example.com"):
            reply = await auth.http.get(
                auth.url + path, headers={**headers, **({"origin": origin} if origin else {})}
            )
            assert reply.status_code == 200, (path, reply.text)
            told = varies(reply)
            assert least <= told, (path, origin, told)
            allowed = reply.headers.get("access-control-allow-origin")
            right = {"*": "*" if origin else None, PAGE: PAGE if origin == PAGE else None}[served.origins]
            assert allowed == right, (path, origin, allowed)
            if "authorization" in least:
                assert "private" in reply.headers["cache-control"] or "no-" in reply.headers["cache-control"]


async def test_private_object_is_refused_to_others_and_the_refusal_is_not_kept(served: Served) -> None:
    auth = served.auth
    path = f"{auth.url}/storage/v1/object/authenticated/shut/a.txt"
    mine = await auth.http.get(path, headers={"authorization": f"Bearer {auth.service}"})
    others = await auth.http.get(path, headers={"authorization": f"Bearer {auth.anon}"})
    assert (mine.status_code, others.status_code) == (200, 400)
    assert {"authorization", "apikey"} <= varies(mine)
    assert "max-age" not in others.headers.get("cache-control", "")
