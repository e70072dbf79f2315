"""`puna market`: the operator's commands, imported when they are called."""

from collections.abc import Mapping
from typing import ClassVar

import click

from puna.cli.extras import Extra, ExtraCommands, Row


class MarketCommands(ExtraCommands):
    """The commands of `puna market`."""

    extra = Extra(
        "market",
        frozenset(
            {"aiosqlite", "alembic", "asyncpg", "asyncssh", "graphql", "sqlalchemy", "websockets"}
        ),
    )
    rows: ClassVar[Mapping[str, Row]] = {
        "serve": Row("puna.cli.market_serve", "serve", "Serve a market"),
        "status": Row("puna.cli.market_operate", "status", "Show how the market is"),
        "accounts": Row("puna.cli.market_operate", "accounts", "List accounts, or open one"),
        "keys": Row("puna.cli.market_operate", "keys", "List, make and revoke keys"),
        "credit": Row("puna.cli.market_operate", "credit", "Give an account credit"),
        "payout": Row("puna.cli.market_operate", "payout", "Note that an owner was paid"),
        "hosts": Row("puna.cli.market_operate", "hosts", "List machines, or drain one"),
        "tokens": Row("puna.cli.market_operate", "tokens", "List or make tokens for machines"),
        "notices": Row("puna.cli.market_operate", "notices", "List or clear what went wrong"),
        "orphans": Row("puna.cli.market_operate", "orphans", "List containers of nobody"),
        "unit": Row("puna.cli.market_serve", "unit", "Print a unit for systemd"),
    }


@click.group(cls=MarketCommands)
def market() -> None:
    """Run a market on which owners lend their cards and others rent them.

    One process on SQLite is a whole market; on PostgreSQL there may be any number. `puna[market]`
    must be installed.
    """
