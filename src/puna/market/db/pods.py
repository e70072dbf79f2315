"""Pods: what is wanted, what was seen, where they are, and what was said about them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, insert, literal_column, or_, select, update

from puna.market.db.database import Transaction
from puna.market.db.orphans import Orphan, add_orphan
from puna.market.db.tables import MAY_WANT_A_PLACE, Moment, events, hosts, pods
from puna.market.db.values import from_json, to_json
from puna.market.domain.pods import Desired, Intent, Observed, PodState
from puna.market.domain.specs import PodSpec
from puna.units import Money

OUTBID = "outbid"
"""The reason of a spot pod that had to give way."""
_LONGEST = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod with all that is known of it. `price` is for one card (or processor) and hour."""

    id: str
    account: str
    key: str
    project: str
    name: str
    spec: PodSpec
    state: PodState
    price: Money
    host: str | None
    reason: str
    failed_hosts: frozenset[str]
    created: datetime
    started: datetime | None
    """When the container of the run that was last seen began."""
    ended: datetime | None
    stop_at: datetime | None
    terminate_at: datetime | None
    paid_until: datetime | None
    """How far it is paid for, in the rates of the time."""
    is_paid: bool
    """Whether money is held for this very run."""
    seen: datetime | None
    """When its host was last seen."""
    owner: str
    """The account that its host earns for; empty without a host."""
    back: datetime | None
    """When its host came back last; what it did while it was away is not paid for."""
    template: str | None
    registry: str | None
    changed: datetime
    """When its renter or the market last changed what is wanted of it."""
    told_started: datetime | None
    """When its container began, as its host says; `started` is what the market takes for true."""
    active: datetime | None
    """When something last happened in it."""
    frozen: datetime | None
    """Since when nobody pays for it."""
    boot: str
    """What it was given at its start, sealed; made for the run `boot_run`."""
    boot_run: int
    ports: Mapping[str, int]
    """Where on its host its ports are open."""
    spent: Money
    """What it was charged since it was rented."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPod:
    """A pod that is being rented."""

    id: str
    account: str
    key: str
    project: str
    name: str
    spec: PodSpec
    created: datetime
    template: str | None = None
    registry: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What a host shows of a pod."""

    pod: str
    run: int
    observed: Observed
    reason: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    ports: dict[str, int] | None = None
    told_started: datetime | None = None
    """When it began, by its host's clock."""
    active: datetime | None = None


async def add_pod(tx: Transaction, pod: NewPod) -> None:
    """Keep a new pod, which has no host yet."""
    spec, born = pod.spec, pod.created
    await tx.execute(
        insert(pods).values(
            id=pod.id,
            account=pod.account,
            key=pod.key,
            project=pod.project,
            name=pod.name,
            spec=to_json(spec),
            tenure=str(spec.tenure),
            price=0,
            desired=str(Desired.RUN),
            run=1,
            observed=str(Observed.ABSENT),
            shown_run=0,
            is_locked=False,
            reason="",
            ports={},
            failed_hosts=[],
            paid_run=0,
            created=born,
            template=pod.template,
            registry=pod.registry,
            changed=born,
            idle_s=seconds_of(spec.idle_stop),
            boot="",
            boot_run=0,
            spent=0,
            stop_at=born + spec.stop_after if spec.stop_after else None,
            terminate_at=born + spec.terminate_after if spec.terminate_after else None,
        )
    )


async def pod_of(
    tx: Transaction, pod: str, account: str | None = None, *, lock: bool = False
) -> Pod | None:
    """Return a pod, of one account where it is given.

    With `lock` nobody else changes it before the transaction ends.
    """
    wanted = _SELECT.where(pods.c.id == pod)
    if lock:
        wanted = wanted.with_for_update(of=pods)
    if account is not None:
        wanted = wanted.where(pods.c.account == account)
    row = (await tx.execute(wanted)).one_or_none()
    return None if row is None else _pod(row)


