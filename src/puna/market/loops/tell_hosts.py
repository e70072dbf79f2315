"""Hosts that wait for orders are woken when there is something new for them.

A host holds one request open; it costs a few kilobytes and no query. One look for all of them asks
the database for a mark of each host's orders, when something changed here or in another process and
every few seconds in any case, and wakes those whose mark is another. A look never takes more than a
tenth of the time, however many pods there are.
"""

import logging

from puna.market.bells import wait_for_any
from puna.market.db import pods
from puna.market.db.database import DatabaseAway
from puna.market.market import Market
from puna.units import Span

_LOG = logging.getLogger("puna.market")
_LOOK_AGAIN = Span.of(seconds=5)
_BREATH = Span.of(ms=50)
_REST = 10
"""How many times as long as a look it rests."""


async def tell_hosts(market: Market) -> None:
    """Look again and again until cancelled."""
    world = market.world
    while True:
        rung = market.bells.hosts.next
        start = world.elapsed()
        try:
            async with market.database.reading() as tx:
                market.waiting.see(await pods.order_marks(tx))
        except DatabaseAway as error:
            _LOG.warning("hosts that wait are told later: %s", error.message)
        await world.wait(max(_BREATH, Span(_REST * (world.elapsed() - start))))
        await wait_for_any(world, _LOOK_AGAIN, rung)
