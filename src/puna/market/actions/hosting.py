"""Machines join, report what they see, and are told what should be."""

from dataclasses import dataclass
from datetime import time

from puna.errors import Denied
from puna.market.actions.accounts import digest_of
from puna.market.actions.orders import Dispatch, orders_for
from puna.market.actions.sightings import THERE, InvalidReport, OnHost, note_room, see_pods
from puna.market.db import accounts, hosts
from puna.market.db.database import Transaction
from puna.market.domain.cards import data_center_of
from puna.market.domain.hosts import Machine, Terms
from puna.market.domain.rules import Rules
from puna.market.domain.specs import version_of
from puna.market.domain.witness import witness_of
from puna.text import one_line
from puna.units import Money, Size
from puna.wire.agent import Join, Joined, MachineReport, Orders, Report, TermsReport
from puna.world import World


class UnknownToken(Denied):
    """The token by which a machine wants to join is unknown, used or over."""

    code = "unknown_token"
    status = 401


class UnknownHost(Denied):
    """No host has this key."""

    code = "unknown_host"
    status = 401


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


@dataclass(frozen=True, slots=True)
class Office:
    """What the market meets a report with: what it tells hosts, and how far it trusts them."""

    dispatch: Dispatch
    rules: Rules = Rules()  # noqa: RUF009 - a frozen value


async def take_report(
    tx: Transaction, world: World, office: Office, secret: str, report: Report
) -> Orders:
    """Note what a host sees, and return what should be on it. Raises `UnknownHost`.

    A report tells of everything on the host: a pod that it leaves out is not there. One that comes
    late changes nothing and is answered all the same.
    """
    host = await _known(tx, secret)
    now = world.now()
    shown = hosts.Shown(
        host=host.id,
        sequence=report.sequence,
        machine=machine_from(report.machine),
        terms=terms_from(report.terms),
        pods=tuple(sorted(each.pod for each in report.pods if each.observed in THERE)),
        is_back=now - host.seen > office.rules.away_after,
        uses={each.pod: each.use for each in report.pods if each.use is not None},
    )
    known = await OnHost.read(tx, host.id)
    if await hosts.show_host(tx, shown, now):
        witness = witness_of(now, host.seen, report.now, office.rules)
        if await see_pods(tx, witness, host, known, report.pods):
            known = await OnHost.read(tx, host.id)
        if shown.machine != host.machine:
            await note_room(tx, host.id, now)
    return await orders_for(tx, world, office.dispatch, shown.machine, known)


async def host_by(tx: Transaction, secret: str) -> str:
    """Return the id of the host that has a key. Raises `UnknownHost`."""
    return (await _known(tx, secret)).id


async def _known(tx: Transaction, secret: str) -> hosts.Known:
    host = await hosts.host_by(tx, digest_of(secret))
    if host is None:
        raise UnknownHost("no host of this market has this key", hint="join again with a new token")
    return host


async def orders_of(tx: Transaction, world: World, office: Office, host: str) -> Orders:
    """Return everything that should be on a host."""
    machine = await hosts.machine_of(tx, host)
    return await orders_for(tx, world, office.dispatch, machine, await OnHost.read(tx, host))


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
    found = version_of(text or "0")
    if found is None:
        raise InvalidReport(f'"{one_line(text)}" is not a version of CUDA such as 12.8')
    return found
