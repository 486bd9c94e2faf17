"""Connections, transactions, the caller's role."""

from __future__ import annotations

import asyncio

import pytest

from headgate.base.errors import DatabaseError
from headgate.db import Database, errors
from headgate.testing.database import TestCluster

CLAIMS = {"role": "authenticated", "sub": "6f1c7a52-4d6c-4a0e-9b63-2f0e6a1b2c3d", "email": "a@example.org"}


async def test_owner_of_the_database_is_not_superuser(bare_database: Database) -> None:
    row = await bare_database.fetch_one("select rolsuper, rolname from pg_roles where rolname = current_user")
    assert row == {"rolsuper": False, "rolname": "postgres"}


async def test_as_role_speaks_with_the_claims_of_the_caller(bare_database: Database) -> None:
    async with bare_database.as_role(CLAIMS) as conn:
        cur = await conn.execute(
            "select current_user::text as who, auth.uid()::text as uid, auth.role() as role,"
            " auth.email() as email"
        )
        assert await cur.fetchone() == {
            "who": "authenticated",
            "uid": CLAIMS["sub"],
            "role": "authenticated",
            "email": "a@example.org",
        }


async def test_as_role_refuses_roles_that_are_not_for_requests(bare_database: Database) -> None:
    for role in ("postgres", "supabase_admin", None, 7, "", "anon; reset role"):
        with pytest.raises(DatabaseError) as caught:
            async with bare_database.as_role({"role": role}):
                pass
        assert caught.value.code == "HG210"


async def _nobody(db: Database) -> None:
    """Every pooled connection is the owner again and knows no claims."""
    row = await db.fetch_one(
        "select current_user::text as who, coalesce(current_setting('request.jwt.claims', true),"
        " '') as claims"
    )
    assert row == {"who": "postgres", "claims": ""}


async def test_as_role_leaves_nothing_behind_after_an_error(cluster: TestCluster) -> None:
    async with cluster.database(bare=True, max_size=1) as db:
        with pytest.raises(errors.InsufficientPrivilege):
            async with db.as_role({"role": "anon"}) as conn:
                await conn.execute("create table public.stolen ()")
        await _nobody(db)
        with pytest.raises(RuntimeError):
            async with db.as_role(CLAIMS):
                raise RuntimeError("the handler failed")
        await _nobody(db)


async def test_as_role_leaves_nothing_behind_when_cancelled_at_any_moment(cluster: TestCluster) -> None:
    async with cluster.database(bare=True, max_size=1) as db:

        async def request() -> None:
            async with db.as_role(CLAIMS) as conn:
                await conn.execute("select pg_sleep(0.004)")
                await conn.execute("select pg_sleep(0.004)")

        for step in range(60):
            task = asyncio.create_task(request())
            await asyncio.sleep(step * 0.0003)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await _nobody(db)
