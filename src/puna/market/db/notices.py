"""What the operator should see: hosts that do not keep their word, and promises that were broken.

The same notice of the same subject is counted, not repeated. Some kinds stop renting until the
operator has cleared them; what runs goes on running.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, exists, insert, select, update

from puna.market.db.database import Transaction
from puna.market.db.tables import notices

_LONGEST = 2000


class Kind(StrEnum):
    """What a notice is about."""

    CLOCK = "clock"
    """A host's clock is wrong."""
    FOREIGN = "foreign container"
    """A host shows a container of a pod that is not its own."""
    UNKNOWN_RUN = "unknown run"
    """A host shows a run that was never ordered."""
    UNPAID = "runs unpaid"
    """A host shows a pod running after it had to stop."""
    SHRUNK = "machine shrank"
    """A host has less than what is rented on it."""
    GONE = "host gone"
    """A host has been silent for too long."""
    LEDGER = "ledger"
    BUDGET = "budget"
    OWNER = "owner"
    ROOM = "room"


STOPS_RENTING = frozenset({Kind.LEDGER, Kind.BUDGET, Kind.OWNER})
"""Broken promises of the market's own: until somebody has looked, nothing new begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that the operator should see."""

    number: int
    kind: Kind
    subject: str
    """The host, pod, budget or book that it is about."""
    text: str
    first: datetime
    last: datetime
    times: int
    cleared: datetime | None


async def notice(tx: Transaction, kind: Kind, subject: str, text: str, now: datetime) -> None:
    """Add a notice, or count it with the open one of the same kind and subject."""
    open_one = (
        notices.c.kind == str(kind),
        notices.c.subject == subject,
        notices.c.cleared.is_(None),
    )
    again = update(notices).where(*open_one)
    told = again.values(times=notices.c.times + 1, last=now, text=text[:_LONGEST])
    if (await tx.execute(told)).rowcount:
        return
    await tx.execute(
        insert(notices).values(
            kind=str(kind), subject=subject, text=text[:_LONGEST], first=now, last=now, times=1
        )
    )


async def notices_page(
    tx: Transaction, *, after: int = 0, limit: int = 100, with_cleared: bool = False
) -> Sequence[Notice]:
    """Return a page of notices in the order in which they were first made."""
    wanted = select(notices).where(notices.c.number > after)
    if not with_cleared:
        wanted = wanted.where(notices.c.cleared.is_(None))
    return [
        _notice(row) for row in await tx.execute(wanted.order_by(notices.c.number).limit(limit))
    ]


async def clear(tx: Transaction, number: int, now: datetime) -> bool:
    """Clear a notice; False where none of this number is open."""
    change = update(notices).where(notices.c.number == number, notices.c.cleared.is_(None))
    return (await tx.execute(change.values(cleared=now))).rowcount == 1


async def is_renting_stopped(tx: Transaction) -> bool:
    """Tell whether a promise is broken and nobody has looked at it yet."""
    return bool(await tx.scalar(_IS_STOPPED))


_IS_STOPPED = select(
    exists().where(
        notices.c.cleared.is_(None), notices.c.kind.in_(sorted(str(each) for each in STOPS_RENTING))
    )
)


def _notice(row: Row[Any]) -> Notice:
    return Notice(
        number=row.number,
        kind=Kind(row.kind),
        subject=row.subject,
        text=row.text,
        first=row.first,
        last=row.last,
        times=row.times,
        cleared=row.cleared,
    )
