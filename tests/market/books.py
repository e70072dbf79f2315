"""Books as they must stand, worked out without a database."""

from collections.abc import Mapping
from types import MappingProxyType

from puna.market.domain.ledger import Book, Entry, NotEnoughMoney
from puna.units import Money


def balances_after(before: Mapping[Book, Money], entry: Entry) -> Mapping[Book, Money]:
    """Return the balances of the books that an entry touches. Raises `NotEnoughMoney`."""
    after: dict[Book, Money] = {}
    for posting in entry.postings:
        stood = after.get(posting.book, before.get(posting.book, Money(0)))
        after[posting.book] = Money(stood + posting.amount)
    for book, balance in after.items():
        if balance < 0 and not book.may_owe:
            short = Money(-balance)
            raise NotEnoughMoney(f"{book} is short of {short} for: {entry.reason}")
    return MappingProxyType(after)
