"""One process of a market: what its routes and loops share."""

import asyncio
from dataclasses import dataclass, field

from puna.market.db.database import Database
from puna.market.loops.meter_usage import Tariff
from puna.market.settings import MarketSettings
from puna.world import World


class Bell:
    """Wakes whoever waits for something to change; a ring that nobody hears is lost."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait now."""
        rung, self._next = self._next, asyncio.Event()
        rung.set()

    @property
    def next(self) -> asyncio.Event:
        """What the next ring sets. Taken before one looks, it misses no change."""
        return self._next


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The database, the clock, the prices and the settings; no state of its own."""

    database: Database
    world: World
    tariff: Tariff
    settings: MarketSettings
    bell: Bell = field(default_factory=Bell)

    def nudge(self) -> None:
        """Let the loops take their turn now, and hosts that wait be told."""
        self.bell.ring()


def tariff_of(settings: MarketSettings) -> Tariff:
    """Return how a market charges."""
    return Tariff(tick=settings.tick, fee_share=settings.fee_share)
