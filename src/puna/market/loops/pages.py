"""Pods one after another: the walk that loops share.

Each pod has a transaction of its own, in which it is read anew: a turn holds nothing up, and a
crash costs one pod's work.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from puna.market.db import pods
from puna.market.db.database import Database, DatabaseClash, Transaction
from puna.market.db.pods import Pod

PAGE = 200
Act = Callable[[Transaction, Pod], Awaitable[int]]


class Which(Protocol):
    """A walk over ids of pods, page by page."""

    async def __call__(self, tx: Transaction, *, after: str, limit: int) -> Sequence[str]:
        """Return the ids of the next page."""


async def for_each_open_pod(database: Database, act: Act, which: Which = pods.open_pods) -> int:
    """Have `act` do its work on every open pod, and return the sum of what it returns.

    While it works on a pod nobody else changes that: two processes never charge the same second.
    A pod at which somebody was in the way comes once more in the end. Raises `DatabaseAway`.
    """
    total, after = 0, ""
    put_off: list[str] = []
    while True:
        async with database.reading() as tx:
            ids = await which(tx, after=after, limit=PAGE)
        for each in ids:
            try:
                total += await _act_on(database, act, each)
            except DatabaseClash:
                put_off.append(each)
        if len(ids) < PAGE:
            break
        after = ids[-1]
    return total + sum([await _act_on(database, act, each) for each in put_off])


async def _act_on(database: Database, act: Act, pod: str) -> int:
    async with database.transaction() as tx:
        found = await pods.pod_of(tx, pod, lock=True)
        return await act(tx, found) if found else 0
