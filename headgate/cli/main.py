"""The root of the `headgate` command. Turns every error of ours into one clear line; never a traceback."""

from __future__ import annotations

import sys

import click

from headgate import __version__
from headgate.base.errors import HeadgateError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
