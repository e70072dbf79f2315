"""What was spent: lines of bills in pages, their sums, and the entry behind each.

A line belongs to the window, hour or day in which it ends; one that ends with it still does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    type_coerce,
)

from puna.market.db.bills import as_line
from puna.market.db.database import Transaction
from puna.market.db.tables import balances, bill_lines, entries, hosts, keys, pods, postings
from puna.market.domain.billing import Bucket
from puna.market.domain.metering import Item, Line, stored_gb_hours
from puna.units import Money

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Which lines are meant: of an account, in a window; of a pod, project or key if given."""

    account: str
    start: datetime
    end: datetime
    pod: str = ""
    project: str | None = None
    key: str = ""
    card: str = ""

    @property
    def conditions(self) -> tuple[ColumnElement[bool], ...]:
        """What a line must satisfy."""
        found = [
            bill_lines.c.account == self.account,
            bill_lines.c.end > self.start,
            bill_lines.c.end <= self.end,
        ]
        if self.pod:
            found.append(bill_lines.c.pod == self.pod)
        if self.project is not None:
            found.append(bill_lines.c.project == self.project)
        if self.key:
            found.append(bill_lines.c.key == self.key)
        if self.card:
            found.append(hosts.c.card == self.card)
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledLine:
    """A line of a bill, with the ledger's entry that charged it."""

    entry: str
    pod: str
    name: str
    project: str
    key: str
    host: str
    line: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """An entry of the ledger: why, when, and what entered and left which book."""

    reason: str
    at: datetime
    postings: tuple[tuple[str, Money], ...]


class By(StrEnum):
    """What sums are of."""

    NOTHING = "nothing"
    POD = "pod"
    PROJECT = "project"
    KEY = "key"
    CARD = "card"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """What was spent on one thing in one stretch. `span` is how long something ran."""

    name: str
    begin: datetime
    cards: Money
    processors: Money
    disk: Money
    span: timedelta
    gb_hours: float = 0
    """Gigabytes of disk that were paid for, times the hours."""
    stored: timedelta = timedelta(0)
    """How long any disk was paid for."""

    @property
    def total(self) -> Money:
        """All of it."""
        return Money(self.cards + self.processors + self.disk)

    @property
    def disk_gb(self) -> int:
        """The gigabytes of disk that were paid for, on average over the time."""
        hours = self.stored / timedelta(hours=1)
        return round(self.gb_hours / hours) if hours else 0


async def lines_of(
    tx: Transaction, which: Spending, *, after: str = "", limit: int = 100
) -> Sequence[BilledLine]:
    """Return a page of lines, the oldest first, that come after the line of entry `after`."""
    wanted = _LINES.where(*which.conditions)
    if after:
        known = select(bill_lines.c.end).where(bill_lines.c.entry == after).scalar_subquery()
        later = bill_lines.c.end > known
        same = and_(bill_lines.c.end == known, bill_lines.c.entry > after)
        wanted = wanted.where(or_(later, same))
    ordered = wanted.order_by(bill_lines.c.end, bill_lines.c.entry).limit(limit)
    return [_line(row) for row in await tx.execute(ordered)]


async def line_of(tx: Transaction, account: str, entry: str) -> BilledLine | None:
    """Return the line of an entry, if it is the account's."""
    wanted = _LINES.where(bill_lines.c.account == account, bill_lines.c.entry == entry)
    row = (await tx.execute(wanted)).one_or_none()
    return None if row is None else _line(row)


async def entry_of(tx: Transaction, key: str) -> Posted | None:
    """Return an entry of the ledger."""
    row = (await tx.execute(select(entries).where(entries.c.key == key))).one_or_none()
    if row is None:
        return None
    found = await tx.execute(
        select(postings).where(postings.c.entry == key).order_by(postings.c.book)
    )
    moved = tuple((each.book, Money(each.amount)) for each in found)
    return Posted(reason=row.reason, at=row.at, postings=moved)


async def sums_of(
    tx: Transaction, which: Spending, by: By, bucket: Bucket | None = None
) -> Sequence[Sum]:
    """Return what was spent on each thing in each stretch, in the order of both.

    Without a bucket the whole window is one stretch. Stretches that are longer than a day are put
    together here from days, since databases differ in what a month is.
    """
    rows = await tx.execute(_summing(which, by, bucket))
    found = [_sum(row, bucket, which) for row in rows]
    return _merged(found) if bucket in {Bucket.WEEK, Bucket.MONTH, Bucket.YEAR} else found


async def page_of_sums(
    tx: Transaction, which: Spending, by: By, *, after: str = "", limit: int = 100
) -> Sequence[Sum]:
    """Return a page of what was spent on each thing in the whole window, by its name."""
    wanted = _summing(which, by, None)
    if after:
        wanted = wanted.where(_NAME[by] > after)
    return [_sum(row, None, which) for row in await tx.execute(wanted.limit(limit))]


async def held_of(tx: Transaction, account: str) -> Money:
    """Return what is held for all pods of an account."""
    held = (
        select(func.coalesce(func.sum(balances.c.amount), 0))
        .select_from(pods.join(balances, balances.c.book == "escrow:" + pods.c.id))
        .where(pods.c.account == account)
    )
    return Money(int(await tx.scalar(held) or 0))


