"""Where an account's money is, and how long it lasts."""

from dataclasses import dataclass

from puna.errors import NotFound
from puna.market.db import ledger, pods
from puna.market.db.database import Transaction
from puna.market.db.pods import Pod
from puna.market.db.spending import BilledLine, Posted, entry_of, held_of, line_of
from puna.market.domain.metering import RUNPODS_STORAGE, StoragePrices, rates
from puna.market.domain.pods import Desired, Observed
from puna.units import Money, Span

_PAGE = 200
_HOUR = Span.of(hours=1)


class NoSuchLine(NotFound):
    """The account's bill has no such line."""

    code = "no_such_line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An account's money, and its pods."""

    balance: Money
    """What may still be held."""
    held: Money
    """What is set aside for the next minutes of its pods."""
    an_hour: Money
    """What all that is there costs."""
    pods: int
    running: int

    @property
    def lasts(self) -> Span | None:
        """How long the money lasts if nothing changes; None where nothing costs anything."""
        if self.an_hour <= 0:
            return None
        return Span((self.balance + self.held) * _HOUR // self.an_hour)


async def standing_of(
    tx: Transaction, account: str, storage: StoragePrices = RUNPODS_STORAGE
) -> Standing:
    """Return how an account stands."""
    an_hour, count, running, after = 0, 0, 0, ""
    while page := await pods.pods_of(tx, account, after=after, limit=_PAGE):
        an_hour += sum(hour_now(pod, storage) for pod in page)
        count += len(page)
        running += sum(pod.state.observed is Observed.RUNNING for pod in page)
        after = page[-1].id
    return Standing(
        balance=await ledger.balance_of(tx, ledger.renter(account)),
        held=await held_of(tx, account),
        an_hour=Money(an_hour),
        pods=count,
        running=running,
    )


def hour_now(pod: Pod, storage: StoragePrices = RUNPODS_STORAGE) -> Money:
    """Return what an hour of a pod costs as it is now: nothing before it has a host."""
    if pod.host is None:
        return Money(0)
    runs = pod.state.desired is Desired.RUN or pod.state.observed is Observed.RUNNING
    each = rates(pod.spec.footprint, pod.price, storage, runs=runs)
    return Money(sum(rate.an_hour for rate in each))


@dataclass(frozen=True, slots=True)
class Explained:
    """A line of a bill, the entry of the ledger that charged it, and the exact product."""

    line: BilledLine
    posted: Posted
    words: str


async def explain_line(tx: Transaction, account: str, entry: str) -> Explained:
    """Say where a line of a bill comes from. Raises `NoSuchLine`."""
    line = await line_of(tx, account, entry)
    posted = await entry_of(tx, entry)
    if line is None or posted is None:
        raise NoSuchLine(f"the bill has no line {entry}")
    return Explained(line, posted, product(line))


def product(billed: BilledLine) -> str:
    """Write down what a line multiplies, so that anybody can do it again."""
    line = billed.line
    seconds = (line.end - line.start).total_seconds()
    exact = line.an_hour * seconds / 3600
    return (
        f"{seconds:.6f} s of {line.item} at {line.an_hour} an hour are {exact / 10**6:.9f}, "
        f"charged {line.amount}: what is owed is counted from the beginning of the run and "
        "rounded down once, so lines differ from their product by less than a micro-dollar"
    )
