"""The file of the ingest measurement: nested product records as JSON lines, and the same rows ready-made for COPY.

Deterministic: the same number of lines is the same bytes. One line in a hundred repeats an earlier product, newer.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

DDL = """
create table {name} (
    id bigint primary key, sku text not null, title text, amount numeric, currency text, qty int, warehouse text,
    updated_at timestamptz, vendor_id int, vendor text, city text, description text
)
"""
WORDS = [
    "able",
    "amber",
    "basic",
    "copper",
    "delta",
    "early",
    "fabric",
    "glass",
    "hollow",
    "ivory",
    "jade",
    "kettle",
    "linen",
    "maple",
    "north",
    "oak",
]


def product(number: int, turn: int) -> dict[str, object]:
    """One nested record of about 630 bytes."""
    dice = random.Random(number * 7 + turn)
    words = dice.choices(WORDS, k=36)
    return {
        "id": number,
        "sku": f"SKU-{number:08d}",
        "title": " ".join(words[:6]),
        "price": {"amount": f"{dice.randrange(100_000) / 100:.2f}", "currency": "USD"},
        "stock": {"qty": dice.randrange(500), "warehouse": f"w{number % 7}"},
        "updated_at": f"2026-{1 + turn:02d}-{1 + number % 28:02d}T{number % 24:02d}:00:00Z",
        "tags": words[6:10],
        "vendor": {
            "id": number % 500,
            "name": f"Vendor {number % 500}",
            "address": {"city": f"City {number % 90}", "zip": f"{number % 99_999:05d}"},
        },
        "description": " ".join(words[10:]),
        "images": [f"https://cdn.example/p/{number}/{k}.jpg" for k in range(2)],
    }


def write(folder: Path, lines: int) -> tuple[Path, Path]:
    """Write both files for `lines` lines; the paths of the JSON lines and of the rows."""
    raw, ready = folder / "products.jsonl", folder / "products.tsv"
    newest: dict[int, dict[str, object]] = {}
    with raw.open("w", encoding="utf-8") as out:
        for line in range(lines):
            repeated = line % 100 == 99
            number = line - 60 if repeated else line
            row = product(number, 1 if repeated else 0)
            out.write(json.dumps(row) + "\n")
            newest[number] = row
    with ready.open("w", encoding="utf-8") as out:
        for number, row in newest.items():
            out.write("\t".join(columns(number, row)) + "\n")
    return raw, ready


def columns(number: int, row: dict[str, object]) -> list[str]:
    """The record's row in the table, as text."""
    price, stock, vendor = row["price"], row["stock"], row["vendor"]
    assert isinstance(price, dict) and isinstance(stock, dict) and isinstance(vendor, dict)
    return [
        str(number),
        str(row["sku"]),
        str(row["title"]),
        price["amount"],
        price["currency"],
        str(stock["qty"]),
        stock["warehouse"],
        str(row["updated_at"]),
        str(vendor["id"]),
        vendor["name"],
        vendor["address"]["city"],
        str(row["description"]),
    ]
