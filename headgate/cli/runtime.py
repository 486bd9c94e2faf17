"""What every command that needs the database does first: settings, then the database that they name."""

from __future__ import annotations

import contextlib
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


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment with the command line's values over them; `SettingsError` HG100 if wrong."""
    given = {name: value for name, value in overrides.items() if value is not None}
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


@contextlib.asynccontextmanager
async def opened_database(settings: Settings, *, pool_size: int = 2) -> AsyncIterator[Database]:
    """An open pool on the database that the settings name; for commands that look or act once."""
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
