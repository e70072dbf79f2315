"""Where the books end, and what time that passed while nobody kept them does to promises."""

from datetime import datetime, timedelta

from sqlalchemy import BigInteger, func, literal, select, type_coerce, update

from puna.market.db.database import Transaction
from puna.market.db.once import insert_new
from puna.market.db.tables import Moment, hosts, loop_turns, pods

_BEGIN = "begin"


async def end_of_books(tx: Transaction) -> datetime | None:
    """Return the last moment that any process of the market has seen; None in new books."""
    ends = [await tx.scalar(select(func.max(each))) for each in (hosts.c.seen, loop_turns.c.taken)]
    return max((each for each in ends if each is not None), default=None)


async def note_begin(tx: Transaction, now: datetime) -> None:
    """Note that a process has begun: the books go on from here."""
    if not await insert_new(tx, loop_turns, {"loop": _BEGIN, "taken": now}):
        change = update(loop_turns).where(loop_turns.c.loop == _BEGIN, loop_turns.c.taken < now)
        await tx.execute(change.values(taken=now))


async def leave_out(tx: Transaction, span: timedelta) -> None:
    """Count a time in which no process was there neither as paid for nor as unpaid."""
    later = literal(span // timedelta(microseconds=1), BigInteger)
    change = update(pods).where(pods.c.closed.is_(None))
    await tx.execute(
        change.values(
            frozen=type_coerce(type_coerce(pods.c.frozen, BigInteger) + later, Moment),
            paid_until=type_coerce(type_coerce(pods.c.paid_until, BigInteger) + later, Moment),
        )
    )
