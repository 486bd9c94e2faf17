"""What `headgate up --demo` adds: a simulator for each application that has one, their first jobs, and an account."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from headgate.base.settings import Settings
from headgate.cli.ports import ensure_free
from headgate.cli.runtime import chosen_apps
from headgate.db import Database
from headgate.engine.jobs import enqueue
from headgate.engine.manifest import Demo

ACCOUNT = "demo@example.com"


def simulators(settings: Settings) -> dict[str, Demo]:
    """Application → its simulator. The first has the port of the settings, each further one the next.

    Raises SettingsError HG101 for a port that is in use.
    """
    found: dict[str, Demo] = {}
    for app in chosen_apps(settings):
        if app.demo is not None:
            port = settings.simulator_port + len(found)
            option = "--simulator-port (make run RUN_ARGS='--simulator-port N')"
            ensure_free("127.0.0.1", port, option=option)
            found[app.name] = app.demo(port)
    return found


async def begin(db: Database, demos: Sequence[Demo]) -> None:
    """Have the demos' jobs run now; one that waits since the last time is woken."""
    kinds = [kind for one in demos for kind in one.jobs]
    async with db.transaction() as conn:
        await conn.execute(
            "select control.retry_job(id) from control.jobs where kind = any (%s) and state = 'scheduled'",
            (kinds,),
        )
        for kind in kinds:
            await enqueue(conn, kind, unique="demo")


async def account(db: Database, settings: Settings) -> str:
    """Make the account of the demo, or give the one that is there a new password; the password."""
    from headgate.surface.auth import users
    from headgate.surface.auth.passwords import Passwords

    password = secrets.token_urlsafe(9)
    passwords = Passwords(settings)
    try:
        hashed = await passwords.hash(password)
    finally:
        passwords.close()
    async with db.transaction() as conn:
        known = await users.by_email(conn, ACCOUNT)
        if known is None:
            await users.create(conn, email=ACCOUNT, password_hash=hashed, email_confirmed=True)
        else:
            await conn.execute(
                "update auth.users set encrypted_password = %s, updated_at = now() where id = %s",
                (hashed, known["id"]),
            )
    return password
