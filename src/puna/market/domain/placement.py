"""Where a pod goes: every offer is taken or refused with its reason, the best of the rest wins.

The winner is the cheapest; among equals the one with the least room left over, so that big machines
stay whole for big pods; then the first by name, so that the same question has the same answer.
An on-demand pod may displace spot pods, a spot pod only those that bid less than it; what must
go is the fewest and cheapest, and displacing is chosen only where nothing is free.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from puna.market.domain.hosts import Cloud, Host, Machine, Room, Tenant, Tenure
from puna.units import Money, Size

_NO_BYTES = Size(0)


class Why(StrEnum):
    """Why an offer does not do."""

    CARD = "another card"
    CLOUD = "the other cloud"
    COUNTRY = "another country"
    DATA_CENTER = "another data centre"
    CUDA = "another CUDA"
    PUBLIC_IP = "no public address"
    RUNTIME = "lacks the runtime"
    BANDWIDTH = "a slower network"
    DISK_SPEED = "a slower disk"
    TOO_SMALL = "too small"
    STALE = "not seen lately"
    CLOSED = "its owner does not offer it now"
    DRAINING = "being emptied"
    NO_SPOT = "not offered for spot"
    BID_TOO_LOW = "asks more than the bid"
    TOO_DEAR = "dearer than the ceiling"
    TAKEN = "taken"
    TRIED = "failed for this pod before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a renter wants. Empty and zero mean: anything does."""

    takes: Room
    cards: tuple[str, ...] = ()
    """Models that do, in order of preference where `in_order`."""
    in_order: bool = False
    tenure: Tenure = Tenure.ON_DEMAND
    bid: Money | None = None
    """For one card and hour; for spot."""
    ceiling: Money | None = None
    """The most for one card and hour."""
    cloud: Cloud | None = None
    countries: frozenset[str] = frozenset()
    data_centers: frozenset[str] = frozenset()
    cuda: tuple[int, int] = (0, 0)
    """The oldest that does."""
    cuda_versions: frozenset[str] = frozenset()
    """The only ones that do, such as `12.8`."""
    card_memory: Size = _NO_BYTES
    down_mbps: int = 0
    up_mbps: int = 0
    disk_mbps: int = 0
    needs_public_ip: bool = False
    runtime: str = "runc"
    avoid: frozenset[str] = frozenset()
    """Hosts that have failed for this pod."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An offer that does not do."""

    host: str
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """An offer that does: its price for one card and hour, and the pods that must go for it.

    It can be taken while the host is still at the `turn` at which it was found.
    """

    host: str
    price: Money
    turn: int
    displaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """The answer: a seat, or every reason why there is none."""

    seat: Seat | None
    refusals: tuple[Refusal, ...] = field(default=())


Check = Callable[[Demand, Host, datetime], bool]

_CHECKS: tuple[tuple[Why, Check], ...] = (
    (Why.CARD, lambda want, host, _: _has_card(want, host)),
    (Why.CLOUD, lambda want, host, _: want.cloud in (None, host.cloud)),
    (
        Why.COUNTRY,
        lambda want, host, _: not want.countries or host.machine.country in want.countries,
    ),
    (
        Why.DATA_CENTER,
        lambda want, host, _: (
            not want.data_centers or host.machine.data_center in want.data_centers
        ),
    ),
    (Why.CUDA, lambda want, host, _: _has_cuda(want, host)),
    (
        Why.PUBLIC_IP,
        lambda want, host, _: host.machine.has_public_ip or not want.needs_public_ip,
    ),
    (Why.RUNTIME, lambda want, host, _: want.runtime in host.machine.runtimes),
    (
        Why.BANDWIDTH,
        lambda want, host, _: (
            host.machine.down_mbps >= want.down_mbps and host.machine.up_mbps >= want.up_mbps
        ),
    ),
    (Why.DISK_SPEED, lambda want, host, _: host.machine.disk_mbps >= want.disk_mbps),
    (Why.TOO_SMALL, lambda want, host, _: _is_large_enough(want.takes, host.machine)),
    (Why.TRIED, lambda want, host, _: host.id not in want.avoid),
    (Why.DRAINING, lambda _, host, __: not host.is_draining),
    (Why.STALE, lambda _, host, now: host.is_fresh(now)),
    (Why.CLOSED, lambda _, host, now: host.terms.is_open(now)),
    (
        Why.NO_SPOT,
        lambda want, host, _: want.tenure is not Tenure.SPOT or host.terms.least_bid is not None,
    ),
    (Why.BID_TOO_LOW, lambda want, host, _: (want.bid or 0) >= _least_bid(want, host)),
    (
        Why.TOO_DEAR,
        lambda want, host, _: want.ceiling is None or price_of(want, host) <= want.ceiling,
    ),
)


