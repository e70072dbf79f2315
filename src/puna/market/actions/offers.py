"""Look at what could be rented, a page at a time: each offer with its prices, or why it is none."""

from dataclasses import dataclass, replace

from puna.market.actions.renting import hour_of
from puna.market.db.database import Transaction
from puna.market.db.hosts import page_of_hosts
from puna.market.domain.hosts import Host, Tenure
from puna.market.domain.placement import Refusal, Why, place
from puna.market.domain.specs import PodSpec
from puna.units import Money, Size
from puna.world import World

_ANY = Size(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a renter looks for: the pod that it is to become, and memory of a card."""

    spec: PodSpec
    card_memory: Size = _ANY


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A host that does."""

    host: Host
    price: Money
    """For one card (or processor) and hour, as was asked: the owner's price, or the bid."""
    hour: Money
    """What an hour of the whole pod costs, its disks with it."""
    free: int
    """Cards (or processors) that nobody has."""
    within_reach: int
    """The same, with those of spot pods that would have to go."""
    displaces: int
    """How many spot pods would have to go for this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """A page. `after` asks for the next; empty where there is none."""

    offers: tuple[Offer, ...]
    refused: tuple[Refusal, ...]
    after: str


async def look_at_offers(
    tx: Transaction, world: World, search: Search, *, after: str = "", limit: int = 100
) -> Offers:
    """Look at a page of hosts."""
    spec = search.spec
    hosts = await page_of_hosts(tx, spec.card_models, after=after, limit=limit)
    offers: list[Offer] = []
    refused: list[Refusal] = []
    for host in hosts:
        found = _offer(search, host, world)
        if isinstance(found, Why):
            refused.append(Refusal(host.id, found))
        else:
            offers.append(found)
    next_page = hosts[-1].id if len(hosts) == limit else ""
    return Offers(offers=tuple(offers), refused=tuple(refused), after=next_page)


def _offer(search: Search, host: Host, world: World) -> Offer | Why:
    spec = search.spec
    if spec.tenure is Tenure.SPOT and spec.bid is None:
        spec = replace(spec, bid=host.terms.least_bid or Money(1))  # without a bid, what is asked
    demand = replace(spec.demand(), card_memory=search.card_memory)
    placement = place(demand, [host], world.now())
    if placement.seat is None:
        return placement.refusals[0].why
    spots = tuple(each.pod for each in host.tenants if each.tenure is Tenure.SPOT)
    free, reach = host.free, host.free_without(spots)
    by_card = spec.cards > 0  # a pod without one takes processors, on any machine
    return Offer(
        host=host,
        price=placement.seat.price,
        hour=hour_of(spec, placement.seat.price),
        free=free.cards if by_card else free.processors,
        within_reach=reach.cards if by_card else reach.processors,
        displaces=len(placement.seat.displaces),
    )
