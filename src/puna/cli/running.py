"""`ps`: what is in memory."""

import click

from puna.cli.reach import require_node
from puna.cli.session import Session, pass_session
from puna.cli.view import running_table


@click.command()
@click.argument("prefix", default="")
@pass_session
def ps(session: Session, prefix: str) -> None:
    """List models in memory, those whose names begin with PREFIX."""
    models = [model for model in require_node(session).running() if model.name.startswith(prefix)]
    session.terminal.line(running_table(models, session.world.now()))
