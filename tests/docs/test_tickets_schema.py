"""The schema's reference names every table and every reason of rejection that the migrations make."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/reference/tickets-schema.md").read_text(encoding="utf-8")
CORE = sorted((ROOT / "headgate/apps/tickets/migrations").glob("2026112101[0-1]*.sql"))
SQL = "\n".join(path.read_text(encoding="utf-8") for path in CORE)


def test_every_public_table_and_view_has_a_line() -> None:
    names = set(re.findall(r"^create (?:table|view) public\.(\w+)", SQL, re.MULTILINE))
    assert len(names) > 14
    assert {name for name in names if f"`{name}`" not in PAGE} == set()


def test_every_reason_of_rejection_has_a_line() -> None:
    body = SQL[
        SQL.index("create function tickets.fault_of") : SQL.index("comment on function tickets.fault_of")
    ]
    reasons = set(re.findall(r"'([a-z]+_[a-z_]+)'", body)) - {"ticket_count"}
    reasons |= {"clock_skew", "beyond_retention", "superseded", "unchanged_from_unknown"}
    assert {reason for reason in reasons if f"`{reason}`" not in PAGE} == set()


def test_every_function_named_exists() -> None:
    named = set(re.findall(r"`tickets\.(\w+)\(", PAGE))
    assert len(named) > 10
    assert {name for name in named if f"create function tickets.{name}(" not in SQL} == set()
