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
    }


@click.group(cls=MarketCommands)
def market() -> None:
    """Run a market on which owners lend their cards and others rent them.

    One process on SQLite is a whole market; on PostgreSQL there may be any number. `puna[market]`
    must be installed.
    """
