"""Stores: role × table × verb × {own, another brand's, nobody's, forged}; tokens out of every client's reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import structlog

from headgate.base import log
from headgate.db import Database, errors
from tests import stores_shop as shop

ACCESS = "shpat_0123456789abcdef0123456789abcdef"
VIEWS = (
    "shop_connections",
    "shop_webhooks",
    "shop_privacy_requests",
    "shop_reconciliations",
    "shop_untied_orders",
)
#: Where a brand's rows are known by something else, and a column that an update may try.
KEYS = {
    "stores.connections": ("id = %s", "name"),
    "stores.webhook_inbox": ("%s = any (connection_ids)", "state"),
}
SECRET_TABLES = ("stores.tokens", "stores.oauth_states")


@dataclass
class Two:
    """Two brands with a shop, an owner and rows each."""

    users: tuple[UUID, UUID]
    brands: tuple[UUID, UUID]
    connections: tuple[int, int]


async def two(db: Database) -> Two:
    """A row in every table of a connection, for both brands."""
    users = (shop.someone(), shop.someone())
    brands = (await shop.brand(db, users[0]), await shop.brand(db, users[1], name="Other"))
    made = (
        await shop.connection(db, brands[0], access=ACCESS),
        await shop.connection(db, brands[1], "other.myshopify.com", access=ACCESS),
    )
    for number in made:
        await db.execute(
            "insert into stores.webhook_inbox (topic, shop_domain, event_id, webhook_id, bytes, connection_ids,"
            " payload) values ('orders/create', 'x', %s, %s, 1, %s, '{}')",
            (f"e{number}", f"w{number}", [number]),
        )
        await db.execute(
            "insert into stores.gdpr_requests (connection_id, topic, webhook_id) values (%s, 'shop/redact', 'w')",
            (number,),
        )
    for table in await tables(db):
        for number in made:
            await fill(db, table, number)
    return Two(users, brands, made)


async def tables(db: Database) -> list[str]:
    """Every table with rows of a connection that some client's role may read."""
    rows = await db.fetch_all(
        "select k.place::text as place from stores.kept_tables() k"
        " where has_any_column_privilege('authenticated', k.place, 'select') order by 1"
    )
    return [row["place"] for row in rows]


async def fill(db: Database, table: str, number: int) -> None:
    """A row of the connection, its other columns of whatever their type and checks allow; as a superuser would."""
    columns = await db.fetch_all(
        """select a.attname as name, format_type(a.atttypid, null) as type,
                  (select substring(pg_get_constraintdef(c.oid) from '''([a-z_]+)''::text') from pg_constraint c
                    where c.conrelid = a.attrelid and c.contype = 'c' and c.conkey = array[a.attnum]) as word
             from pg_attribute a where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
              and a.attnotnull and not a.atthasdef and a.attidentity = '' and a.attgenerated = ''
              and a.attname <> 'connection_id'""",
        (table,),
    )
    texts = {"jsonb": "{}", "uuid": str(UUID(int=1)), "date": "2026-01-01", "text": "x", "boolean": "false"}
    given = {
        c["name"]: c["word"]
        or ("2026-01-01" if c["type"].startswith("timestamp") else texts.get(c["type"], str(number)))
        for c in columns
    }
    names = ", ".join(["connection_id", *given])
    slots = ", ".join(["%s"] * (len(given) + 1))
    async with db.transaction() as conn:
        await conn.execute("alter table " + table + " disable trigger user")
        foreign = await (
            await conn.execute(
                "select conname, pg_get_constraintdef(oid) as body from pg_constraint"
                " where conrelid = %s::regclass and contype = 'f'",
                (table,),
            )
        ).fetchall()
        for key in foreign:
            await conn.execute(f"alter table {table} drop constraint {key['conname']}")
        await conn.execute(f"insert into {table} ({names}) values ({slots})", (number, *given.values()))


async def attempt(
    db: Database, claims: Mapping[str, Any], text: str, *params: Any
) -> list[dict[str, Any]] | None:
    """The rows that a caller gets; None when the database refuses."""
    try:
        async with db.as_role(claims) as conn:
            cursor = await conn.execute(text, params)
            return await cursor.fetchall() if cursor.description else []
    except errors.Error as error:
        assert error.sqlstate in ("42501", "22P02"), error
        return None


def callers(world: Two) -> dict[str, Mapping[str, Any]]:
    """Who may try: the owner, the other brand's owner, nobody, and claims that somebody made up."""
    return {
        "own": {"role": "authenticated", "sub": str(world.users[0])},
        "other": {"role": "authenticated", "sub": str(world.users[1])},
        "nobody": {"role": "anon"},
        "null": {"role": "authenticated"},
        "forged brand": {"role": "authenticated", "sub": str(world.brands[0])},
        "forged claims": {
            "role": "authenticated",
            "sub": str(shop.someone()),
            "brand_id": str(world.brands[0]),
            "app_metadata": {"brand_id": str(world.brands[0]), "role": "service_role"},
        },
    }


