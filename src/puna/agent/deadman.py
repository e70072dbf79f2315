"""The market's clock, here: what must stop at a time stops then, whoever is away.

Every deadline is by the market's clock. Between its words time is counted by the machine's
monotonic clock, so a person or a time server that sets the machine's time of day moves no deadline.
"""

from datetime import datetime

from puna.units import Span
from puna.world import World


class MarketClock:
    """Tells the market's time. Without a word from the market it is the machine's own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._told = world.now()
        self._at = world.elapsed()

    def hear(self, now: datetime | None) -> None:
        """Take note of what the market says that the time is."""
        self._told = now or self.now()
        self._at = self.world.elapsed()

    def now(self) -> datetime:
        """Return the market's time."""
        return self._told + Span(self.world.elapsed() - self._at).timedelta
