"""`headgate admin`: who administers the console. Works on the database itself, so it needs no administrator yet."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import click

from headgate.base.errors import DatabaseError
from headgate.base.settings import Settings
from headgate.cli.runtime import database_options, load_settings, opened_database
from headgate.db import Connection, errors

_ROLE = {"headgate_role": "admin"}


@click.group()
def admin() -> None:
    """Administrators of the console."""


@admin.command("create")
@click.argument("email")
@click.option("--reset-password", is_flag=True, help="Also give an account that is there a new password.")
@database_options
def create(email: str, reset_password: bool, **options: Any) -> None:
    """Make an administrator; print the first password, once. An account that is there keeps its password."""
    settings = load_settings(**options)
    address, password = asyncio.run(_create(settings, email, reset=reset_password))
    click.echo(f"{address} is an administrator.")
    if password is None:
        click.echo("The password is as it was; --reset-password gives a new one.")
        return
    click.echo(f"Password: {password}")
    click.echo(
        "It is not kept in clear. Sign in at /console/#/sign-in, then change it and set up a second factor."
    )


async def _create(settings: Settings, email: str, *, reset: bool) -> tuple[str, str | None]:
    from headgate.surface.auth import users
    from headgate.surface.auth.errors import AuthError
    from headgate.surface.auth.passwords import Passwords

    try:
        address = users.valid_email(email)
    except AuthError as error:
        raise click.BadParameter(f"{email!r} is not an e-mail address.", param_hint="EMAIL") from error
    password = secrets.token_urlsafe(18)
    passwords = Passwords(settings)
    try:
        hashed = await passwords.hash(password)
    finally:
        passwords.close()
    async with opened_database(settings) as db:
        try:
            async with db.transaction() as conn:
                known = await users.by_email(conn, address)
                if known is None:
                    await users.create(
                        conn, email=address, password_hash=hashed, email_confirmed=True, app_metadata=_ROLE
                    )
                    return address, password
                await _promote(conn, known["id"], hashed if reset else None)
                return address, password if reset else None
        except errors.UndefinedTable as error:
            raise DatabaseError(
                "The database has no accounts yet.", code="HG226", hint="Run `headgate migrate up`."
            ) from error


async def _promote(conn: Connection, user: object, hashed: str | None) -> None:
    await conn.execute(
        "update auth.users set raw_app_meta_data = coalesce(raw_app_meta_data, '{}')"
        ' || \'{"headgate_role": "admin"}\','
        " encrypted_password = coalesce(%(hash)s, encrypted_password), updated_at = now(),"
        " email_confirmed_at = coalesce(email_confirmed_at, now()) where id = %(id)s",
        {"id": user, "hash": hashed},
    )
    if hashed is not None:
        await conn.execute("delete from auth.sessions where user_id = %(id)s", {"id": user})


@admin.command("list")
@database_options
def show(**options: Any) -> None:
    """Who is an administrator."""

    async def read() -> list[Any]:
        async with opened_database(load_settings(**options)) as db:
            return await db.fetch_all(
                "select email, last_sign_in_at, banned_until > now() as banned from auth.users"
                " where raw_app_meta_data ->> 'headgate_role' = 'admin' and deleted_at is null order by email"
            )

    rows = asyncio.run(read())
    for row in rows:
        seen = (
            f"last signed in {row['last_sign_in_at']:%Y-%m-%d %H:%M} UTC"
            if row["last_sign_in_at"]
            else "never signed in"
        )
        click.echo(f"{row['email']}  {seen}{'  banned' if row['banned'] else ''}")
    if not rows:
        click.echo("Nobody yet. `headgate admin create EMAIL` makes the first.")
