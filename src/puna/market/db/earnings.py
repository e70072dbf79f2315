"""What a host has earned: the postings to its owner's book by bill lines of pods on it."""

from datetime import datetime

from sqlalchemy import func, select

from puna.market.db.database import Transaction
from puna.market.db.tables import bill_lines, hosts, postings
from puna.market.domain.ledger import Book, BookKind
from puna.units import Money


async def book_of(tx: Transaction, host: str) -> Book:
    """Return the book of a host's owner."""
    owner = await tx.scalar(select(hosts.c.account).where(hosts.c.id == host))
    return Book(BookKind.HOST, str(owner))


async def earned_since(tx: Transaction, host: str, book: Book, start: datetime | None) -> Money:
    """Return what a host has earned since a moment, after the market's fee."""
    wanted = (
        select(func.coalesce(func.sum(postings.c.amount), 0))
        .join(bill_lines, bill_lines.c.entry == postings.c.entry)
        .where(bill_lines.c.host == host, postings.c.book == str(book))
    )
    if start is not None:
        wanted = wanted.where(bill_lines.c.end > start)
    return Money(int(await tx.scalar(wanted) or 0))
