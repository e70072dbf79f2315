"""Every pod that should run gets a host, as soon as one does.

Also again: a host that failed a pod's image is left for the next, with the reason kept, and a spot
pod that asked for it is placed anew when it was displaced. The offers of a card are read once a
turn, however many pods wait for it; whoever else comes to a host meanwhile has moved its turn on,
and then that host alone is read again.
"""

from collections.abc import Iterator
from datetime import datetime

from puna.market.actions.renting import NoCapacity, return_to_place, take_seat
from puna.market.db import pods as db
from puna.market.db.database import Database, Transaction
from puna.market.db.hosts import host_of, hosts_for
from puna.market.db.notices import is_renting_stopped
from puna.market.db.pods import Pod
from puna.market.domain.hosts import Host, Tenure
from puna.market.domain.placement import Demand, Seat, asks, cheapest_seat
from puna.market.domain.pods import Desired, Intent, Observed
from puna.market.loops.pages import Which, for_each_open_pod
from puna.world import World

_MOST_HOSTS = 3
"""Hosts that may fail a pod before it is left as failed."""
_TRIES = 3


class Offers:
    """Hosts with who is on them, as this turn knows them, from the cheapest on."""

    def __init__(self) -> None:
        self._host_by_id: dict[str, Host] = {}
        self._ids_by_wish: dict[tuple[Tenure, tuple[str, ...]], list[str]] = {}
        self._hopeless: set[Demand] = set()

    async def of(
        self, tx: Transaction, cards: tuple[str, ...], tenure: Tenure = Tenure.ON_DEMAND
    ) -> Iterator[Host]:
        """Return the hosts that have one of these cards; read at the first question."""
        key = (tenure, tuple(sorted(cards)))
        if key not in self._ids_by_wish:
            found = sorted(await hosts_for(tx, key[1]), key=lambda host: asks(host, tenure))
            self._ids_by_wish[key] = [host.id for host in found]
            for host in found:
                self._host_by_id.setdefault(host.id, host)
        return (self._host_by_id[each] for each in self._ids_by_wish[key])

    async def seat_for(self, tx: Transaction, demand: Demand, now: datetime) -> Seat | None:
        """Return the best seat. A wish that found none this turn is not looked for again."""
        if demand in self._hopeless:
            return None
        found = cheapest_seat(demand, await self.of(tx, demand.cards, demand.tenure), now)
        if found is None:
            self._hopeless.add(demand)
        return found

    async def read_again(self, tx: Transaction, host: str) -> None:
        """Look at one host again: somebody has come or gone."""
        self._host_by_id[host] = await host_of(tx, host)


async def place_pods(database: Database, world: World, which: Which = db.unplaced_pods) -> int:
    """Take one turn; return how many pods were moved on."""
    async with database.reading() as tx:
        if await is_renting_stopped(tx):
            return 0
    offers = Offers()
    return await for_each_open_pod(
        database, lambda tx, pod: _move_on(tx, world, offers, pod), which
    )


async def _move_on(tx: Transaction, world: World, offers: Offers, pod: Pod) -> bool:
    if _was_displaced(pod):
        return await _come_back(tx, world, pod)
    if pod.state.desired is not Desired.RUN:
        return False
    if pod.host is None:
        return await _seat(tx, world, offers, pod)
    if _failed_here(pod) and len(pod.failed_hosts) + 1 < _MOST_HOSTS:
        await db.say(tx, pod.id, f"host {pod.host} gave up: {pod.reason}", world.now())
        return await db.unseat_pod(tx, pod, world.now(), reason=pod.reason, failed=True)
    return False


async def _seat(tx: Transaction, world: World, offers: Offers, pod: Pod) -> bool:
    demand = pod.spec.demand(avoid=pod.failed_hosts)
    for _ in range(_TRIES):
        seat = await offers.seat_for(tx, demand, world.now())
        if seat is None:
            return False
        is_taken = await take_seat(tx, world, pod.id, seat)
        await offers.read_again(tx, seat.host)
        if is_taken:
            return True
    return False


def _failed_here(pod: Pod) -> bool:
    """Tell whether this host could not begin it; a volume would be left behind, so it stays."""
    state = pod.state
    has_failed = state.observed is Observed.FAILED and state.shown_run == state.run
    return has_failed and pod.started is None and not pod.spec.volume_gb


def _was_displaced(pod: Pod) -> bool:
    wants_back = pod.spec.returns and pod.spec.tenure is Tenure.SPOT and pod.reason == db.OUTBID
    has_left = pod.state.observed in (Observed.ABSENT, Observed.EXITED)
    return wants_back and has_left and pod.state.desired is Desired.STOP


async def _come_back(tx: Transaction, world: World, pod: Pod) -> bool:
    try:
        await return_to_place(tx, world, pod)
    except NoCapacity:
        return False
    if not await db.want(tx, pod, Intent(Desired.RUN, pod.state.run + 1), world.now()):
        return False
    await db.say(tx, pod.id, "asks for a place again", world.now())
    return True
