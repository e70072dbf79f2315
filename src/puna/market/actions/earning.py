"""Tells a host what it has earned."""

from datetime import timedelta

from puna.market.actions.hosting import host_by
from puna.market.db import earnings, ledger
from puna.market.db.database import Transaction
from puna.wire.agent import Earnings
from puna.world import World

_MONTH = timedelta(days=30)


async def earned(tx: Transaction, world: World, secret: str) -> Earnings:
    """Return what the host that has this key earned. Raises `UnknownHost`."""
    host, now = await host_by(tx, secret), world.now()
    book = await earnings.book_of(tx, host)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Earnings(
        today=await earnings.earned_since(tx, host, book, midnight),
        month=await earnings.earned_since(tx, host, book, now - _MONTH),
        ever=await earnings.earned_since(tx, host, book, None),
        balance=await ledger.balance_of(tx, book),
    )
