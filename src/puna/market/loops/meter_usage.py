"""Every second that a pod is there is charged once, never beyond what is held or budgeted.

A turn charges each pod up to when its host last showed it, holds money for the next two ticks, and
tells the host how far that reaches (`paid_until`), which the host keeps by itself. A pod that can
hold nothing more is stopped, and its volume kept. What is terminated and gone gets back what it did
not spend. All of it is one transaction a pod: a crash leaves either everything or nothing.
"""

from dataclasses import dataclass
from datetime import datetime

from puna.market.db import bills, ledger, pods
from puna.market.db.database import Database, Transaction
from puna.market.db.pods import Pod
from puna.market.domain.budgets import Runway, most_to_hold, must_freeze, wanted_hold
from puna.market.domain.ledger import Charge, hold, release
from puna.market.domain.metering import (
    RUNPODS_STORAGE,
    Meter,
    Rate,
    StoragePrices,
    rates,
    read,
)
from puna.market.domain.pods import Desired, Intent, Observed
from puna.units import Money, Span
from puna.world import World

_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """How the market charges. `fee_share` is in hundredths of a percent."""

    tick: Span
    fee_share: int = 0
    storage: StoragePrices = RUNPODS_STORAGE


async def meter_usage(database: Database, world: World, tariff: Tariff) -> Money:
    """Take one turn; return what was charged."""
    total, after = 0, ""
    while True:
        async with database.transaction() as tx:
            page = await pods.open_pods(tx, after=after, limit=_PAGE)
        for each in page:
            async with database.transaction() as tx:
                total += await _settle(tx, world.now(), each.id, tariff)
        if len(page) < _PAGE:
            return Money(total)
        after = page[-1].id


async def _settle(tx: Transaction, now: datetime, pod_id: str, tariff: Tariff) -> Money:
    pod = await pods.pod_of(tx, pod_id)
    if pod is None:
        return Money(0)
    charged = Money(0)
    for stretch in _stretches(pod, now, tariff):
        for rate in stretch.rates:
            charged = Money(charged + await _charge(tx, pod, rate, stretch, tariff))
    if pod.state.is_gone:
        await _close(tx, pod, now)
    elif pod.host is not None:
        await _hold(tx, pod, now, tariff)
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
        found.append(_Stretch(running, pod.started, end))
    if pod.state.desired is Desired.STOP and pod.ended is not None:
        kept = rates(pod.spec.footprint, pod.price, tariff.storage, runs=False)
        found.append(_Stretch(kept, pod.ended, seen))
    return tuple(found)


async def _charge(
    tx: Transaction, pod: Pod, rate: Rate, stretch: _Stretch, tariff: Tariff
) -> Money:
    """Charge one item up to the end of a stretch, out of what is held and never more."""
    run = pod.state.shown_run
    meter = await _meter_for(tx, pod, rate, stretch)
    held = await ledger.balance_of(tx, ledger.escrow(pod.id))
    after, line = read(meter, stretch.end, most=held)
    if line is None:
        return Money(0)
    key = f"{pod.id}:{rate.item}:{run}:{line.end.timestamp():.6f}"
    charge = Charge(
        pod=pod.id,
        host_account=await pods.owner_of_host(tx, pod.host or ""),
        amount=line.amount,
        fee_share=tariff.fee_share,
        reason=f"{rate.item} of pod {pod.id} on host {pod.host}",
    )
    if await ledger.post(tx, charge.to_entry(key=key, at=line.end)):
        await bills.add_line(tx, key, pod, line)
    await bills.set_meter(tx, pod.id, run, after)
    return line.amount


async def _meter_for(tx: Transaction, pod: Pod, rate: Rate, stretch: _Stretch) -> Meter:
    """Return the meter of an item in this run, or a new one that begins where the last ended."""
    known = (await bills.meters_of(tx, pod.id)).get(rate.item)
    if known is None:
        return Meter(rate=rate, began=stretch.start, charged_until=stretch.start)
    run, meter = known
    if run == pod.state.shown_run and meter.rate == rate and meter.began >= stretch.start:
        return meter
    began = max(stretch.start, meter.charged_until)
    return Meter(rate=rate, began=began, charged_until=began)


async def _hold(tx: Transaction, pod: Pod, now: datetime, tariff: Tariff) -> None:
    """Hold two ticks ahead, or give back what is more, and say how far that reaches."""
    runs = pod.state.desired is Desired.RUN or pod.state.observed is Observed.RUNNING
    each = rates(pod.spec.footprint, pod.price, tariff.storage, runs=runs)
    an_hour = Money(sum(rate.an_hour for rate in each))
    spare = len(each)  # each item is rounded by itself, by less than a micro-dollar
    escrow = await ledger.balance_of(tx, ledger.escrow(pod.id))
    needed = Money(wanted_hold(Runway(escrow=Money(0), an_hour=an_hour), tariff.tick) + spare)
    if wanted := Money(max(0, needed - escrow)):
        escrow = Money(escrow + await _hold_more(tx, pod, wanted, now))
    elif not runs:
        escrow = Money(escrow - await _give_back(tx, pod, Money(escrow - needed), now))
    runway = Runway(escrow=Money(max(0, escrow - spare)), an_hour=an_hour)
    # What stands still is owed from where it was last paid; what runs stopped itself there.
    seen = min(now, pod.seen or now)
    since = seen if runs else min(seen, pod.paid_until or now)
    await pods.pay_until(tx, pod, since + runway.lasts.timedelta)
    if pod.state.desired is Desired.RUN and must_freeze(runway, tariff.tick):
        await pods.want(tx, pod, Intent(Desired.STOP, pod.state.run), reason="out of money")
        await pods.say(tx, pod.id, "stopped: its balance or a budget is used up", now)


async def _hold_more(tx: Transaction, pod: Pod, wanted: Money, now: datetime) -> Money:
    balance = await ledger.balance_of(tx, ledger.renter(pod.account))
    more = most_to_hold(wanted, balance, await bills.budgets_over(tx, pod, now))
    if more:
        key = f"hold:{pod.id}:{now.timestamp():.6f}"
        await ledger.post(tx, hold(pod.account, pod.id, more, key=key, at=now))
    return more


async def _give_back(tx: Transaction, pod: Pod, extra: Money, now: datetime) -> Money:
    """Release what a stopped pod does not need for its volume; return how much that was."""
    if extra <= 0:
        return Money(0)
    key = f"release:{pod.id}:{now.timestamp():.6f}"
    await ledger.post(tx, release(pod.account, pod.id, extra, key=key, at=now))
    return extra


async def _close(tx: Transaction, pod: Pod, now: datetime) -> None:
    left = await ledger.balance_of(tx, ledger.escrow(pod.id))
    if left > 0:
        key = f"release:{pod.id}:{now.timestamp():.6f}"
        await ledger.post(tx, release(pod.account, pod.id, left, key=key, at=now))
    await pods.close_pod(tx, pod.id, now)
    await pods.say(tx, pod.id, "nothing of it is left on its host: closed", now)
