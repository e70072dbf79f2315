"""Whose turn it is: of several processes, one takes a loop's turn at each time."""

from datetime import datetime

from sqlalchemy import or_, update

from puna.market.db.database import Transaction
from puna.market.db.once import insert_new
from puna.market.db.tables import loop_turns
from puna.units import Span

_AGO = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


async def claim_turn(tx: Transaction, loop: str, now: datetime, every: Span) -> bool:
    """Claim the turn of a loop; False where another process took one less than `every` ago.

    A turn that is far in the future was taken by a clock that was wrong, and holds nobody up.
    """
    await insert_new(tx, loop_turns, {"loop": loop, "taken": _AGO})
    span = every.timedelta
    is_due = or_(loop_turns.c.taken <= now - span, loop_turns.c.taken > now + span)
    change = update(loop_turns).where(loop_turns.c.loop == loop, is_due)
    return (await tx.execute(change.values(taken=now))).rowcount == 1
