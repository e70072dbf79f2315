"""A World that the test owns: time moves when `advance` says so, and chance comes from a seed."""

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from puna.units import Span

NOON = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)
_ROUNDS = 40
"""Turns of the event loop after which everything that needs no time has happened in our tests."""


class FakeWorld:
    """Satisfies `puna.world.World`, without waiting: `await world.advance(span)` lets time pass."""

    def __init__(self, *, seed: int = 0, start: datetime = NOON) -> None:
        self._elapsed = Span(0)
        self._start = start
        self._dice = random.Random(seed)  # noqa: S311 - chance that repeats
        self._order = itertools.count()
        self._sleepers: list[tuple[Span, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + self._elapsed.timedelta

    def elapsed(self) -> Span:
        return self._elapsed

    async def wait(self, span: Span) -> None:
        if span <= 0:
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (Span(self._elapsed + span), next(self._order), woken))
        await woken

    def token(self) -> str:
        return f"{self._dice.getrandbits(128):032x}"

    def seed(self) -> int:
        return self._dice.getrandbits(31)

    async def advance(self, span: Span) -> None:
        """Let `span` pass: each who waits wakes at its moment and acts before the next wakes."""
        await settle()
        end = Span(self._elapsed + span)
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            self._elapsed = due
            if not woken.done():
                woken.set_result(None)
                await settle()
        self._elapsed = end
        await settle()

    def jump(self, change: timedelta) -> None:
        """Set the time of day, as a person or a time server does; no time passes."""
        self._start += change

    @property
    def sleepers(self) -> int:
        """How many tasks wait for time to pass."""
        return sum(not woken.done() for _, _, woken in self._sleepers)


async def settle(rounds: int = _ROUNDS) -> None:
    """Let every task run until it waits for something that only the test can bring."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def becomes(is_so: Callable[[], object], *, within_s: float = 60) -> None:
    """Wait for what threads, sockets or a database bring about. Fails if it does not in time."""
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - a fact, which nobody announces
            await asyncio.sleep(0.005)
