"""Entries are posted once, whole, and only where no book is left short."""

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, func, insert, select, update

from puna.market.db.database import Transaction
from puna.market.db.once import add_new, insert_new
from puna.market.db.tables import balances, entries, postings
from puna.market.domain.ledger import Book, BookKind, Entry, NotEnoughMoney, Posting
from puna.units import Money


async def post(tx: Transaction, entry: Entry) -> bool:
    """Post an entry; False where one of this key stands already, and nothing is done.

    Raises `NotEnoughMoney`, after which the transaction must be given up. Books are changed in
    their order, so that two entries never wait for each other.
    """
    row = {"key": entry.key, "at": entry.at, "reason": entry.reason}
    if not await insert_new(tx, entries, row):
        return False
    for posting in sorted(entry.postings, key=lambda each: each.book):
        await _move(tx, entry, posting)
    rows = [
        {"entry": entry.key, "book": str(each.book), "amount": int(each.amount)}
        for each in entry.postings
    ]
    await tx.execute(insert(postings), rows)
    return True


async def balance_of(tx: Transaction, book: Book) -> Money:
    """Return what is in a book."""
    found = await tx.scalar(select(balances.c.amount).where(balances.c.book == str(book)))
    return Money(found or 0)


async def balances_of(tx: Transaction, books: Sequence[Book]) -> Mapping[Book, Money]:
    """Return what is in several books."""
    book_by_name = {str(book): book for book in books}
    rows = await tx.execute(select(balances).where(balances.c.book.in_(book_by_name)))
    return {book_by_name[row.book]: Money(row.amount) for row in rows}


async def imbalance(tx: Transaction) -> Money:
    """Return how far the books are from zero together and from their postings: zero, always."""
    booked = await tx.scalar(select(func.coalesce(func.sum(balances.c.amount), 0)))
    posted = select(postings.c.book, func.sum(postings.c.amount).label("sum")).group_by(
        postings.c.book
    )
    by_book = posted.subquery()
    apart = select(
        func.coalesce(func.sum(func.abs(balances.c.amount - func.coalesce(by_book.c.sum, 0))), 0)
    ).select_from(balances.outerjoin(by_book, balances.c.book == by_book.c.book))
    return Money(abs(int(booked or 0)) + int(await tx.scalar(apart) or 0))


async def _move(tx: Transaction, entry: Entry, posting: Posting) -> None:
    name = str(posting.book)
    await insert_new(tx, balances, {"book": name, "amount": 0})
    change = (
        update(balances)
        .where(balances.c.book == name)
        .values(amount=balances.c.amount + int(posting.amount))
    )
    if not posting.book.may_owe:
        change = change.where(balances.c.amount + int(posting.amount) >= 0)
    if (await tx.execute(change)).rowcount == 0:
        raise NotEnoughMoney(f"{name} is short of money for: {entry.reason}")


async def post_all(tx: Transaction, found: Sequence[Entry]) -> None:
    """Post entries of which none stands yet, in a few statements.

    Raises `NotEnoughMoney`, after which the transaction must be given up.
    """
    if not found:
        return
    rows = [{"key": each.key, "at": each.at, "reason": each.reason} for each in found]
    await tx.execute(insert(entries), rows)
    moves = [
        {"entry": entry.key, "book": str(each.book), "amount": int(each.amount)}
        for entry in found
        for each in entry.postings
    ]
    await tx.execute(insert(postings), moves)
    sums: dict[Book, int] = {}
    for each in (each for entry in found for each in entry.postings):
        sums[each.book] = sums.get(each.book, 0) + int(each.amount)
    books = sorted(sums)
    await add_new(tx, balances, [{"book": str(book), "amount": 0} for book in books])
    change = update(balances).where(balances.c.book == bindparam("of_book"))
    by = change.values(amount=balances.c.amount + bindparam("by"))
    await tx.execute(by, [{"of_book": str(book), "by": sums[book]} for book in books])
    may_not = [str(book) for book in books if not book.may_owe]
    short = select(balances.c.book).where(balances.c.book.in_(may_not), balances.c.amount < 0)
    if (book := await tx.scalar(short.limit(1))) is not None:
        raise NotEnoughMoney(f"{book} is short of money for what was to be posted together")


async def lock_books(tx: Transaction, books: Sequence[Book]) -> None:
    """Let nobody else hold money of these books until the transaction ends.

    SQLite has one writer anyhow.
    """
    names = [str(book) for book in books]
    wanted = select(balances.c.amount).where(balances.c.book.in_(names)).order_by(balances.c.book)
    await tx.execute(wanted.with_for_update())


def renter(account: str) -> Book:
    """Return the book of what an account may spend."""
    return Book(BookKind.RENTER, account)


def escrow(pod: str) -> Book:
    """Return the book of what is held for a pod."""
    return Book(BookKind.ESCROW, pod)
