"""A host that is silent holds nobody up: its pods go elsewhere, as far as no volume binds them.

After some minutes its agent has stopped what ran there, for nothing was paid any further. A pod
with a volume waits for the host that has it; after some days it is not waited for any more. What
may still lie on a host that comes back is on the list of orphans, and removed. A host that is there
and does not let go of a terminated pod is dealt with the same: its renter waits and pays no longer.
A market that was away itself, whatever its clock shows, first gives hosts as long to come.
"""

from datetime import datetime

from puna.market.db import hosts, notices, pods
from puna.market.db.database import Database, Transaction
from puna.market.db.notices import Kind
from puna.market.db.pods import Pod
from puna.market.domain.pods import Desired, Intent
from puna.market.domain.rules import Rules
from puna.world import World

_PAGE = 100
_AWAY = "its host is away"
_LOST = "its host is lost, and its volume with it"


async def expire_hosts(
    database: Database, world: World, rules: Rules, *, since: datetime | None = None
) -> int:
    """Take one turn; return how many pods were taken off their hosts.

    `since` is when this process began: hosts could not report before.
    """
    if since is not None and world.now() - since < rules.gone_after:
        return 0
    moved, after = 0, ""
    while True:
        async with database.reading() as tx:
            silent = world.now() - rules.gone_after
            page = await hosts.silent_hosts(tx, silent, after=after, limit=_PAGE)
        for host, seen in page:
            async with database.transaction() as tx:
                moved += await _expire(tx, world, rules, host, seen)
        if len(page) < _PAGE:
            break
        after = page[-1][0]
    return moved + await _let_go(database, world, rules)


async def _expire(tx: Transaction, world: World, rules: Rules, host: str, seen: datetime) -> int:
    now = world.now()
    await notices.notice(tx, Kind.GONE, host, f"host {host} was last seen at {seen}", now)
    is_lost = now - seen >= rules.forget_after
    moved = 0
    for pod in await pods.pods_on(tx, host):
        if pod.state.desired is Desired.TERMINATE or not pod.spec.volume_gb:
            moved += await _take_off(tx, pod, now, _AWAY)
        elif is_lost and pod.state.desired is Desired.RUN:
            await pods.want(tx, pod, Intent(Desired.STOP, pod.state.run), now, reason=_LOST)
            await pods.say(tx, pod.id, f"stopped: {_LOST}", now)
        elif pod.reason not in (_AWAY, _LOST) and pod.state.desired is Desired.RUN:
            await pods.note_reason(tx, pod.id, _AWAY)
            await pods.say(tx, pod.id, "its host is away; its volume binds it: waiting", now)
    return moved


async def _let_go(database: Database, world: World, rules: Rules) -> int:
    """Take terminated pods off hosts that are there and do not remove them."""
    async with database.transaction() as tx:
        overdue = await pods.overdue_pods(tx, world.now() - 2 * rules.gone_after, limit=_PAGE)
        for pod in overdue:
            await _take_off(tx, pod, world.now(), "its host did not remove it")
            text = f"host {pod.host} did not remove pod {pod.id}"
            await notices.notice(tx, Kind.UNPAID, pod.host or "", text, world.now())
    return len(overdue)


async def _take_off(tx: Transaction, pod: Pod, now: datetime, reason: str) -> bool:
    await pods.say(tx, pod.id, f"{reason}: taken off host {pod.host}", now)
    return await pods.unseat_pod(tx, pod, now, reason=reason, failed=False)
