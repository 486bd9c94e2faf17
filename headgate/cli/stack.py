"""`headgate up`, `serve` and `work`: the whole stack in one command, or its parts one by one on any machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from headgate.base import log
from headgate.base.clock import monotonic
from headgate.base.errors import SettingsError
from headgate.base.settings import Settings
from headgate.cli.demo import ACCOUNT, account, begin, simulators
from headgate.cli.parts import Part, Parts, end_with_parent, sole_stack
from headgate.cli.ports import ensure_free
from headgate.cli.runtime import (
    Place,
    chosen_apps,
    database_options,
    database_place,
    load_settings,
    migration_sources,
)
from headgate.db import Database
from headgate.db.keys import ensure_keys
from headgate.db.migrate import up as migrate_up
from headgate.db.platform import apply_platform
from headgate.engine.manifest import Demo

_READY_S = 60.0
_SHARED_PORT = "HEADGATE_SHARED_PORT"  # set for each of several server processes
_console = Console(stderr=False, highlight=False)


@click.command()
@click.option("--demo", is_flag=True, help="Also start the applications' simulators and collect from them.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port of the server.")
@click.option(
    "--simulator-port", type=int, help="Port of the first simulator; the others take the next ones."
)
@click.option("--servers", type=int, help="Server processes that share the port.")
@click.option("--workers", type=int, help="Worker processes.")
@database_options
def up(demo: bool, **options: Any) -> None:
    """Start everything: database, migrations, server, workers. Ctrl-C stops what it started, and nothing else."""
    settings = load_settings(join=False, **options)
    log.configure(level="warning")
    ensure_free(settings.host, settings.port, option="--port (make run RUN_ARGS='--port N')")
    demos = simulators(settings) if demo else {}
    with sole_stack(settings.data_dir):
        asyncio.run(_up(settings, demos))


async def _up(settings: Settings, demos: Mapping[str, Demo]) -> None:
    stop = _stop_on_signals()
    begun = monotonic()
    _say("Starting PostgreSQL" if not settings.url() else "Connecting to PostgreSQL")
    async with database_place(settings) as place:
        keys, password = await _prepare(settings, place, demos)
        parts = Parts(folder=settings.data_dir, announce=_say)
        try:
            await _start_parts(parts, settings, place, demos)
            await _until_ready(_url(settings) + "/health", stop)
            if not stop.is_set():
                _show(settings, parts, keys, seconds=monotonic() - begun, password=password)
            await stop.wait()
            _say("Stopping")
        finally:
            await parts.stop()
    _say("Stopped")


async def _prepare(settings: Settings, place: Place, demos: Mapping[str, Demo]) -> tuple[dict[str, str], str]:
    """Platform, migrations, keys, the demo's account; all may be repeated. The keys and the account's password."""
    apps = chosen_apps(settings)
    await apply_platform(place.admin_url)
    applied = await migrate_up(place.url, migration_sources(apps))
    if applied:
        _say(f"Applied {len(applied)} migrations")
    async with await Database.open(place.url, max_size=2) as db:
        keys = await ensure_keys(db, settings.data_dir / "keys.json")
        if not demos:
            return keys, ""
        await begin(db, list(demos.values()))
        return keys, await account(db, settings)


async def _start_parts(parts: Parts, settings: Settings, place: Place, demos: Mapping[str, Demo]) -> None:
    environment = _environment(settings, place)
    for name, simulator in demos.items():
        environment.update(simulator.environment)
        parts.shared.update(simulator.environment)
        await parts.start(Part(name=f"{name}-simulator", arguments=simulator.arguments, url=simulator.url))
    for simulator in demos.values():
        await _until_ready(simulator.url + simulator.ready_path, None)
    for part in _servers(settings, environment):
        await parts.start(part)
    for number in range(1, settings.workers + 1):
        await parts.start(Part(name=f"worker-{number}", arguments=["work"], environment=environment))


def _servers(settings: Settings, environment: Mapping[str, str]) -> list[Part]:
    """The server processes; more than one share the port."""
    if settings.servers == 1:
        return [Part(name="server", arguments=["serve"], environment=environment, url=_url(settings))]
    shared = {**environment, _SHARED_PORT: "1"}
    return [
        Part(name=f"server-{n}", arguments=["serve"], environment=shared, url=_url(settings))
        for n in range(1, settings.servers + 1)
    ]


def _environment(settings: Settings, place: Place) -> dict[str, str]:
    """What the parts inherit: the same settings, and the database by its URL."""
    return {
        "HEADGATE_DATABASE_URL": place.url,
        "HEADGATE_DATA_DIR": str(settings.data_dir.absolute()),
        "HEADGATE_HOST": settings.host,
        "HEADGATE_PORT": str(settings.port),
        "HEADGATE_APPS": settings.apps,
    }


def _url(settings: Settings) -> str:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


async def _until_ready(url: str, stop: asyncio.Event | None) -> None:
    deadline = monotonic() + _READY_S
    while monotonic() < deadline and not (stop and stop.is_set()):
        if await asyncio.to_thread(_answers, url):
            return
        await asyncio.sleep(0.1)
    if not (stop and stop.is_set()):
        raise SettingsError(
            f"Nothing answered at {url} within {_READY_S:.0f} s.",
            code="HG102",
            hint="The logs are in the `logs` folder of the data directory.",
        )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:  # noqa: S310 - our own part, on loopback
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    return stop


def _say(text: str) -> None:
    _console.print(f"[dim]headgate[/dim] {text}")


def _show(
    settings: Settings, parts: Parts, keys: Mapping[str, str], *, seconds: float, password: str
) -> None:
    url = _url(settings)
    table = Table.grid(padding=(0, 2))
    for label, value in (
        ("Pages", f"{url}/"),
        ("Administrator", "headgate admin create EMAIL"),
        ("Supabase URL", url),
        ("API", f"{url}/api"),
        ("API description", f"{url}/api/openapi.json"),
        ("Publishable key", keys["anon"]),
        ("Secret key", keys["service_role"]),
        ("Logs", str(settings.data_dir / "logs")),
    ):
        table.add_row(f"[bold]{label}[/bold]", value)
    for part in parts.parts:
        if part.name.endswith("simulator") and part.url:
            table.add_row(f"[bold]{part.name.capitalize().replace('-', ' ')}[/bold]", part.url)
    note = "Ctrl-C stops everything."
    if password:
        table.add_row("[bold]Demo account[/bold]", f"{ACCOUNT}, password {password}")
        note = f"What is shown comes from the simulators. {note}"
    _console.print(Panel(table, title=f"Headgate is up after {seconds:.1f} s", subtitle=note, expand=False))


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port of the server.")
@click.option("--servers", type=int, help="Server processes that share the port.")
@database_options
def serve(**options: Any) -> None:
    """Run the server, in one process or several. It needs a migrated database (`headgate migrate up`)."""
    settings = load_settings(**options)
    log.configure(level=settings.log_level)
    end_with_parent()
    several = settings.servers > 1 and _SHARED_PORT not in os.environ
    asyncio.run(_serve_several(settings) if several else _serve(settings))


async def _serve_several(settings: Settings) -> None:
    """Start the processes and watch them until told to stop."""
    ensure_free(settings.host, settings.port, option="--port")
    if settings.port == 0:
        raise SettingsError(
            "Several server processes need a port of their own choosing.", hint="Name one: --port."
        )
    stop = _stop_on_signals()
    async with database_place(settings) as place:
        parts = Parts(folder=settings.data_dir, announce=_say)
        try:
            for part in _servers(settings, _environment(settings, place)):
                await parts.start(part)
            await stop.wait()
        finally:
            await parts.stop()


def _listen(settings: Settings) -> socket.socket:
    """The socket of the server's port; the kernel spreads connections over all processes that share it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if _SHARED_PORT in os.environ:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind((settings.host, settings.port))
    return listening


