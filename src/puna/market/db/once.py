"""Rows that are there once, whoever adds them first."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

from puna.market.db.database import Transaction


async def add_new(tx: Transaction, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert those rows whose keys do not stand yet."""
    kind = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    await tx.execute(kind(table).on_conflict_do_nothing(), rows)


async def insert_new(tx: Transaction, table: Table, values: Mapping[str, object]) -> bool:
    """Insert a row unless its key stands already; tell whether it did."""
    if tx.dialect.name == "sqlite":
        result = await tx.execute(sqlite.insert(table).values(values).on_conflict_do_nothing())
    else:
        result = await tx.execute(postgresql.insert(table).values(values).on_conflict_do_nothing())
    return result.rowcount == 1
