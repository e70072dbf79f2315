"""`stop`: take a model out of memory, or end the server that a command started."""

import click

from puna.cli.naming import model_text
from puna.cli.reach import require_node
from puna.cli.session import Session, pass_session
from puna.cli.start import stop_server
from puna.errors import NotFound
from puna.node.client import NodeRefused


class NotRunning(NotFound):
    """There is no such model to stop."""

    code = "not_running"


@click.command()
@click.argument("model", required=False)
@click.option("--server", is_flag=True, help="End the server that a command started instead.")
@pass_session
def stop(session: Session, model: str | None, *, server: bool) -> None:
    """Take MODEL out of memory, or end the server that a command started in the background."""
    if server:
        session.terminal.say(f"stopped the server (process {stop_server(session)})")
        return
    if model is None:
        raise click.MissingParameter(param_type="argument", param_hint="'MODEL'")
    client = require_node(session)
    try:
        client.unload(model_text(session, model))
    except NodeRefused as error:
        if error.is_not_found:
            raise NotRunning(f'couldn\'t find model "{model}" to stop') from error
        raise
