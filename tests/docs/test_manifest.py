"""The reference of manifest and runs says what the code has: fields, states, tables; its example builds and runs."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from headgate.db import Database
from headgate.engine import manifest
from headgate.engine.manifest import Page
from headgate.engine.rollup import refresh
from headgate.engine.runs import run_source

DOCS = Path(__file__).resolve().parents[2] / "docs"
MANIFEST = (DOCS / "reference" / "manifest.md").read_text()
RUNS = (DOCS / "reference" / "runs.md").read_text()


@pytest.mark.parametrize("name", ["App", "Source", "Page", "Table", "Check", "Rollup"])
def test_docs_manifest_lists_every_field_and_no_other(name: str) -> None:
    section = re.split(r"^## ", MANIFEST, flags=re.MULTILINE)
    text = next(part for part in section if part.startswith(name + "\n"))
    cells = re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE)
    documented = {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}
    assert documented == {f.name for f in fields(getattr(manifest, name))}


async def test_docs_runs_lists_every_state_and_table(database: Database) -> None:
    rule = await database.fetch_value(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = 'runs_state_check'"
    )
    states = set(re.findall(r"'(\w+)'", rule))
    assert states == set(re.findall(r"^\| `(\w+)` \| ", RUNS.split("## States")[1], flags=re.MULTILINE))
    for table in set(re.findall(r"`(control\.\w+)`", RUNS)):
        assert await database.fetch_value("select to_regclass(%s) is not null", (table,)), table


class Upstream:
    """Answers as the example's upstream would."""

    async def get(self, url: str) -> Any:
        class Reply:
            body = b'{"id": 1, "name": "A", "place": {"city": "Oslo"}, "seen_at": "2026-01-01"}\n'

        return Reply()


async def test_docs_manifest_example_runs(database: Database) -> None:
    code = re.findall(r"```python\n(.*?)```", MANIFEST, flags=re.DOTALL)[0]
    space: dict[str, Any] = {"__file__": __file__}
    exec(compile(code, "manifest.md", "exec"), space)
    history = re.findall(r"```sql\n(.*?)```", MANIFEST, flags=re.DOTALL)[0]
    await database.execute(
        "create table public.weather_stations (id bigint primary key, name text, city text, seen_at timestamptz)"
    )
    await database.execute("create table public.weather_cities (city text primary key, stations bigint)")
    await database.execute(history)
    report = await run_source(database, space["app"], "stations", fetcher=Upstream())
    assert (report.upserted, report.cursor) == (1, 2)
    assert await refresh(database, space["app"]) == 1
    assert isinstance(Page(), Page)
