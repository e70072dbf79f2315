"""Double entry in micro-dollars: whatever leaves one book enters another.

Five kinds of books. Money comes into being by a grant of the operator, which the market's book
owes. What a pod may spend next is held in the pod's escrow before it is spent, so a charge can
never meet an empty pocket; a charge pays the host and the fee out of escrow. Entries are never
changed: a mistake is corrected by another entry. Each has a key, so posting one twice is seen.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from puna.errors import Conflict, Failed, Invalid
from puna.units import Money

_HUNDRED_PERCENT = 10_000
"""Shares are in hundredths of a percent."""


class Unbalanced(Failed):
    """An entry would make money or lose it; nothing of it is posted."""

    code = "unbalanced_entry"


class NotEnoughMoney(Conflict):
    """The book has less than is asked of it."""

    code = "not_enough_money"
    status = 402


class BookKind(StrEnum):
    """Whose money it is."""

    RENTER = "renter"
    """What an account may still spend; never below zero."""
    ESCROW = "escrow"
    """What is set aside for a pod's next minutes; never below zero."""
    HOST = "host"
    """What an owner of cards has earned and was not paid; never below zero."""
    FEE = "fee"
    """What the market has earned."""
    MARKET = "market"
    """What the market owes for: the other side of grants and payments, below zero."""


@dataclass(frozen=True, slots=True, order=True)
class Book:
    """One book: its kind, and the account or pod that it belongs to."""

    kind: BookKind
    owner: str = ""

    def __str__(self) -> str:
        """Print as `renter:abc`."""
        return f"{self.kind}:{self.owner}" if self.owner else str(self.kind)

    @property
    def may_owe(self) -> bool:
        """Whether it may stand below zero."""
        return self.kind is BookKind.MARKET


FEE = Book(BookKind.FEE)
MARKET = Book(BookKind.MARKET)


@dataclass(frozen=True, slots=True)
class Posting:
    """An amount that enters a book, or leaves it when below zero."""

    book: Book
    amount: Money


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact about money. `key` is its identity: an entry with the same key is the same fact."""

    key: str
    at: datetime
    reason: str
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        """Refuse an entry that does not sum to zero. Raises `Unbalanced`."""
        if total := sum(posting.amount for posting in self.postings):
            raise Unbalanced(f"entry {self.key} ({self.reason}) is out of balance by {total} µ$")


def grant(account: str, amount: Money, *, key: str, at: datetime) -> Entry:
    """Give an account credit. Raises `Invalid` for an amount that gives nothing."""
    return _move(MARKET, Book(BookKind.RENTER, account), amount, _Fact(key, at, "credit granted"))


def hold(account: str, pod: str, amount: Money, *, key: str, at: datetime) -> Entry:
    """Set money aside for a pod."""
    source, target = Book(BookKind.RENTER, account), Book(BookKind.ESCROW, pod)
    return _move(source, target, amount, _Fact(key, at, f"held for pod {pod}"))


def release(account: str, pod: str, amount: Money, *, key: str, at: datetime) -> Entry:
    """Give back what a pod did not spend."""
    source, target = Book(BookKind.ESCROW, pod), Book(BookKind.RENTER, account)
    return _move(source, target, amount, _Fact(key, at, f"released from pod {pod}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What a pod used: `fee_share` of it, in hundredths of a percent, is the market's."""

    pod: str
    host_account: str
    amount: Money
    fee_share: int
    reason: str

    def to_entry(self, *, key: str, at: datetime) -> Entry:
        """Return the entry that pays the host and the fee. Raises `Invalid`.

        The fee is rounded down, so the host never loses a micro-dollar to rounding.
        """
        if not 0 <= self.fee_share <= _HUNDRED_PERCENT:
            raise Invalid(f"a fee of {self.fee_share / 100} % is not between 0 and 100 %")
        fee = Money(_positive(self.amount) * self.fee_share // _HUNDRED_PERCENT)
        postings = (
            Posting(Book(BookKind.ESCROW, self.pod), Money(-self.amount)),
            Posting(Book(BookKind.HOST, self.host_account), Money(self.amount - fee)),
            Posting(FEE, fee),
        )
        return Entry(key, at, self.reason, tuple(each for each in postings if each.amount))


def pay_out(host_account: str, amount: Money, *, key: str, at: datetime) -> Entry:
    """Note that the operator has paid an owner of cards."""
    return _move(Book(BookKind.HOST, host_account), MARKET, amount, _Fact(key, at, "paid out"))


@dataclass(frozen=True, slots=True)
class _Fact:
    key: str
    at: datetime
    reason: str


def _move(source: Book, target: Book, amount: Money, fact: _Fact) -> Entry:
    value = _positive(amount)
    postings = (Posting(source, Money(-value)), Posting(target, value))
    return Entry(fact.key, fact.at, fact.reason, postings)


def _positive(amount: Money) -> Money:
    if amount <= 0:
        raise Invalid(f"an amount of {amount} moves nothing")
    return amount


def balances_of(entries: Iterable[Entry]) -> Mapping[Book, Money]:
    """Return where all the money is: the sum of every book over `entries`."""
    total: dict[Book, Money] = {}
    for entry in entries:
        for posting in entry.postings:
            total[posting.book] = Money(total.get(posting.book, 0) + posting.amount)
    return total
