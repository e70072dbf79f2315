"""Machines join, report what they see, and are told what should be."""

import hashlib
from collections.abc import Sequence
from datetime import time

from puna.errors import Denied, Invalid
from puna.market.actions.accounts import digest_of
from puna.market.db import accounts, hosts, pods
from puna.market.db.database import Transaction
from puna.market.db.pods import Pod, Sighting
from puna.market.domain.cards import data_center_of
from puna.market.domain.hosts import Machine, Terms
from puna.market.domain.pods import Desired, Observed
from puna.units import Money, Size
from puna.wire.agent import (
    Join,
    Joined,
    MachineReport,
    Orders,
    PodOrder,
    PodReport,
    Report,
    TermsReport,
)
from puna.world import World

_WANT = {Desired.RUN: "run", Desired.STOP: "stop", Desired.TERMINATE: "terminate"}


class UnknownToken(Denied):
    """The token by which a machine wants to join is unknown, used or over."""

    code = "unknown_token"
    status = 401


class UnknownHost(Denied):
    """No host has this key."""

    code = "unknown_host"
    status = 401


class InvalidReport(Invalid):
    """A host reports what cannot be."""

    code = "invalid_report"


async def join(tx: Transaction, world: World, request: Join) -> Joined:
    """Take a machine in. Raises `UnknownToken`, `InvalidReport`."""
    token = await accounts.use_join_token(tx, digest_of(request.token), world.now())
    if token is None:
        raise UnknownToken(
            "the token is unknown, used or over", hint="make a new one: each is for one machine"
        )
    secret = f"host_{world.token()}{world.token()}"
    host = hosts.Joined(
        id=world.token()[:12],
        account=token.account,
        name=request.name,
        key_digest=digest_of(secret),
        cloud=token.cloud,
        machine=machine_from(request.machine),
        terms=terms_from(request.terms),
        joined=world.now(),
    )
    await hosts.add_host(tx, host)
    return Joined(host=host.id, key=secret)


async def take_report(tx: Transaction, world: World, secret: str, report: Report) -> Orders:
    """Note what a host sees, and return what should be on it. Raises `UnknownHost`.

    A report tells of everything on the host: a pod that it leaves out is not there. One that comes
    late changes nothing and is answered all the same.
    """
    host = await host_by(tx, secret)
    shown = hosts.Shown(
        host=host,
        sequence=report.sequence,
        machine=machine_from(report.machine),
        terms=terms_from(report.terms),
    )
    if await hosts.show_host(tx, shown, world.now()):
        await _see_pods(tx, world, host, report.pods)
    return await orders_of(tx, host)


async def host_by(tx: Transaction, secret: str) -> str:
    """Return the id of the host that has a key. Raises `UnknownHost`."""
    host = await hosts.host_by(tx, digest_of(secret))
    if host is None:
        raise UnknownHost("no host of this market has this key", hint="join again with a new token")
    return host


async def orders_of(tx: Transaction, host: str) -> Orders:
    """Return everything that should be on a host."""
    return orders_for(await pods.pods_on(tx, host))


async def _see_pods(tx: Transaction, world: World, host: str, reports: Sequence[PodReport]) -> None:
    report_by_pod = {each.pod: each for each in reports}
    for pod in await pods.pods_on(tx, host):
        report = report_by_pod.get(pod.id)
        sighting = _sighting(report) if report else _not_there(pod)
        if not await pods.see(tx, host, sighting):
            continue
        for line in report.log if report else ():
            await pods.say(tx, pod.id, line, world.now())


def _sighting(report: PodReport) -> Sighting:
    try:
        observed = Observed(report.observed)
    except ValueError as error:
        raise InvalidReport(f'a pod cannot be "{report.observed}"') from error
    return Sighting(
        pod=report.pod,
        run=report.run,
        observed=observed,
        reason=report.reason,
        started=report.started,
        ended=report.ended,
        ports={str(port.inside): port.outside for port in report.ports},
    )


def _not_there(pod: Pod) -> Sighting:
    return Sighting(pod=pod.id, run=pod.state.shown_run, observed=Observed.ABSENT, ports={})


def orders_for(on_host: Sequence[Pod]) -> Orders:
    """Return the orders for the pods of a host. The version changes with anything in them.

    A pod for which nothing is held yet is not ordered: money comes before the container.
    """
    each = [_order(pod) for pod in on_host if not _waits_for_money(pod)]
    text = "\n".join(order.model_dump_json() for order in each)
    return Orders(version=hashlib.sha256(text.encode()).hexdigest()[:16], pods=each)


def _waits_for_money(pod: Pod) -> bool:
    return pod.state.desired is Desired.RUN and not pod.is_paid


def _order(pod: Pod) -> PodOrder:
    spec = pod.spec
    return PodOrder(
        pod=pod.id,
        run=pod.state.run,
        want=_WANT[pod.state.desired],
        image=spec.image,
        args=spec.args,
        env=dict(spec.env),
        ports=list(spec.ports),
        cards=spec.cards,
        processors=spec.processors,
        memory=spec.takes.memory,
        disk=spec.disk_gb * 10**9,
        volume=spec.volume_gb * 10**9,
        volume_path=spec.volume_path if spec.volume_gb else "",
        runtime=spec.runtime,
        stop_at=pod.stop_at,
        terminate_at=pod.terminate_at,
        paid_until=pod.paid_until,
    )


def machine_from(report: MachineReport) -> Machine:
    """Return a machine as the market keeps it. Raises `InvalidReport`."""
    if bool(report.card) != bool(report.cards):
        raise InvalidReport(f'{report.cards} cards of "{report.card}" cannot be')
    return Machine(
        card=report.card,
        cards=report.cards,
        card_memory=Size(report.card_memory),
        processors=report.processors,
        memory=Size(report.memory),
        disk=Size(report.disk),
        country=report.country.upper(),
        down_mbps=report.down_mbps,
        up_mbps=report.up_mbps,
        disk_mbps=report.disk_mbps,
        cuda=_version(report.cuda),
        has_public_ip=bool(report.public_ip),
        public_ip=report.public_ip,
        data_center=report.data_center or data_center_of(report.country.upper()),
        runtimes=tuple(report.runtimes),
    )


def terms_from(report: TermsReport) -> Terms:
    """Return an owner's terms. Raises `InvalidReport`."""
    return Terms(
        price=Money(report.price),
        least_bid=None if report.least_bid is None else Money(report.least_bid),
        opens=_time(report.opens),
        closes=_time(report.closes),
        is_paused=report.is_paused,
    )


def _time(text: str) -> time | None:
    if not text:
        return None
    try:
        return time.fromisoformat(text)
    except ValueError as error:
        raise InvalidReport(f'"{text}" is not a time such as 22:30') from error


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    if not text:
        return (0, 0)
    if not (major.isascii() and major.isdigit() and (minor or "0").isdigit()):
        raise InvalidReport(f'"{text}" is not a version of CUDA such as 12.8')
    return (int(major), int(minor or 0))
