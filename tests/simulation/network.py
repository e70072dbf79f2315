"""What lies between hosts and their market: messages are lost, doubled, late and out of order."""

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from puna.errors import PunaError
from puna.wire.agent import Orders, Report
from tests.market.stage import Stage
from tests.simulation.hosts import TrueHost

Answer = TypeVar("Answer")


class Crash(Exception):
    """The market's process dies here; nothing of its transaction is kept."""


@dataclass
class Network:
    """What becomes of a message is drawn from the dice; odds are in a hundred."""

    stage: Stage
    dice: random.Random
    lost: int = 0
    doubled: int = 0
    late: int = 0
    _under_way: list[tuple[TrueHost, Report]] = field(default_factory=list)

    async def talk(self, hosts: Iterable[TrueHost]) -> None:
        """Let each host report once, and be told."""
        for host in hosts:
            host.live()
            if not host.is_silent:
                await self._exchange(host, host.report())
                host.live()

    async def _exchange(self, host: TrueHost, report: Report) -> None:
        if self._happens(self.late):
            self._under_way.append((host, report))
            return
        if self._happens(self.lost):
            return
        orders = await self._deliver(host, report)
        if self._happens(self.doubled):
            await self._deliver(host, report)
        if orders is not None and not self._happens(self.lost):
            host.hear(orders)

    async def bring_late(self) -> None:
        """Deliver some of what was under way, in any order; nobody waits for the answers."""
        self.dice.shuffle(self._under_way)
        for _ in range(len(self._under_way) // 2):
            await self._deliver(*self._under_way.pop())

    async def _deliver(self, host: TrueHost, report: Report) -> Orders | None:
        return await survive(lambda: self.stage.deliver(host.box, report))

    def _happens(self, odds: int) -> bool:
        return self.dice.randrange(100) < odds


async def survive(ask: Callable[[], Awaitable[Answer]]) -> Answer | None:
    """Ask the market; None where it died or refused, as its callers see it."""
    try:
        return await ask()
    except (Crash, PunaError):
        return None
