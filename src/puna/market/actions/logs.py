"""Containers' logs after their end: a host tells the last lines, and only of its own pods."""

from collections.abc import Sequence
from datetime import UTC, datetime

from puna.market.actions.hosting import host_by
from puna.market.actions.renting import NoSuchPod
from puna.market.db import pod_logs, pods
from puna.market.db.database import Transaction
from puna.market.domain.loglines import Line, Source, apart
from puna.wire.tunnel import Ended
from puna.world import World

_LONGEST = 4000
_CONTAINERS = 100
"""Of one run at most, one after another: each has a log of its own."""


async def keep_log(tx: Transaction, world: World, secret: str, told: Ended) -> int:
    """Keep the last lines of a container that has ended, and return how many.

    Told twice, they are kept once. Raises `UnknownHost`, and `NoSuchPod` for a pod that is not on
    that host: a host says nothing of others' pods.
    """
    host = await host_by(tx, secret)
    pod = await pods.pod_of(tx, told.pod)
    if pod is None or pod.host != host:
        raise NoSuchPod(f"there is no pod {told.pod} on this host")
    lines = [(each.at, each.text[:_LONGEST]) for each in told.lines if _moment(each.at)]
    number = told.run * _CONTAINERS + min(told.crashes, _CONTAINERS - 1)
    await pod_logs.keep_lines(tx, pod.id, number, lines, world.now())
    return len(lines)


async def kept_log(tx: Transaction, pod: str) -> Sequence[Line]:
    """Return what is kept of a pod's containers that have ended, oldest first."""
    moments = ((_moment(at), text) for at, text in await pod_logs.kept_lines(tx, pod))
    return apart(Source.CONTAINER, [(at, text) for at, text in moments if at is not None])


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
