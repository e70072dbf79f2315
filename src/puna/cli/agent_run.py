"""`puna agent run` and `puna agent unit`."""

import asyncio
import logging
import signal

import click

from puna.agent.host import run_host
from puna.agent.notebook import Notebook
from puna.agent.settings import AGENT_ROWS, load_agent_settings
from puna.cli.session import Session, pass_session
from puna.cli.unit import print_unit

# Pods go on without the agent, and it finds them again: only its own process ends.
_MORE = "KillMode=process"


@click.command()
@pass_session
def run(session: Session) -> None:
    """Run the agent in the foreground until it is interrupted.

    Pods go on when it ends, and it finds them again. Only one runs on a machine.
    """
    settings = load_agent_settings(session.environ)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    notebook = Notebook(settings.home)
    session.terminal.say(f"Agent of {notebook.identity().market}. Ctrl-C ends it; pods go on.")
    asyncio.run(_until_told(session, notebook))


async def _until_told(session: Session, notebook: Notebook) -> None:
    """Run until a termination signal, and end quietly."""
    settings = load_agent_settings(session.environ)
    running = asyncio.ensure_future(run_host(settings, notebook, session.world))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        session.terminal.say("The agent has ended; pods go on.")


@click.command()
@pass_session
def unit(session: Session) -> None:
    """Print a unit that keeps the agent running; for /etc/systemd/system/puna-agent.service."""
    load_agent_settings(session.environ)  # what cannot be run is said here, not by systemd
    print_unit(
        session,
        "agent",
        "run",
        description="puna agent: lends this machine's cards",
        after="podman.socket docker.socket",
        rows=[row for row in AGENT_ROWS if row.name != "agent_token"],  # it has joined by then
        more=_MORE,
    )
