"""What all hosts together offer, counted in the database: cards, and where they stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, false, func, or_, select

from puna.market.db.database import Transaction
from puna.market.db.tables import hosts, pods
from puna.market.domain.hosts import STALE_AFTER, Cloud
from puna.market.domain.pods import Desired, Observed
from puna.units import Money, Size

_GONE = (str(Observed.ABSENT), str(Observed.EXITED), str(Observed.FAILED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Machines of one kind: with the same card (or none), in one cloud and place.

    What is counted as free is on machines that are offered now and were seen lately.
    """

    card: str
    cloud: Cloud
    data_center: str
    country: str
    cuda: tuple[int, int]
    memory: Size
    """Of one card."""
    price: Money | None
    """The lowest for one card (or processor) and hour; None where nothing is offered now."""
    least_bid: Money | None
    most: int
    """The most cards (or processors) of one machine."""
    hosts: int
    free: int
    """Cards (or processors) that nobody has taken."""
    fits: int
    """Machines with so many free as were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelves:
    """Which machines are counted. Empty means: any."""

    card: str | None = None
    """Empty for machines without a card, None for any that has one."""
    count: int = 1
    cloud: Cloud | None = None
    countries: tuple[str, ...] = ()
    of_processors: bool = False
    """Whether processors are counted: a pod without a card goes to any machine that has some."""


async def shelves(tx: Transaction, which: Shelves, now: datetime) -> Sequence[Shelf]:
    """Return what there is, by card, cloud and place."""
    machine = _machines(which).subquery()
    fresh = and_(
        machine.c.seen >= now - timedelta(seconds=STALE_AFTER.seconds),
        machine.c.is_draining == false(),
        machine.c.is_paused == false(),
        _is_open(machine.c.opens, machine.c.closes, now.time().isoformat()),
    )
    left = case((fresh, machine.c.has - machine.c.taken), else_=0)
    group = [machine.c[name] for name in ("card", "cloud", "data_center", "country", "cuda")]
    columns: list[ColumnElement[Any]] = [
        *group,
        func.max(machine.c.memory).label("memory"),
        func.min(case((fresh, machine.c.price))).label("price"),
        func.min(case((fresh, machine.c.least_bid))).label("least_bid"),
        func.max(machine.c.has).label("most"),
        func.count().label("hosts"),
        func.sum(left).label("free"),
        func.sum(case((left >= which.count, 1), else_=0)).label("fits"),
    ]
    wanted = select(*columns).group_by(*group).order_by(*group)
    return [_shelf(row) for row in await tx.execute(wanted)]


def _machines(which: Shelves) -> Select[Any]:
    machine, terms = hosts.c.machine, hosts.c.terms
    counted = "processors" if which.card == "" or which.of_processors else "cards"
    is_there = or_(pods.c.desired == str(Desired.RUN), pods.c.observed.not_in(_GONE))
    taken = (
        select(pods.c.host, func.sum(pods.c.spec[counted].as_integer()).label("taken"))
        .where(pods.c.closed.is_(None), pods.c.host.is_not(None), is_there)
        .group_by(pods.c.host)
        .subquery()
    )
    cuda = machine["cuda"][0].as_integer() * 1000 + machine["cuda"][1].as_integer()
    return (
        select(
            hosts.c.card,
            hosts.c.cloud,
            hosts.c.seen,
            hosts.c.is_draining,
            machine["data_center"].as_string().label("data_center"),
            machine["country"].as_string().label("country"),
            cuda.label("cuda"),
            # Sizes are beyond four bytes, which is what PostgreSQL takes for an integer.
            machine["card_memory"].as_numeric(24, 0).label("memory"),
            terms["price"].as_integer().label("price"),
            terms["least_bid"].as_integer().label("least_bid"),
            terms["is_paused"].as_boolean().label("is_paused"),
            terms["opens"].as_string().label("opens"),
            terms["closes"].as_string().label("closes"),
            machine[counted].as_integer().label("has"),
            func.coalesce(taken.c.taken, 0).label("taken"),
        )
        .select_from(hosts.outerjoin(taken, hosts.c.id == taken.c.host))
        .where(*_conditions(which))
    )


def _is_open(
    opens: ColumnElement[str], closes: ColumnElement[str], moment: str
) -> ColumnElement[bool]:
    """Say of an owner's hours what `Terms.is_open` says; written times sort as times do."""
    return or_(
        opens.is_(None),
        closes.is_(None),
        opens == closes,
        and_(opens < closes, opens <= moment, closes > moment),
        and_(opens > closes, or_(opens <= moment, closes > moment)),
    )


def _conditions(which: Shelves) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if not which.of_processors:
        found.append(hosts.c.card != "" if which.card is None else hosts.c.card == which.card)
    if which.cloud is not None:
        found.append(hosts.c.cloud == str(which.cloud))
    if which.countries:
        found.append(hosts.c.machine["country"].as_string().in_(which.countries))
    return found


def _shelf(row: Row[Any]) -> Shelf:
    return Shelf(
        card=row.card,
        cloud=Cloud(row.cloud),
        data_center=row.data_center or "",
        country=row.country or "",
        cuda=(row.cuda // 1000, row.cuda % 1000),
        memory=Size(int(row.memory or 0)),
        price=None if row.price is None else Money(row.price),
        least_bid=None if row.least_bid is None else Money(row.least_bid),
        most=int(row.most),
        hosts=int(row.hosts),
        free=max(0, int(row.free)),
        fits=int(row.fits),
    )
