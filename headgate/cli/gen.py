"""`headgate gen types`: the schema as types of another language. Writes only where it is told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from headgate.base.settings import Settings
from headgate.cli.runtime import database_options, database_place, load_settings
from headgate.db.codegen import LANGUAGES, generate, read_source


@click.group()
def gen() -> None:
    """Make code from the database's catalog."""


@gen.command("types")
@click.option("--lang", "language", type=click.Choice(LANGUAGES), default="typescript", show_default=True)
@click.option(
    "--schema",
    "schemas",
    multiple=True,
    default=("public",),
    show_default=True,
    help="One or more, comma-separated; the first is the default one of the helper types.",
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of the screen."
)
@database_options
def gen_types(language: str, schemas: tuple[str, ...], output: Path | None, **options: Any) -> None:
    """Types of tables, views, functions and enums."""
    text = asyncio.run(_types(load_settings(**options), language, schemas))
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


async def _types(settings: Settings, language: str, schemas: tuple[str, ...]) -> str:
    chosen = [name.strip() for part in schemas for name in part.split(",") if name.strip()]
    async with database_place(settings) as place:
        return generate(language, await read_source(place.url, chosen or ["public"]))
