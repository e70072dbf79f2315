"""`puna market serve`: a market in the foreground."""

import sys

import click

from puna.agent.settings import load_agent_settings
from puna.cli.session import Session, pass_session
from puna.market.companion import Companion
from puna.market.server import serve as serve_market
from puna.market.settings import load_market_settings
from puna.settings import read_environment


@click.command()
@click.option("--with-agent", is_flag=True, help="Lend this machine's cards too.")
@pass_session
def serve(session: Session, *, with_agent: bool) -> None:
    """Serve a market until it is interrupted.

    It listens where PUNA_MARKET_ADDRESS says (127.0.0.1:11500 without it), on a database of SQLite
    in ~/.puna/market, or the one that PUNA_MARKET_DATABASE names. The first start shows the
    operator's key, once.
    """
    settings = load_market_settings(session.environ)
    companion = _companion(session) if with_agent else None
    serve_market(settings, world=session.world, companion=companion)


def _companion(session: Session) -> Companion:
    return Companion(
        program=(sys.executable, "-m", "puna", "agent"),
        join=("join",),
        run=("run",),
        identity=load_agent_settings(session.environ).home / "identity.json",
        environ=read_environment(session.environ),
    )
