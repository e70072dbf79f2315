"""Hosts: what they have, what their owners ask, and who is on them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    bindparam,
    case,
    exists,
    insert,
    select,
    true,
    tuple_,
    update,
)

from puna.market.db.database import Transaction
from puna.market.db.tables import hosts, pods
from puna.market.db.values import from_json, to_json
from puna.market.domain.hosts import Cloud, Host, Machine, Tenant, Tenure, Terms
from puna.market.domain.pods import Desired, Observed
from puna.market.domain.specs import PodSpec
from puna.units import Money
from puna.wire.agent import UseReport

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
            shown=[],
            uses={},
            price=int(host.terms.price),
            least_bid=host.terms.least_bid,
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a host before its report is read."""

    id: str
    name: str
    machine: Machine
    seen: datetime


async def host_by(tx: Transaction, key_digest: str) -> Known | None:
    """Return the host whose key has this digest."""
    row = (await tx.execute(_BY_KEY, {"digest": key_digest})).one_or_none()
    if row is None:
        return None
    return Known(id=row.id, name=row.name, machine=from_json(Machine, row.machine), seen=row.seen)


_BY_KEY = select(hosts).where(hosts.c.key_digest == bindparam("digest"))
_SHOWS = update(hosts).where(
    hosts.c.id == bindparam("of_host"), hosts.c.sequence < bindparam("counted")
)
"""Asked at every report, so both are put together once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a host reports of itself. Reports are counted, so that a late one is known as such."""

    host: str
    sequence: int
    machine: Machine
    terms: Terms
    pods: tuple[str, ...] = ()
    """Pods of which it has a container."""
    is_back: bool = False
    """Whether it was away before this report."""
    uses: Mapping[str, UseReport] = field(default_factory=dict)
    """By pod, what it uses."""


async def show_host(tx: Transaction, shown: Shown, now: datetime) -> bool:
    """Note what a host reports; False where a newer report came before this one."""
    values: dict[str, object] = {
        "sequence": shown.sequence,
        "seen": now,
        "card": shown.machine.card,
        "machine": to_json(shown.machine),
        "terms": to_json(shown.terms),
        "shown": list(shown.pods),
        "uses": {pod: use.model_dump() for pod, use in shown.uses.items()},
        "price": int(shown.terms.price),
        "least_bid": shown.terms.least_bid,
    }
    if shown.is_back:
        values["back"] = now
    which = {"of_host": shown.host, "counted": shown.sequence}
    return (await tx.execute(_SHOWS, {**values, **which})).rowcount == 1


async def silent_hosts(
    tx: Transaction, before: datetime, *, after: str = "", limit: int = 100
) -> Sequence[tuple[str, datetime]]:
    """Return a page of hosts with pods that were last seen before a moment, by id, and when."""
    has_pods = exists().where(pods.c.host == hosts.c.id, pods.c.closed.is_(None))
    wanted = select(hosts.c.id, hosts.c.seen).where(hosts.c.seen < before, hosts.c.id > after)
    rows = await tx.execute(wanted.where(has_pods).order_by(hosts.c.id).limit(limit))
    return [(row.id, row.seen) for row in rows]


async def containers_on(
    tx: Transaction, *, after: str = "", limit: int = 500
) -> Sequence[tuple[str, frozenset[str]]]:
    """Return a page of hosts by id with the pods of which each last showed a container."""
    wanted = select(hosts.c.id, hosts.c.shown).where(hosts.c.id > after)
    rows = await tx.execute(wanted.order_by(hosts.c.id).limit(limit))
    return [(row.id, frozenset(row.shown)) for row in rows]


async def machine_of(tx: Transaction, host: str) -> Machine:
    """Return what a host has; it must be there."""
    row = (await tx.execute(select(hosts.c.machine).where(hosts.c.id == host))).one()
    return from_json(Machine, row.machine)


async def shown_by(tx: Transaction, host: str) -> frozenset[str]:
    """Return the pods of which a host last showed a container."""
    found = await tx.scalar(select(hosts.c.shown).where(hosts.c.id == host))
    return frozenset(found or ())


