"""`headgate status` and `headgate doctor`: what runs and how well, and what is wrong and what to do. Read only."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console
from rich.table import Table

from headgate.base import clock
from headgate.base.errors import HeadgateError
from headgate.base.log import redact
from headgate.base.settings import Settings
from headgate.cli.ports import holder
from headgate.cli.runtime import (
    chosen_apps,
    database_options,
    load_settings,
    migration_sources,
    opened_database,
)
from headgate.db import Database
from headgate.db.migrate import status as migration_status
from headgate.engine import jobs as queue
from headgate.engine import limits

_LEAST_FREE_BYTES = 1_000_000_000
_MARKS = {"ok": "[green]●[/green]", "warn": "[yellow]●[/yellow]", "fail": "[red]●[/red]"}
_console = Console(highlight=False)


@dataclass(frozen=True)
class Finding:
    """One line of a report: how it is, what it is about, and for a fault what to do next."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    text: str
    advice: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@database_options
def status(as_json: bool, **options: Any) -> None:
    """Every part with its port and health, the queue, and how fresh the data is. Exit 1 when a part is down."""
    settings = load_settings(**options)
    findings = asyncio.run(_collect(_status(settings)))
    _print(findings, as_json=as_json)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@database_options
def doctor(as_json: bool, **options: Any) -> None:
    """Check everything that Headgate stands on and say what to do about each fault. Exit 1 when one is found."""
    settings = load_settings(**options)
    findings = asyncio.run(_collect(_doctor(settings)))
    _print(findings, as_json=as_json)


async def _collect(findings: AsyncIterator[Finding]) -> list[Finding]:
    return [finding async for finding in findings]


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([vars(finding) for finding in findings], indent=2, default=str))
    else:
        table = Table.grid(padding=(0, 1))
        for finding in findings:
            advice = f"\n[dim]{finding.advice}[/dim]" if finding.advice else ""
            table.add_row(_MARKS[finding.level], f"[bold]{finding.subject}[/bold]", finding.text + advice)
        _console.print(table)
    if any(finding.level == "fail" for finding in findings):
        sys.exit(1)


# --- status


async def _status(settings: Settings) -> AsyncIterator[Finding]:
    for finding in _parts(settings):
        yield finding
    try:
        async with opened_database(settings) as db:
            for look in (_postgres, _queue, _workers, _hosts, _freshness):
                async for finding in _careful(look.__name__.strip("_"), look, db):
                    yield finding
    except HeadgateError as error:
        yield Finding("fail", "postgres", redact(error.message), error.hint or "")


async def _careful(
    subject: str, look: Callable[[Database], AsyncIterator[Finding]], db: Database
) -> AsyncIterator[Finding]:
    try:
        async for finding in look(db):
            yield finding
    except HeadgateError as error:
        yield Finding("fail", subject, redact(error.message), error.hint or "")
    except Exception as error:
        yield Finding(
            "fail", subject, f"cannot be read: {type(error).__name__}", "Run `headgate migrate status`."
        )


def _parts(settings: Settings) -> list[Finding]:
    file = settings.data_dir / "up.json"
    if not file.exists():
        return [Finding("warn", "stack", "`headgate up` is not running from this data directory.")]
    try:
        return [_part(part) for part in json.loads(file.read_text())["parts"]]
    except (OSError, ValueError, KeyError, TypeError):
        return [Finding("fail", "stack", f"{file} cannot be read.", "Start `headgate up` again.")]


