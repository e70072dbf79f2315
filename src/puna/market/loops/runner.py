"""Runs the loops: each takes its turn after a while, or at once when something changed.

A turn that fails is logged, and the next goes on: whatever it left undone, the next finds again.
That is all there is to a database that is away for a minute. Any number of processes may run the
same loops: what two want at once is decided by the database.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from puna.market.loops.meter_usage import meter_usage
from puna.market.loops.place_pods import place_pods
from puna.market.market import Market
from puna.units import Span

_LOG = logging.getLogger("puna.market")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A promise that is kept by taking turns."""

    name: str
    every: Span
    turn: Callable[[Market], Awaitable[object]]
    hears: bool = True
    """Whether it takes a turn as soon as something changed."""


def loops_of(market: Market) -> tuple[Loop, ...]:
    """Return every loop of a market."""
    tick = market.tariff.tick
    return (
        Loop(name="place pods", every=Span.of(seconds=5), turn=_place),
        Loop(name="meter usage", every=Span(tick // 2), turn=_meter),
    )


async def run_loops(market: Market) -> None:
    """Run all of them until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for loop in loops_of(market):
            tasks.create_task(keep_turning(market, loop))


async def keep_turning(market: Market, loop: Loop) -> None:
    """Let one loop take turn after turn until cancelled."""
    while True:
        rung = market.bell.next
        await take_turn(market, loop)
        await _wait(market, loop, rung)


async def take_turn(market: Market, loop: Loop) -> None:
    """Take one turn; a failure is logged and ends nothing."""
    try:
        await loop.turn(market)
    except Exception:  # noqa: BLE001 - a promise outlives whatever one turn meets
        _LOG.exception("a turn of `%s` failed; the next goes on", loop.name)


async def _wait(market: Market, loop: Loop, rung: asyncio.Event) -> None:
    pause = asyncio.ensure_future(market.world.wait(loop.every))
    waits = {pause, asyncio.ensure_future(rung.wait())} if loop.hears else {pause}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()


async def _place(market: Market) -> object:
    return await place_pods(market.database, market.world)


async def _meter(market: Market) -> object:
    return await meter_usage(market.database, market.world, market.tariff)
