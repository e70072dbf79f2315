"""Metering, holds, ledger and budgets together: a pod's money, tick by tick, with ticks missed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import given, settings, strategies as st

from puna.market.domain.budgets import (
    Budget,
    Period,
    Runway,
    Scope,
    Spent,
    most_to_hold,
    must_freeze,
    wanted_hold,
)
from puna.market.domain.ledger import (
    MARKET,
    Book,
    BookKind,
    Charge,
    Entry,
    balances_of,
    grant,
    hold,
    release,
)
from puna.market.domain.metering import Item, Meter, Rate, read
from puna.units import Money, Span
from tests.market.books import balances_after
from tests.market.lots import NOON

TICK = Span.of(seconds=10)
ANN, POD = Book(BookKind.RENTER, "ann"), Book(BookKind.ESCROW, "pod1")


@dataclass
class Rental:
    """A pod of Ann's that runs until its money says stop."""

    an_hour: int
    budget: int
    credit: int
    entries: list[Entry] = field(default_factory=list)
    balances: dict[Book, Money] = field(default_factory=dict)
    charged: int = 0
    is_frozen: bool = False

    def __post_init__(self) -> None:
        self.meter = Meter(
            rate=Rate(Item.CARDS, Money(self.an_hour)), began=NOON, charged_until=NOON
        )
        self.post(grant("ann", Money(self.credit), key="credit", at=NOON))

    @property
    def held(self) -> int:
        return self.balances.get(POD, Money(0))

    def post(self, entry: Entry) -> None:
        self.balances |= balances_after(self.balances, entry)
        self.entries.append(entry)

    def tick(self, seconds: int) -> None:
        """Charge up to now, as far as what is held pays for; hold for the next two ticks, or stop.

        The host itself stops a pod whose paid time is over, so time beyond it is never used.
        """
        paid = NOON + timedelta(seconds=self.paid_seconds())
        self.meter, line = read(
            self.meter, min(NOON + timedelta(seconds=seconds), paid), most=Money(self.held)
        )
        if line:
            charge = Charge(
                pod="pod1", host_account="joe", amount=line.amount, fee_share=500, reason="cards"
            )
            self.post(charge.to_entry(key=f"charge {seconds}", at=line.end))
            self.charged += line.amount
        self.hold_more(seconds)
        runway = Runway(escrow=Money(self.held), an_hour=Money(self.an_hour))
        self.is_frozen = must_freeze(runway, TICK)

    def hold_more(self, seconds: int) -> None:
        runway = Runway(escrow=Money(self.held), an_hour=Money(self.an_hour))
        limit = Budget(
            id="b",
            scope=Scope.POD,
            owner="pod1",
            period=Period.EVER,
            limit=Money(self.budget),
        )
        spent = Spent(limit, Money(self.charged), Money(self.held))
        more = most_to_hold(wanted_hold(runway, TICK), self.balances[ANN], [spent])
        if more:
            self.post(hold("ann", "pod1", more, key=f"hold {seconds}", at=NOON))

    def paid_seconds(self) -> int:
        return (self.charged + self.held) * 3600 // self.an_hour

    def end(self) -> None:
        if self.held:
            self.post(release("ann", "pod1", Money(self.held), key="end", at=NOON))


@settings(max_examples=60)
@given(
    an_hour=st.integers(1, 10**7),
    budget=st.integers(0, 10**6),
    credit=st.integers(1, 10**6),
    gaps=st.lists(st.integers(1, 120), min_size=1, max_size=40),
)
def test_spent_and_held_never_pass_the_budget(
    an_hour: int, budget: int, credit: int, gaps: Sequence[int]
) -> None:
    rental = Rental(an_hour, budget, credit)
    rental.hold_more(0)
    now = 0
    for gap in gaps:
        now += gap
        rental.tick(now)
        assert rental.charged + rental.held <= min(budget, credit)
        assert sum(rental.balances.values()) == 0
        if rental.is_frozen:
            break
    rental.end()
    assert rental.balances[ANN] == credit - rental.charged
    assert balances_of(rental.entries)[MARKET] == -credit


def test_a_pod_stops_with_less_than_a_tick_of_its_budget_unused() -> None:
    rental = Rental(an_hour=3_600_000, budget=95_000, credit=10**6)
    rental.hold_more(0)
    seconds = 0
    while not rental.is_frozen:
        seconds += 10
        rental.tick(seconds)
    assert seconds == 90
    assert 0 <= 95_000 - rental.charged < 10_000
