"""Settings kept in the database, the schema cache that follows DDL, API keys, and role settings."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from pathlib import Path

from headgate.db.connect import connect
from headgate.db.pipeline import Step
from headgate.surface.rest.settings import RestSettings
from headgate.testing.database import TestCluster
from tests.database.rest_fixture import rest_service
from tests.rest_client import Reply, Rest

REFERENCE = Path(__file__).resolve().parents[2] / "docs/reference/rest.md"


async def run(rest: Rest, *statements: str) -> None:
    """SQL as the owner."""
    for text in statements:
        await rest.surface.rest.pool.run([[Step(text.encode())]])


async def administer(cluster: TestCluster, rest: Rest, text: str) -> None:
    """SQL as the server's superuser; `{login}` is the role that the surface connects as."""
    found = await rest.surface.rest.pool.run([[Step(b"select current_user, current_database()")]])
    login, name = ((found[0].get_value(0, i) or b"").decode() for i in (0, 1))
    async with await connect(cluster.server.admin_url(name)) as conn:
        await conn.execute(
            text.format(login=f'"{login}" in database "{name}"', database=f'in database "{name}"')
        )


async def until(rest: Rest, target: str, status: int) -> Reply:
    """Ask until the status is that, 5 s at most."""
    for _ in range(100):
        reply = await rest.get(target)
        if reply.status == status:
            return reply
        await asyncio.sleep(0.05)
    raise AssertionError((reply.status, reply.body))


async def test_ddl_and_notifications_have_the_catalog_read_again(cluster: TestCluster) -> None:
    async with rest_service(cluster, db_channel_enabled=True) as rest:
        assert (await rest.get("/later")).status == 404
        await asyncio.sleep(0.3)
        await run(rest, "create table public.later (id int)", "grant select on public.later to anon")
        await run(rest, "notify pgrst, 'reload schema'")
        await until(rest, "/later", 200)
        await run(rest, "drop table public.later", "notify pgrst")
        await until(rest, "/later", 404)


async def test_settings_of_the_login_role_apply_after_a_reload(cluster: TestCluster) -> None:
    async with rest_service(cluster) as rest:
        assert len((await rest.get("/clients")).json()) == 3
        await administer(cluster, rest, "alter role {login} set pgrst.db_max_rows = '2'")
        await rest.surface.rest.reload()
        assert len((await rest.get("/clients")).json()) == 2
        await administer(cluster, rest, "alter role {login} reset all")


async def test_settings_of_a_role_hold_for_its_requests(cluster: TestCluster) -> None:
    async with rest_service(cluster) as rest:
        await administer(cluster, rest, "alter role service_role {database} set statement_timeout = '100ms'")
        await rest.surface.rest.reload()
        reply = await rest.as_user("service_role").post("/rpc/nap", {"seconds": 3})
        assert reply.json()["code"] == "57014"
        assert (
            await rest.as_user("authenticated").post("/rpc/nap", {"seconds": 0.2})
        ).json() == "authenticated"


async def test_api_keys_stand_for_roles_and_a_token_outranks_them(cluster: TestCluster) -> None:
    keys = {"sb_publishable_x": "anon", "sb_secret_x": "service_role"}

    async def role_of(key: str) -> str | None:
        return keys.get(key)

    async with rest_service(cluster, api_key_required=True) as rest:
        rest.surface.resolve_key = role_of

        async def role(**headers: str) -> str:
            reply = await rest.get("/rpc/who", **headers)
            return str(reply.json()["role"]) if reply.status == 200 else str(reply.status)

        assert await role() == "401"
        assert await role(apikey="sb_publishable_x") == "anon"
        assert await role(apikey="sb_secret_x", Authorization="Bearer sb_secret_x") == "service_role"
        assert await role(apikey="sb_secret_wrong") == "401"
        user = f"Bearer {rest.as_user('authenticated').bearer}"
        assert await role(apikey="sb_secret_x", Authorization=user) == "authenticated"


async def test_several_schemas_are_chosen_by_profile(cluster: TestCluster) -> None:
    async with rest_service(cluster) as rest:
        await run(
            rest, "create schema other", "create table other.clients (x int)", "insert into other.clients values (7)",
            "grant usage on schema other to anon", "grant select on other.clients to anon",
        )  # fmt: skip
        await administer(cluster, rest, "alter role {login} set pgrst.db_schemas = 'public, other'")
        await rest.surface.rest.reload()
        found = await rest.get("/clients", Accept_Profile="other")
        assert (found.json(), found.headers["content-profile"]) == ([{"x": 7}], "other")
        assert (await rest.get("/clients", Accept_Profile="secret")).json()["code"] == "PGRST106"
        await administer(cluster, rest, "alter role {login} reset all")


def test_every_setting_is_documented() -> None:
    page = REFERENCE.read_text()
    internal = {"db_uri", "api_keys", "app_settings", "db_config", "db_pre_config"}
    named = {f.name.replace("_", "-") for f in fields(RestSettings) if f.name not in internal}
    shown = page.replace("`db-pool`", "`db-pool-size`")
    assert [name for name in sorted(named) if f"`{name}`" not in shown] == []
