"""Every second that a pod is there is charged once, never beyond what is held or budgeted.

A turn charges each pod up to when its host last showed it, holds money for the next two ticks, and
tells the host how far that reaches (`paid_until`), which the host keeps by itself. A pod that can
hold nothing more is stopped, and its volume kept. What is terminated and gone gets back what it did
not spend. All of it is one transaction a pod: a crash leaves either everything or nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from puna.market.db import bills, ledger, pods
from puna.market.db.accounts import revoke_keys_of
from puna.market.db.database import Database, Transaction
from puna.market.db.pods import Pod
from puna.market.domain.budgets import Runway, most_to_hold, must_freeze, wanted_hold
from puna.market.domain.ledger import Charge, hold, release
from puna.market.domain.metering import (
    RUNPODS_STORAGE,
    Item,
    Line,
    Meter,
    Rate,
    StoragePrices,
    rates,
    read,
)
from puna.market.domain.pods import Desired, Intent, Observed, Status
from puna.market.domain.rules import Rules
from puna.market.loops.pages import Which, for_each_open_pod
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

    async def settle(tx: Transaction, pod: Pod) -> Money:
        return await _settle(tx, world.now(), pod, tariff)

    return Money(await for_each_open_pod(database, settle, which))


async def _settle(tx: Transaction, now: datetime, pod: Pod, tariff: Tariff) -> Money:
    known = await bills.meters_of(tx, pod.id)
    escrow = began_with = await ledger.balance_of(tx, ledger.escrow(pod.id))
    for stretch in _stretches(pod, now, tariff):
        for rate in stretch.rates:
            meter, line = read(_meter_for(pod, rate, stretch, known), stretch.end, most=escrow)
            if line is not None:
                await _charge(tx, pod, line, tariff)
                await bills.set_meter(tx, pod.id, pod.state.shown_run, meter)
                escrow = Money(escrow - line.amount)
    charged = Money(began_with - escrow)
    if pod.state.is_gone:
        await _close(tx, pod, escrow, now)
    elif pod.host is not None:
        await _hold(tx, pod, escrow, now, tariff)
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


async def _charge(tx: Transaction, pod: Pod, line: Line, tariff: Tariff) -> None:
    key = f"{pod.id}:{line.item}:{pod.state.shown_run}:{line.end.timestamp():.6f}"
    charge = Charge(
        pod=pod.id,
        host_account=pod.owner,
        amount=line.amount,
        fee_share=tariff.fee_share,
        reason=f"{line.item} of pod {pod.id} on host {pod.host}",
    )
    if await ledger.post(tx, charge.to_entry(key=key, at=line.end)):
        await bills.add_line(tx, key, pod, line)


async def _hold(tx: Transaction, pod: Pod, escrow: Money, now: datetime, tariff: Tariff) -> None:
    """Hold two ticks ahead, or give back what is more, and say how far that reaches."""
    runs = _may_run(pod, now, tariff)
    each = rates(pod.spec.footprint, pod.price, tariff.storage, runs=runs)
    an_hour = Money(sum(rate.an_hour for rate in each))
    spare = len(each)  # each item is rounded by itself, by less than a micro-dollar
    needed = Money(wanted_hold(Runway(escrow=Money(0), an_hour=an_hour), tariff.tick) + spare)
    if wanted := Money(max(0, needed - escrow)):
        escrow = Money(escrow + await _hold_more(tx, pod, wanted, now))
    elif not runs:
        extra = Money(escrow - needed)
        await _give_back(tx, pod, extra, now)
        escrow = Money(escrow - extra)
    runway = Runway(escrow=Money(max(0, escrow - spare)), an_hour=an_hour)
    # What stands still is owed from where it was last paid; what runs stopped itself there.
    seen = min(now, pod.seen or now)
    since = seen if runs else min(seen, pod.paid_until or now)
    await pods.pay_until(tx, pod, since + runway.lasts.timedelta)
    await _freeze_or_thaw(tx, pod, now, is_short=must_freeze(runway, tariff.tick), tariff=tariff)


async def _freeze_or_thaw(
    tx: Transaction, pod: Pod, now: datetime, *, is_short: bool, tariff: Tariff
) -> None:
    """Stop what nobody pays for, and say until when its volume is kept."""
    if not is_short:
        if pod.frozen is not None:
            await pods.thaw(tx, pod.id)
            await pods.say(tx, pod.id, "paid for again", now)
        return
    if pod.state.desired is Desired.RUN:
        await pods.want(tx, pod, Intent(Desired.STOP, pod.state.run), now, reason="out of money")
        await pods.say(tx, pod.id, "stopped: its balance or a budget is used up", now)
    if pod.frozen is None:
        await pods.freeze(tx, pod.id, now)
        if pod.spec.volume_gb:
            end = now + tariff.rules.keep
            await pods.say(tx, pod.id, f"nobody pays for its volume: it is kept until {end}", now)


async def _hold_more(tx: Transaction, pod: Pod, wanted: Money, now: datetime) -> Money:
    await ledger.lock_book(tx, ledger.renter(pod.account))
    balance = await ledger.balance_of(tx, ledger.renter(pod.account))
    more = most_to_hold(wanted, balance, await bills.budgets_over(tx, pod, now))
    if more:
        key = f"hold:{pod.id}:{now.timestamp():.6f}"
        await ledger.post(tx, hold(pod.account, pod.id, more, key=key, at=now))
    return more


async def _give_back(tx: Transaction, pod: Pod, extra: Money, now: datetime) -> None:
    """Release what a pod does not need any more, if anything."""
    if extra > 0:
        key = f"release:{pod.id}:{now.timestamp():.6f}"
        await ledger.post(tx, release(pod.account, pod.id, extra, key=key, at=now))


async def _close(tx: Transaction, pod: Pod, left: Money, now: datetime) -> None:
    await _give_back(tx, pod, left, now)
    await pods.close_pod(tx, pod.id, now)
    await revoke_keys_of(tx, pod.id, now)
    await pods.say(tx, pod.id, "nothing of it is left on its host: closed", now)
