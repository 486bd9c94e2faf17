"""`headgate migrate`: what is applied, what would be, applying it, taking it back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from headgate.cli.runtime import (
    Place,
    chosen_apps,
    database_options,
    database_place,
    load_settings,
    migration_sources,
)
from headgate.db import migrate as migrations
from headgate.db.migrate import Migration, MigrationSource
from headgate.db.platform import apply_platform, missing

_Work = Callable[[Place, list[MigrationSource]], Awaitable[None]]
_COLOURS = {"applied": "green", "pending": "yellow", "changed": "red", "foreign": "dim"}


@click.group()
def migrate() -> None:
    """Bring the database's schema up to date, or back."""


@migrate.command()
@database_options
@click.option("--to", metavar="VERSION", help="Stop after this version (14 digits).")
@click.option("--dry-run", is_flag=True, help="Say what would be done; do nothing.")
@click.option("--sql", "show_sql", is_flag=True, help="With --dry-run: also print the statements.")
def up(
    to: str | None, *, dry_run: bool, show_sql: bool, data_dir: Path | None, database_url: str | None
) -> None:
    """Make what the platform lacks and apply every pending migration."""

    async def work(target: Place, sources: list[MigrationSource]) -> None:
        if dry_run:
            await _foretell(target, sources, to, show_sql=show_sql)
            return
        for name in await apply_platform(target.admin_url):
            click.echo(f"made     {name}")
        done = await migrations.up(target.url, sources, to=to)
        _tell("applied ", done)
        click.echo(f"{len(done)} applied; the schema is up to date." if not to else f"{len(done)} applied.")

    _run(data_dir, database_url, work)


@migrate.command()
@database_options
@click.argument("count", type=click.IntRange(min=1), default=1)
@click.option("--dry-run", is_flag=True, help="Say what would be taken back; do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def down(count: int, *, dry_run: bool, yes: bool, data_dir: Path | None, database_url: str | None) -> None:
    """Take back the last COUNT migrations (1), with the data in what they made."""

    async def work(target: Place, sources: list[MigrationSource]) -> None:
        chosen = await migrations.plan_down(target.url, sources, count)
        _tell("would take back", chosen)
        if dry_run or not chosen:
            click.echo("Nothing was changed.")
            return
        if not yes:
            click.confirm("The data in what they made is lost. Go on?", abort=True)
        done = await migrations.down(target.url, sources, count)
        click.echo(f"{len(done)} taken back.")

    _run(data_dir, database_url, work)


@migrate.command()
@database_options
def status(data_dir: Path | None, database_url: str | None) -> None:
    """Every migration: applied, pending, changed after it was applied, or foreign (not ours)."""

    async def work(target: Place, sources: list[MigrationSource]) -> None:
        table = Table("version", "name", "from", "state", box=None, pad_edge=False)
        entries = await migrations.status(target.url, sources)
        for entry in entries:
            colour = _COLOURS[entry.state]
            table.add_row(entry.version, entry.name, entry.source, f"[{colour}]{entry.state}[/]")
        Console().print(table)
        pending = sum(entry.state == "pending" for entry in entries)
        changed = sum(entry.state == "changed" for entry in entries)
        if changed:
            click.echo(f"{changed} changed after they had been applied: put their files back as they were.")
        if pending or not changed:
            click.echo(f"{pending} pending." if pending else "The schema is up to date.")

    _run(data_dir, database_url, work)


async def _foretell(target: Place, sources: list[MigrationSource], to: str | None, *, show_sql: bool) -> None:
    for name in await missing(target.admin_url):
        click.echo(f"would make     {name}")
    pending = await migrations.plan(target.url, sources, to=to)
    for migration in pending:
        _tell("would apply", [migration])
        if show_sql:
            click.echo(migration.sql)
    click.echo(f"{len(pending)} pending; nothing was changed.")


def _tell(what: str, found: list[Migration]) -> None:
    for migration in found:
        click.echo(f"{what} {migration.version}_{migration.name} ({migration.source})")


def _run(data_dir: Path | None, database_url: str | None, work: _Work) -> None:
    async def opened() -> None:
        settings = load_settings(data_dir=data_dir, database_url=database_url)
        async with database_place(settings) as place:
            await work(place, migration_sources(chosen_apps(settings)))

    asyncio.run(opened())
