"""Waits end by what happens or by the world's clock, and chance spreads what failed together."""

import asyncio

from puna.agent.waiting import first_of, with_chance
from puna.units import Span
from tests.worlds import FakeWorld, settle

MINUTE = Span.of(minutes=1)


async def test_a_wait_ends_when_something_happens() -> None:
    world, event = FakeWorld(), asyncio.Event()
    waiting = asyncio.create_task(first_of(world, MINUTE, asyncio.Event(), event))
    await settle()
    assert not waiting.done()
    event.set()
    assert await waiting
    assert world.sleepers == 0


async def test_a_wait_ends_when_its_time_is_over() -> None:
    world = FakeWorld()
    waiting = asyncio.create_task(first_of(world, MINUTE, asyncio.Event()))
    await world.advance(Span.of(seconds=59))
    assert not waiting.done()
    await world.advance(Span.of(seconds=1))
    assert not await waiting


async def test_what_has_happened_is_not_waited_for() -> None:
    event = asyncio.Event()
    event.set()
    assert await first_of(FakeWorld(), MINUTE, event)


def test_pauses_are_half_to_one_and_a_half() -> None:
    world = FakeWorld(seed=3)
    pauses = [with_chance(world, MINUTE) for _ in range(200)]
    assert min(pauses) >= MINUTE // 2
    assert max(pauses) <= MINUTE * 3 // 2
    assert len(set(pauses)) > 150
