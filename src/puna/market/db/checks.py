"""Whether what must never be false is true, asked of the rows themselves."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from puna.market.db.bills import all_budgets, stand_of
from puna.market.db.database import Transaction
from puna.market.db.ledger import imbalance
from puna.market.db.notices import Kind
from puna.market.db.tables import balances, pods
from puna.units import Money


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that does not hold."""

    kind: Kind
    subject: str
    text: str


async def ledger_broken(tx: Transaction, *, thoroughly: bool) -> list[Broken]:
    """Return what is wrong with the books: together they are zero, and none owes that may not."""
    broken = []
    total = await tx.scalar(select(func.coalesce(func.sum(balances.c.amount), 0)))
    if total:
        broken.append(Broken(Kind.LEDGER, "sum", f"all books together are {Money(int(total))}"))
    if thoroughly and (apart := await imbalance(tx)):
        broken.append(Broken(Kind.LEDGER, "postings", f"books and postings differ by {apart}"))
    may_not = balances.c.book.not_like("market%")
    for row in await tx.execute(select(balances).where(balances.c.amount < 0, may_not).limit(10)):
        text = f"{row.book} stands at {Money(row.amount)}"
        broken.append(Broken(Kind.LEDGER, row.book, text))
    kept = select(pods.c.id, balances.c.amount).join(
        balances, balances.c.book == "escrow:" + pods.c.id
    )
    for row in await tx.execute(kept.where(pods.c.closed.is_not(None), balances.c.amount != 0)):
        text = f"{Money(row.amount)} is held for pod {row.id}, which is closed"
        broken.append(Broken(Kind.LEDGER, row.id, text))
    return broken


async def budgets_broken(tx: Transaction, now: datetime) -> list[Broken]:
    """Return the budgets that are passed by more than stood there when they were set."""
    broken = []
    for account, budget, floor in await all_budgets(tx):
        spent = await stand_of(tx, account, budget, now)
        used = Money(spent.charged + spent.held)
        if used > max(budget.limit, floor):
            text = f"{used} of the budget {budget.limit} of {budget.scope} {budget.owner} are used"
            broken.append(Broken(Kind.BUDGET, budget.id, text))
    return broken
