"""The root of the `headgate` command. Turns every error of ours into one clear line; never a traceback."""

from __future__ import annotations

import importlib
import sys

import click

from headgate import __version__
from headgate.base.errors import HeadgateError
from headgate.db import errors

#: Command → the module that has it. Loaded when used, so that `headgate --help` stays quick.
_COMMANDS = {
    "up": "headgate.cli.stack",
    "serve": "headgate.cli.stack",
    "work": "headgate.cli.stack",
    "status": "headgate.cli.status",
    "doctor": "headgate.cli.status",
    "migrate": "headgate.cli.database",
    "gen": "headgate.cli.gen",
    "admin": "headgate.cli.admin",
    "keys": "headgate.cli.keys",
    "jobs": "headgate.cli.jobs",
    "run": "headgate.cli.work",
    "runs": "headgate.cli.work",
    "replay": "headgate.cli.work",
    "tickets": "headgate.cli.tickets",
    "stores": "headgate.cli.stores",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        found: click.Command = getattr(importlib.import_module(module), cmd_name)
        return found


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="headgate")
def cli() -> None:
    """The backend for products built on collected data."""


def main() -> None:
    """Run the command line and exit with 0, or with 1 and one line that says what to do."""
    try:
        cli(standalone_mode=True)
    except HeadgateError as error:
        click.echo(f"headgate: {error}", err=True)
        sys.exit(1)
    except errors.UndefinedTable:
        click.echo("headgate: HG226: The database is not up to date. Run `headgate migrate up`.", err=True)
        sys.exit(1)
