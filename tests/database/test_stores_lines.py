"""Lines of a bulk file read in Python give the rows that PostgreSQL reads from the same lines, or are left to it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from headgate.apps.stores import documents
from headgate.apps.stores.app import app
from headgate.apps.stores.lines import parse
from headgate.apps.stores.simulator.options import ShopOptions
from headgate.apps.stores.simulator.projection import Compiler, dump
from headgate.apps.stores.simulator.roots import root_nodes
from headgate.apps.stores.simulator.schema import schema_for
from headgate.apps.stores.simulator.shop import Shop
from headgate.db import Database, errors
from headgate.engine.bulk import ingest_file
from headgate.engine.progress import RunReport
from tests import stores_shop
from tests.database.test_stores_bulk_put import READ_AT
from tests.database.test_stores_orders_of_arrival import TABLES, put, tables

SCOPES = frozenset({"read_orders", "read_all_orders", "read_products", "read_customers"})
AS_JSON = dataclasses.replace(app.source("bulk"), parser=None)
TEXTS = (
    "", "null", "\\N", "\\.", "\\\\N", "Red / XL", 'Lamp 12"', "one\ttwo", "one\ntwo\r\nthree", "back\\slash", "\x01",
    "Früh", "\u2028", "😀", "{braces}", "[brackets]", "],\"transactions\":[{", "\b\f", "a,b", "\x7f", " ",
)  # fmt: skip


def simulated(orders: int) -> list[dict[str, Any]]:
    """The lines of a simulated shop's file of orders, with every kind of sale that the simulator knows."""
    shop = Shop(ShopOptions(seed=3, orders=orders))
    projection = Compiler(schema_for("2026-07"), documents.BULK["orders"]).compile()
    return [line.values for node in root_nodes(shop, projection, SCOPES) for line in projection.lines(node)]


def odd(lines: list[dict[str, Any]], dice: random.Random) -> list[bytes]:
    """The lines with texts and nulls that somebody may have put there, written in one of the ways of JSON."""
    written = []
    for line in lines:
        for name in ("title", "variantTitle", "sku", "vendor", "code", "name", "sourceName", "cancelReason"):
            if name in line and dice.random() < 0.3:
                line[name] = dice.choice(TEXTS)
        if "tags" in line and dice.random() < 0.5:
            line["tags"] = dice.sample(TEXTS, 3)
        for refund in line.get("refunds", ()):
            refund["note"] = dice.choice(TEXTS)
        if "currentQuantity" in line and dice.random() < 0.2:
            line["currentQuantity"] = None
        if "customer" in line and dice.random() < 0.2:
            line["customer"] = None
        match dice.randrange(6):
            case 0:
                written.append(json.dumps(line, separators=(",", ":")).encode())
            case 1:
                written.append(json.dumps(line).encode())
            case _:
                written.append(dump(line).rstrip(b"\n"))
    return written


async def ingest(
    db: Database, path: Path, lines: list[bytes], *, as_json: bool = False, chunk: int = 1 << 16
) -> tuple[int, int, RunReport]:
    """The lines as a bulk file of a new connection: its id, the operation's, and what ingesting told."""
    brand = await stores_shop.brand(db, uuid4())
    connection = await stores_shop.connection(db, brand, f"{uuid4().hex[:12]}.myshopify.com")
    return connection, *await into(db, connection, path, lines, as_json=as_json, chunk=chunk)


async def into(
    db: Database,
    connection: int,
    path: Path,
    lines: list[bytes],
    *,
    as_json: bool = False,
    chunk: int = 1 << 16,
) -> tuple[int, RunReport]:
    """The lines as a bulk file of this connection: the operation's id, and what ingesting told."""
    await asyncio.to_thread(path.write_bytes, b"\n".join(lines) + b"\n")
    run = await db.fetch_value(
        "insert into stores.sync_runs (connection_id, kind) values (%s, 'full') returning id", [connection]
    )
    operation = await db.fetch_value(
        "insert into stores.bulk_operations (run_id, connection_id, entity) values (%s, %s, 'orders') returning id",
        [run, connection],
    )
    meta = {"connection_id": connection, "operation_id": operation, "read_at": READ_AT}
    source = AS_JSON if as_json else app.source("bulk")
    told = await ingest_file(db, app, source, path, key=str(operation), chunk_bytes=chunk, meta=meta)
    return operation, told


