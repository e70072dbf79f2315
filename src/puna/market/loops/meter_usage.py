"""Every second that a pod is there is charged once, never beyond what is held or budgeted.

A turn charges each pod up to when its host last showed it, holds money for the next two ticks, and
tells the host how far that reaches (`paid_until`), which the host keeps by itself. A pod that can
hold nothing more is stopped, and its volume kept. What is terminated and gone gets back what it did
not spend. Pods are settled a hundred at once, in one transaction: a crash leaves either everything
of them or nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from puna.market.db import pods
from puna.market.db.database import Database, Transaction
from puna.market.db.pods import Pod
from puna.market.db.settling import standing_of
from puna.market.domain.budgets import Runway, must_freeze, wanted_hold
from puna.market.domain.metering import (
    RUNPODS_STORAGE,
    Item,
    Meter,
    Rate,
    StoragePrices,
    rates,
    read,
)
from puna.market.domain.pods import Desired, Observed, Status
from puna.market.domain.rules import Rules
from puna.market.loops.pages import Which, settle_pods
from puna.market.loops.till import Till
from puna.units import Money, Span
from puna.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """How the market charges. `fee_share` is in hundredths of a percent."""

    tick: Span
    fee_share: int = 0
    storage: StoragePrices = RUNPODS_STORAGE
    overrun: Span = Span.of(seconds=90)  # noqa: RUF009 - an integer
    """How long after it had to stop a container is still paid for, should its host show it."""
    rules: Rules = Rules()  # noqa: RUF009 - a frozen value


async def meter_usage(
    database: Database, world: World, tariff: Tariff, which: Which = pods.open_pods
) -> Money:
    """Take one turn; return what was charged."""

    async def settle(tx: Transaction, found: Sequence[Pod]) -> Money:
        now = world.now()
        till = Till(await standing_of(tx, found, now), now)
        charged = sum(_settle(till, pod, tariff) for pod in found)
        await till.changes.keep(tx, now)
        return Money(charged)

    return Money(await settle_pods(database, settle, which))


def _settle(till: Till, pod: Pod, tariff: Tariff) -> Money:
    known, began_with = till.meters_of(pod), till.held(pod)
    for stretch in _stretches(pod, till.now, tariff):
        for rate in stretch.rates:
            meter = _meter_for(pod, rate, stretch, known)
            after, line = read(meter, stretch.end, most=till.held(pod))
            if line is not None:
                till.charge(pod, line, after, fee_share=tariff.fee_share)
    charged = Money(began_with - till.held(pod))
    if pod.state.is_gone:
        till.close(pod)
    elif pod.host is not None:
        _hold(till, pod, tariff)
    return charged


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A time in which the same things are paid for. It ends when the host last showed the pod."""

    rates: tuple[Rate, ...]
    start: datetime
    end: datetime


def _stretches(pod: Pod, now: datetime, tariff: Tariff) -> tuple[_Stretch, ...]:
    if pod.host is None or pod.seen is None:
        return ()
    seen = min(now, pod.seen, pod.paid_until or now)
    found = []
    if pod.started is not None:
        running = rates(pod.spec.footprint, pod.price, tariff.storage, runs=True)
        is_running = pod.state.observed is Observed.RUNNING
        end = seen if is_running else min(seen, pod.ended or pod.started)
        if pod.state.desired is not Desired.RUN:
            end = min(end, pod.changed + tariff.overrun.timedelta)
        found.append(_Stretch(running, _since(pod, pod.started), end))
    if _is_kept(pod) and pod.ended is not None:
        kept = rates(pod.spec.footprint, pod.price, tariff.storage, runs=False)
        found.append(_Stretch(kept, pod.ended, seen))
    return tuple(found)


def _since(pod: Pod, moment: datetime) -> datetime:
    """Return from when a host is paid: what happened while it was away, nobody saw."""
    return max(moment, pod.back) if pod.back else moment


def _is_kept(pod: Pod) -> bool:
    return pod.state.desired is Desired.STOP or pod.state.status is Status.ERROR


def _may_run(pod: Pod, now: datetime, tariff: Tariff) -> bool:
    """Tell whether a container of it runs, or may in the next ticks, that is paid for."""
    if pod.state.desired is Desired.RUN:
        return pod.state.status is not Status.ERROR
    is_over = now >= pod.changed + tariff.overrun.timedelta
    return pod.state.observed is Observed.RUNNING and not is_over


def _meter_for(
    pod: Pod, rate: Rate, stretch: _Stretch, known: Mapping[Item, tuple[int, Meter]]
) -> Meter:
    """Return the meter of an item in this run, or a new one that begins where the last ended."""
    if rate.item not in known:
        return Meter(rate=rate, began=stretch.start, charged_until=stretch.start)
    run, meter = known[rate.item]
    if run == pod.state.shown_run and meter.rate == rate and meter.began >= stretch.start:
        return meter
    began = max(stretch.start, meter.charged_until)
    return Meter(rate=rate, began=began, charged_until=began)


def _hold(till: Till, pod: Pod, tariff: Tariff) -> None:
    """Hold two ticks ahead, or give back what is more, and say how far that reaches."""
    now = till.now
    runs = _may_run(pod, now, tariff)
    each = rates(pod.spec.footprint, pod.price, tariff.storage, runs=runs)
    an_hour = Money(sum(rate.an_hour for rate in each))
    spare = len(each)  # each item is rounded by itself, by less than a micro-dollar
    needed = Money(wanted_hold(Runway(escrow=Money(0), an_hour=an_hour), tariff.tick) + spare)
    if wanted := Money(max(0, needed - till.held(pod))):
        till.hold(pod, wanted)
    elif not runs:
        till.give_back(pod, Money(till.held(pod) - needed))
    runway = Runway(escrow=Money(max(0, till.held(pod) - spare)), an_hour=an_hour)
    # What stands still is owed from where it was last paid; what runs stopped itself there.
    seen = min(now, pod.seen or now)
    since = seen if runs else min(seen, pod.paid_until or now)
    till.pay_until(pod, since + runway.lasts.timedelta)
    if must_freeze(runway, tariff.tick):
        till.freeze(pod, until=now + tariff.rules.keep)
    else:
        till.thaw(pod)
