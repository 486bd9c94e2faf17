"""`headgate keys`: API keys and the keys that sign users' tokens. Shows a key in clear only where it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from headgate.base.errors import SettingsError
from headgate.base.settings import Settings
from headgate.cli.runtime import database_options, load_settings, opened_database
from headgate.db import Database
from headgate.db import keys as api_keys
from headgate.surface.auth import signing

_T = TypeVar("_T")
_YEARS_10 = 10 * 365 * 86_400
_console = Console(highlight=False)
_role = click.option(
    "--role",
    type=click.Choice(sorted(api_keys.PREFIXES)),
    required=True,
    help="Which role the key stands for.",
)


@click.group()
def keys() -> None:
    """API keys, and the keys that sign users' tokens."""


def _run(options: dict[str, Any], work: Callable[[Database, Settings], Awaitable[_T]]) -> _T:
    settings = load_settings(**options)

    async def inside() -> _T:
        async with opened_database(settings) as db:
            return await work(db, settings)

    return asyncio.run(inside())


def _secret(settings: Settings) -> str:
    configured = settings.jwt_secret.get_secret_value() if settings.jwt_secret else ""
    return configured or api_keys.ensure_jwt_secret(settings.data_dir / "jwt_secret")


@keys.command("list")
@database_options
def list_(**options: Any) -> None:
    """Every API key and signing key, without its secret."""

    async def work(db: Database, _: Settings) -> tuple[list[dict[str, Any]], list[signing.KeyState]]:
        return await api_keys.list_keys(db), await signing.list_keys(db)

    listed, signers = _run(options, work)
    table = Table(
        "id", "name", "role", "begins with", "made", "revoked", title="API keys", title_justify="left"
    )
    for row in listed:
        revoked = f"{row['revoked_at']:%Y-%m-%d %H:%M}" if row["revoked_at"] else ""
        made = f"{row['created_at']:%Y-%m-%d %H:%M}"
        table.add_row(str(row["id"]), row["name"], row["role"], row["prefix"] + "…", made, revoked)
    _console.print(table)
    table = Table("id", "algorithm", "status", "since", title="Signing keys", title_justify="left")
    for key in signers:
        table.add_row(key.kid, key.algorithm, key.status, f"{key.changed_at:%Y-%m-%d %H:%M}")
    _console.print(table)


@keys.command()
@click.option("--name", required=True, help="What it is for, so that people can tell keys apart.")
@_role
@database_options
def create(name: str, role: str, **options: Any) -> None:
    """Make an API key and show it, this one time."""
    click.echo(_run(options, lambda db, _: api_keys.create_key(db, name=name, role=role)))


@keys.command()
@click.argument("key_id", type=int)
@database_options
def revoke(key_id: int, **options: Any) -> None:
    """Stop an API key by its id; every server refuses it within 15 s."""
    if not _run(options, lambda db, _: api_keys.revoke_key(db, key_id)):
        raise SettingsError(f"No API key {key_id} is in force.", hint="`headgate keys list` shows them.")
    click.echo(f"API key {key_id} is revoked.")


@keys.command()
@_role
@database_options
def rotate(role: str, **options: Any) -> None:
    """Replace the installation's own key of a role: show the new one, revoke the old one."""

    async def work(db: Database, settings: Settings) -> str:
        return await api_keys.rotate_key(db, settings.data_dir / "keys.json", role=role)

    click.echo(_run(options, work))


@keys.command()
@_role
@click.option("--valid-s", type=click.IntRange(min=60), default=_YEARS_10, help="Seconds it is good for.")
@database_options
def legacy(role: str, valid_s: int, **options: Any) -> None:
    """Show a key in the older form, a token signed with the installation's secret. It cannot be revoked alone."""
    click.echo(signing.legacy_key(_secret(load_settings(**options)), role=role, valid_s=valid_s))


@keys.command("rotate-signing")
@click.option("--algorithm", type=click.Choice(signing.ALGORITHMS), help="Default: as the next key has it.")
@database_options
def rotate_signing(algorithm: str | None, **options: Any) -> None:
    """Sign users' tokens with the next key from now on; tokens of the old one stay good until it is revoked."""

    async def work(db: Database, settings: Settings) -> str:
        return await signing.rotate(db, _secret(settings), algorithm=algorithm)

    click.echo(f"Key {_run(options, work)} signs from now on.")


@keys.command("revoke-signing")
@click.argument("kid")
@database_options
def revoke_signing(kid: str, **options: Any) -> None:
    """Let no token of a previous signing key in any more."""
    if not _run(options, lambda db, _: signing.revoke(db, kid)):
        raise SettingsError(
            f"No previous or standby key {kid!r} is there.",
            hint="The current key cannot be revoked before `headgate keys rotate-signing`.",
        )
    click.echo(f"Key {kid} is revoked.")
