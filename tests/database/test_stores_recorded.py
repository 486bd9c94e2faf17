"""Captures of live stores ingest without loss, and their ledger ties. Read from beside the clone, else skipped."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest

from headgate.apps.stores.app import app
from headgate.db import Database, Jsonb
from headgate.engine.bulk import ingest_file
from tests import stores_shop

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "stores" / "recorded"
CAPTURES = sorted(RECORDED.glob("estuary/*.json"))
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded captures beside the clone")


async def connected(db: Database) -> int:
    return await stores_shop.connection(db, await stores_shop.brand(db, uuid4()), time_zone="America/Toronto")


def lines_of(capture: Path) -> list[dict[str, object]]:
    """The capture's orders with their lines and ledger, as a bulk file would have them."""
    found = {name.rsplit("/", 1)[-1]: doc for name, doc in json.loads(capture.read_text())}
    order = found["orders"]
    lines = [{k: v for k, v in order.items() if k not in ("lineItems", "shippingLines", "refunds")}]
    lines += order["lineItems"]
    for agreement in found["order_agreements"]["agreements"]:
        lines += [{k: v for k, v in agreement.items() if k != "sales"}, *agreement["sales"]]
    return lines


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
async def test_a_recorded_order_ties_to_its_current_total(database: Database, capture: Path) -> None:
    connection = await connected(database)
    for _ in range(2):
        await database.execute(
            "select stores.apply_objects(%s, %s, now())", [connection, Jsonb(lines_of(capture))]
        )
    row = await database.fetch_one("select * from stores.order_ledgers")
    assert row is not None
    assert row["current_total_price"] == row["ledger"] == Decimal("75.0")
    assert row["presentment_current_total_price"] == row["presentment_ledger"]
    assert await database.fetch_value("select count(*) from public.shop_line_items") == 2
    assert (
        await database.fetch_value("select count(*) from public.shop_sales where line_type = 'GIFT_CARD'")
        == 2
    )


async def test_a_recorded_bulk_file_loses_no_line(database: Database) -> None:
    (path,) = RECORDED.glob("bulk_jsonl/*.jsonl")
    connection = await connected(database)
    meta = {"connection_id": connection, "read_at": "2024-09-01T00:00:00Z"}
    report = await ingest_file(database, app, "bulk", path, meta=meta)
    docs = [json.loads(line) for line in path.read_text().splitlines()]
    assert (report.seen, report.rejected) == (len(docs), 0)
    counts = {
        table: await database.fetch_value(f"select count(*) from public.shop_{table}")
        for table in ("orders", "line_items", "transactions")
    }
    assert counts == {
        "orders": sum("/Order/" in doc["id"] for doc in docs),
        "line_items": sum("/LineItem/" in doc["id"] for doc in docs),
        "transactions": sum(len(doc.get("transactions", ())) for doc in docs),
    }
