"""Share links and terminal tickets: who may reach a pod without a key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, delete, insert, select, update

from puna.market.db.database import Transaction
from puna.market.db.tables import shares, tickets


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A link by which anybody who has it reaches one port of one pod."""

    id: str
    pod: str
    port: int
    created: datetime
    expires: datetime
    revoked: datetime | None = None


async def add_share(tx: Transaction, share: Share) -> None:
    """Keep a new link."""
    await tx.execute(
        insert(shares).values(
            id=share.id,
            pod=share.pod,
            port=share.port,
            created=share.created,
            expires=share.expires,
        )
    )


async def share_of(tx: Transaction, share: str) -> Share | None:
    """Return a link by its id."""
    row = (await tx.execute(select(shares).where(shares.c.id == share))).one_or_none()
    return None if row is None else _share(row)


async def shares_of(
    tx: Transaction, pod: str, *, after: str = "", limit: int = 100
) -> Sequence[Share]:
    """Return a page of a pod's links, by id, those included that are over."""
    wanted = select(shares).where(shares.c.pod == pod, shares.c.id > after)
    rows = await tx.execute(wanted.order_by(shares.c.id).limit(limit))
    return [_share(row) for row in rows]


async def revoke_share(tx: Transaction, pod: str, share: str, now: datetime) -> bool:
    """End a link of a pod; False where it has none of this id that is good."""
    change = update(shares).where(
        shares.c.id == share, shares.c.pod == pod, shares.c.revoked.is_(None)
    )
    return (await tx.execute(change.values(revoked=now))).rowcount == 1


async def add_ticket(tx: Transaction, digest: str, pod: str, expires: datetime) -> None:
    """Keep a ticket, and forget those of the pod that are over."""
    await tx.execute(delete(tickets).where(tickets.c.pod == pod, tickets.c.expires < expires))
    await tx.execute(insert(tickets).values(digest=digest, pod=pod, expires=expires))


async def use_ticket(tx: Transaction, digest: str, pod: str, now: datetime) -> bool:
    """Take a ticket; False where it is unknown, used, over or for another pod."""
    good = (
        tickets.c.digest == digest,
        tickets.c.pod == pod,
        tickets.c.used.is_(None),
        tickets.c.expires > now,
    )
    return (await tx.execute(update(tickets).where(*good).values(used=now))).rowcount == 1


def _share(row: Row[tuple[object, ...]]) -> Share:
    return Share(
        id=row.id,
        pod=row.pod,
        port=row.port,
        created=row.created,
        expires=row.expires,
        revoked=row.revoked,
    )