async def same(
    db: Database, path: Path, lines: list[bytes], *, chunk: int = 1 << 16
) -> tuple[int, RunReport]:
    """Ingests the lines in both ways and finds the same in every table; the operation that read them in Python."""
    plain, by_json, told = await ingest(db, path, lines, as_json=True, chunk=chunk)
    fast, operation, found = await ingest(db, path, lines, chunk=chunk)
    expected = await tables(db, plain)
    assert await tables(db, fast) == expected
    assert (found.seen, found.upserted, found.rejected) == (told.seen, told.upserted, told.rejected)
    for query in (
        "select lines, roots, rejected, orphans from stores.bulk_operations where id = %s",
        "select line, reason from stores.dead_letters where operation_id = %s order by line",
        "select line, parent_kind, parent_id, doc::text from stores.orphans where operation_id = %s order by line",
        "select kind, shopify_id, order_id, version, day, currency, counted, reason, line, dead, stale"
        " from stores.file_parents where operation_id = %s order by 1, 2",
    ):
        assert await db.fetch_all(query, [operation]) == await db.fetch_all(query, [by_json])
    return operation, found


def test_every_line_that_we_ask_shopify_for_is_read() -> None:
    lines = [dump(line).rstrip(b"\n") for line in simulated(300)]
    parsed = parse(lines, 1)
    assert parsed.lines == len(lines)
    assert not any(parsed.rest)
    tables_read = {name for name, rows in parsed.rows.items() if rows}
    assert len(tables_read) == 7


async def test_a_shop_is_the_same_in_both_ways(database: Database, tmp_path: Path) -> None:
    lines = [dump(line).rstrip(b"\n") for line in simulated(150)]
    _, told = await same(database, tmp_path / "orders.jsonl", lines)
    assert (told.seen, told.upserted, told.rejected) == (len(lines), len(lines), 0)
    empty = {
        table
        for table in TABLES
        if not await database.fetch_value(f"select exists (select from public.{table})")
    }
    assert empty == {"shop_refund_lines"}  # they are asked for in pages


@pytest.mark.parametrize("seed", range(3))
async def test_odd_texts_are_the_same_in_both_ways(database: Database, tmp_path: Path, seed: int) -> None:
    dice = random.Random(f"odd {seed}")
    lines = odd(simulated(60), dice)
    parsed = parse(lines, 1)
    assert 0 < parsed.lines < len(lines)  # some of them read here, some left to PostgreSQL
    for _ in range(10):  # the same object twice, somewhere after the first
        at = dice.randrange(len(lines))
        lines.insert(dice.randrange(at, len(lines)), lines[at])
    await same(database, tmp_path / "orders.jsonl", lines)


async def test_lines_in_any_order_are_the_same_in_both_ways(database: Database, tmp_path: Path) -> None:
    lines = odd(simulated(40), random.Random("odd"))
    random.Random("any").shuffle(lines)
    await same(database, tmp_path / "orders.jsonl", lines, chunk=1 << 14)
    assert await database.fetch_value("select count(*) from stores.orphans") == 0


async def test_what_postgresql_refuses_of_a_line_is_found_and_the_others_are_put(
    database: Database, tmp_path: Path
) -> None:
    lines = [dump(line).rstrip(b"\n") for line in simulated(40)]
    agreements = [at for at, line in enumerate(lines) if b"happenedAt" in line]
    orders = [at for at, line in enumerate(lines) if b"createdAt" in line and b'"refunds":[]' in line]
    # a moment that is none, bytes that are no text, a number too large for its column
    lines[agreements[3]] = lines[agreements[3]].replace(b'"happenedAt":"20', b'"happenedAt":"99-99-20')
    lines[orders[5]] = lines[orders[5]].replace(b'"name":"', b'"name":"\xff')
    amount = lines[agreements[9] + 1].index(b'"amount":"') + 10
    lines[agreements[9] + 1] = (
        lines[agreements[9] + 1][:amount] + b"9" * 200_000 + lines[agreements[9] + 1][amount:]
    )
    assert parse(lines, 1).lines == len(lines)  # they look as they should
    _, told = await same(database, tmp_path / "orders.jsonl", lines)
    assert told.rejected == 3
    assert told.seen == len(lines)