def _part(part: dict[str, Any]) -> Finding:
    alive = part["pid"] is not None and Path(f"/proc/{part['pid']}").exists()
    restarts = f", restarted {part['restarts']}×" if part["restarts"] else ""
    if not alive:
        return Finding("fail", part["name"], f"pid {part['pid']} is gone{restarts}", "Its log is in `logs`.")
    if part["url"] and not _answers(part["url"]):
        return Finding("fail", part["name"], f"{part['url']} does not answer (pid {part['pid']}{restarts})")
    where = f" at {part['url']}" if part["url"] else ""
    return Finding("warn" if restarts else "ok", part["name"], f"pid {part['pid']}{where}{restarts}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url.rstrip("/") + "/health", timeout=2) as reply:  # noqa: S310 - our own part
            return bool(reply.status < 500)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


async def _postgres(db: Database) -> AsyncIterator[Finding]:
    row = await db.fetch_one(
        "select current_setting('server_version') as version, current_database() as name,"
        " pg_database_size(current_database()) as bytes,"
        " extract(epoch from clock_timestamp())::float8 as at"
    )
    if row is not None:
        yield Finding("ok", "postgres", f"{row['version']}, {row['name']}, {row['bytes'] / 1e6:.0f} MB")


async def _queue(db: Database) -> AsyncIterator[Finding]:
    async with db.connection() as conn:
        rows = await queue.counts(conn)
    totals: dict[str, int] = {}
    for row in rows:
        totals[row["state"]] = totals.get(row["state"], 0) + row["jobs"]
    text = ", ".join(f"{number} {state}" for state, number in sorted(totals.items())) or "empty"
    failed = bool(totals.get("failed"))
    yield Finding(
        "warn" if failed else "ok", "queue", text, "`headgate jobs list --failed`" if failed else ""
    )


async def _workers(db: Database) -> AsyncIterator[Finding]:
    async with db.connection() as conn:
        alive = [row for row in await queue.workers(conn) if row["alive"]]
    running = sum(row["running"] for row in alive)
    text = f"{len(alive)} alive, {running} jobs running"
    yield Finding("ok" if alive else "warn", "workers", text, "" if alive else "Start one: `headgate work`.")


async def _hosts(db: Database) -> AsyncIterator[Finding]:
    for host in await limits.hosts(db):
        good = host.breaker == "closed"
        text = f"{host.host}: {host.ok} good, {host.bad} bad, breaker {host.breaker}"
        yield Finding("ok" if good else "warn", "host", text, "" if good else host.last_error or "")


async def _freshness(db: Database) -> AsyncIterator[Finding]:
    if not await db.fetch_value("select to_regprocedure('public.freshness_summary()') is not null"):
        return
    summary = await db.fetch_value("select public.freshness_summary()")
    if not summary["events"]:
        yield Finding("ok", "freshness", "no events yet")
        return
    share = summary["service_24h"]
    text = f"{summary['within']} of {summary['events']} events within their promise"
    if summary["age_p50_s"] is not None:
        text += f", age {summary['age_p50_s']} s (median), {summary['age_max_s']} s (oldest)"
    if share is not None:
        text += f", {float(share):.1%} of the event-minutes of 24 h"
    if summary["starved"]:
        text += f", {summary['starved']} starved"
    late = summary["within"] < summary["events"] or (share is not None and float(share) < 0.99)
    yield Finding(
        "warn" if late else "ok", "freshness", text, "/api/freshness has each event." if late else ""
    )


# --- doctor


async def _doctor(settings: Settings) -> AsyncIterator[Finding]:
    yield _python()
    yield _disk(settings)
    yield _port(settings)
    for finding in _apps(settings):
        yield finding
    try:
        async with opened_database(settings) as db:
            for look in (_postgres, _version, _skew, _roles, _migrations_of(settings), _workers, _queue):
                async for finding in _careful(look.__name__.strip("_"), look, db):
                    yield finding
    except HeadgateError as error:
        yield Finding("fail", "postgres", redact(error.message), error.hint or "")


def _python() -> Finding:
    return Finding("ok", "python", ".".join(str(n) for n in sys.version_info[:3]))


def _disk(settings: Settings) -> Finding:
    place = settings.data_dir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        return Finding(
            "fail", "data directory", f"{settings.data_dir} cannot be written", "Choose --data-dir."
        )
    if free < _LEAST_FREE_BYTES:
        return Finding(
            "warn", "disk", f"{free / 1e9:.1f} GB free", "PostgreSQL stops writing when it is full."
        )
    return Finding("ok", "disk", f"{free / 1e9:.0f} GB free")


def _port(settings: Settings) -> Finding:
    who = holder(settings.port)
    if who is None or "python" in who or "headgate" in who:
        return Finding("ok", "port", f"{settings.port}: {who or 'free'}")
    return Finding("warn", "port", f"{settings.port} is held by {who}", "Choose another with --port.")


def _apps(settings: Settings) -> list[Finding]:
    try:
        return [Finding("ok", "application", f"{app.name}: {app.title}") for app in chosen_apps(settings)]
    except HeadgateError as error:
        return [Finding("fail", "applications", error.message, error.hint or "")]


async def _version(db: Database) -> AsyncIterator[Finding]:
    number = int(await db.fetch_value("select current_setting('server_version_num')"))
    if number < 150000:
        yield Finding(
            "fail", "postgres version", f"{number // 10000} is too old", "Use PostgreSQL 15 or newer."
        )


async def _skew(db: Database) -> AsyncIterator[Finding]:
    theirs = float(await db.fetch_value("select extract(epoch from clock_timestamp())::float8"))
    skew = abs(theirs - clock.now().timestamp())
    if skew > 2:
        advice = "Leases and limits use database time, so nothing breaks; correct this machine's clock all the same."
        yield Finding("warn", "clock", f"this machine and the database differ by {skew:.1f} s", advice)
    else:
        yield Finding("ok", "clock", f"{skew * 1000:.0f} ms from the database's")


async def _roles(db: Database) -> AsyncIterator[Finding]:
    rows = await db.fetch_all(
        "select rolname, pg_has_role(current_user, oid, 'member') as usable from pg_roles"
    )
    usable = {row["rolname"]: row["usable"] for row in rows}
    for name in ("anon", "authenticated", "service_role"):
        if name not in usable:
            yield Finding("fail", "role", f"{name} is missing", "Run `headgate migrate up`.")
        elif not usable[name]:
            yield Finding("fail", "role", f"this user may not become {name}", f"grant {name} to your user;")
    if all(usable.get(name) for name in ("anon", "authenticated", "service_role")):
        yield Finding("ok", "roles", "anon, authenticated, service_role")


def _migrations_of(settings: Settings) -> Callable[[Database], AsyncIterator[Finding]]:
    async def migrations(db: Database) -> AsyncIterator[Finding]:
        found = await migration_status(db.url, migration_sources(chosen_apps(settings)))
        odd = [one for one in found if one.state not in ("applied", "foreign")]
        if odd:
            names = ", ".join(f"{one.version} {one.state}" for one in odd[:5])
            changed = any(one.state == "changed" for one in odd)
            advice = (
                "Put changed files back as they were when applied, and write new migrations for the changes."
                if changed
                else "Run `headgate migrate up`."
            )
            yield Finding("fail", "migrations", f"{len(odd)} of {len(found)}: {names}", advice)
        else:
            yield Finding("ok", "migrations", f"{len(found)} applied")

    return migrations
