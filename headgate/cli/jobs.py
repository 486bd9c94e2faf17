"""`headgate jobs`: the queue, looked at and corrected by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from headgate.base import clock
from headgate.base.errors import JobError
from headgate.cli.runtime import database_options, load_settings, opened_database
from headgate.db import Connection
from headgate.engine import jobs as queue

_console = Console(highlight=False)
_Result = TypeVar("_Result")
_COLOURS = {"failed": "red", "running": "cyan", "succeeded": "green", "cancelled": "dim"}


@click.group()
def jobs() -> None:
    """The queue: counts, lists, one job, retry, cancel."""


def _with_connection(options: dict[str, Any], act: Callable[[Connection], Awaitable[_Result]]) -> _Result:
    async def go() -> _Result:
        async with opened_database(load_settings(**options)) as db, db.connection() as conn:
            return await act(conn)

    return asyncio.run(go())


@jobs.command("counts")
@database_options
def show_counts(**options: Any) -> None:
    """How many jobs of each kind are in each state, as bars."""
    rows = _with_connection(options, queue.counts)
    if not rows:
        _console.print("No jobs yet. `headgate up --demo` makes some.")
        return
    most = max(row["jobs"] for row in rows)
    table = Table("kind", "state", "jobs", "", box=None)
    for row in rows:
        colour = _COLOURS.get(row["state"], "white")
        bar = "█" * max(1, round(30 * row["jobs"] / most))
        table.add_row(
            row["kind"],
            f"[{colour}]{row['state']}[/{colour}]",
            str(row["jobs"]),
            f"[{colour}]{bar}[/{colour}]",
        )
    _console.print(table)


@jobs.command("list")
@click.option(
    "--state", type=click.Choice(["scheduled", "ready", "running", "succeeded", "cancelled", "failed"])
)
@click.option("--failed", "state", flag_value="failed", help="The same as --state failed.")
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--key", help="Only jobs of this key.")
@click.option("--limit", type=click.IntRange(1, 1000), default=30, show_default=True)
@database_options
def show_list(state: str | None, kind: str | None, key: str | None, limit: int, **options: Any) -> None:
    """The newest jobs, with the last error of each."""

    async def read(conn: Connection) -> list[dict[str, Any]]:
        return await queue.recent(conn, state=state, kind=kind, key=key, limit=limit)

    rows = _with_connection(options, read)
    if not rows:
        _console.print("No such jobs.")
        return
    table = Table("id", "kind", "key", "state", "attempt", "age", "error", box=None)
    for row in rows:
        colour = _COLOURS.get(row["state"], "white")
        error = f"{row['error_code']}: {row['error']}" if row["error"] else ""
        table.add_row(
            str(row["id"]),
            row["kind"],
            row["key"] or "",
            f"[{colour}]{row['state']}[/{colour}]",
            f"{row['attempt']}/{row['max_attempts']}",
            age((clock.now() - row["created_at"]).total_seconds()),
            error[:80],
        )
    _console.print(table)


@jobs.command("show")
@click.argument("job", type=int)
@database_options
def show_one(job: int, **options: Any) -> None:
    """Everything about one job, as JSON."""

    async def read(conn: Connection) -> dict[str, Any] | None:
        return await queue.get(conn, job)

    row = _with_connection(options, read)
    if row is None:
        raise _unknown(job)
    click.echo(json.dumps(row, indent=2, default=str))


@jobs.command("retry")
@click.argument("job", type=int)
@database_options
def retry(job: int, **options: Any) -> None:
    """Run a failed or cancelled job again, now."""
    _change(job, queue.retry, options)


@jobs.command("cancel")
@click.argument("job", type=int)
@database_options
def cancel(job: int, **options: Any) -> None:
    """Cancel a waiting job; ask a running one to stop."""
    _change(job, queue.cancel, options)


def _change(
    job: int, act: Callable[[Connection, int], Awaitable[str | None]], options: dict[str, Any]
) -> None:
    async def change(conn: Connection) -> str | None:
        return await act(conn, job)

    state = _with_connection(options, change)
    if state is None:
        raise _unknown(job)
    click.echo(f"job {job}: {state}")


def _unknown(job: int) -> JobError:
    return JobError(f"There is no job {job}.", code="HG308", hint="`headgate jobs list` shows the newest.")


def age(seconds: float) -> str:
    """A duration for people: `42 s`, `7 min`, `3 h`, `5 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
