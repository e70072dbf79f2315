"""Hosts: what they have, what their owners ask, and who is on them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, insert, select, update

from puna.market.db.database import Transaction
from puna.market.db.tables import hosts, pods
from puna.market.db.values import from_json, to_json
from puna.market.domain.hosts import Cloud, Host, Machine, Tenant, Terms
from puna.market.domain.pods import Desired, Observed
from puna.market.domain.specs import PodSpec
from puna.units import Money

_NOTHING_LEFT = frozenset({Observed.ABSENT, Observed.EXITED, Observed.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A host as it is when it joins."""

    id: str
    account: str
    name: str
    key_digest: str
    cloud: Cloud
    machine: Machine
    terms: Terms
    joined: datetime


async def add_host(tx: Transaction, host: Joined) -> None:
    """Keep a new host."""
    await tx.execute(
        insert(hosts).values(
            id=host.id,
            account=host.account,
            name=host.name,
            key_digest=host.key_digest,
            cloud=str(host.cloud),
            card=host.machine.card,
            machine=to_json(host.machine),
            terms=to_json(host.terms),
            joined=host.joined,
            seen=host.joined,
            sequence=0,
            is_draining=False,
            turn=0,
        )
    )


async def host_by(tx: Transaction, key_digest: str) -> str | None:
    """Return the id of the host whose key has this digest."""
    found = await tx.scalar(select(hosts.c.id).where(hosts.c.key_digest == key_digest))
    return None if found is None else str(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a host reports of itself. Reports are counted, so that a late one is known as such."""

    host: str
    sequence: int
    machine: Machine
    terms: Terms


async def show_host(tx: Transaction, shown: Shown, now: datetime) -> bool:
    """Note what a host reports; False where a newer report came before this one."""
    change = update(hosts).where(hosts.c.id == shown.host, hosts.c.sequence < shown.sequence)
    result = await tx.execute(
        change.values(
            sequence=shown.sequence,
            seen=now,
            card=shown.machine.card,
            machine=to_json(shown.machine),
            terms=to_json(shown.terms),
        )
    )
    return result.rowcount == 1


async def hosts_for(tx: Transaction, cards: Collection[str] = ()) -> Sequence[Host]:
    """Return hosts with their tenants: all of them, or those with one of these cards."""
    wanted = select(hosts)
    if cards:
        wanted = wanted.where(hosts.c.card.in_(cards))
    rows = (await tx.execute(wanted.order_by(hosts.c.id))).all()
    tenants = await _tenants(tx, [row.id for row in rows] if cards else ())
    return [_host(row, tuple(tenants.get(row.id, ()))) for row in rows]


async def take_turn(tx: Transaction, host: str, expected: int) -> bool:
    """Claim the right to change who is on a host; False where somebody else was faster."""
    change = update(hosts).where(hosts.c.id == host, hosts.c.turn == expected)
    return (await tx.execute(change.values(turn=expected + 1))).rowcount == 1


async def turns_of(tx: Transaction, ids: Collection[str]) -> Mapping[str, int]:
    """Return the turn that each host is at."""
    rows = await tx.execute(select(hosts.c.id, hosts.c.turn).where(hosts.c.id.in_(ids)))
    return {row.id: row.turn for row in rows}


async def _tenants(tx: Transaction, ids: Sequence[str]) -> Mapping[str, list[Tenant]]:
    """Return who is on each host; a stopped pod with a volume still takes its disk."""
    is_there = and_(pods.c.host.is_not(None), pods.c.closed.is_(None))
    wanted = select(pods).where(is_there)
    if ids:
        wanted = wanted.where(pods.c.host.in_(ids))
    found: dict[str, list[Tenant]] = {}
    for row in await tx.execute(wanted.order_by(pods.c.id)):
        found.setdefault(row.host, []).append(_tenant(row))
    return found


def _tenant(row: Row[Any]) -> Tenant:
    spec = from_json(PodSpec, row.spec)
    is_there = row.desired == Desired.RUN or row.observed not in _NOTHING_LEFT
    return Tenant(
        pod=row.id,
        tenure=spec.tenure,
        bid=Money(row.price),
        takes=spec.takes if is_there else spec.keeps,
        since=row.created,
    )


def _host(row: Row[Any], tenants: tuple[Tenant, ...]) -> Host:
    return Host(
        id=row.id,
        owner=row.account,
        cloud=Cloud(row.cloud),
        machine=from_json(Machine, row.machine),
        terms=from_json(Terms, row.terms),
        seen=row.seen,
        tenants=tenants,
        is_draining=row.is_draining,
    )
