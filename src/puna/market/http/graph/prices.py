"""What one question for the lowest price answers: from hosts and who is on them. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from puna.market.domain.cards import stock_of
from puna.market.domain.hosts import Host, Room, Tenure
from puna.market.domain.placement import Demand, fits, place, reason_against
from puna.units import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowest:
    """What some cards of one model cost at least, each for an hour, and how many there are."""

    on_demand: Money | None = None
    """None where nobody can have them now."""
    bid: Money | None = None
    """The least bid that gets them now; None where nothing is offered for spot."""
    best: Host | None = None
    """The host with the lowest price."""
    places: int = 0
    """Hosts that would take the demand."""
    most_free: int = 0
    """Cards that nobody has taken, on the emptiest host."""
    free: int = 0
    total: int = 0
    versions: tuple[tuple[str, int], ...] = ()
    """Versions of CUDA, each with how many of those hosts have it."""

    @property
    def stock(self) -> str:
        """The word for how likely they can be had, in GraphQL's spelling."""
        return stock_of(self.places).title()

    @property
    def counts(self) -> Sequence[int]:
        """How many cards may be asked for."""
        return range(1, self.most_free + 1)


def lowest(demand: Demand, hosts: Iterable[Host], now: datetime) -> Lowest:
    """Look at each host by itself, by the rules by which pods are placed."""
    one = replace(demand, takes=replace(demand.takes, cards=min(1, demand.takes.cards)))
    has_card = [host for host in hosts if not demand.cards or host.machine.card in demand.cards]
    offered = [(host, host.free) for host in has_card if reason_against(one, host, now) is None]
    takers = [host for host, room in offered if _takes(demand, host, room, now)]
    best = min(takers, key=lambda host: (host.terms.price, host.id), default=None)
    bids = [bid for host, room in offered if (bid := _bid(demand, host, room, now)) is not None]
    return Lowest(
        on_demand=best.terms.price if best else None,
        bid=min(bids, default=None),
        best=best,
        places=len(takers),
        most_free=max((room.cards for _, room in offered), default=0),
        free=sum(room.cards for _, room in offered),
        total=sum(host.machine.cards for host in has_card),
        versions=_versions(takers),
    )


def _takes(demand: Demand, host: Host, room: Room, now: datetime) -> bool:
    """Tell whether a host that is offered would take the demand: as it is, or after others left."""
    return fits(demand.takes, room) or place(demand, [host], now).seat is not None


def _bid(demand: Demand, host: Host, room: Room, now: datetime) -> Money | None:
    """Return the owner's least bid, if a pod that bids it would be placed on the host."""
    least = host.terms.least_bid
    if least is None:
        return None
    spot = replace(demand, tenure=Tenure.SPOT, bid=least)
    return least if _takes(spot, host, room, now) else None


def _versions(takers: Iterable[Host]) -> tuple[tuple[str, int], ...]:
    found = Counter(host.machine.cuda for host in takers if any(host.machine.cuda))
    return tuple((f"{major}.{minor}", found[major, minor]) for major, minor in sorted(found))
