"""What every command that needs the database does first: settings, then the database that they name."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from headgate.base.errors import SettingsError
from headgate.base.settings import Settings
from headgate.db import Database
from headgate.db.embedded import EmbeddedServer, Options
from headgate.db.migrate import MigrationSource
from headgate.engine.manifest import App, installed_apps

ENGINE_SQL = Path(__file__).parents[1] / "engine" / "sql"


@dataclass(frozen=True)
class Place:
    """Where the database is. `url` is what the product uses, `admin_url` what may prepare it."""

    url: str
    admin_url: str
    embedded: bool


def load_settings(*, join: bool = True, **overrides: Any) -> Settings:
    """Settings from the environment with the command line's values over them; `SettingsError` HG100 if wrong.

    `join`: when `headgate up` runs from the data directory, what it set for its parts (such as the simulator's
    address) holds here too, unless set otherwise, so that a worker of another shell does not work differently.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    settings = _read(given)
    if join and not settings.url():
        shared = _shared(settings.data_dir)
        for name, value in shared.items():
            os.environ.setdefault(name, value)
        settings = _read(given) if shared else settings
    return settings


def _shared(data_dir: Path) -> dict[str, str]:
    """The settings of the `headgate up` that runs from this folder; none when it does not run."""
    try:
        state = json.loads((data_dir / "up.json").read_text())
        os.kill(int(state["pid"]), 0)
        return {str(name): str(value) for name, value in state["environment"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _read(given: dict[str, Any]) -> Settings:
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "HEADGATE_" + ".".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(
            f"Setting {name} is not valid: {first['msg']}.", hint="See docs/reference/settings.md."
        ) from None


def chosen_apps(settings: Settings) -> list[App]:
    """The installed applications that the settings name, or all."""
    return installed_apps([name.strip() for name in settings.apps.split(",") if name.strip()])


def migration_sources(apps: Sequence[App]) -> list[MigrationSource]:
    """The engine's migrations, then each application's."""
    engine = MigrationSource("engine", ENGINE_SQL / "migrations", ENGINE_SQL / "rollbacks")
    return [engine, *(MigrationSource(app.name, app.migrations, app.rollbacks) for app in apps)]


@contextlib.asynccontextmanager
async def database_place(settings: Settings) -> AsyncIterator[Place]:
    """The database to use: the operator's, or the embedded one, which is held open meanwhile."""
    url = settings.url()
    if url:
        yield Place(url=url, admin_url=url, embedded=False)
        return
    options = Options(bin=settings.postgres_bin, tcp_port=settings.postgres_port)
    async with await EmbeddedServer.open(settings.data_dir, options) as server:
        yield Place(url=server.url(), admin_url=server.admin_url(), embedded=True)


def _has_database(folder: Path) -> bool:
    try:
        return (folder / "data").is_dir()
    except PermissionError:  # it is somebody else's; opening it says so
        return True


@contextlib.asynccontextmanager
async def opened_database(settings: Settings, *, pool_size: int = 2) -> AsyncIterator[Database]:
    """An open pool on the database that the settings name; for commands that look or act once.

    Raises SettingsError HG103 rather than make a new database in a folder that has none.
    """
    if not settings.url() and not _has_database(settings.data_dir):
        raise SettingsError(
            f"There is no database in {settings.data_dir} yet.",
            code="HG103",
            hint="`headgate up` or `headgate migrate up` makes one; --data-dir names another folder.",
        )
    async with (
        database_place(settings) as place,
        await Database.open(place.url, min_size=1, max_size=pool_size, application_name="headgate-cli") as db,
    ):
        yield db


def database_options(command: Any) -> Any:
    """The two options that say which database; shared by every command that needs one."""
    for option in (
        click.option("--data-dir", type=click.Path(path_type=Path), help="Home of the embedded PostgreSQL."),
        click.option("--database-url", help="Any PostgreSQL 15 or newer, instead of the embedded one."),
    ):
        command = option(command)
    return command
