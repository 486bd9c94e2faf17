"""The console's reference names all of its schema; the how-to names every reserved area."""

from __future__ import annotations

import re
from pathlib import Path

from headgate.db import Database

ROOT = Path(__file__).parents[2]


async def test_reference_names_every_function_and_view(database: Database) -> None:
    page = (ROOT / "docs/reference/console.md").read_text()
    rows = await database.fetch_all(
        "select proname as name from pg_proc where pronamespace = 'console'::regnamespace"
        " union select relname from pg_class where relnamespace = 'console'::regnamespace and relkind = 'v'"
    )
    assert rows
    assert [row["name"] for row in rows if f"`{row['name']}" not in page] == []


def test_how_to_names_every_reserved_area() -> None:
    areas = re.findall(r'\{ name: "([a-z-]+)"', (ROOT / "headgate/console/static/areas.js").read_text())
    page = (ROOT / "docs/how-to/app-pages.md").read_text()
    assert len(areas) >= 12
    assert [name for name in areas if f"`{name}`" not in page] == []
