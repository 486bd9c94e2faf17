"""`headgate migrate`: what is applied, what would be, applying it, taking it back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import click
from rich.console import Console
from rich.table import Table

from headgate.base.settings import Settings
from headgate.db import migrate as migrations
from headgate.db.migrate import Migration, built_in_sources
from headgate.db.platform import apply_platform, missing
from headgate.db.target import Target, open_target

_COLOURS = {"applied": "green", "pending": "yellow", "changed": "red", "foreign": "dim"}


@click.group()
def migrate() -> None:
    """Bring the database's schema up to date, or back."""


@migrate.command()
@click.option("--to", metavar="VERSION", help="Stop after this version (14 digits).")
@click.option("--dry-run", is_flag=True, help="Say what would be done; do nothing.")
@click.option("--sql", "show_sql", is_flag=True, help="With --dry-run: also print the statements.")
def up(to: str | None, *, dry_run: bool, show_sql: bool) -> None:
    """Make what the platform lacks and apply every pending migration."""

    async def work(target: Target) -> None:
        if dry_run:
            await _foretell(target, to, show_sql=show_sql)
            return
        for name in await apply_platform(target.admin_url):
            click.echo(f"made     {name}")
        done = await migrations.up(target.url, built_in_sources(), to=to)
        _tell("applied ", done)
        click.echo(f"{len(done)} applied; the schema is up to date." if not to else f"{len(done)} applied.")

    _run(work)


@migrate.command()
@click.argument("count", type=click.IntRange(min=1), default=1)
@click.option("--dry-run", is_flag=True, help="Say what would be taken back; do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def down(count: int, *, dry_run: bool, yes: bool) -> None:
    """Take back the last COUNT migrations (1), with the data in what they made."""

    async def work(target: Target) -> None:
        chosen = await migrations.plan_down(target.url, built_in_sources(), count)
        _tell("would take back", chosen)
        if dry_run or not chosen:
            click.echo("Nothing was changed.")
            return
        if not yes:
            click.confirm("The data in what they made is lost. Go on?", abort=True)
        done = await migrations.down(target.url, built_in_sources(), count)
        click.echo(f"{len(done)} taken back.")

    _run(work)


@migrate.command()
def status() -> None:
    """Every migration: applied, pending, changed after it was applied, or foreign (not ours)."""

    async def work(target: Target) -> None:
        table = Table("version", "name", "from", "state", box=None, pad_edge=False)
        entries = await migrations.status(target.url, built_in_sources())
        for entry in entries:
            colour = _COLOURS[entry.state]
            table.add_row(entry.version, entry.name, entry.source, f"[{colour}]{entry.state}[/]")
        Console().print(table)
        pending = sum(entry.state == "pending" for entry in entries)
        click.echo(f"{pending} pending." if pending else "The schema is up to date.")

    _run(work)


async def _foretell(target: Target, to: str | None, *, show_sql: bool) -> None:
    for name in await missing(target.admin_url):
        click.echo(f"would make     {name}")
    pending = await migrations.plan(target.url, built_in_sources(), to=to)
    for migration in pending:
        _tell("would apply", [migration])
        if show_sql:
            click.echo(migration.sql)
    click.echo(f"{len(pending)} pending; nothing was changed.")


def _tell(what: str, found: list[Migration]) -> None:
    for migration in found:
        click.echo(f"{what} {migration.version}_{migration.name} ({migration.source})")


def _run(work: Callable[[Target], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with open_target(Settings(), watch=False) as target:
            await work(target)

    asyncio.run(opened())