_ASKED: Mapping[Why, Callable[[Demand], object]] = MappingProxyType(
    {
        Why.CARD: lambda want: want.takes.cards,
        Why.CLOUD: lambda want: want.cloud,
        Why.COUNTRY: lambda want: want.countries,
        Why.DATA_CENTER: lambda want: want.data_centers,
        Why.CUDA: lambda want: want.cuda_versions or want.cuda > (0, 0),
        Why.PUBLIC_IP: lambda want: want.needs_public_ip,
        Why.BANDWIDTH: lambda want: want.down_mbps or want.up_mbps,
        Why.DISK_SPEED: lambda want: want.disk_mbps,
        Why.TRIED: lambda want: want.avoid,
        Why.NO_SPOT: lambda want: want.tenure is Tenure.SPOT,
        Why.BID_TOO_LOW: lambda want: want.tenure is Tenure.SPOT,
        Why.TOO_DEAR: lambda want: want.ceiling is not None,
    }
)
"""What a demand has to ask for, so that a host can fail it for this; anything can be for others."""


def _reasons(demand: Demand) -> tuple[tuple[Why, Check], ...]:
    """Return the checks that a host can fail for this demand, in their order."""
    return tuple((why, does) for why, does in _CHECKS if why not in _ASKED or _ASKED[why](demand))


def place(demand: Demand, hosts: Iterable[Host], now: datetime) -> Placement:
    """Choose a host, or tell of each why it does not do."""
    ranked: list[_Ranked] = []
    refusals: list[Refusal] = []
    checks = _reasons(demand)
    for host in hosts:
        why = _first_against(checks, demand, host, now)
        seat = None if why else _seat_on(demand, host)
        if seat is None:
            refusals.append(Refusal(host.id, why or Why.TAKEN))
        else:
            ranked.append(seat)
    best = min(ranked, default=None)
    return Placement(best[1] if best else None, tuple(refusals))


def best_seat(demand: Demand, hosts: Iterable[Host], now: datetime) -> Seat | None:
    """Choose a host as `place` does, without the reasons."""
    return next(iter(best_seats(demand, hosts, now)), None)


def best_seats(demand: Demand, hosts: Iterable[Host], now: datetime) -> Sequence[Seat]:
    """Return the seat that `place` chooses, and after it those that cost a renter no more."""
    checks = _reasons(demand)
    able = (host for host in hosts if _first_against(checks, demand, host, now) is None)
    ranked = sorted(seat for host in able if (seat := _seat_on(demand, host)))
    return [seat for rank, seat in ranked if rank[:_COSTS] == ranked[0][0][:_COSTS]]


def cheapest_seat(demand: Demand, hosts: Iterable[Host], now: datetime) -> Seat | None:
    """Choose as `best_seat` does from hosts that come from the cheapest on (see `asks`).

    Once one is free, none that asks more can be better, and is not looked at.
    """
    if demand.in_order:
        return best_seat(demand, hosts, now)
    free: _Ranked | None = None
    displacing: list[_Ranked] = []
    asked, checks = Money(0), _reasons(demand)
    for host in hosts:
        if free is not None and asks(host, demand.tenure) > asked:
            break
        why = _first_against(checks, demand, host, now)
        ranked = None if why else _seat_on(demand, host)
        if ranked is None:
            continue
        if ranked[1].displaces:
            displacing.append(ranked)
        elif free is None or ranked < free:
            free, asked = ranked, asks(host, demand.tenure)
    best = free or min(displacing, default=None)
    return best[1] if best else None


def asks(host: Host, tenure: Tenure) -> Money:
    """Return what a host asks of a pod of a tenure; a host that takes none asks more than any."""
    if tenure is Tenure.ON_DEMAND:
        return host.terms.price
    return _NEVER if host.terms.least_bid is None else host.terms.least_bid


