"""Runs the loops: each takes its turn after a while, and hurries when something changed.

A turn that fails is logged, and the next goes on: whatever it left undone, the next finds again.
That is all there is to a database that is away for a minute. Any number of processes may run the
same loops: a turn is claimed, so that together they take it as often as one would; where two take
it all the same, the database decides each pod.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from puna.market.actions.beginning import tell_of_clock
from puna.market.bells import wait_for_any
from puna.market.db import pods
from puna.market.db.checks import Broken
from puna.market.db.database import DatabaseAway
from puna.market.db.turns import claim_turn
from puna.market.loops.check_promises import check_promises
from puna.market.loops.enforce_limits import enforce_limits
from puna.market.loops.expire_hosts import expire_hosts
from puna.market.loops.meter_usage import meter_usage
from puna.market.loops.place_pods import place_pods
from puna.market.loops.tell_hosts import tell_hosts
from puna.market.market import Market
from puna.units import Span

_LOG = logging.getLogger("puna.market")
_BREATH = Span.of(ms=50)
"""What comes together is one hurry."""
_AGAIN = Span.of(seconds=2)
_NEVER = Span.of(hours=1)


Turn = Callable[[Market], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A promise that is kept by taking turns."""

    name: str
    every: Span
    turn: Turn
    hurry: Turn | None = None
    """What it does as soon as something changed: only what cannot wait for the next turn."""


def loops_of(market: Market) -> tuple[Loop, ...]:
    """Return every loop of a market."""
    tick = market.tariff.tick
    return (
        Loop(name="place pods", every=Span.of(seconds=10), turn=_place, hurry=_place),
        Loop(name="meter usage", every=Span(tick // 2), turn=_meter, hurry=_meter_new),
        Loop(name="enforce limits", every=Span.of(seconds=5), turn=_limit),
        Loop(name="expire hosts", every=Span.of(seconds=15), turn=_expire),
        Loop(name="check promises", every=Span.of(minutes=1), turn=_check),
        Loop(name="add everything up", every=Span.of(hours=1), turn=_add_up),
    )


async def run_loops(market: Market) -> None:
    """Run all of them until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for loop in loops_of(market):
            tasks.create_task(keep_turning(market, loop))
        tasks.create_task(tell_hosts(market))
        if market.database.is_shared:
            tasks.create_task(_hear(market))
            tasks.create_task(_tell(market))


async def keep_turning(market: Market, loop: Loop) -> None:
    """Let one loop take turn after turn until cancelled."""
    world = market.world
    due = world.elapsed()
    while True:
        rung = market.bells.loops.next
        if world.elapsed() >= due:
            due = Span(world.elapsed() + loop.every)
            await _attempt(market, loop.name, partial(take_turn, loop=loop))
        elif loop.hurry is not None:
            await _attempt(market, loop.name, loop.hurry)
        left = Span(max(0, due - world.elapsed()))
        await wait_for_any(world, left, *([rung] if loop.hurry else []))
        if rung.is_set():
            await world.wait(min(_BREATH, left))


async def take_turn(market: Market, loop: Loop) -> None:
    """Take one turn, unless another process has just taken it."""
    async with market.database.transaction() as tx:
        # A little less than its time, so that waking late never costs a turn.
        is_ours = await claim_turn(tx, loop.name, market.world.now(), Span(loop.every * 9 // 10))
    if is_ours:
        await loop.turn(market)


async def _attempt(market: Market, name: str, act: Turn) -> None:
    """Do something that may fail, and go on. Where the database is away, one line says it."""
    start, outcome = market.world.elapsed(), "failed"
    try:
        await act(market)
        outcome = "done"
    except DatabaseAway as error:
        _LOG.warning("%s: %s", name, error.message)
        await market.world.wait(_AGAIN)
    except Exception:  # noqa: BLE001 - a promise outlives whatever one turn meets
        _LOG.exception("a turn of `%s` failed; the next goes on", name)
    market.tally.count_turn(name, outcome, (market.world.elapsed() - start) / 1e9)


async def _hear(market: Market) -> None:
    """Take note of what other processes change; words said while away are made up for."""
    while True:
        await _attempt(market, "listen", _listen)
        market.bells.hear()
        await market.world.wait(_AGAIN)


async def _listen(market: Market) -> None:
    await market.database.listen(lambda _word: market.bells.hear())


async def _tell(market: Market) -> None:
    """Let other processes know of changes, a few times a second at most."""
    rung = market.bells.abroad.next
    while True:
        await wait_for_any(market.world, _NEVER, rung)
        await market.world.wait(_BREATH)
        rung = market.bells.abroad.next
        await _attempt(market, "tell", _say)


async def _say(market: Market) -> None:
    await market.database.tell("changed")


async def _place(market: Market) -> None:
    if await place_pods(market.database, market.world):
        market.nudge()


async def _meter(market: Market) -> None:
    await meter_usage(market.database, market.world, market.tariff)
    market.tell_hosts()


async def _meter_new(market: Market) -> None:
    await meter_usage(market.database, market.world, market.tariff, pods.unpaid_pods)
    market.tell_hosts()


async def _limit(market: Market) -> None:
    rules, since = market.tariff.rules, market.since
    if await enforce_limits(market.database, market.world, rules, since=since):
        market.nudge()


async def _expire(market: Market) -> None:
    rules, since = market.tariff.rules, market.since
    if await expire_hosts(market.database, market.world, rules, since=since):
        market.nudge()


async def _check(market: Market) -> None:
    apart = market.apart
    if abs(apart) > market.tariff.rules.clock_error:
        async with market.database.transaction() as tx:
            await tell_of_clock(tx, apart, market.world.now())
    _tell_of(await check_promises(market.database, market.world))


async def _add_up(market: Market) -> None:
    _tell_of(await check_promises(market.database, market.world, thoroughly=True))


def _tell_of(broken: Sequence[Broken]) -> None:
    for each in broken:
        _LOG.error("%s: %s; nothing new begins until it is cleared", each.kind, each.text)
