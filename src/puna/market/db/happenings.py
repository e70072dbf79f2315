"""What happened to a pod, line by line, also after its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select

from puna.market.db.database import Transaction
from puna.market.db.tables import bill_lines, events, pods
from puna.units import Money


@dataclass(frozen=True, slots=True)
class Happening:
    """A line; numbers rise."""

    number: int
    at: datetime
    text: str


async def happened(
    tx: Transaction, pod: str, *, after: int | None = None, limit: int = 100
) -> Sequence[Happening]:
    """Return the first lines after a number, or the last ones; the oldest first."""
    wanted = select(events).where(events.c.pod == pod)
    if after is not None:
        later = wanted.where(events.c.number > after).order_by(events.c.number)
        return [_happening(row) for row in await tx.execute(later.limit(limit))]
    rows = (await tx.execute(wanted.order_by(events.c.number.desc()).limit(limit))).all()
    return [_happening(row) for row in reversed(rows)]


async def is_closed(tx: Transaction, pod: str) -> bool:
    """Tell whether nothing of a pod is left anywhere, and its account is settled."""
    return await tx.scalar(select(pods.c.closed).where(pods.c.id == pod)) is not None


async def spent_on(tx: Transaction, pod: str) -> Money:
    """Return what was charged for a pod."""
    total = select(func.coalesce(func.sum(bill_lines.c.amount), 0)).where(bill_lines.c.pod == pod)
    return Money(int(await tx.scalar(total) or 0))


def _happening(row: Row[Any]) -> Happening:
    return Happening(row.number, row.at, row.text)