async def hosts_for(tx: Transaction, cards: Collection[str] = ()) -> Sequence[Host]:
    """Return hosts with their tenants: all of them, or those with one of these cards."""
    if not cards:
        return await _hosts(tx, true())
    return await _hosts(tx, hosts.c.card.in_(cards))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheapest:
    """Hosts that may do, from the cheapest on."""

    cards: tuple[str, ...]
    """Empty for any."""
    is_spot: bool
    most: Money | None
    """The most that they may ask."""
    seen_since: datetime

    def page(self, after: tuple[Money, str], limit: int) -> Select[tuple[str, int]]:
        """Return the question for a page: ids and what each asks."""
        asks = hosts.c.least_bid if self.is_spot else hosts.c.price
        wanted = select(hosts.c.id, asks.label("asks")).where(
            asks.is_not(None),
            tuple_(asks, hosts.c.id) > (int(after[0]), after[1]),
            hosts.c.seen >= self.seen_since,
            hosts.c.is_draining.is_(False),
        )
        if self.cards:
            wanted = wanted.where(hosts.c.card.in_(self.cards))
        if self.most is not None:
            wanted = wanted.where(asks <= int(self.most))
        return wanted.order_by(asks, hosts.c.id).limit(limit)


async def cheapest_hosts(
    tx: Transaction, which: Cheapest, *, after: tuple[Money, str], limit: int
) -> Sequence[tuple[Money, Host]]:
    """Return a page of hosts with their tenants by what they ask, and that."""
    rows = (await tx.execute(which.page(after, limit))).all()
    if not rows:
        return []
    asks = {row.id: Money(row.asks) for row in rows}
    found = await _hosts(tx, hosts.c.id.in_(asks))
    return sorted(((asks[host.id], host) for host in found), key=lambda each: (each[0], each[1].id))


async def page_of_hosts(
    tx: Transaction, cards: Collection[str] = (), *, after: str = "", limit: int = 100
) -> Sequence[Host]:
    """Return a page of hosts with their tenants, by id: all, or those with one of these cards."""
    page = select(hosts.c.id).where(hosts.c.id > after)
    if cards:
        page = page.where(hosts.c.card.in_(cards))
    rows = await tx.execute(page.order_by(hosts.c.id).limit(limit))
    return await _hosts(tx, hosts.c.id.in_([row.id for row in rows]))


async def host_of(tx: Transaction, host: str) -> Host:
    """Return one host with its tenants; it must be there."""
    (found,) = await _hosts(tx, hosts.c.id == host)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a renter may know of the machine that a pod is on."""

    id: str
    cloud: Cloud
    machine: Machine
    seen: datetime
    uses: Mapping[str, UseReport] = field(default_factory=dict)
    """By pod, what it used when the machine was seen last."""


async def sites_of(tx: Transaction, wanted: Collection[str]) -> Mapping[str, Site]:
    """Return machines by the ids of their hosts."""
    if not wanted:
        return {}
    rows = await tx.execute(select(hosts).where(hosts.c.id.in_(wanted)))
    return {row.id: _site(row) for row in rows}


def _site(row: Row[Any]) -> Site:
    return Site(
        id=row.id,
        cloud=Cloud(row.cloud),
        machine=from_json(Machine, row.machine),
        seen=row.seen,
        uses={pod: UseReport.model_validate(use) for pod, use in row.uses.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """A host as its owner sees it."""

    host: Host
    name: str
    joined: datetime

    @property
    def id(self) -> str:
        """The host's id, by which pages go on."""
        return self.host.id


async def hosts_of(
    tx: Transaction, account: str, *, after: str = "", limit: int = 100
) -> Sequence[Lent]:
    """Return a page of the hosts that an account lends, by id."""
    page = select(hosts.c.id, hosts.c.name, hosts.c.joined).where(
        hosts.c.account == account, hosts.c.id > after
    )
    rows = (await tx.execute(page.order_by(hosts.c.id).limit(limit))).all()
    found = await _hosts(tx, hosts.c.id.in_([row.id for row in rows]))
    by_id = {host.id: host for host in found}
    return [Lent(host=by_id[row.id], name=row.name, joined=row.joined) for row in rows]


