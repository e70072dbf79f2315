"""A bid for whoever names none: the least that the owner of the cheapest machine takes."""

from dataclasses import replace

from puna.market.actions.renting import NoCapacity
from puna.market.db.database import Transaction
from puna.market.db.hosts import hosts_for
from puna.market.domain.hosts import Tenure
from puna.market.domain.placement import place
from puna.market.domain.specs import PodSpec
from puna.units import Money
from puna.world import World

_ANY = Money(10**12)


async def with_bid(tx: Transaction, world: World, spec: PodSpec) -> PodSpec:
    """Return a spot pod's spec with a bid; one that has a bid or needs none as it is.

    Raises `NoCapacity` where no owner takes any. A ceiling holds for the bid too.
    """
    if spec.tenure is not Tenure.SPOT or spec.bid is not None:
        return spec
    hosts = await hosts_for(tx, spec.card_models)
    open_to_all = replace(spec, bid=_ANY, ceiling=None)
    placement = place(open_to_all.demand(), hosts, world.now())
    if placement.seat is None:
        raise NoCapacity(placement.refusals)
    taken = next(host for host in hosts if host.id == placement.seat.host)
    return replace(spec, bid=max(Money(1), taken.terms.least_bid or Money(0)))
