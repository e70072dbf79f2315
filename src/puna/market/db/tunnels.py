"""The keys by which hosts dial their tunnels, and which process of the market holds each."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from puna.market.db.database import Transaction
from puna.market.db.tables import tunnels


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """How a host's tunnel is known, and where it ends: empty while it ends nowhere."""

    host: str
    public_key: str
    ends_at: str


async def set_tunnel_key(tx: Transaction, host: str, public_key: str) -> None:
    """Keep a host's key; one that it had before is good no more."""
    await tx.execute(delete(tunnels).where(tunnels.c.host == host))
    await tx.execute(insert(tunnels).values(host=host, public_key=public_key, ends_at=""))


async def tunnel_of(tx: Transaction, host: str) -> Tunnel | None:
    """Return what is known of a host's tunnel."""
    row = (await tx.execute(select(tunnels).where(tunnels.c.host == host))).one_or_none()
    if row is None:
        return None
    return Tunnel(host=row.host, public_key=row.public_key, ends_at=row.ends_at)


async def tunnel_begins(tx: Transaction, host: str, process: str, now: datetime) -> None:
    """Note that a host's tunnel ends at a process, by the address where others reach it."""
    change = update(tunnels).where(tunnels.c.host == host)
    await tx.execute(change.values(ends_at=process, since=now))


async def tunnel_is_gone(tx: Transaction, host: str, process: str) -> None:
    """Note that a tunnel ended, unless it has begun anew somewhere else."""
    change = update(tunnels).where(tunnels.c.host == host, tunnels.c.ends_at == process)
    await tx.execute(change.values(ends_at="", since=None))