_NEVER = Money(2**63 - 1)
_COSTS = 3
"""Of a rank, what matters to a renter: whether somebody has to go, the card, the price."""
_Ranked = tuple[tuple[int, int, int, int, str], Seat]


def _seat_on(demand: Demand, host: Host) -> _Ranked | None:
    free = host.free
    leaving = _leaving(demand, host, free)
    if leaving is None:
        return None
    price = price_of(demand, host)
    seat = Seat(host=host.id, price=price, turn=host.turn, displaces=leaving)
    return _rank(demand, host, seat, free), seat


def reason_against(demand: Demand, host: Host, now: datetime) -> Why | None:
    """Return why a host does not do, whoever is on it; None if it does."""
    return _first_against(_CHECKS, demand, host, now)


def _first_against(
    checks: tuple[tuple[Why, Check], ...], demand: Demand, host: Host, now: datetime
) -> Why | None:
    for why, does in checks:
        if not does(demand, host, now):
            return why
    return None


def price_of(demand: Demand, host: Host) -> Money:
    """Return what one card and hour costs: the owner's price, or the bid of a spot pod."""
    return demand.bid or Money(0) if demand.tenure is Tenure.SPOT else host.terms.price


def _least_bid(demand: Demand, host: Host) -> int:
    return (host.terms.least_bid or 0) if demand.tenure is Tenure.SPOT else 0


def _has_card(demand: Demand, host: Host) -> bool:
    if demand.takes.cards == 0:
        return True
    named = not demand.cards or host.machine.card in demand.cards
    return named and bool(host.machine.card) and host.machine.card_memory >= demand.card_memory


def _has_cuda(demand: Demand, host: Host) -> bool:
    major, minor = cuda = host.machine.cuda
    is_named = not demand.cuda_versions or f"{major}.{minor}" in demand.cuda_versions
    return is_named and cuda >= demand.cuda


def _is_large_enough(wanted: Room, machine: Machine) -> bool:
    return (
        wanted.cards <= machine.cards
        and wanted.processors <= machine.processors
        and wanted.memory <= machine.memory
        and wanted.disk <= machine.disk
    )


def fits(wanted: Room, room: Room) -> bool:
    """Tell whether there is room for what is wanted."""
    return (
        wanted.cards <= room.cards
        and wanted.processors <= room.processors
        and wanted.memory <= room.memory
        and wanted.disk <= room.disk
    )


def _leaving(demand: Demand, host: Host, free: Room) -> tuple[str, ...] | None:
    """Return the pods that must go to make room; None where even that makes too little."""
    if fits(demand.takes, free):
        return ()
    candidates = sorted(
        (tenant for tenant in host.tenants if _gives_way(tenant, demand)),
        key=lambda tenant: (tenant.bid, -tenant.since.timestamp(), tenant.pod),
    )
    return _fewest(candidates, lambda going: fits(demand.takes, host.free_without(going)))


def _fewest(
    candidates: Sequence[Tenant], is_enough: Callable[[tuple[str, ...]], bool]
) -> tuple[str, ...] | None:
    """Return the first candidates that are enough together, without those that help nothing."""
    going: tuple[str, ...] = ()
    for tenant in candidates:
        if is_enough(going):
            break
        going = (*going, tenant.pod)
    if not is_enough(going):
        return None
    for pod in reversed(going):
        without = tuple(each for each in going if each != pod)
        if is_enough(without):
            going = without
    return going


def _gives_way(tenant: Tenant, demand: Demand) -> bool:
    if tenant.tenure is not Tenure.SPOT:
        return False
    return demand.tenure is Tenure.ON_DEMAND or tenant.bid < (demand.bid or 0)


def _rank(demand: Demand, host: Host, seat: Seat, free: Room) -> tuple[int, int, int, int, str]:
    preference = demand.cards.index(host.machine.card) if demand.in_order and demand.cards else 0
    price = _least_bid(demand, host) if demand.tenure is Tenure.SPOT else seat.price
    left = free.cards - demand.takes.cards
    return (len(seat.displaces) > 0, preference, price, max(0, left), host.id)