async def take_pods(tx: Transaction, ids: Collection[str], *, waits: bool) -> Sequence[Pod]:
    """Return those of some pods that are not closed; nobody else changes them meanwhile.

    Those that somebody else is changing are left out, if they are not waited for.
    """
    wanted = _SELECT.where(pods.c.id.in_(ids), pods.c.closed.is_(None)).order_by(pods.c.id)
    rows = await tx.execute(wanted.with_for_update(of=pods, skip_locked=not waits))
    return [_pod(row) for row in rows]


async def pods_of(
    tx: Transaction, account: str, *, after: str = "", limit: int = 100
) -> Sequence[Pod]:
    """Return a page of an account's pods that are not terminated, by id."""
    wanted = _SELECT.where(
        pods.c.account == account, pods.c.desired != str(Desired.TERMINATE), pods.c.id > after
    )
    rows = await tx.execute(wanted.order_by(pods.c.id).limit(limit))
    return [_pod(row) for row in rows]


async def pods_on(tx: Transaction, host: str) -> Sequence[Pod]:
    """Return every pod that a host has to know of."""
    return [_pod(row) for row in await tx.execute(_ON_HOST, {"on": host})]


async def open_pods(tx: Transaction, *, after: str = "", limit: int = 200) -> Sequence[str]:
    """Return a page of the ids of all pods that are not closed, in their order."""
    return await _page(tx, _OPEN, after=after, limit=limit)


async def unplaced_pods(tx: Transaction, *, after: str = "", limit: int = 200) -> Sequence[str]:
    """Return a page of the ids of pods that placement may move on, in their order.

    They have no host, have failed on it, or were displaced and ask to come back.
    """
    return await _page(tx, _UNPLACED, after=after, limit=limit)


async def limited_pods(
    tx: Transaction, now: datetime, *, after: str = "", limit: int = 200
) -> Sequence[str]:
    """Return a page of the ids of pods that a limit of their own may end now, in their order."""
    return await _page(tx, _LIMITED, after=after, limit=limit, now=now)


async def unpaid_pods(tx: Transaction, *, after: str = "", limit: int = 200) -> Sequence[str]:
    """Return a page of the ids of pods whose money cannot wait: held for a run, or given back."""
    return await _page(tx, _UNPAID, after=after, limit=limit)


async def _page(
    tx: Transaction, ids: Select[tuple[str]], *, after: str, limit: int, **values: object
) -> Sequence[str]:
    rows = await tx.execute(ids, {"after": after, "most": limit, **values})
    return [row.id for row in rows]


async def order_marks(tx: Transaction) -> Mapping[str, int]:
    """Return a mark for each host with pods, which changes with what the host is told."""
    columns = (
        pods.c.host,
        pods.c.id,
        pods.c.desired,
        pods.c.run,
        pods.c.paid_run,
        pods.c.paid_until,
        pods.c.stop_at,
        pods.c.terminate_at,
    )
    wanted = select(*columns).where(pods.c.closed.is_(None), pods.c.host.is_not(None))
    marks: dict[str, int] = {}
    for row in await tx.execute(wanted.order_by(pods.c.id)):
        marks[row.host] = hash((marks.get(row.host), *row))
    return marks


async def seat_pod(tx: Transaction, pod: str, host: str, price: Money) -> bool:
    """Give a pod its host; False where it has one, or is not wanted to run any more.

    What it left there before stays listed as an orphan until the host shows what it has now: a pod
    that is gone again before that would leave a container which nobody owns.
    """
    change = update(pods).where(
        pods.c.id == pod, pods.c.host.is_(None), pods.c.desired == str(Desired.RUN)
    )
    seated = change.values(host=host, price=int(price), observed=str(Observed.ABSENT), shown_run=0)
    return (await tx.execute(seated)).rowcount == 1