async def _serve(settings: Settings) -> None:
    import uvicorn

    from headgate.server import create_app

    async with (
        database_place(settings) as place,
        await Database.open(
            place.url, min_size=2, max_size=settings.pool_size, application_name="headgate-server"
        ) as db,
    ):
        keys = await ensure_keys(db, settings.data_dir / "keys.json")
        config = uvicorn.Config(
            create_app(settings, db, publishable_key=keys["anon"]),
            http="headgate.surface.http:Protocol",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies or None,
            log_level="warning",  # below, it would write the address of each websocket, and with it the API key
            ws_per_message_deflate=False,  # costs more memory for each socket than it saves
            timeout_graceful_shutdown=5,
        )
        await uvicorn.Server(config).serve(sockets=[_listen(settings)])


@click.command()
@database_options
def work(**options: Any) -> None:
    """Run one worker process. Start as many as you like, on any machine that reaches the database."""
    settings = load_settings(**options)
    log.configure(level=settings.log_level)
    end_with_parent()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    from headgate.engine.process import run_worker

    async with (
        database_place(settings) as place,
        await Database.open(
            place.url,
            min_size=2,
            max_size=settings.pool_size + 2,
            application_name=f"headgate-worker-{os.getpid()}",
        ) as db,
    ):
        await run_worker(db, chosen_apps(settings), settings, stop=_stop_on_signals())
