"""Every pod that should run gets a host, as soon as one does.

Also again: a host that failed a pod's image is left for the next, with the reason kept, and a spot
pod that asked for it is placed anew when it was displaced.
"""

from puna.market.actions.renting import (
    NoCapacity,
    find_place,
    return_to_place,
    take_seat,
)
from puna.market.db import pods as db
from puna.market.db.database import Database, Transaction
from puna.market.db.pods import Pod
from puna.market.domain.hosts import Tenure
from puna.market.domain.pods import Desired, Intent, Observed
from puna.market.loops.pages import Which, for_each_open_pod
from puna.world import World

_MOST_HOSTS = 3
"""Hosts that may fail a pod before it is left as failed."""


async def place_pods(database: Database, world: World, which: Which = db.open_pods) -> int:
    """Take one turn; return how many pods were moved on."""
    return await for_each_open_pod(database, lambda tx, pod: _move_on(tx, world, pod), which)


async def _move_on(tx: Transaction, world: World, pod: Pod) -> bool:
    if _was_displaced(pod):
        return await _come_back(tx, world, pod)
    if pod.state.desired is not Desired.RUN:
        return False
    if pod.host is None:
        return await _seat(tx, world, pod)
    if _failed_here(pod) and len(pod.failed_hosts) + 1 < _MOST_HOSTS:
        await db.say(tx, pod.id, f"host {pod.host} gave up: {pod.reason}", world.now())
        return await db.unseat_pod(tx, pod, reason=pod.reason, failed=True)
    return False


async def _seat(tx: Transaction, world: World, pod: Pod) -> bool:
    placement = await find_place(tx, world, pod.spec, avoid=pod.failed_hosts)
    if placement.seat is None:
        return False
    return await take_seat(tx, world, pod.id, placement.seat)


def _failed_here(pod: Pod) -> bool:
    """Tell whether this host could not begin it; a volume would be left behind, so it stays."""
    state = pod.state
    has_failed = state.observed is Observed.FAILED and state.shown_run == state.run
    return has_failed and pod.started is None and not pod.spec.volume_gb


def _was_displaced(pod: Pod) -> bool:
    wants_back = pod.spec.returns and pod.spec.tenure is Tenure.SPOT and pod.reason == "outbid"
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
