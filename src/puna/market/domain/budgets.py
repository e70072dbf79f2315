"""Hard limits of spending: what is spent and held together never passes one.

A budget bounds an account, a key, a project or a pod, over a day or for good. Money is held for the
next ticks before a pod may use them, and a hold counts as spent, so a budget cannot be overspent by
anything but the tick that is being used while it runs out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from puna.errors import Conflict
from puna.units import Money, Span


class BudgetReached(Conflict):
    """A limit of spending leaves no room for this."""

    code = "budget_reached"
    status = 402


class Scope(StrEnum):
    """Whose spending is bounded."""

    ACCOUNT = "account"
    KEY = "key"
    PROJECT = "project"
    POD = "pod"


class Period(StrEnum):
    """Over what."""

    DAY = "day"
    """From midnight to midnight, UTC."""
    EVER = "ever"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A limit."""

    id: str
    scope: Scope
    owner: str
    """The account, key, project or pod."""
    period: Period
    limit: Money


@dataclass(frozen=True, slots=True)
class Spent:
    """How a budget stands: charged within its period, and held now."""

    budget: Budget
    charged: Money
    held: Money

    @property
    def left(self) -> Money:
        """What may still be held; never below zero."""
        return Money(max(0, self.budget.limit - self.charged - self.held))


def window_start(period: Period, now: datetime) -> datetime | None:
    """Return when the period that `now` lies in began; None for one that never does."""
    if period is Period.EVER:
        return None
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def most_to_hold(wanted: Money, balance: Money, budgets: Iterable[Spent]) -> Money:
    """Return how much of `wanted` can be held under every budget and the balance."""
    room = min((each.left for each in budgets), default=wanted)
    return Money(max(0, min(wanted, balance, room)))


def check_hold(wanted: Money, budgets: Iterable[Spent]) -> None:
    """Refuse a hold that a budget has no room for. Raises `BudgetReached`."""
    for each in budgets:
        if each.left < wanted:
            budget = each.budget
            spent = Money(each.charged + each.held)
            raise BudgetReached(
                f"the budget of {budget.scope} {budget.owner} ({budget.limit} a {budget.period}) "
                f"has {each.left} left and {wanted} is needed; spent and held: {spent}",
                hint="raise the budget, or stop what spends it",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Runway:
    """How far a pod's escrow reaches."""

    escrow: Money
    an_hour: Money

    @property
    def lasts(self) -> Span:
        """How long it may run on what is held; for ever where it costs nothing."""
        if self.an_hour <= 0:
            return Span(2**63 - 1)
        return Span(self.escrow * Span.of(hours=1) // self.an_hour)


def wanted_hold(runway: Runway, tick: Span) -> Money:
    """Return what to hold now, so that two whole ticks are paid for ahead."""
    ahead = -(-runway.an_hour * 2 * tick // Span.of(hours=1))
    return Money(max(0, ahead - runway.escrow))


def must_freeze(runway: Runway, tick: Span) -> bool:
    """Tell whether a pod must stop now, for the next tick would not be paid for."""
    return runway.lasts < tick
