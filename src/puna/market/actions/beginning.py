"""A process of the market begins: its time goes on from the books', whatever clock was set."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from puna.market.db import books, notices
from puna.market.db.database import Transaction, take_the_floor
from puna.market.db.notices import Kind
from puna.market.domain.rules import Rules
from puna.world import World

_MARKET = "market"
_NO_TIME = timedelta(0)


@dataclass(frozen=True, slots=True)
class Beginning:
    """When a process begins, in the market's time."""

    now: datetime
    ahead: timedelta
    """How far the books end after what the machine's clock says; zero where they do not."""


async def begin(tx: Transaction, world: World, rules: Rules) -> Beginning:
    """Return when the market's time goes on: by the machine's clock, but not before the books end.

    While no process was there nobody could pay or be charged: what is kept unpaid is kept, and what
    was paid ahead lasts, for so much longer. Where only a clock leapt, pods thus run on.
    """
    await take_the_floor(tx)
    ends, here = await books.end_of_books(tx), world.now()
    now = max(here, ends or here)
    if ends is not None and now - ends > rules.clock_error:
        await books.leave_out(tx, now - ends)
    await books.note_begin(tx, now)
    return Beginning(now=now, ahead=max(now - here, _NO_TIME))


async def tell_of_clock(tx: Transaction, apart: timedelta, now: datetime) -> None:
    """Let the operator know how far the machine's clock is ahead of the market's time."""
    side = "ahead of" if apart > _NO_TIME else "behind"
    text = (
        f"the clock of the market's machine is {abs(apart)} {side} the market's own time, "
        "by which pods are charged and stopped as if nobody had set it"
    )
    await notices.notice(tx, Kind.CLOCK, _MARKET, text, now)