async def names_of_pods(tx: Transaction, which: Spending) -> dict[str, str]:
    """Return the name of each pod that has such lines."""
    with_lines = select(bill_lines.c.pod).where(*which.conditions)
    rows = await tx.execute(select(pods.c.id, pods.c.name).where(pods.c.id.in_(with_lines)))
    return {row.id: row.name for row in rows}


async def names_of_keys(tx: Transaction, account: str) -> dict[str, str]:
    """Return the name of each key that an account has or had."""
    own = (keys.c.account == account, keys.c.pod.is_(None))
    rows = await tx.execute(select(keys.c.id, keys.c.name).where(*own))
    return {row.id: row.name for row in rows}


@dataclass(frozen=True, slots=True)
class Project:
    """A word under which pods are rented."""

    name: str
    pods: int
    open_pods: int


async def projects_of(
    tx: Transaction, account: str, *, after: str | None = None, limit: int = 100
) -> Sequence[Project]:
    """Return a page of an account's projects, by name; the one without a name is first."""
    is_open = case((pods.c.closed.is_(None), 1), else_=0)
    wanted = select(
        pods.c.project, func.count().label("pods"), func.sum(is_open).label("open")
    ).where(pods.c.account == account)
    if after is not None:
        wanted = wanted.where(pods.c.project > after)
    rows = await tx.execute(wanted.group_by(pods.c.project).order_by(pods.c.project).limit(limit))
    return [Project(row.project, int(row.pods), int(row.open)) for row in rows]


_LINES = select(bill_lines, pods.c.name).select_from(
    bill_lines.join(pods, bill_lines.c.pod == pods.c.id)
)
_NAME: dict[By, ColumnElement[str]] = {
    By.NOTHING: literal(""),
    By.POD: bill_lines.c.pod,
    By.PROJECT: bill_lines.c.project,
    By.KEY: bill_lines.c.key,
    By.CARD: func.coalesce(hosts.c.card, ""),
}
_start = type_coerce(bill_lines.c.start, BigInteger)
_runs = bill_lines.c.item.in_([str(Item.CARDS), str(Item.PROCESSORS)])

_stores = bill_lines.c.item.in_([str(Item.DISK), str(Item.KEPT_VOLUME)])
"""One line of any time in which a pod has a disk: it has one while it runs, or is kept."""


def _summing(which: Spending, by: By, bucket: Bucket | None) -> Select[Any]:
    name, begin = _NAME[by], _begin(bucket)
    lasted = type_coerce(bill_lines.c.end, BigInteger) - _start
    span, stored = case((_runs, lasted), else_=0), case((_stores, lasted), else_=0)
    columns: list[ColumnElement[Any]] = [
        name.label("thing"),
        begin.label("stretch"),
        _of(Item.CARDS).label("cards"),
        _of(Item.PROCESSORS).label("processors"),
        _of(Item.DISK, Item.VOLUME, Item.KEPT_VOLUME).label("disk"),
        func.sum(span).label("span"),
        _of(Item.KEPT_VOLUME).label("kept"),
        func.sum(stored).label("stored"),
    ]
    return (
        select(*columns)
        .select_from(bill_lines.outerjoin(hosts, bill_lines.c.host == hosts.c.id))
        .where(*which.conditions)
        .group_by(name, begin)
        .order_by(begin, name)
    )


def _begin(bucket: Bucket | None) -> ColumnElement[int]:
    """Return the number of the hour or day in which a line ends."""
    if bucket is None:
        return literal(0)
    width = _HOUR_US if bucket is Bucket.HOUR else 24 * _HOUR_US
    return (type_coerce(bill_lines.c.end, BigInteger) - 1) // width


def _of(*items: Item) -> ColumnElement[int]:
    named = bill_lines.c.item.in_([str(item) for item in items])
    return func.sum(case((named, bill_lines.c.amount), else_=0))


def _sum(row: Row[Any], bucket: Bucket | None, which: Spending) -> Sum:
    hours = row.stretch if bucket is Bucket.HOUR else row.stretch * 24
    at = which.start if bucket is None else bucket.begin_of(_EPOCH + timedelta(hours=hours))
    return Sum(
        name=row.thing,
        begin=at,
        cards=Money(int(row.cards)),
        processors=Money(int(row.processors)),
        disk=Money(int(row.disk)),
        span=timedelta(microseconds=int(row.span)),
        gb_hours=stored_gb_hours(Money(int(row.disk - row.kept)), Money(int(row.kept))),
        stored=timedelta(microseconds=int(row.stored)),
    )


def _merged(sums: Sequence[Sum]) -> Sequence[Sum]:
    """Put the days of one stretch together."""
    found: dict[tuple[datetime, str], Sum] = {}
    for each in sums:
        place = (each.begin, each.name)
        before = found.get(place)
        found[place] = each if before is None else _added(before, each)
    return [found[place] for place in sorted(found)]


def _added(one: Sum, other: Sum) -> Sum:
    return Sum(
        name=one.name,
        begin=one.begin,
        cards=Money(one.cards + other.cards),
        processors=Money(one.processors + other.processors),
        disk=Money(one.disk + other.disk),
        span=one.span + other.span,
        gb_hours=one.gb_hours + other.gb_hours,
        stored=one.stored + other.stored,
    )


def _line(row: Row[Any]) -> BilledLine:
    return BilledLine(
        entry=row.entry,
        pod=row.pod,
        name=row.name,
        project=row.project,
        key=row.key,
        host=row.host,
        line=as_line(row),
    )
