"""Pods one after another, or many at once: the walks that loops share.

In each transaction pods are read anew and locked. One by one a turn holds nothing up, and a crash
costs one pod's work; many at once cost a few statements together.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from puna.market.db import pods
from puna.market.db.database import UNDONE, Database, DatabaseAway, DatabaseClash, Transaction
from puna.market.db.pods import Pod

PAGE = 200
TOGETHER = 100
"""Pods in one transaction, which other writers of SQLite wait for."""
Act = Callable[[Transaction, Pod], Awaitable[int]]
ActOnMany = Callable[[Transaction, Sequence[Pod]], Awaitable[int]]


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


async def settle_pods(database: Database, act: ActOnMany, which: Which) -> int:
    """Have `act` do its work on open pods, a hundred in one transaction; return the sum.

    Pods that somebody else is changing come afterwards, each by itself, and so do all of a hundred
    that could not be settled together: what is wrong with one holds up no other. Raises in the end.
    """
    total, after = 0, ""
    wrong: Exception | None = None
    while True:
        async with database.reading() as tx:
            ids = await which(tx, after=after, limit=TOGETHER)
        done, missed = await _together(database, act, ids)
        total += done
        for each in missed:
            try:
                async with database.transaction() as tx:
                    found = await pods.take_pods(tx, [each], waits=True)
                    total += await act(tx, found) if found else 0
            except UNDONE as error:
                _check_is_there(error)
                wrong = error
        if len(ids) < TOGETHER:
            break
        after = ids[-1]
    if wrong is not None:
        raise wrong
    return total


async def _together(
    database: Database, act: ActOnMany, ids: Sequence[str]
) -> tuple[int, Sequence[str]]:
    """Return what was done, and which pods are to be taken one by one."""
    if not ids:
        return 0, ()
    try:
        async with database.transaction() as tx:
            found = await pods.take_pods(tx, ids, waits=False)
            done = await act(tx, found) if found else 0
    except UNDONE as error:
        _check_is_there(error)
        return 0, ids
    taken = {pod.id for pod in found}
    return done, [each for each in ids if each not in taken]


def _check_is_there(error: Exception) -> None:
    """Raise what says that the database is away; the others are in vain then."""
    if isinstance(error, DatabaseAway) and not isinstance(error, DatabaseClash):
        raise error


async def _act_on(database: Database, act: Act, pod: str) -> int:
    async with database.transaction() as tx:
        found = await pods.pod_of(tx, pod, lock=True)
        return await act(tx, found) if found else 0
