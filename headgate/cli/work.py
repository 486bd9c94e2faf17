"""`headgate run`, `runs` and `replay`: work by hand, watched as it goes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from headgate.base import log
from headgate.base.errors import JobError, ManifestError
from headgate.base.settings import Settings
from headgate.cli.jobs import age
from headgate.cli.runtime import chosen_apps, database_options, load_settings, opened_database
from headgate.db import Database
from headgate.engine.manifest import App, Source
from headgate.engine.process import fetcher_for, services
from headgate.engine.progress import RunReport
from headgate.engine.runs import list_runs, one_run, run_source

_console = Console(highlight=False)
_COLOURS = {"running": "cyan", "succeeded": "green", "failed": "red", "held": "yellow"}
_REFRESH_S = 0.5


@click.command()
@click.argument("source")
@click.option("--key", help="The scope of the run, such as an event's number.")
@click.option(
    "--arg", "pairs", multiple=True, metavar="NAME=VALUE", help="An argument of the source; repeatable."
)
@database_options
def run(source: str, key: str | None, pairs: tuple[str, ...], **options: Any) -> None:
    """Run SOURCE (such as `tickets.listings`) now, here, with a progress bar."""
    settings = load_settings(**options)
    log.configure(level="warning")
    app, chosen = _find(settings, source)
    report = asyncio.run(_run(settings, app, chosen, key, _arguments(pairs)))
    _console.print(_summary(report))


def _find(settings: Settings, name: str) -> tuple[App, Source]:
    apps = chosen_apps(settings)
    for app in apps:
        if name.startswith(app.name + "."):
            return app, app.source(name)
    known = ", ".join(source.name for app in apps for source in app.sources)
    raise ManifestError(f"There is no source {name!r}.", code="HG607", hint=f"There are: {known}.")


def _arguments(pairs: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--arg")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


async def _run(
    settings: Settings, app: App, source: Source, key: str | None, args: dict[str, Any]
) -> RunReport:
    async with opened_database(settings, pool_size=4) as db:
        fetcher = fetcher_for(db, settings)
        try:
            running = asyncio.create_task(
                run_source(
                    db,
                    app,
                    source,
                    key=key,
                    args=args,
                    fetcher=fetcher,
                    settings=services(db, fetcher, app, settings).settings,
                )
            )
            await _watch(db, source.name, running)
            return await running
        finally:
            await fetcher.close()


async def _watch(db: Database, source: str, running: asyncio.Task[RunReport]) -> None:
    with Live(console=_console, refresh_per_second=4, transient=True) as live:
        while not running.done():
            rows = await list_runs(db, source=source, state="running", limit=1)
            if rows:
                live.update(_line(rows[0]))
            await asyncio.wait([running], timeout=_REFRESH_S)


@click.command()
@click.argument("run_id", type=int, required=False)
@click.option("--source", help="Only runs of this source.")
@click.option("--state", help="Only runs in this state.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@click.option("--follow", is_flag=True, help="Keep showing until Ctrl-C.")
@database_options
def runs(
    run_id: int | None, source: str | None, state: str | None, limit: int, follow: bool, **options: Any
) -> None:
    """The newest runs with progress bars; with RUN_ID, one of them with its steps, findings and rejects."""
    settings = load_settings(**options)
    with contextlib.suppress(KeyboardInterrupt):
        if run_id is not None:
            asyncio.run(_show_one(settings, run_id))
        else:
            asyncio.run(
                _show_many(settings, {"source": source, "state": state, "limit": limit}, follow=follow)
            )


async def _show_many(settings: Settings, wanted: dict[str, Any], *, follow: bool) -> None:
    async with opened_database(settings) as db:
        if not follow:
            _console.print(_many(await list_runs(db, **wanted)))
            return
        with Live(console=_console, refresh_per_second=4) as live:
            while True:
                live.update(_many(await list_runs(db, **wanted)))
                await asyncio.sleep(_REFRESH_S)


def _many(rows: list[dict[str, Any]]) -> Group | Text:
    if not rows:
        return Text("No runs yet. `headgate up --demo` or `headgate run SOURCE` makes some.")
    return Group(*(_line(row) for row in rows))


def _line(row: dict[str, Any]) -> Table:
    line = Table.grid(padding=(0, 1))
    for width in (6, 26, 9, 14, None):
        line.add_column(width=width, no_wrap=True)
    colour = _COLOURS.get(row["state"], "white")
    name = row["source"] + (f" {row['key']}" if row["key"] else "")
    done = row["state"] == "succeeded"
    total = row["expected"] or (row["seen"] if done else None)
    bar = ProgressBar(total=total or 1, completed=row["seen"] if total else int(done), width=14)
    line.add_row(str(row["id"]), name, f"[{colour}]{row['state']}[/{colour}]", bar, _figures(row))
    return line


def _figures(row: dict[str, Any]) -> str:
    parts = [f"{row['seen']:,}" + (f" of {row['expected']:,}" if row["expected"] else "") + " rows"]
    if row["rejected"]:
        parts.append(f"[yellow]{row['rejected']:,} rejected[/yellow]")
    if row["state"] == "running":
        if row["rate"]:
            parts.append(f"{row['rate']:,.0f}/s")
        if row["eta_s"] is not None:
            parts.append(f"{age(row['eta_s'])} left")
    else:
        parts.append(f"in {row['elapsed_s']:.1f} s")
    return ", ".join(parts)


async def _show_one(settings: Settings, run_id: int) -> None:
    async with opened_database(settings) as db:
        row = await one_run(db, run_id)
    _console.print(_line(row))
    if row["error"]:
        _console.print(f"[red]{row['error'].get('code', '')}[/red] {row['error'].get('message', '')}")
    steps = Table("step", "state", "seen", "upserted", "unchanged", "rejected", box=None)
    for step in row["steps"]:
        counts = [f"{step[name]:,}" for name in ("seen", "upserted", "unchanged", "rejected")]
        steps.add_row(f"{step['number']} {step['name']}", step["state"], *counts)
    _console.print(steps)
    for finding in row["findings"]:
        _console.print(f"[yellow]{finding['action']}[/yellow] {finding['check_name']}: {finding['message']}")
    for reject in row["rejects"]:
        _console.print(f"[dim]line {reject['line']}[/dim] {reject['reason']}")


@click.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--app", "name", default="tickets", show_default=True, help="The application that reads the recording."
)
@database_options
def replay(file: Path, name: str, **options: Any) -> None:
    """Send a recording through the whole pipeline: parse, stage, promote, roll up. Repeating it changes nothing."""
    settings = load_settings(**options)
    log.configure(level="warning")
    begun = time.monotonic()
    reports = asyncio.run(_replay(settings, name, file))
    for report in reports:
        _console.print(_summary(report))
    _console.print(f"Replayed {file.name} in {time.monotonic() - begun:.1f} s")


async def _replay(settings: Settings, name: str, file: Path) -> list[RunReport]:
    app = next((one for one in chosen_apps(settings) if one.name == name), None)
    if app is None or app.replay is None:
        raise JobError(
            f"No installed application {name!r} reads recordings.", code="HG309", hint="See --app."
        )
    async with opened_database(settings, pool_size=4) as db:
        return list(await app.replay(db, app, file))


def _summary(report: RunReport) -> str:
    colour = _COLOURS.get(report.state, "white")
    return (
        f"run {report.run_id} [{colour}]{report.state}[/{colour}]: "
        f"{report.seen:,} rows seen, {report.upserted:,} written, "
        f"{report.unchanged:,} unchanged, {report.rejected:,} rejected, {report.pages:,} pages"
    )
