"""`puna agent`: the commands of somebody who lends cards, imported when they are called."""

from collections.abc import Mapping
from typing import ClassVar

import click

from puna.cli.extras import Extra, ExtraCommands, Row


class AgentCommands(ExtraCommands):
    """The commands of `puna agent`."""

    extra = Extra("agent", frozenset({"aiodocker", "asyncssh"}))
    rows: ClassVar[Mapping[str, Row]] = {
        "join": Row("puna.cli.agent_join", "join", "Lend this machine on a market"),
        "run": Row("puna.cli.agent_run", "run", "Run the agent of a machine that has joined"),
        "status": Row("puna.cli.agent_show", "status", "Show what runs here, and for whom"),
        "earnings": Row("puna.cli.agent_show", "earnings", "Show what this machine has earned"),
        "pause": Row("puna.cli.agent_offer", "pause", "Take no new pods; those here go on"),
        "resume": Row("puna.cli.agent_offer", "resume", "Take pods again"),
        "leave": Row("puna.cli.agent_offer", "leave", "Leave the market"),
        "unit": Row("puna.cli.agent_run", "unit", "Print a unit for systemd"),
    }


@click.group(cls=AgentCommands)
def agent() -> None:
    """Lend this machine's cards on a market, in containers of Podman's or Docker's.

    The agent only dials out. It needs root to keep pods away from this machine's network.
    `puna[agent]` must be installed.
    """
