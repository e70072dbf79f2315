"""`puna market serve`: a market in the foreground."""

import click

from puna.cli.session import Session, pass_session
from puna.market.server import serve as serve_market
from puna.market.settings import load_market_settings


@click.command()
@pass_session
def serve(session: Session) -> None:
    """Serve a market until it is interrupted.

    It listens where PUNA_MARKET_ADDRESS says (127.0.0.1:11500 without it), on a database of SQLite
    in ~/.puna/market, or the one that PUNA_MARKET_DATABASE names. The first start shows the
    operator's key, once.
    """
    serve_market(load_market_settings(session.environ), world=session.world)
