"""Waiting for one of several things, with an end by the world's clock."""

import asyncio

from puna.units import Span
from puna.world import World


async def first_of(world: World, span: Span, *events: asyncio.Event) -> bool:
    """Return when one of `events` is set or `span` has passed; tell whether one was set."""
    if any(event.is_set() for event in events):
        return True
    waits: list[asyncio.Task[object]] = [asyncio.create_task(event.wait()) for event in events]
    waits.append(asyncio.create_task(_passed(world, span)))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    return any(event.is_set() for event in events)


async def _passed(world: World, span: Span) -> None:
    await world.wait(span)


def with_chance(world: World, pause: Span) -> Span:
    """Return half to one and a half of a pause: what failed together is not tried together."""
    return Span(pause // 2 + pause * world.seed() // 2**31)
