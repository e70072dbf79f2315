"""The market's clock, here: what must stop at a time stops then, whoever is away.

Every deadline is by the market's clock. Between its words time is counted by the machine's
monotonic clock, so a person or a time server that sets the machine's time of day moves no deadline.
An agent that was killed and begins again without its market counts on from what it knew.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from puna.units import Span
from puna.world import World

_FIRST, _LAST = datetime(1971, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""What a clock may show: beyond, adding to it ends in no date at all."""
_NEAR = timedelta(seconds=1)
"""How far two readings of the market's clock may be apart and mean the same."""


class Reading(BaseModel):
    """What an agent keeps of the market's clock; it means something until the machine starts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    boot: str
    """Which start of the machine it holds for."""
    zero: datetime
    """What the market's clock showed when the machine's monotonic clock stood at zero."""


class MarketClock:
    """Tells the market's time. Without a word from the market it is the machine's own."""

    def __init__(self, world: World, known: Reading | None = None, *, boot: str = "") -> None:
        self.world = world
        self._boot = boot
        is_of_now = bool(boot) and known is not None and known.boot == boot
        self.reading = known if is_of_now else None
        """What is worth keeping; None before the market's first word."""
        self._at = world.elapsed()
        self._told = world.now()
        if self.reading is not None:
            self._told = self.reading.zero + self._at.timedelta

    def hear(self, now: datetime | None) -> None:
        """Take note of what the market says that the time is, if a calendar can go on from it."""
        if now is not None and not _FIRST <= now <= _LAST:
            now = None
        self._told = now or self.now()
        self._at = self.world.elapsed()
        zero = self._told - self._at.timedelta
        if now and (self.reading is None or abs(self.reading.zero - zero) > _NEAR):
            self.reading = Reading(boot=self._boot, zero=zero)

    def now(self) -> datetime:
        """Return the market's time."""
        return self._told + Span(self.world.elapsed() - self._at).timedelta


def this_boot() -> str:
    """Return what tells this start of the machine from others; empty where nothing does."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""
