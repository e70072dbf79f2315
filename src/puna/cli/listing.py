"""`list` and `ps`: the models that are here, and those in memory.

These two start in a tenth of a second, so they import nothing that only other commands need.
"""

import click

from puna.cli.reach import find_node, open_store, require_node
from puna.cli.session import Session, pass_session
from puna.cli.view import model_table, running_table


@click.command("list")
@click.argument("prefix", default="")
@pass_session
def list_models(session: Session, prefix: str) -> None:
    """List models, those whose names begin with PREFIX, newest first."""
    found = (find_node(session) or open_store(session)).list_models()
    models = [model for model in found if model.name.lower().startswith(prefix.lower())]
    language = session.terminal.screen_language
    session.terminal.line(
        model_table(models, session.world.now(), language, width=session.terminal.table_width)
    )


@click.command()
@click.argument("prefix", default="")
@pass_session
def ps(session: Session, prefix: str) -> None:
    """List models in memory, those whose names begin with PREFIX."""
    models = [model for model in require_node(session).running() if model.name.startswith(prefix)]
    language = session.terminal.screen_language
    session.terminal.line(
        running_table(models, session.world.now(), language, width=session.terminal.table_width)
    )
