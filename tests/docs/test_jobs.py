"""`docs/reference/jobs.md` names every argument, limit, column and function of the queue."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from headgate.db import Database
from headgate.engine import jobs
from headgate.engine.worker import Limits

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "jobs.md").read_text(encoding="utf-8")
NAMES = set(re.findall(r"`([a-z_]+)`", PAGE))


def test_page_names_every_argument_of_enqueue() -> None:
    assert set(inspect.signature(jobs.enqueue).parameters) - {"conn", "kind", "args"} <= NAMES


def test_page_gives_the_default_of_every_limit() -> None:
    lines = re.findall(r"^\| `([a-z_]+)` \| ([\d.]+)( days)? \|", PAGE, re.MULTILINE)
    shown = {name: float(value) * (86_400 if days else 1) for name, value, days in lines}
    for limit in fields(Limits):
        default = limit.default
        seconds = default if isinstance(default, float) else default.total_seconds()
        assert shown[limit.name] == seconds, limit.name


@pytest.mark.parametrize("table", ["jobs", "lanes", "queues", "workers", "schedules"])
async def test_page_names_every_column(database: Database, table: str) -> None:
    rows = await database.fetch_all(
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped",
        (f"control.{table}",),
    )
    assert {row["attname"] for row in rows} <= NAMES


async def test_page_names_every_function_and_its_grant(database: Database) -> None:
    rows = await database.fetch_all(
        "select p.proname, has_function_privilege('service_role', p.oid, 'execute') as granted,"
        " has_function_privilege('authenticated', p.oid, 'execute') as open"
        " from pg_proc p where p.pronamespace = 'control'::regnamespace"
    )
    said: dict[str, str] = {}
    for names, granted in re.findall(r"^\| (`[^|]+`) \| (yes|no) \|", PAGE, re.MULTILINE):
        said |= dict.fromkeys(re.findall(r"`([a-z_]+)`", names), granted)
    exists = {row["proname"]: row for row in rows}
    assert set(said) <= set(exists)
    for name, granted in said.items():
        assert exists[name]["granted"] == (granted == "yes"), name
        assert not exists[name]["open"], name