async def take_turn(tx: Transaction, host: str, expected: int) -> bool:
    """Claim the right to bring somebody to a host; False where another came since `expected`.

    It waits for who is at work at the host. PostgreSQL keeps a row locked that turned out to be
    another than was looked for: that is undone, so that nobody waits for one host and holds two.
    """
    if tx.dialect.name == "sqlite":
        return await _move_turn_on(tx, host, expected)
    async with tx.begin_nested() as attempt:
        if await _move_turn_on(tx, host, expected):
            return True
        await attempt.rollback()
    return False


async def take_turn_at_once(tx: Transaction, host: str, expected: int) -> bool:
    """Claim it as `take_turn` does, for who holds a pod of the host: waiting could lock both out.

    Raises `DatabaseClash` where somebody is at work at the host, after which all is tried again.
    """
    row = select(hosts.c.id).where(hosts.c.id == host)
    await tx.execute(row.with_for_update(nowait=True, key_share=True))
    return await _move_turn_on(tx, host, expected)


async def take_free_turn(tx: Transaction, turn_by_host: Mapping[str, int]) -> str | None:
    """Claim the turn of the first of these hosts at which nobody is at work; None where all are.

    Many who rent the same card at once each get a host, and wait for nobody.
    """
    if tx.dialect.name == "sqlite":
        moved = (host for host, turn in turn_by_host.items() if await _move_turn_on(tx, host, turn))
        return await anext(moved, None)
    order = {host: place for place, host in enumerate(turn_by_host)}
    free = select(hosts.c.id).where(tuple_(hosts.c.id, hosts.c.turn).in_(turn_by_host.items()))
    first = free.order_by(case(order, value=hosts.c.id)).limit(1)
    found = await tx.scalar(first.with_for_update(skip_locked=True, key_share=True))
    if found is None:
        return None
    host = str(found)
    return host if await _move_turn_on(tx, host, turn_by_host[host]) else None


async def _move_turn_on(tx: Transaction, host: str, expected: int) -> bool:
    change = update(hosts).where(hosts.c.id == host, hosts.c.turn == expected)
    return (await tx.execute(change.values(turn=expected + 1))).rowcount == 1


async def _hosts(tx: Transaction, which: ColumnElement[bool]) -> Sequence[Host]:
    """Return hosts with who is on each; a stopped pod with a volume still takes its disk.

    Hosts are read before their tenants: whoever comes in between has moved the turn on.
    """
    rows = (await tx.execute(select(hosts).where(which).order_by(hosts.c.id))).all()
    on_them = pods.c.host.in_(select(hosts.c.id).where(which))
    open_pods = select(*_OF_TENANTS).where(on_them, pods.c.closed.is_(None))
    open_pods = open_pods.order_by(pods.c.host, pods.c.id)  # as an index has them
    tenants: dict[str, list[Tenant]] = {}
    for row in await tx.execute(open_pods):
        tenants.setdefault(row.host, []).append(_tenant(row))
    return [_host(row, tuple(tenants.get(row.id, ()))) for row in rows]


_OF_TENANTS = (
    pods.c.id,
    pods.c.host,
    pods.c.spec,
    pods.c.price,
    pods.c.created,
    pods.c.desired,
    pods.c.observed,
    pods.c.run,
    pods.c.shown_run,
)


def _tenant(row: Row[*tuple[Any, ...]]) -> Tenant:
    spec = PodSpec(  # of a hundred thousand pods: only what a place is measured by
        image="",
        cards=row.spec["cards"],
        processors=row.spec["processors"],
        memory_gb=row.spec["memory_gb"],
        disk_gb=row.spec["disk_gb"],
        volume_gb=row.spec["volume_gb"],
        tenure=Tenure(row.spec["tenure"]),
    )
    has_failed = row.observed == Observed.FAILED and row.shown_run == row.run
    wants_room = row.desired == Desired.RUN and not has_failed
    is_there = wants_room or row.observed not in _NOTHING_LEFT
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
        turn=row.turn,
    )
