"""No micro-dollar is made or lost, and no pocket but the market's goes below zero."""

import pytest
from hypothesis import given, strategies as st

from puna.errors import Invalid
from puna.market.domain.ledger import (
    FEE,
    MARKET,
    Book,
    BookKind,
    Charge,
    Entry,
    NotEnoughMoney,
    Posting,
    Unbalanced,
    balances_of,
    grant,
    hold,
    pay_out,
    release,
)
from puna.units import Money
from tests.market.books import balances_after
from tests.market.lots import NOON

RENTER = Book(BookKind.RENTER, "ann")
ESCROW = Book(BookKind.ESCROW, "pod1")
HOST = Book(BookKind.HOST, "joe")


def charge(amount: int, fee_share: int = 1000) -> Charge:
    return Charge(
        pod="pod1", host_account="joe", amount=Money(amount), fee_share=fee_share, reason="cards"
    )


def test_a_rental_moves_money_from_the_renter_to_the_host_and_the_fee() -> None:
    entries = [
        grant("ann", Money(1000), key="1", at=NOON),
        hold("ann", "pod1", Money(300), key="2", at=NOON),
        charge(200).to_entry(key="3", at=NOON),
        release("ann", "pod1", Money(100), key="4", at=NOON),
        pay_out("joe", Money(180), key="5", at=NOON),
    ]
    assert balances_of(entries) == {MARKET: -820, RENTER: 800, ESCROW: 0, HOST: 0, FEE: 20}


def test_an_entry_that_makes_money_is_refused() -> None:
    with pytest.raises(Unbalanced, match="out of balance by 1 µ"):
        Entry("k", NOON, "magic", (Posting(RENTER, Money(1)),))


@pytest.mark.parametrize("amount", [0, -5])
def test_an_amount_that_moves_nothing_is_refused(amount: int) -> None:
    with pytest.raises(Invalid, match="moves nothing"):
        grant("ann", Money(amount), key="k", at=NOON)


def test_a_fee_beyond_everything_is_refused() -> None:
    with pytest.raises(Invalid, match="not between"):
        charge(10, fee_share=10_001).to_entry(key="k", at=NOON)


def test_holding_more_than_there_is_is_refused_with_what_is_missing() -> None:
    entry = hold("ann", "pod1", Money(1_500_000), key="k", at=NOON)
    with pytest.raises(NotEnoughMoney, match=r"renter:ann is short of \$0.50"):
        balances_after({RENTER: Money(1_000_000)}, entry)


def test_the_market_alone_may_owe() -> None:
    entry = grant("ann", Money(7), key="k", at=NOON)
    assert balances_after({}, entry) == {MARKET: -7, RENTER: 7}


@given(amount=st.integers(1, 10**12), share=st.integers(0, 10_000))
def test_a_charge_is_split_without_remainder_and_never_against_the_host(
    amount: int, share: int
) -> None:
    after = balances_of([charge(amount, share).to_entry(key="k", at=NOON)])
    assert sum(after.values()) == 0
    assert after.get(HOST, 0) + after.get(FEE, 0) == amount
    assert after.get(HOST, 0) * 10_000 >= amount * (10_000 - share)


moves = st.tuples(
    st.sampled_from(["grant", "hold", "charge", "release", "pay out"]), st.integers(1, 1000)
)


def an_entry(kind: str, amount: Money, key: str) -> Entry:
    if kind == "charge":
        return charge(amount).to_entry(key=key, at=NOON)
    if kind == "pay out":
        return pay_out("joe", amount, key=key, at=NOON)
    if kind == "grant":
        return grant("ann", amount, key=key, at=NOON)
    move = hold if kind == "hold" else release
    return move("ann", "pod1", amount, key=key, at=NOON)


@given(st.lists(moves, max_size=40))
def test_whatever_is_posted_nobody_but_the_market_owes(steps: list[tuple[str, int]]) -> None:
    """Entries that ask too much are refused whole, and change nothing."""
    balances: dict[Book, Money] = {}
    posted = []
    for number, (kind, amount) in enumerate(steps):
        entry = an_entry(kind, Money(amount), str(number))
        try:
            balances |= balances_after(balances, entry)
        except NotEnoughMoney:
            continue
        posted.append(entry)
    assert sum(balances.values()) == 0
    assert all(balance >= 0 for book, balance in balances.items() if book != MARKET)
    assert balances == balances_of(posted)
