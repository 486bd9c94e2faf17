"""A bulk file in small chunks by several promoters: strays, doubles, rows that are there, lines that cannot be put."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from headgate.apps.stores.app import app
from headgate.db import Database
from headgate.engine.bulk import ingest_file
from headgate.engine.progress import RunReport
from tests import stores_shop
from tests.database.test_stores_orders_of_arrival import put, state, tables

READ_AT = "2026-01-01T00:00:40Z"


async def ingest(
    db: Database, connection: int, path: Path, lines: list[bytes], *, promoters: int = 3, chunk: int = 2048
) -> tuple[int, RunReport]:
    """The lines as the file of a new bulk operation; its id and what ingesting told."""
    await asyncio.to_thread(path.write_bytes, b"\n".join(lines) + b"\n")
    run = await db.fetch_value(
        "insert into stores.sync_runs (connection_id, kind) values (%s, 'full') returning id", [connection]
    )
    operation = await db.fetch_value(
        "insert into stores.bulk_operations (run_id, connection_id, entity) values (%s, %s, 'orders') returning id",
        [run, connection],
    )
    meta = {"connection_id": connection, "operation_id": operation, "read_at": READ_AT}
    told = await ingest_file(
        db, app, "bulk", path, key=str(operation), promoters=promoters, chunk_bytes=chunk, meta=meta
    )
    return operation, told


def encoded(lines: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(line).encode() for line in lines]


async def two(db: Database) -> tuple[int, int]:
    """Two connections of one brand: one by the way that is known to be right, one by a bulk file."""
    brand = await stores_shop.brand(db, uuid4())
    plain = await stores_shop.connection(db, brand, "plain.myshopify.com")
    return plain, await stores_shop.connection(db, brand, "bulk.myshopify.com")


@pytest.mark.parametrize("seed", range(3))
async def test_a_file_in_any_order_with_doubles_gives_the_tables_of_its_pages(
    database: Database, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(f"bulk {seed}")
    plain, bulk = await two(database)
    numbers = range(1, 41)
    for number in numbers:
        await put(database, plain, state(number, 3), second=40)
    for number in dice.sample(numbers, 12):  # some are there already, older, newer or the same
        await put(database, bulk, state(number, dice.randrange(4)), second=40)
    lines = [line for number in numbers for line in state(number, 3)]
    if seed:  # the order of Shopify's own files once, any other order twice
        dice.shuffle(lines)
    for line in dice.sample([line for line in lines if "id" in line], 25):
        lines.insert(dice.randrange(len(lines)), line)
    operation, told = await ingest(database, bulk, tmp_path / "orders.jsonl", encoded(lines))
    assert (told.seen, told.rejected, told.state) == (len(lines), 0, "succeeded")
    assert await database.fetch_value("select count(*) from stores.orphans") == 0
    assert await tables(database, bulk) == await tables(database, plain)
    assert await database.fetch_value("select count(*) from stores.untied(%s, 9)", [bulk]) == 0
    counted = await database.fetch_one(
        "select lines, roots from stores.bulk_operations where id = %s", [operation]
    )
    assert counted == {"lines": len(lines), "roots": sum("__parentId" not in line for line in lines)}


async def test_the_same_file_again_writes_no_row(database: Database, tmp_path: Path) -> None:
    _, bulk = await two(database)
    lines = encoded([line for number in range(1, 41) for line in state(number, 2)])
    await ingest(database, bulk, tmp_path / "one.jsonl", lines)
    before = await database.fetch_all("select xmin::text, ctid::text from public.shop_sales order by ctid")
    days = await database.fetch_all("select key, since from control.rollup_dirty order by key")
    _, told = await ingest(database, bulk, tmp_path / "two.jsonl", lines)
    assert (told.upserted, told.unchanged) == (0, len(lines))
    assert (
        await database.fetch_all("select xmin::text, ctid::text from public.shop_sales order by ctid")
        == before
    )
    assert await database.fetch_all("select key, since from control.rollup_dirty order by key") == days


async def test_lines_that_cannot_be_put_stand_beside_the_others(database: Database, tmp_path: Path) -> None:
    plain, bulk = await two(database)
    numbers = range(1, 31)
    for number in numbers:
        await put(database, plain, state(number, 1), second=40)
    good = encoded([line for number in numbers for line in state(number, 1)])
    broken = [
        json.dumps(
            {
                "id": f"gid://shopify/Sale/{9000 + n}",
                "totalAmount": {"shopMoney": {"amount": "much"}},
                "__parentId": "gid://shopify/SalesAgreement/10",
            }
        ).encode()
        for n in range(3)
    ] + [b'{"id": "gid://shopify/Nothing/1"}', b'{"id": "gid://shopify/Order/12x"}']
    lines = list(good)
    for at, line in zip((7, 60, 61, 100, 150), broken, strict=True):
        lines.insert(at, line)
    operation, told = await ingest(database, bulk, tmp_path / "orders.jsonl", lines)
    assert (told.seen, told.rejected) == (len(lines), len(broken))
    letters = await database.fetch_all(
        "select line, reason from stores.dead_letters where operation_id = %s order by line", [operation]
    )
    assert [one["line"] for one in letters] == [8, 61, 62, 101, 151]
    assert "no object of a known kind" in letters[3]["reason"]
    assert await tables(database, bulk) == await tables(database, plain)


async def test_a_parent_that_never_comes_keeps_its_children_waiting(
    database: Database, tmp_path: Path
) -> None:
    plain, bulk = await two(database)
    for number in (1, 3):
        await put(database, plain, state(number, 2), second=40)
    lines = encoded(state(1, 2) + state(2, 2)[1:] + state(3, 2))
    operation, _ = await ingest(database, bulk, tmp_path / "orders.jsonl", lines, chunk=512)
    assert await tables(database, bulk) == await tables(database, plain)
    waiting = await database.fetch_all(
        "select parent_kind, count(*) as lines from stores.orphans where operation_id = %s group by 1 order by 1",
        [operation],
    )
    # line item, shipping line and three agreements wait for the order; the sales for their agreements
    assert waiting == [{"parent_kind": "a", "lines": 3}, {"parent_kind": "o", "lines": 5}]
    counted = await database.fetch_value(
        "select orphans from stores.bulk_operations where id = %s", [operation]
    )
    assert counted == 8
    await put(database, plain, state(2, 2), second=41)
    again, _ = await ingest(database, bulk, tmp_path / "late.jsonl", encoded(state(2, 2)[:1]), chunk=512)
    assert again != operation
    assert await database.fetch_value("select count(*) from stores.orphans") == 0
    assert await tables(database, bulk) == await tables(database, plain)


async def test_rows_of_another_connection_are_not_in_the_way(database: Database, tmp_path: Path) -> None:
    plain, bulk = await two(database)
    for number in range(1, 21):
        await put(database, plain, state(number, 3), second=43)
    lines = [line for number in range(1, 21) for line in state(number, 3)]
    await ingest(database, bulk, tmp_path / "orders.jsonl", encoded(lines))
    assert await tables(database, bulk) == await tables(database, plain)
