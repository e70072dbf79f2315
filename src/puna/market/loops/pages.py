"""Pods one after another: the walk that loops share.

Each pod has a transaction of its own, in which it is read anew: a turn holds nothing up, and a
crash costs one pod's work.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from puna.market.db import pods
from puna.market.db.database import Database, Transaction
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
    """
    total, after = 0, ""
    while True:
        async with database.reading() as tx:
            ids = await which(tx, after=after, limit=PAGE)
        for each in ids:
            async with database.transaction() as tx:
                pod = await pods.pod_of(tx, each, lock=True)
                total += await act(tx, pod) if pod else 0
        if len(ids) < PAGE:
            return total
        after = ids[-1]
