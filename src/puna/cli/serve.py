"""`puna serve`: the server in the foreground."""

from importlib import import_module

import click

from puna.cli.session import Session, pass_session


@click.command()
@pass_session
def serve(session: Session) -> None:
    """Start the server and run until it is interrupted.

    It listens where `host` of `puna settings` says (PUNA_HOST or OLLAMA_HOST; 127.0.0.1:11434
    without one). Ctrl-C or a termination signal unloads all models and ends it.
    """
    import_module("puna.node.api.server").serve(session.settings)
