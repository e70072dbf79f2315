"""`puna --version`: which puna this is, and which program answers at the node's address."""

import click

from puna.cli.reach import client_of
from puna.cli.session import Session, pass_session
from puna.errors import PunaError
from puna.version import __version__


@click.command()
@pass_session
def version(session: Session) -> None:
    """Show the version of puna and of the server."""
    session.terminal.tell(f"puna version is {__version__}")
    client = client_of(session)
    try:
        node = client.version()
    except PunaError:
        session.terminal.say("Warning: could not connect to a running puna server")
        return
    if not node.puna:
        session.terminal.say(f"Warning: the server at {client.url} is Ollama {node.version}")
    elif node.puna != __version__:
        session.terminal.say(f"Warning: server version is {node.puna}")
