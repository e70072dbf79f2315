"""The market's own time: it goes on evenly, whoever sets the clock of this machine.

Money and deadlines are counted in it, so it must never jump. It begins by the machine's clock, but
never before the end of the books: what happened has happened. From there on the monotonic clock
counts it. A machine's clock that is apart from it is followed by one second in two thousand, as a
time server does with a small error; a large one is for the operator, and is taken over, as far as
it lies ahead, when the market is started again.
"""

from datetime import UTC, datetime, timedelta

from puna.units import Span
from puna.world import World

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_FOLLOWS = 2000
"""Of so many nanoseconds, one is given to following the machine's clock."""


class SteadyWorld:
    """The world outside, with a time of day that never jumps and never goes back."""

    def __init__(self, outside: World, begins: datetime) -> None:
        self._outside = outside
        self._told = _nanoseconds(begins)
        self._at = outside.elapsed()

    def now(self) -> datetime:
        """Return the market's time."""
        at = self._outside.elapsed()
        passed = at - self._at
        here = self._told + passed
        most = passed // _FOLLOWS
        here += max(-most, min(most, _nanoseconds(self._outside.now()) - here))
        self._told, self._at = here, at
        return _EPOCH + here // 1000 * _US

    @property
    def apart(self) -> timedelta:
        """How far the machine's clock is ahead of this one."""
        return self._outside.now() - self.now()

    def elapsed(self) -> Span:
        """Return the time since an arbitrary start."""
        return self._outside.elapsed()

    async def wait(self, span: Span) -> None:
        """Return after `span`."""
        await self._outside.wait(span)

    def token(self) -> str:
        """Return digits that nobody can guess."""
        return self._outside.token()

    def seed(self) -> int:
        """Return a number for a sampler."""
        return self._outside.seed()


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _US * 1000