async def test_a_text_longer_than_a_page_is_the_same_in_both_ways(database: Database, tmp_path: Path) -> None:
    dice = random.Random(8)
    lines = simulated(30)
    long = "".join(dice.choices("abcdefghijklmnop", k=20_000))
    items = [line for line in lines if "variantTitle" in line]
    items[4]["title"] = long
    _, told = await same(database, tmp_path / "orders.jsonl", [dump(line).rstrip(b"\n") for line in lines])
    assert (told.rejected, told.seen) == (0, len(lines))
    assert await database.fetch_value("select count(*) from public.shop_line_items where title = %s", [long])


async def test_a_child_whose_parent_never_comes_waits_as_it_came(database: Database, tmp_path: Path) -> None:
    lines = [dump(line).rstrip(b"\n") for line in simulated(40)]
    orders = [at for at, line in enumerate(lines) if b"createdAt" in line]
    del lines[orders[20]]
    operation, _ = await same(database, tmp_path / "orders.jsonl", lines)
    assert await database.fetch_value(
        "select count(*) from stores.orphans where operation_id = %s", [operation]
    ) == (orders[21] - orders[20] - 1)


async def test_a_batch_is_not_promoted_without_the_lines_that_were_read(
    database: Database, tmp_path: Path
) -> None:
    connection, operation, told = await ingest(
        database, tmp_path / "orders.jsonl", [dump(line).rstrip(b"\n") for line in simulated(5)]
    )
    step = await database.fetch_value(
        "select id from control.run_steps where run_id = %s limit 1", [told.run_id]
    )
    meta = json.dumps({"connection_id": connection, "operation_id": operation, "read_at": READ_AT})
    with pytest.raises(errors.DatabaseError) as refused:
        await database.execute("select stores.promote_batch(%s, %s, %s)", [step, told.run_id, meta])
    assert refused.value.sqlstate == "HG503"


async def test_what_was_redacted_of_an_order_does_not_come_back_in_either_way(
    database: Database, tmp_path: Path
) -> None:
    documents = [line for line in simulated(20) if "createdAt" in line]
    taken, other = [line for line in documents if line["customer"]][:2]
    taken["tags"] = other["tags"] = ["vip"]
    person = int(taken["customer"]["id"].split("/")[-1])
    number = int(taken["id"].split("/")[-1])
    lines = [dump(line).rstrip(b"\n") for line in (taken, other)]
    for as_json in (False, True):
        connection, _, _ = await ingest(database, tmp_path / "one.jsonl", lines, as_json=as_json)
        customer = {
            "id": taken["customer"]["id"],
            "tags": ["vip"],
            "locale": "cs",
            "updatedAt": taken["updatedAt"],
        }
        await put(database, connection, [customer], second=40)
        await database.execute("select stores.redact_customer(%s, %s, %s)", [connection, person, [number]])
        for later in (lines, [line.replace(b'"vip"', b'"vip","again"') for line in lines]):
            _, told = await into(database, connection, tmp_path / "two.jsonl", later, as_json=as_json)
            assert told.rejected == 0
            await put(database, connection, [customer], second=41)
            rows = await database.fetch_all(
                "select shopify_id = %s as taken, customer_id, tags from public.shop_orders"
                " where connection_id = %s order by 1 desc",
                [number, connection],
            )
            assert rows[0] == {"taken": True, "customer_id": None, "tags": []}
            assert rows[1]["customer_id"] and "vip" in rows[1]["tags"]
            kept = await database.fetch_one(
                "select locale, tags, redacted from public.shop_customers where connection_id = %s",
                [connection],
            )
            assert kept == {"locale": None, "tags": [], "redacted": True}