async def leaks(db: Database, world: Two) -> list[str]:
    """Every way in which somebody reads or changes rows of the first brand who should not."""
    mine = world.connections[0]
    found = []
    reading = {name: f"select 1 from public.{name} where connection_id = %s" for name in VIEWS[2:]}
    reading["shop_connections"] = "select 1 from public.shop_connections where id = %s"
    reading["shop_webhooks"] = "select 1 from public.shop_webhooks where %s = any (connection_ids)"
    reading["stores.webhook_inbox"] = "select id from stores.webhook_inbox where %s = any (connection_ids)"
    reading["stores.connections"] = "select id from stores.connections where id = %s"
    reading |= {table: f"select 1 from {table} where connection_id = %s" for table in await tables(db)}
    for who, claims in callers(world).items():
        for name, text in reading.items():
            rows = await attempt(db, claims, text, mine)
            if (who == "own") != bool(rows):
                found.append(f"{who} reads {name}: {rows}")
        for table in [
            *await tables(db),
            "stores.webhook_inbox",
            "stores.gdpr_requests",
            "stores.connections",
        ]:
            key, column = KEYS.get(table, ("connection_id = %s", "connection_id"))
            if (
                await attempt(db, claims, f"update {table} set {column} = {column} where {key}", mine)
                is not None
            ):
                found.append(f"{who} updates {table}")
            if await attempt(db, claims, f"delete from {table} where {key}", mine) is not None:
                found.append(f"{who} deletes from {table}")
            if await attempt(db, claims, f"insert into {table} default values") is not None:
                found.append(f"{who} inserts into {table}")
    return found


async def test_no_row_of_a_brand_leaks_to_anyone_else(database: Database) -> None:
    world = await two(database)
    assert len(await tables(database)) >= 15
    assert await leaks(database, world) == []


async def test_weakened_policy_is_caught(database: Database) -> None:
    world = await two(database)
    await database.execute("drop policy shop_orders_read on public.shop_orders")
    await database.execute(
        "create policy shop_orders_read on public.shop_orders for select to authenticated using (true)"
    )
    found = await leaks(database, world)
    assert any("other reads" in one and "shop_orders" in one for one in found)


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
async def test_tokens_and_states_are_out_of_reach(database: Database, role: str) -> None:
    world = await two(database)
    claims = {"role": role, "sub": str(world.users[0])}
    for table in SECRET_TABLES:
        for text in (
            f"select * from {table}",
            f"select count(*) from {table}",
            f"update {table} set shop_domain = 'x'",
            f"delete from {table}",
        ):
            assert await attempt(database, claims, text) is None, text
    assert await attempt(database, claims, "select payload from stores.webhook_inbox") is None
    assert await attempt(database, claims, "select stores.redact_shop(%s)", world.connections[0]) is None
    assert await attempt(database, claims, "select stores.take_webhooks('[]')") is None


async def test_status_of_another_brand_is_not_found(database: Database) -> None:
    world = await two(database)
    async with shop.serving(database) as client:
        path = f"/api/sync/{world.brands[0]}/status"
        assert (await client.get(path, headers=shop.bearer(world.users[0]))).status_code == 200
        forged = {"Authorization": f"Bearer {shop.token(world.users[0], secret='y' * 40)}"}
        for headers, status in (
            (shop.bearer(world.users[1]), 404),
            (shop.bearer(shop.someone()), 404),
            ({}, 401),
            (forged, 401),
        ):
            answer = await client.get(path, headers=headers)
            assert answer.status_code == status
            assert "acme" not in answer.text
        for odd in ("1", "null", str(shop.someone()), "%27", "x" * 300):
            assert (
                await client.get(f"/api/sync/{odd}/status", headers=shop.bearer(world.users[0]))
            ).status_code == 404


async def test_no_token_reaches_a_log_or_an_answer(
    database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    log.configure(level="debug", json=True)
    world = await two(database)
    plain = await database.fetch_value("select encode(sealed, 'escape') from stores.tokens limit 1")
    assert ACCESS not in plain
    async with shop.serving(database) as client:
        for path in ("/api/openapi.json", "/rest/v1/", "/rest/v1/shop_connections", "/rest/v1/tokens"):
            answer = await client.get(path, headers=shop.bearer(world.users[0]))
            assert ACCESS not in answer.text and "key_id" not in answer.text, path
        gone = f"/api/stores/connections/{world.connections[0]}/disconnect"
        assert (await client.post(gone, headers=shop.bearer(world.users[0]))).status_code == 200
        begun = await client.post(
            "/api/stores/connect",
            json={"brand_id": str(world.brands[0]), "shop": shop.SHOP},
            headers=shop.bearer(world.users[0]),
        )
        assert shop.CLIENT_SECRET not in begun.text
    out = capfd.readouterr()
    for secret in (ACCESS, shop.CLIENT_SECRET, shop.TOKEN_KEY):
        assert secret not in out.out + out.err
    structlog.reset_defaults()