async def unseat_pod(
    tx: Transaction, pod: Pod, now: datetime, *, reason: str, failed: bool
) -> bool:
    """Take a pod off its host; what may be left of it there is an orphan until it is gone.

    A host that failed it is not tried again.
    """
    if pod.host is None:
        return False
    why = reason or "its pod went elsewhere"
    await add_orphan(tx, Orphan(host=pod.host, pod=pod.id, since=now, reason=why))
    tried = pod.failed_hosts | {pod.host} if failed else pod.failed_hosts
    change = update(pods).where(pods.c.id == pod.id, pods.c.host == pod.host)
    gone = change.values(
        host=None,
        observed=str(Observed.ABSENT),
        shown_run=0,
        started=None,
        ended=None,
        told_started=None,
        active=None,
        ports={},
        paid_run=0,
        boot_run=0,
        failed_hosts=sorted(tried),
        reason=reason[:_LONGEST],
    )
    return (await tx.execute(gone)).rowcount == 1


async def keep_boot(tx: Transaction, pod: str, run: int, sealed: str) -> None:
    """Keep what a run of a pod is given at its start."""
    await tx.execute(update(pods).where(pods.c.id == pod).values(boot=sealed, boot_run=run))


async def is_elsewhere(tx: Transaction, pod: str, host: str) -> bool:
    """Tell whether the market knows a pod, and knows that it is not on this host."""
    row = (await tx.execute(select(pods.c.host).where(pods.c.id == pod))).one_or_none()
    return row is not None and row.host != host


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What may be changed of a pod that exists, at the price of a new run."""

    spec: PodSpec
    template: str | None
    registry: str | None


async def reshape(tx: Transaction, pod: Pod, shape: Shape) -> None:
    """Change what a pod is made from; the transaction has guarded it by `want`."""
    await tx.execute(
        update(pods)
        .where(pods.c.id == pod.id)
        .values(spec=to_json(shape.spec), template=shape.template, registry=shape.registry)
    )


async def set_price(tx: Transaction, pod: str, price: Money) -> None:
    """Change what a pod costs for one card and hour from its next run on."""
    await tx.execute(update(pods).where(pods.c.id == pod).values(price=int(price)))


async def want(
    tx: Transaction, pod: Pod, intent: Intent, now: datetime, *, reason: str = ""
) -> bool:
    """Change what is wanted of a pod; False where somebody else changed it since it was read."""
    change = update(pods).where(
        pods.c.id == pod.id,
        pods.c.desired == str(pod.state.desired),
        pods.c.run == pod.state.run,
        pods.c.is_locked == pod.state.is_locked,
    )
    values: dict[str, object] = {
        "desired": str(intent.desired),
        "run": intent.run,
        "reason": reason[:_LONGEST],
        "changed": now,
    }
    if pod.is_paid and pod.state.desired is intent.desired:
        values["paid_run"] = intent.run
    return (await tx.execute(change.values(values))).rowcount == 1


async def rename(tx: Transaction, pod: str, name: str) -> None:
    """Give a pod another name."""
    await tx.execute(update(pods).where(pods.c.id == pod).values(name=name))


async def lock(tx: Transaction, pod: str, *, is_locked: bool) -> None:
    """Lock a pod against being stopped and terminated, or unlock it."""
    await tx.execute(update(pods).where(pods.c.id == pod).values(is_locked=is_locked))


async def see(tx: Transaction, host: str, sighting: Sighting) -> bool:
    """Note what a host shows of one of its pods; False for a pod that is not its own."""
    change = update(pods).where(
        pods.c.id == sighting.pod, pods.c.host == host, pods.c.shown_run <= sighting.run
    )
    values: dict[str, object] = {"observed": str(sighting.observed), "shown_run": sighting.run}
    if sighting.reason:
        values["reason"] = sighting.reason[:_LONGEST]
    if sighting.started is not None:
        values |= {"started": sighting.started, "ended": sighting.ended}
        values["told_started"] = sighting.told_started
    elif sighting.ended is not None:
        values["ended"] = sighting.ended
    if sighting.active is not None:
        values["active"] = sighting.active
    if sighting.ports is not None:
        values["ports"] = sighting.ports
    return (await tx.execute(change.values(values))).rowcount == 1


def seconds_of(span: timedelta | None) -> int | None:
    """Return a span as a column keeps it."""
    return None if span is None else int(span.total_seconds())


async def pay_until(tx: Transaction, pod: Pod, moment: datetime) -> None:
    """Note how far this run of a pod is paid for."""
    change = update(pods).where(pods.c.id == pod.id)
    await tx.execute(change.values(paid_until=moment, paid_run=pod.state.run))


async def note_reason(tx: Transaction, pod: str, reason: str) -> None:
    """Note why a pod is as it is; nothing else changes."""
    await tx.execute(update(pods).where(pods.c.id == pod).values(reason=reason[:_LONGEST]))


async def overdue_pods(tx: Transaction, before: datetime, *, limit: int) -> Sequence[Pod]:
    """Return pods that were to be gone before a moment and are still shown by a host."""
    rows = await tx.execute(_OVERDUE, {"before": before, "most": limit})
    return [_pod(row) for row in rows]


async def freeze(tx: Transaction, pod: str, now: datetime) -> None:
    """Note that nobody pays for a pod from now on."""
    await tx.execute(update(pods).where(pods.c.id == pod).values(frozen=now))


async def thaw(tx: Transaction, pod: str) -> None:
    """Note that somebody pays for a pod again."""
    await tx.execute(update(pods).where(pods.c.id == pod).values(frozen=None))


async def rearm(tx: Transaction, pod: Pod, now: datetime) -> None:
    """Let a pod that starts again have its time to stop counted anew, and every host tried."""
    span = pod.spec.stop_after
    change = update(pods).where(pods.c.id == pod.id)
    values: dict[str, object] = {
        "stop_at": now + span if span else pod.stop_at,
        "failed_hosts": [],
        "active": None,
    }
    await tx.execute(change.values(values))


async def end_run(tx: Transaction, pod: Pod) -> None:
    """Note that the run of a pod that was stopped is over, before the next begins.

    Whatever its host shows of that run from now on is neither believed nor paid.
    """
    values: dict[str, object] = {
        "observed": str(Observed.EXITED),
        "shown_run": pod.state.run + 1,
        "active": None,
    }
    if pod.state.observed is Observed.RUNNING:
        values["ended"] = pod.changed
    await tx.execute(update(pods).where(pods.c.id == pod.id).values(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When a pod is stopped and terminated by itself."""

    stop_at: datetime | None
    terminate_at: datetime | None


