"""Connections, transactions, the caller's role."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from headgate.base.errors import DatabaseError
from headgate.db import Database, errors
from headgate.db.connect import connect
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


async def test_transaction_commits_whole_or_not_at_all(bare_database: Database) -> None:
    await bare_database.execute("create table t (n int primary key)")
    with pytest.raises(errors.UniqueViolation):
        async with bare_database.transaction() as conn:
            await conn.execute("insert into t values (1)")
            await conn.execute("insert into t values (1)")
    assert await bare_database.fetch_all("select * from t") == []
    async with bare_database.transaction() as conn:
        await conn.execute("insert into t values (1)")
    assert await bare_database.fetch_value("select n from t") == 1
    assert await bare_database.fetch_one("select n from t where n > %s", [1]) is None
    assert await bare_database.execute("update t set n = n + 1") == 1


async def test_connections_that_died_while_idle_are_replaced_unnoticed(cluster: TestCluster) -> None:
    async with cluster.database(bare=True, max_size=3) as db:
        await asyncio.gather(*(db.fetch_value("select pg_sleep(0.05)") for _ in range(3)))
        async with await connect(cluster.server.admin_url("postgres")) as admin:
            await admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
                [db.url.split("/")[3].split("?")[0]],
            )
        await asyncio.sleep(0.05)
        found = await asyncio.gather(*(db.fetch_value("select 1") for _ in range(6)))
        assert found == [1] * 6


async def test_listen_hears_and_says_when_it_may_have_missed_something(bare_database: Database) -> None:
    ready, heard = asyncio.Event(), []

    async def hear() -> None:
        async for note in bare_database.listen("news", "other", ready=ready):
            heard.append((note.channel, note.payload, note.gap))  # noqa: PERF401 - watched while it grows

    task = asyncio.create_task(hear())
    await ready.wait()
    await bare_database.execute("select pg_notify('news', 'one')")
    ready.clear()
    await _until(lambda: len(heard) == 1)
    await bare_database.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'headgate listen'"
        " and datname = current_database() and usename = current_user"
    )
    await asyncio.wait_for(ready.wait(), 10)
    await bare_database.execute("select pg_notify('other', 'two')")
    await _until(lambda: len(heard) == 4)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert heard == [("news", "one", False), ("news", "", True), ("other", "", True), ("other", "two", False)]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition is the database's
            await asyncio.sleep(0.01)


async def test_pool_that_is_used_up_says_so(cluster: TestCluster) -> None:
    async with cluster.database(bare=True) as other:
        async with await Database.open(other.url, max_size=1, timeout_s=0.2) as db, db.connection():
            with pytest.raises(DatabaseError) as caught:
                await db.fetch_value("select 1")
        assert caught.value.code == "HG206"


async def test_refusals_name_the_place_and_keep_the_password(cluster: TestCluster) -> None:
    url = cluster.server.url("nowhere")
    with pytest.raises(DatabaseError, match='database "nowhere" as "postgres"') as caught:
        await Database.open(url)
    assert caught.value.code == "HG203"
    with pytest.raises(DatabaseError, match=r'database "shop" as "me" at 127\.0\.0\.1:1') as caught:
        await Database.open("postgresql://me:s3cret@127.0.0.1:1/shop")
    assert caught.value.code == "HG201"
    assert "s3cret" not in str(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)


async def test_without_prepared_statements_nothing_is_prepared(bare_database: Database) -> None:
    async with await Database.open(bare_database.url + "&prepare=off", max_size=1) as db:
        for _ in range(8):
            await db.fetch_value("select %s::int", [1])
        assert await db.fetch_value("select count(*) from pg_prepared_statements") == 0


async def test_as_role_needs_the_role_to_be_granted(cluster: TestCluster) -> None:
    async with cluster.database(bare=True) as db:
        async with await connect(cluster.server.admin_url("postgres")) as admin:
            await admin.execute("create role lonely login")
        try:
            async with await Database.open(db.url.replace("postgres@", "lonely@")) as theirs:
                with pytest.raises(DatabaseError) as caught:
                    async with theirs.as_role({"role": "anon"}):
                        pass
                assert caught.value.code == "HG210"
        finally:
            async with await connect(cluster.server.admin_url("postgres")) as admin:
                await admin.execute("drop role lonely")


async def test_as_role_settings_end_with_the_transaction(cluster: TestCluster) -> None:
    async with cluster.database(bare=True, max_size=1) as db:
        extra = {"request.method": "GET", "role": "postgres", "statement_timeout": "1234"}
        async with db.as_role({"role": "anon"}, settings=extra) as conn:
            row = await (
                await conn.execute(
                    "select current_user::text as who, current_setting('request.method') as method,"
                    " current_setting('statement_timeout') as patience"
                )
            ).fetchone()
            assert row == {"who": "anon", "method": "GET", "patience": "1234ms"}
        await _nobody(db)
        assert await db.fetch_value("show statement_timeout") == "0"


async def test_as_role_survives_a_storm_of_cancellations(cluster: TestCluster) -> None:
    chance = random.Random(7)
    async with cluster.database(bare=True, max_size=3) as db:

        async def request() -> None:
            async with db.as_role(CLAIMS) as conn:
                for _ in range(2):
                    await conn.execute("select pg_sleep(%s)", [chance.random() * 0.004])

        async def given_up() -> None:
            task = asyncio.create_task(request())
            for _ in range(chance.choice([1, 1, 2, 3])):
                await asyncio.sleep(chance.random() * 0.012)
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        for _ in range(15):
            await asyncio.gather(*(given_up() for _ in range(10)))
            await asyncio.gather(*(_nobody(db) for _ in range(3)))


async def test_waiting_counts_callers_without_a_connection(cluster: TestCluster) -> None:
    async with cluster.database(bare=True) as clone, await Database.open(clone.url, max_size=1) as db:
        assert db.waiting == 0
        async with db.connection():
            asking = asyncio.create_task(db.fetch_value("select 1"))
            await asyncio.sleep(0.05)
            assert db.waiting == 1
        assert await asking == 1
        assert db.waiting == 0
