"""Reads: filters, embeds, order, ranges, counts, media types, errors with hints."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from headgate.testing.database import TestCluster
from tests.database.rest_fixture import rest_service
from tests.rest_client import Rest


@pytest.fixture
async def rest(cluster: TestCluster) -> AsyncIterator[Rest]:
    async with rest_service(cluster, db_aggregates_enabled=True, db_plan_enabled=True) as client:
        yield client


FILTERS = [
    ("id=eq.1", [1]), ("id=neq.1", [2, 3, 4]), ("id=gt.2", [3, 4]), ("id=gte.3", [3, 4]), ("id=lt.2", [1]),
    ("id=lte.2", [1, 2]), ("name=like.Windows*", [1, 2]), ("name=ilike.*OS", [3]), ("name=match.^W", [1, 2]),
    ("name=imatch.^ios$", [3]), ("id=in.(1,3)", [1, 3]), ("id=not.in.(1,3)", [2, 4]), ("client_id=is.null", [4]),
    ("client_id=not.is.null", [1, 2, 3]), ("client_id=is.not_null", [1, 2, 3]), ("client_id=isdistinct.1", [3, 4]),
    ("name=fts.windows", [1, 2]), ("name=wfts(english).windows", [1, 2]), ("id=eq(any).{1,2}", [1, 2]),

    ("name=like(all).{W*,*7}", [1]), ("data->os->>bits=eq.64", [2]), ("data->tags=cs.[\"a\"]", [3]),
    ("or=(id.eq.1,id.eq.4)", [1, 4]), ("not.or=(id.eq.1,id.eq.4)", [2, 3]),
    ("and=(id.gt.1,or(id.eq.2,name.eq.IOS))", [2, 3]),
    ("id=eq.1&name=eq.IOS", []), ("id=in.()", []),
]  # fmt: skip


@pytest.mark.parametrize(("query", "ids"), FILTERS)
async def test_filter(rest: Rest, query: str, ids: list[int]) -> None:
    reply = await rest.get(f"/projects?select=id&order=id&{query}")
    assert reply.status == 200, reply.body
    assert [row["id"] for row in reply.json()] == ids


async def test_reads_that_differ_in_their_values_alone_are_told_apart(rest: Rest) -> None:
    for number in (1, 2, 3, 1, 99):
        reply = await rest.get(f"/projects?select=id&id=eq.{number}&name=neq.a:{number}")
        assert [row["id"] for row in reply.json()] == [number] * (number < 99)
        assert reply.headers["content-location"].endswith(f"id=eq.{number}&name=neq.a%3A{number}&select=id")
        assert (await rest.get(f"/rpc/add?a={number}&b=eq.1")).json()["code"] == "42703"
        assert (await rest.get(f"/rpc/add?a={number}&b=2")).json() == number + 2
        limited = await rest.get(f"/projects?select=id&order=id&id=gte.0&limit={number % 9}")
        assert len(limited.json()) == min(number % 9, 4)
        odd = await rest.get(f"/projects?select=id&name=eq.a=eq.{number}")
        assert (odd.status, odd.json()) == (200, [])


async def test_embeds_of_every_relationship(rest: Rest) -> None:
    reply = await rest.get(
        "/projects?id=eq.1&select=name,clients(name),tasks(id,people(name)),project_cost,first:first_task(name)"
        "&tasks.order=id&tasks.people.order=name"
    )
    assert reply.json() == [
        {
            "name": "Windows 7",
            "clients": {"name": "Microsoft"},
            "tasks": [
                {"id": 1, "people": [{"name": "Ada"}]},
                {"id": 2, "people": [{"name": "Ada"}, {"name": "Ben"}]},
            ],
            "project_cost": 200,
            "first": {"name": "Design"},
        }
    ]
    view = await rest.get("/open_tasks?select=name,projects(name)&order=id")
    assert view.json()[0] == {"name": "Code", "projects": {"name": "Windows 7"}}
    boss = await rest.get(
        "/people?select=name,boss:boss_id(name),staff:people(name)&id=eq.1&staff.order=name"
    )
    assert boss.json() == [{"name": "Ada", "boss": None, "staff": [{"name": "Ben"}, {"name": "Cy"}]}]


async def test_inner_joins_spreads_null_filters_and_orders_by_an_embed(rest: Rest) -> None:
    inner = await rest.get("/clients?select=name,projects!inner(name)&projects.name=eq.IOS")
    assert inner.json() == [{"name": "Apple", "projects": [{"name": "IOS"}]}]
    spread = await rest.get("/projects?select=name,...clients(client:name)&id=eq.3")
    assert spread.json() == [{"name": "IOS", "client": "Apple"}]
    many = await rest.get("/clients?select=name,...projects(names:name)&id=eq.1&projects.order=name.desc")
    assert many.json() == [{"name": "Microsoft", "names": ["Windows 7", "Windows 10"]}]
    lonely = await rest.get("/clients?select=name,projects()&projects=is.null")
    assert lonely.json() == [{"name": "Nobody"}]
    ordered = await rest.get(
        "/projects?select=id,clients(name)&client_id=not.is.null&order=clients(name).desc,id.desc"
    )
    assert [r["id"] for r in ordered.json()] == [2, 1, 3]


async def test_aggregates_group_by_the_other_columns(rest: Rest) -> None:
    reply = await rest.get("/projects?select=client_id,total:budget.sum(),count()&order=client_id")
    assert reply.json()[0] == {"client_id": 1, "total": 300.50, "count": 2}


async def test_ranges_and_counts(rest: Rest) -> None:
    reply = await rest.get("/projects?select=id&order=id&limit=2&offset=1", Prefer="count=exact")
    assert (reply.status, reply.headers["content-range"]) == (206, "1-2/4")
    assert [r["id"] for r in reply.json()] == [2, 3]
    ranged = await rest.get("/projects?select=id&order=id", Range="0-0")
    assert (ranged.status, ranged.headers["content-range"], len(ranged.json())) == (200, "0-0/*", 1)
    beyond = await rest.get("/projects?offset=100", Prefer="count=exact")
    assert (beyond.status, beyond.json()["code"]) == (416, "PGRST103")
    planned = await rest.get("/projects?select=id", Prefer="count=planned")
    assert planned.headers["content-range"].startswith("0-3/")
    head = await rest.send("HEAD", "/projects", headers={"Prefer": "count=exact"})
    assert (head.status, head.headers["content-range"], head.body) == (200, "0-3/4", b"")


async def test_media_types(rest: Rest) -> None:
    csv = await rest.get("/clients?order=id&limit=2", Accept="text/csv")
    assert csv.body == b"id,name\n1,Microsoft\n2,Apple"
    single = await rest.get("/clients?id=eq.1", Accept="application/vnd.pgrst.object+json")
    assert single.json() == {"id": 1, "name": "Microsoft"}
    several = await rest.get("/clients", Accept="application/vnd.pgrst.object+json")
    assert (several.status, several.json()["code"], several.json()["details"]) == (
        406, "PGRST116", "The result contains 3 rows",
    )  # fmt: skip
    stripped = await rest.get("/projects?id=eq.4", Accept="application/vnd.pgrst.array+json;nulls=stripped")
    assert set(stripped.json()[0]) == {"id", "name", "data", "made_at"}
    plan = await rest.get("/clients?id=eq.1", Accept="application/vnd.pgrst.plan+json")
    assert plan.json()[0]["Plan"]["Node Type"]
    assert (await rest.get("/clients", Accept="image/png")).json()["code"] == "PGRST107"


ERRORS = [
    ("/client", 404, "PGRST205", "Perhaps you meant the table 'public.clients'"),
    ("/projects?select=client(name)", 400, "PGRST200", "Perhaps you meant 'clients' instead of 'client'."),
    ("/projects?nope=eq.1", 400, "42703", None),
    ("/projects?id=wat.1", 400, "PGRST100", None),
    ("/projects?id=eq.abc", 400, "22P02", None),
    (
        "/projects?tasks.id=eq.1",
        400,
        "PGRST108",
        "Verify that 'tasks' is included in the 'select' query parameter.",
    ),
    ("/rpc/ad?a=1", 404, "PGRST202", None),
    ("/rpc/add?aa=1", 404, "PGRST202", "Perhaps you meant to call the function public.add(a, b)"),
    ("/a/b/c", 404, "PGRST125", None),
    ("/projects?limit=-1", 416, "PGRST103", None),
    ("/projects?select=id,sum(id)", 400, "PGRST200", None),
]


@pytest.mark.parametrize(("target", "status", "code", "hint"), ERRORS)
async def test_errors_have_postgrests_code_and_hint(
    rest: Rest, target: str, status: int, code: str, hint: str | None
) -> None:
    reply = await rest.get(target)
    body = reply.json()
    assert (reply.status, body["code"]) == (status, code), body
    assert set(body) == {"code", "details", "hint", "message"}
    assert hint is None or body["hint"] == hint
    assert "SELECT" not in body["message"]


async def test_an_error_never_shows_sql_and_text_with_sql_is_text(rest: Rest) -> None:
    evil = "'; drop table public.clients; --"
    assert (await rest.get(f"/clients?name=eq.{evil}")).json() == []
    assert (await rest.get(f'/clients?select="{evil}"')).status == 400
    assert len((await rest.get("/clients")).json()) == 3


async def test_max_rows_caps_every_level(cluster: TestCluster) -> None:
    async with rest_service(cluster, db_max_rows=1) as rest:
        reply = await rest.get(
            "/clients?select=id,projects(id)&order=id&limit=5&projects.limit=9&projects.order=id"
        )
        assert reply.json() == [{"id": 1, "projects": [{"id": 1}]}]


async def test_catalog_is_read_again_when_told(cluster: TestCluster) -> None:
    async with rest_service(cluster) as rest:
        pool = rest.surface.rest.pool
        from headgate.db.pipeline import Step

        await pool.run(
            [[Step(b"create table public.fresh (id int)"), Step(b"grant select on public.fresh to anon")]]
        )
        assert (await rest.get("/fresh")).json()["code"] == "PGRST205"
        await rest.surface.rest.reload()
        assert (await rest.get("/fresh")).json() == []
        assert (await rest.get("/fresh")).json() == []
        await pool.run([[Step(b"alter table public.fresh add column more text")]])
        assert (await rest.get("/fresh?select=*")).status == 200


async def test_root_describes_what_the_role_may_use(rest: Rest) -> None:
    anonymous = (await rest.get("/")).json()
    assert "/projects" in anonymous["paths"]
    assert "/notes" not in anonymous["paths"]
    known = (await rest.as_user("authenticated").get("/")).json()
    assert "/notes" in known["paths"]
    assert known["definitions"]["projects"]["properties"]["client_id"]["description"].endswith(
        "<fk table='clients' column='id'/>"
    )