async def set_times(tx: Transaction, pod: str, times: Times, idle: timedelta | None) -> None:
    """Change when a pod is stopped and terminated, and how long it may be idle."""
    change = update(pods).where(pods.c.id == pod)
    await tx.execute(
        change.values(
            stop_at=times.stop_at, terminate_at=times.terminate_at, idle_s=seconds_of(idle)
        )
    )


async def close_pods(tx: Transaction, ids: Collection[str], now: datetime) -> None:
    """Note that nothing of these pods is left anywhere, and their accounts are settled."""
    change = update(pods).where(pods.c.id.in_(ids))
    await tx.execute(change.values(closed=now, host=None, registry=None, boot="", boot_run=0))


async def say(tx: Transaction, pod: str, text: str, now: datetime) -> None:
    """Add a line to a pod's system log."""
    await tx.execute(insert(events).values(pod=pod, at=now, text=text[:_LONGEST]))


async def say_all(tx: Transaction, lines: Sequence[tuple[str, str]], now: datetime) -> None:
    """Add lines to the system logs of pods, in their order."""
    if lines:
        rows = [{"pod": pod, "at": now, "text": text[:_LONGEST]} for pod, text in lines]
        await tx.execute(insert(events), rows)


async def said_since(
    tx: Transaction, pod: str, since: datetime, *, limit: int = 1000
) -> Sequence[tuple[datetime, str]]:
    """Return the first lines of a pod's system log that were not said before a moment."""
    wanted = select(events.c.at, events.c.text).where(events.c.pod == pod, events.c.at >= since)
    rows = await tx.execute(wanted.order_by(events.c.number).limit(limit))
    return [(row.at, row.text) for row in rows]


