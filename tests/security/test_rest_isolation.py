"""Who sees and changes what: role × table × verb × {own, other, null, forged}; and nothing stays on a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from headgate.db.pipeline import Step
from headgate.testing.database import TestCluster
from tests.database.rest_fixture import rest_service
from tests.rest_client import Reply, Rest, token

A = "00000000-0000-0000-0000-00000000000a"
B = "00000000-0000-0000-0000-00000000000b"
ROWS = {"own": 1, "other": 2, "null": 3}
OPEN_TO_ALL = ("clients", "projects", "tasks", "people", "people_tasks", "counters")


@pytest.fixture
async def rest(cluster: TestCluster) -> AsyncIterator[Rest]:
    async with rest_service(cluster, db_pool_size=2) as client:
        yield client


async def attempt(user: Rest, verb: str, row: int) -> Reply:
    """One verb on one note."""
    if verb == "select":
        return await user.get(f"/notes?id=eq.{row}")
    if verb == "update":
        return await user.patch(f"/notes?id=eq.{row}", {"body": "changed"}, Prefer="return=representation")
    return await user.delete(f"/notes?id=eq.{row}", Prefer="return=representation")


def rows(reply: Reply) -> list[Any]:
    """The rows of an answer; an error has none."""
    return reply.json() if reply.status < 300 and reply.body else []


async def leaks(rest: Rest) -> list[str]:
    """Every cell of the matrix that lets somebody at rows that are not theirs, or keeps them from their own."""
    found = []
    user = rest.as_user("authenticated", sub=A)
    for verb in ("select", "update", "delete"):
        for whose, row in ROWS.items():
            got = rows(await attempt(user, verb, row))
            if bool(got) != (whose == "own"):
                found.append(f"authenticated {verb} {whose}")
            if rows(await attempt(rest, verb, row)):
                found.append(f"anon {verb} {whose}")
        await rest.surface.rest.pool.run(
            [[Step(b"delete from public.notes"), Step(b"insert into public.notes (id, owner) overriding system value "
              b"values (1, $1::uuid), (2, $2::uuid), (3, null)", (A.encode(), B.encode()))]]
        )  # fmt: skip
    for whose, owner in (("own", A), ("other", B), ("null", None)):
        reply = await user.post("/notes", {"owner": owner, "body": "new"})
        if (reply.status == 201) != (whose == "own"):
            found.append(f"authenticated insert {whose}")
        if (await rest.post("/notes", {"owner": owner})).status == 201:
            found.append(f"anon insert {whose}")
    moved = await user.patch("/notes?id=eq.1", {"owner": B})
    if moved.status < 300:
        found.append("authenticated update gives away")
    return found


async def test_no_cell_of_the_matrix_leaks(rest: Rest) -> None:
    assert await leaks(rest) == []


@pytest.mark.parametrize(
    ("policy", "cell"),
    [
        ("alter policy own_read on public.notes using (true)", "authenticated select other"),
        ("alter policy own_read on public.notes using (true); alter policy own_update on public.notes using (true) "
             "with check (true)", "authenticated update other"),
        ("alter policy own_insert on public.notes with check (true)", "authenticated insert null"),
        ("create policy oops on public.notes for select to anon using (true); grant select on public.notes to anon",
         "anon select own"),
    ],
)  # fmt: skip
async def test_a_weakened_policy_is_caught(rest: Rest, policy: str, cell: str) -> None:
    await rest.surface.rest.pool.run([[Step(p.encode()) for p in policy.split("; ")]])
    assert any(cell in found for found in await leaks(rest))


def forged() -> list[str]:
    """Tokens that must not be believed."""
    good = token("service_role")
    head, body, signature = good.split(".")
    other = jwt.encode(
        {"alg": "HS256"}, {"role": "service_role"}, OctKey.import_key("another-secret-long-enough-123456")
    )
    none = "eyJhbGciOiJub25lIn0." + body + "."
    return [
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{token('service_role', sub=A).split('.')[1]}.{signature}",
        other,
        none,
        token("service_role", exp=1),
        token("service_role", nbf=4_000_000_000),
        f"{head}.{body}",
        "x.y.z",
        "\x00",
        good + "." + good,
    ]


@pytest.mark.parametrize("bad", forged())
async def test_a_forged_token_is_refused_everywhere(rest: Rest, bad: str) -> None:
    user = Rest(rest.surface, bad)
    for target in ("/notes", "/clients", "/rpc/who", "/"):
        reply = await user.get(target)
        assert (reply.status, reply.json()["code"][:6]) == (401, "PGRST3"), (target, reply.body)


@pytest.mark.parametrize("table", OPEN_TO_ALL)
async def test_anonymous_callers_read_but_never_write(rest: Rest, table: str) -> None:
    assert (await rest.get(f"/{table}")).status == 200
    replies = [
        await rest.post(f"/{table}", {}), await rest.patch(f"/{table}", {"id": 1}), await rest.delete(f"/{table}"),
    ]  # fmt: skip
    assert all(r.status in (400, 401) for r in replies)
    assert rows(await rest.as_user("service_role").get(f"/{table}"))


async def test_a_role_that_the_login_may_not_take_is_refused(rest: Rest) -> None:
    reply = await rest.as_user("no_such_role").get("/clients")
    assert (reply.status, reply.json()["code"]) == (401, "22023")


async def who(rest: Rest) -> str:
    reply = await rest.get("/rpc/who")
    assert reply.status == 200
    return str(reply.json()["role"])


async def test_nothing_of_a_failed_request_reaches_the_next_one(rest: Rest) -> None:
    admin = rest.as_user("service_role", sub=B)
    for _ in range(10):
        failed = await asyncio.gather(
            admin.post("/rpc/fail", {"code": "P0001"}), admin.post("/clients", {"id": 1, "name": "twice"}),
            admin.patch("/tasks", {"name": "X"}, Accept="application/vnd.pgrst.object+json"),
            admin.get("/clients?id=eq.x"),
        )  # fmt: skip
        assert all(r.status >= 400 for r in failed)
        assert await who(rest) == "anon"
        assert (await rest.get("/rpc/who")).json()["claims"] == {"role": "anon"}
        assert rows(await rest.get("/notes")) == []


async def test_nothing_of_a_cancelled_request_reaches_the_next_one(rest: Rest) -> None:
    admin = rest.as_user("service_role", sub=B)
    for turn in range(12):
        calls = [asyncio.create_task(admin.post("/rpc/nap", {"seconds": 5})) for _ in range(2)]
        reads = [asyncio.create_task(admin.get("/notes")) for _ in range(3)]
        await asyncio.sleep(0.01 * (turn % 4))
        for task in (*calls, *reads):
            task.cancel()
        await asyncio.gather(*calls, *reads, return_exceptions=True)
        found = await asyncio.wait_for(asyncio.gather(*(who(rest) for _ in range(4))), 4)
        assert found == ["anon"] * 4
    pool = rest.surface.rest.pool
    left = await pool.run(
        [[Step(b"select current_user = session_user, current_setting('request.jwt.claims', true)")]]
    )
    assert left[0].get_value(0, 0) == b"\x01"
    assert not left[0].get_value(0, 1)


async def test_roles_do_not_mix_among_requests_that_share_connections(rest: Rest) -> None:
    users = [
        rest,
        rest.as_user("authenticated", sub=A),
        rest.as_user("authenticated", sub=B),
        rest.as_user("service_role"),
    ]
    wanted = [set(), {A}, {B}, {A, B, None}]

    async def ask(number: int) -> None:
        for _ in range(25):
            reply = await users[number].get("/notes?select=owner")
            assert {r["owner"] for r in rows(reply)} == wanted[number]

    await asyncio.gather(*(ask(n) for n in range(4) for _ in range(4)))
