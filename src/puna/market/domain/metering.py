"""What a stretch of time costs: to the second, with the reason, and the same however it is cut.

A rate is micro-dollars an hour. What is owed for a run is computed from its beginning and rounded
down once, and a charge is what has come on top since the last: so ticks of a second, of a minute,
or one tick missed for an hour lead to the same sum. Nothing is charged before the container runs.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from puna.units import Money

_NOTHING = Money(0)
_HOUR_US = 3_600_000_000
_MONTH_HOURS = 730
"""365 days of 24 hours in twelve parts, so that a month's price has one hourly price."""


class Item(StrEnum):
    """What is paid for."""

    CARDS = "cards"
    PROCESSORS = "processors"
    DISK = "disk"
    VOLUME = "volume"
    KEPT_VOLUME = "kept volume"
    """The volume of a pod that is stopped, which takes room that nobody else can have."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one item costs while it lasts."""

    item: Item
    an_hour: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """How far an item of a pod has been charged. `began` is when this run of it began."""

    rate: Rate
    began: datetime
    charged_until: datetime
    charged: Money = _NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the bill."""

    item: Item
    start: datetime
    end: datetime
    an_hour: Money
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class StoragePrices:
    """For a gigabyte and month."""

    disk: Money
    volume: Money
    kept_volume: Money


RUNPODS_STORAGE = StoragePrices(
    disk=Money(100_000), volume=Money(100_000), kept_volume=Money(200_000)
)
"""What its renters are used to: 10, 10 and 20 cents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What a pod takes that has a price."""

    cards: int
    processors: int
    disk_gb: int
    volume_gb: int


def rates(takes: Footprint, price: Money, prices: StoragePrices, *, runs: bool) -> tuple[Rate, ...]:
    """Return what a pod is charged for while it runs, or while it is stopped and kept.

    `price` is for one card and hour, or for one processor where the pod has no card.
    """
    if not runs:
        kept = _stored(prices.kept_volume, takes.volume_gb)
        return _not_free(Rate(Item.KEPT_VOLUME, kept))
    cards = Rate(Item.CARDS, Money(price * takes.cards))
    processors = Rate(Item.PROCESSORS, Money(0 if takes.cards else price * takes.processors))
    disk = Rate(Item.DISK, _stored(prices.disk, takes.disk_gb))
    volume = Rate(Item.VOLUME, _stored(prices.volume, takes.volume_gb))
    return _not_free(cards, processors, disk, volume)


def _stored(a_month: Money, gigabytes: int) -> Money:
    """Return the price of an hour, rounded up: a hundred gigabytes are never free."""
    return Money(-(-a_month * gigabytes // _MONTH_HOURS))


def stored_gb_hours(in_use: Money, kept: Money, prices: StoragePrices = RUNPODS_STORAGE) -> float:
    """Return the gigabytes, times hours, that were stored for so much of pods that run and not."""
    return _MONTH_HOURS * (in_use / prices.disk + kept / prices.kept_volume)


def _not_free(*each: Rate) -> tuple[Rate, ...]:
    return tuple(rate for rate in each if rate.an_hour > 0)


def owed(an_hour: Money, span: timedelta) -> Money:
    """Return what a span costs, rounded down to a micro-dollar."""
    return Money(an_hour * (span // timedelta(microseconds=1)) // _HOUR_US)


def read(meter: Meter, until: datetime, *, most: Money) -> tuple[Meter, Line | None]:
    """Return the meter after charging up to `until`, and the line; None where nothing is due.

    No more than `most` is charged now; the rest is due with the next line. A clock that went back
    charges nothing until it has caught up.
    """
    if until <= meter.charged_until:
        return meter, None
    due = Money(min(most, owed(meter.rate.an_hour, until - meter.began) - meter.charged))
    if due <= 0:
        return meter, None
    line = Line(
        item=meter.rate.item,
        start=meter.charged_until,
        end=until,
        an_hour=meter.rate.an_hour,
        amount=due,
    )
    return replace(meter, charged_until=until, charged=Money(meter.charged + due)), line
