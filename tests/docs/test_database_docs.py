"""What the database's pages say is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "docs" / name
    for name in ("reference/database.md", "how-to/hosted-supabase.md", "explanation/embedded-postgresql.md")
]


def test_every_setting_named_exists() -> None:
    fields = set(re.findall(r"^    (\w+): ", (ROOT / "headgate/base/settings.py").read_text(), re.MULTILINE))
    for page in PAGES:
        for name in re.findall(r"HEADGATE_([A-Z_]+)", page.read_text()):
            assert name.lower() in fields, f"{page.name} names HEADGATE_{name}"


def test_every_command_shown_exists() -> None:
    from headgate.cli.main import cli

    for page in PAGES:
        for words in re.findall(r"`?headgate ((?:[a-z]+ ?)+)", page.read_text()):
            name, *rest = words.split()
            if name not in cli.list_commands(None):  # type: ignore[arg-type]
                continue
            command = cli.get_command(None, name)  # type: ignore[arg-type]
            assert command is not None
            if rest and hasattr(command, "commands"):
                assert rest[0] in command.commands, words
