"""Meters and bill lines, budgets, and how those stand."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select

from puna.market.db.database import Transaction
from puna.market.db.pods import Pod
from puna.market.db.tables import balances, bill_lines, budgets, pods
from puna.market.domain.budgets import Budget, Period, Scope, Spent, window_start
from puna.market.domain.metering import Item, Line, Meter, Rate
from puna.units import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """A line of an account's bill."""

    pod: str
    project: str
    host: str
    line: Line


async def bill_of(
    tx: Transaction, account: str, start: datetime, end: datetime, *, pod: str | None = None
) -> Sequence[BillLine]:
    """Return the lines of an account that ended in a stretch of time, in their order."""
    wanted = select(bill_lines).where(
        bill_lines.c.account == account, bill_lines.c.end > start, bill_lines.c.end <= end
    )
    if pod is not None:
        wanted = wanted.where(bill_lines.c.pod == pod)
    rows = await tx.execute(wanted.order_by(bill_lines.c.end, bill_lines.c.entry))
    return [_line(row) for row in rows]


async def add_budget(tx: Transaction, account: str, budget: Budget, now: datetime) -> None:
    """Keep a limit, and what of it is used already, which no limit undoes."""
    stands = await stand_of(tx, account, budget, now)
    await tx.execute(
        insert(budgets).values(
            id=budget.id,
            account=account,
            scope=str(budget.scope),
            owner=budget.owner,
            period=str(budget.period),
            limit=int(budget.limit),
            floor=int(stands.charged + stands.held),
            created=now,
        )
    )


async def all_budgets(tx: Transaction) -> Sequence[tuple[str, Budget, Money]]:
    """Return every budget with its account, and what was used when it was set."""
    rows = await tx.execute(select(budgets).order_by(budgets.c.id))
    return [(row.account, _budget(row), Money(row.floor)) for row in rows]


async def remove_budget(tx: Transaction, account: str, budget: str) -> bool:
    """Forget a limit; False where the account has none of this id."""
    gone = delete(budgets).where(budgets.c.account == account, budgets.c.id == budget)
    return (await tx.execute(gone)).rowcount == 1


async def budgets_of(
    tx: Transaction, account: str, now: datetime, *, after: str = "", limit: int = 100
) -> Sequence[Spent]:
    """Return a page of an account's limits, by id, and how each stands."""
    wanted = select(budgets).where(budgets.c.account == account, budgets.c.id > after)
    rows = (await tx.execute(wanted.order_by(budgets.c.id).limit(limit))).all()
    return [await stand_of(tx, account, _budget(row), now) for row in rows]


async def like_budget(tx: Transaction, account: str, budget: Budget) -> str | None:
    """Return the id of the limit of the same thing over the same period, if there is one."""
    return await tx.scalar(
        select(budgets.c.id).where(
            budgets.c.account == account,
            budgets.c.scope == str(budget.scope),
            budgets.c.owner == budget.owner,
            budgets.c.period == str(budget.period),
        )
    )


async def is_bounded(tx: Transaction, account: str, key: str) -> bool:
    """Tell whether a key has a limit of its own."""
    found = select(func.count()).where(
        budgets.c.account == account,
        budgets.c.scope == str(Scope.KEY),
        budgets.c.owner == key,
    )
    return bool(await tx.scalar(found))


async def budgets_by_account(
    tx: Transaction, accounts: Collection[str]
) -> Mapping[str, Sequence[Budget]]:
    """Return every limit of some accounts."""
    found: dict[str, list[Budget]] = {}
    for row in await tx.execute(select(budgets).where(budgets.c.account.in_(accounts))):
        found.setdefault(row.account, []).append(_budget(row))
    return found


async def budgets_over(tx: Transaction, pod: Pod, now: datetime) -> Sequence[Spent]:
    """Return how every budget stands that bounds a pod."""
    found = (await budgets_by_account(tx, [pod.account])).get(pod.account, ())
    return [await stand_of(tx, pod.account, budget, now) for budget in found if bounds(budget, pod)]


def bounds(budget: Budget, pod: Pod) -> bool:
    """Tell whether a limit of a pod's account bounds the pod."""
    owners = {
        Scope.ACCOUNT: pod.account,
        Scope.KEY: pod.key,
        Scope.PROJECT: pod.project,
        Scope.POD: pod.id,
    }
    return owners[budget.scope] == budget.owner


_COLUMN = {
    Scope.ACCOUNT: "account",
    Scope.KEY: "key",
    Scope.PROJECT: "project",
    Scope.POD: "pod",
}


async def stand_of(tx: Transaction, account: str, budget: Budget, now: datetime) -> Spent:
    """Return how a limit of an account stands."""
    column = _COLUMN[budget.scope]
    charged = select(func.coalesce(func.sum(bill_lines.c.amount), 0)).where(
        bill_lines.c.account == account, bill_lines.c[column] == budget.owner
    )
    if start := window_start(budget.period, now):
        charged = charged.where(bill_lines.c.end > start)
    own = pods.c.id if budget.scope is Scope.POD else pods.c[column]
    held = (
        select(func.coalesce(func.sum(balances.c.amount), 0))
        .select_from(pods.join(balances, balances.c.book == "escrow:" + pods.c.id))
        .where(pods.c.account == account, own == budget.owner)
    )
    return Spent(
        budget,
        Money(int(await tx.scalar(charged) or 0)),
        Money(int(await tx.scalar(held) or 0)),
    )


def as_meter(row: Row[Any]) -> Meter:
    """Return the meter in a row of `meters`."""
    return Meter(
        rate=Rate(Item(row.item), Money(row.an_hour)),
        began=row.began,
        charged_until=row.charged_until,
        charged=Money(row.charged),
    )


def as_line(row: Row[Any]) -> Line:
    """Return the line in a row of `bill_lines`, or of what is joined with it."""
    return Line(
        item=Item(row.item),
        start=row.start,
        end=row.end,
        an_hour=Money(row.an_hour),
        amount=Money(row.amount),
    )


def _line(row: Row[Any]) -> BillLine:
    return BillLine(pod=row.pod, project=row.project, host=row.host, line=as_line(row))


def _budget(row: Row[Any]) -> Budget:
    return Budget(
        id=row.id,
        scope=Scope(row.scope),
        owner=row.owner,
        period=Period(row.period),
        limit=Money(row.limit),
    )
