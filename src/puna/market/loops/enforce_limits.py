"""No pod outlives the times that its renter set, its idleness, or the patience with who owes.

The agents keep the same times by themselves; this is for when they do not. What nobody could say
while the market was away is waited for before a pod counts as idle.
"""

from dataclasses import replace
from datetime import datetime
from functools import partial

from puna.market.db import pods
from puna.market.db.database import Database, Transaction
from puna.market.db.pods import Pod
from puna.market.domain.limits import Deadlines, is_last_day, verdict_on
from puna.market.domain.pods import Desired, Intent
from puna.market.domain.rules import Rules
from puna.market.loops.pages import for_each_open_pod
from puna.world import World

_LAST_DAY = "out of money: its volume goes within a day"


async def enforce_limits(
    database: Database, world: World, rules: Rules, *, since: datetime | None = None
) -> int:
    """Take one turn; return how many pods were ended. `since` is when this process began."""
    page = partial(pods.limited_pods, now=world.now())
    is_new = since is not None and world.now() - since < rules.gone_after

    async def enforce(tx: Transaction, pod: Pod) -> bool:
        is_awaited = is_new and since is not None and (pod.seen is None or pod.seen < since)
        return await _enforce(tx, world, rules, pod, may_idle=not is_awaited)

    return await for_each_open_pod(database, enforce, page)


async def _enforce(
    tx: Transaction, world: World, rules: Rules, pod: Pod, *, may_idle: bool
) -> bool:
    now = world.now()
    deadlines = _deadlines(pod)
    if not may_idle:
        deadlines = replace(deadlines, idle_after=None)
    verdict = verdict_on(deadlines, now, rules)
    if verdict is None:
        await _warn(tx, world, pod, rules)
        return False
    intent = Intent(verdict.desired, pod.state.run)
    if not await pods.want(tx, pod, intent, now, reason=verdict.reason):
        return False
    done = "terminated" if verdict.desired is Desired.TERMINATE else "stopped"
    await pods.say(tx, pod.id, f"{done}: {verdict.reason}", now)
    return True


async def _warn(tx: Transaction, world: World, pod: Pod, rules: Rules) -> None:
    """Say once, a day before it happens, that a volume goes that nobody pays for."""
    if pod.frozen is None or not pod.spec.volume_gb or pod.reason == _LAST_DAY:
        return
    if is_last_day(pod.frozen, world.now(), rules):
        await pods.note_reason(tx, pod.id, _LAST_DAY)
        await pods.say(tx, pod.id, "its volume goes within a day, for nobody pays", world.now())


def _deadlines(pod: Pod) -> Deadlines:
    return Deadlines(
        desired=pod.state.desired,
        observed=pod.state.observed,
        stop_at=pod.stop_at,
        terminate_at=pod.terminate_at,
        idle_after=pod.spec.idle_stop,
        active=pod.active,
        frozen=pod.frozen,
        has_volume=pod.spec.volume_gb > 0,
    )
