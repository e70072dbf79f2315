"""Containers that are on a host, or may be, and belong to no pod there: on their way out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, select, tuple_

from puna.market.db.database import Transaction
from puna.market.db.once import insert_new
from puna.market.db.tables import orphans

_LONGEST = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A container that no pod owns."""

    host: str
    pod: str
    since: datetime
    reason: str


_ON_HOST = select(orphans).where(orphans.c.host == bindparam("on")).order_by(orphans.c.pod)
"""Asked at every report, so it is put together once."""


async def add_orphan(tx: Transaction, orphan: Orphan) -> bool:
    """Put a container on the list; False where it is there already."""
    return await insert_new(
        tx,
        orphans,
        {
            "host": orphan.host,
            "pod": orphan.pod,
            "since": orphan.since,
            "reason": orphan.reason[:_LONGEST],
        },
    )


async def orphans_on(tx: Transaction, host: str) -> Sequence[Orphan]:
    """Return those of one host."""
    rows = await tx.execute(_ON_HOST, {"on": host})
    return [Orphan(host=row.host, pod=row.pod, since=row.since, reason=row.reason) for row in rows]


async def orphans_page(
    tx: Transaction, *, after: tuple[str, str] = ("", ""), limit: int = 100
) -> Sequence[Orphan]:
    """Return a page of all of them, by host and pod."""
    where = tuple_(orphans.c.host, orphans.c.pod) > after
    wanted = select(orphans).where(where).order_by(orphans.c.host, orphans.c.pod)
    rows = await tx.execute(wanted.limit(limit))
    return [Orphan(host=row.host, pod=row.pod, since=row.since, reason=row.reason) for row in rows]


async def remove_orphans(tx: Transaction, host: str, pods: Collection[str]) -> None:
    """Take containers off the list: they are gone, or have a pod again."""
    if pods:
        gone = delete(orphans).where(orphans.c.host == host, orphans.c.pod.in_(pods))
        await tx.execute(gone)
