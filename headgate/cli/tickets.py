"""`headgate tickets`: what only the ticket application needs on the command line."""

from __future__ import annotations

from typing import Any

import click

from headgate.apps.tickets.simulator.__main__ import main as simulator
from headgate.cli.parts import end_with_parent


@click.group()
def tickets() -> None:
    """The ticket application: its simulated marketplace."""


@tickets.command(params=simulator.params, context_settings=simulator.context_settings)
def simulate(**options: Any) -> None:
    """Serve a simulated ticket marketplace on this machine, with the truth beside it."""
    end_with_parent()
    if simulator.callback is not None:
        simulator.callback(**options)
