"""`puna market serve`: a market in the foreground."""

import sys
from collections.abc import Sequence

import click

from puna.agent.settings import load_agent_settings
from puna.cli.session import Session, pass_session
from puna.cli.unit import print_unit
from puna.market.companion import Companion
from puna.market.server import serve as serve_market
from puna.market.settings import MARKET_ROWS, load_market_settings
from puna.settings import read_environment
from puna.units import Money

# As many connections as a market may have by its settings.
_MORE = "LimitNOFILE=65536"


@click.command()
@click.option("--with-agent", is_flag=True, help="Lend this machine too, by an agent beside it.")
@click.option(
    "--price",
    default="0.10",
    show_default=True,
    help="With --with-agent: dollars for a card (or processor) and hour.",
)
@click.option("--least-bid", default="", help="With --with-agent: the lowest bid of spot pods.")
@click.option(
    "--accept-gaps",
    is_flag=True,
    help="With --with-agent: lend although something is not enforced here.",
)
@pass_session
def serve(
    session: Session, *, with_agent: bool, price: str, least_bid: str, accept_gaps: bool
) -> None:
    """Serve a market until it is interrupted.

    It listens where PUNA_MARKET_ADDRESS says (127.0.0.1:11500 without it), on a database of SQLite
    in ~/.puna/market, or the one that PUNA_MARKET_DATABASE names. The first start shows the
    operator's key, once. What the agent offers is settled when it first joins.
    """
    settings = load_market_settings(session.environ)
    words = ["--price", str(Money.parse(price)).removeprefix("$")]
    words += ["--least-bid", str(Money.parse(least_bid)).removeprefix("$")] if least_bid else []
    words += ["--accept-gaps"] if accept_gaps else []
    companion = _companion(session, words) if with_agent else None
    serve_market(settings, world=session.world, companion=companion)


def _companion(session: Session, words: Sequence[str]) -> Companion:
    return Companion(
        program=(sys.executable, "-m", "puna", "agent"),
        join=("join", "--yes", "--detach", *words),
        run=("run",),
        identity=load_agent_settings(session.environ).home / "identity.json",
        environ=read_environment(session.environ),
    )


@click.command()
@click.option("--with-agent", is_flag=True, help="Of a market that lends its machine too.")
@pass_session
def unit(session: Session, *, with_agent: bool) -> None:
    """Print a unit that keeps the market running; for /etc/systemd/system/puna-market.service.

    It runs as you, with the PUNA_MARKET_ variables that are set now but for secret ones, which
    belong into config.toml. Start the market by hand first: the operator's key is shown once.
    """
    load_market_settings(session.environ)  # what cannot be served is said here, not by systemd
    print_unit(
        session,
        *("market", "serve", *(["--with-agent"] if with_agent else [])),
        description="puna market",
        after="postgresql.service",
        rows=[row for row in MARKET_ROWS if row.name != "market_key"],  # commands alone send it
        more=_MORE,
    )