async def said(tx: Transaction, pod: str, *, last: int = 100) -> Sequence[tuple[datetime, str]]:
    """Return the last lines of a pod's system log, oldest first."""
    wanted = select(events.c.at, events.c.text).where(events.c.pod == pod)
    rows = (await tx.execute(wanted.order_by(events.c.number.desc()).limit(last))).all()
    return [(row.at, row.text) for row in reversed(rows)]


_SELECT = select(pods, hosts.c.seen, hosts.c.back, hosts.c.account.label("owner")).select_from(
    pods.outerjoin(hosts, pods.c.host == hosts.c.id)
)

# Statements that every report and every turn of a loop asks are put together once: that takes
# longer than SQLite takes to answer them.
_IS_OPEN = pods.c.closed.is_(None)
_WANTS = pods.c.desired == str(Desired.RUN)
_ENDS = pods.c.desired == str(Desired.TERMINATE)
_ON_HOST = _SELECT.where(pods.c.host == bindparam("on"), _IS_OPEN).order_by(pods.c.id)
_OPEN = (
    select(pods.c.id)
    .where(_IS_OPEN, pods.c.id > bindparam("after"))
    .order_by(pods.c.id)
    .limit(bindparam("most"))
)
_UNPLACED = _OPEN.where(
    literal_column(MAY_WANT_A_PLACE),
    or_(
        and_(_WANTS, or_(pods.c.host.is_(None), pods.c.observed == str(Observed.FAILED))),
        and_(pods.c.desired == str(Desired.STOP), pods.c.reason == OUTBID),
    ),
)
_NOW = bindparam("now", type_=Moment)
_LIMITED = _OPEN.where(
    pods.c.desired != str(Desired.TERMINATE),
    or_(
        pods.c.terminate_at <= _NOW,
        and_(_WANTS, pods.c.stop_at <= _NOW),
        and_(_WANTS, pods.c.idle_s.is_not(None)),
        pods.c.frozen.is_not(None),
    ),
)
_UNPAID = _OPEN.where(
    or_(and_(_WANTS, pods.c.host.is_not(None), pods.c.paid_run != pods.c.run), _ENDS)
)
_OVERDUE = (
    _SELECT.where(
        _IS_OPEN,
        _ENDS,
        pods.c.changed < bindparam("before", type_=Moment),
        pods.c.host.is_not(None),
        pods.c.observed != str(Observed.ABSENT),
    )
    .order_by(pods.c.id)
    .limit(bindparam("most"))
)


def _pod(row: Row[Any]) -> Pod:
    state = PodState(
        desired=Desired(row.desired),
        observed=Observed(row.observed),
        has_host=row.host is not None,
        is_locked=row.is_locked,
        run=row.run,
        shown_run=row.shown_run,
    )
    return Pod(
        id=row.id,
        account=row.account,
        key=row.key,
        project=row.project,
        name=row.name,
        spec=from_json(PodSpec, row.spec),
        state=state,
        price=Money(row.price),
        host=row.host,
        reason=row.reason,
        failed_hosts=frozenset(row.failed_hosts),
        created=row.created,
        started=row.started,
        ended=row.ended,
        stop_at=row.stop_at,
        terminate_at=row.terminate_at,
        paid_until=row.paid_until,
        is_paid=row.paid_run == row.run,
        seen=row.seen,
        owner=row.owner or "",
        back=row.back,
        template=row.template,
        registry=row.registry,
        changed=row.changed,
        told_started=row.told_started,
        active=row.active,
        frozen=row.frozen,
        boot=row.boot,
        boot_run=row.boot_run,
        spent=Money(row.spent),
        ports=row.ports,
    )
