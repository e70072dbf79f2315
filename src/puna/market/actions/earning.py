"""What hosts have earned: told to them, and paid out by the operator."""

from dataclasses import dataclass
from datetime import timedelta

from puna.errors import Conflict
from puna.market.actions.accounts import NoSuchAccount
from puna.market.actions.hosting import host_by
from puna.market.db import earnings, ledger
from puna.market.db.accounts import Account, account_of
from puna.market.db.database import Transaction
from puna.market.db.spending import entry_of
from puna.market.domain.ledger import Book, BookKind, pay_out
from puna.units import Money
from puna.wire.agent import Earnings
from puna.world import World

_MONTH = timedelta(days=30)


async def earned(tx: Transaction, world: World, secret: str) -> Earnings:
    """Return what the host that has this key earned. Raises `UnknownHost`."""
    host, now = await host_by(tx, secret), world.now()
    book = await earnings.book_of(tx, host)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Earnings(
        today=await earnings.earned_since(tx, host, book, midnight),
        month=await earnings.earned_since(tx, host, book, now - _MONTH),
        ever=await earnings.earned_since(tx, host, book, None),
        balance=await ledger.balance_of(tx, book),
    )


class NothingEarned(Conflict):
    """The account has earned nothing that was not paid out, or less than is to be paid."""

    code = "nothing_earned"


@dataclass(frozen=True, slots=True)
class PaidOut:
    """A payment that the operator has made, and what is left to be paid."""

    account: Account
    amount: Money
    left: Money


async def pay_owner(
    tx: Transaction, world: World, id_or_email: str, amount: Money | None, *, once: str
) -> PaidOut:
    """Note that an owner was paid, all that he has earned if no amount is said.

    Noted once for each `once`: whoever asks again learns what was paid then. Raises
    `NoSuchAccount`, `NothingEarned`.
    """
    account = await account_of(tx, id_or_email)
    if account is None:
        raise NoSuchAccount(f"there is no account {id_or_email}")
    book, key = Book(BookKind.HOST, account.id), f"payout:{once}"
    await ledger.lock_books(tx, [book])
    earned_now = await ledger.balance_of(tx, book)
    if before := await entry_of(tx, key):
        paid = max(each for _, each in before.postings)
        return PaidOut(account, paid, earned_now)
    wanted = earned_now if amount is None else amount
    if not earned_now or wanted > earned_now:
        raise NothingEarned(f"{account.email} has earned {earned_now} that was not paid out")
    await ledger.post(tx, pay_out(account.id, wanted, key=key, at=world.now()))
    return PaidOut(account, wanted, await ledger.balance_of(tx, book))
