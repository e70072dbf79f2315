"""What a host shows of pods, as far as it is believed; what does not fit is noted for the operator.

The market trusts no host further than it could see: times are bounded by reports, runs by orders,
pods by whose they are. Nothing that a host says can cost a renter more than being there would have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from puna.errors import Invalid
from puna.market.db import hosts, notices, orphans, pods
from puna.market.db.database import Transaction
from puna.market.db.hosts import Known
from puna.market.db.notices import Kind
from puna.market.db.orphans import Orphan
from puna.market.db.pods import Pod, Sighting
from puna.market.domain.limits import why_idle
from puna.market.domain.pods import Desired, Intent, Observed
from puna.market.domain.witness import Witness
from puna.text import one_line
from puna.wire.agent import PodReport

_OVERRUN = timedelta(minutes=3)
"""How long after it had to stop a pod may be shown running before that is noted."""
_LONGEST_LINE = 500
_MOST_LINES = 100
"""Lines of a pod's log that one report may bring: a host cannot fill the market's disk."""
_RUN = Desired.RUN
THERE = frozenset({Observed.CREATED, Observed.RUNNING, Observed.EXITED, Observed.FAILED})
"""What a report says of a pod that has, or may have, a container on its host."""


class InvalidReport(Invalid):
    """A host reports what cannot be."""

    code = "invalid_report"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnHost:
    """What the market takes to be on a host."""

    pods: Sequence[Pod]
    orphans: Sequence[Orphan]

    @classmethod
    async def read(cls, tx: Transaction, host: str) -> Self:
        """Read it."""
        return cls(pods=await pods.pods_on(tx, host), orphans=await orphans.orphans_on(tx, host))


async def see_pods(
    tx: Transaction, witness: Witness, host: Known, known: OnHost, reports: Sequence[PodReport]
) -> bool:
    """Note what a host shows of pods; tell whether it is news. Raises `InvalidReport`."""
    if witness.skew:
        text = f"the clock of host {host.name} is wrong by {abs(witness.skew)}"
        await notices.notice(tx, Kind.CLOCK, host.id, text, witness.now)
    report_by_pod = {each.pod: each for each in reports}
    changed = False
    for pod in known.pods:
        report = report_by_pod.get(pod.id)
        if report is None:
            if pod.state.observed is not Observed.ABSENT:
                changed |= await pods.see(tx, host.id, _not_there(pod))
        elif await _is_believable(tx, witness, host, pod, report):
            changed |= await _see(tx, witness, host, pod, report)
    return changed | await _note_orphans(tx, witness, host, known, report_by_pod)


async def _is_believable(
    tx: Transaction, witness: Witness, host: Known, pod: Pod, report: PodReport
) -> bool:
    if report.run > pod.state.run:
        text = f"host {host.name} shows run {report.run} of pod {pod.id}, of {pod.state.run}"
        await notices.notice(tx, Kind.UNKNOWN_RUN, host.id, text, witness.now)
        return False
    over = pod.changed if pod.state.desired is not Desired.RUN else pod.paid_until
    is_over = over is not None and witness.now > over + _OVERRUN
    if is_over and report.observed == Observed.RUNNING:
        text = f"host {host.name} shows pod {pod.id} running, which had to stop at {over}"
        await notices.notice(tx, Kind.UNPAID, host.id, text, witness.now)
    return True


async def _see(tx: Transaction, witness: Witness, host: Known, pod: Pod, report: PodReport) -> bool:
    sighting = _sighting(witness, pod, report)
    is_news = _is_news(pod, sighting)
    is_rested = await _rest(tx, witness, pod, report)
    if is_news and not await pods.see(tx, host.id, sighting):
        return False
    for line in report.log[-_MOST_LINES:]:
        await pods.say(tx, pod.id, one_line(line, _LONGEST_LINE), witness.now)
    return is_news or is_rested


async def _rest(tx: Transaction, witness: Witness, pod: Pod, report: PodReport) -> bool:
    """Stop a pod that its host has stopped because nobody used it, if that was asked for."""
    after, state = pod.spec.idle_stop, pod.state
    if not report.is_idle or after is None or (state.desired, state.run) != (_RUN, report.run):
        return False
    return await pods.want(
        tx, pod, Intent(Desired.STOP, state.run), witness.now, reason=why_idle(after)
    )


def _is_news(pod: Pod, seen: Sighting) -> bool:
    """Tell whether a sighting changes anything: most reports change nothing, and write nothing."""
    is_same = (
        (seen.observed, seen.run) == (pod.state.observed, pod.state.shown_run)
        and seen.reason in ("", pod.reason)
        and seen.started in (None, pod.started)
        and seen.ended in (None, pod.ended)
        and (seen.started is None or seen.told_started == pod.told_started)
        and seen.active in (None, pod.active)
        and seen.ports == pod.ports
    )
    return not is_same


def _sighting(witness: Witness, pod: Pod, report: PodReport) -> Sighting:
    try:
        observed = Observed(report.observed)
    except ValueError as error:
        raise InvalidReport(f'a pod cannot be "{report.observed}"') from error
    is_known = report.started == pod.told_started and report.run == pod.state.shown_run
    started = None
    if report.started is not None:
        started = pod.started if is_known else witness.moment(report.started)
    ended = None
    if is_known and pod.state.observed is Observed.EXITED and pod.ended is not None:
        ended = pod.ended  # as it was told first: its host's clock may have been set since
    elif report.ended is not None:
        ended = witness.moment(report.ended, earliest=started or pod.started)
    active = started or pod.started if observed is Observed.RUNNING else None
    if report.active is not None:
        active = witness.moment(report.active, earliest=active)
    is_gone = observed is Observed.ABSENT  # of any run: there is one container of a pod at most
    return Sighting(
        pod=report.pod,
        run=max(report.run, pod.state.shown_run) if is_gone else report.run,
        observed=observed,
        reason=report.reason if pod.state.desired is _RUN else "",
        started=started,
        told_started=report.started,
        ended=ended,
        active=max(filter(None, (active, pod.active)), default=None),
        ports={str(port.inside): port.outside for port in report.ports},
    )


def _not_there(pod: Pod) -> Sighting:
    return Sighting(pod=pod.id, run=pod.state.shown_run, observed=Observed.ABSENT, ports={})


async def _note_orphans(
    tx: Transaction,
    witness: Witness,
    host: Known,
    known: OnHost,
    report_by_pod: Mapping[str, PodReport],
) -> bool:
    """Keep the list of what is on a host and belongs to no pod there; tell whether it changed."""
    own = {pod.id for pod in known.pods}
    there = {pod for pod, each in report_by_pod.items() if each.observed in THERE}
    listed = {each.pod for each in known.orphans}
    gone, new = listed - there | listed & own, there - own - listed
    await orphans.remove_orphans(tx, host.id, gone)
    for pod in sorted(new):
        orphan = Orphan(host=host.id, pod=pod, since=witness.now, reason="no pod of this host")
        await orphans.add_orphan(tx, orphan)
        text = f"host {host.name} shows a container of pod {pod}, which is not its own"
        await notices.notice(tx, Kind.FOREIGN, host.id, text, witness.now)
    return bool(gone or new)


async def note_room(tx: Transaction, host: str, now: datetime) -> None:
    """Note a machine that has less than is rented on it. What is rented stays rented."""
    free = (await hosts.host_of(tx, host)).free
    if min(free.cards, free.processors, free.memory, free.disk) < 0:
        text = f"host {host} has less than is rented on it"
        await notices.notice(tx, Kind.SHRUNK, host, text, now)
